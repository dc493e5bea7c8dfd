//! Writing results into the output folder, and bringing them back from the store.

use crate::Host;
use anyhow::Context as _;
use data::Digest;
use engine::{Context, Level, Moment, Outputs};
use std::path::{Path, PathBuf};

/// The beginning of a file's name, with what ComfyUI fills in: the size of the picture, if it is one, and the time.
pub(crate) fn filled_in(prefix: &str, (width, height): (u32, u32), now: Moment) -> String {
    let two = |number: u32| format!("{number:02}");
    let rows = [
        ("%width%", width.to_string()),
        ("%height%", height.to_string()),
        ("%year%", now.year.to_string()),
        ("%month%", two(now.month)),
        ("%day%", two(now.day)),
        ("%hour%", two(now.hour)),
        ("%minute%", two(now.minute)),
        ("%second%", two(now.second)),
    ];
    rows.iter().fold(prefix.to_owned(), |name, (word, value)| name.replace(word, value))
}

/// Writes a file below the output folder and keeps a copy in the store. Gives its path and SHA-256.
/// Without the copy the file cannot be brought back, which is told; it is saved all the same.
pub(crate) fn save(ctx: &Context, name: &str, bytes: &[u8]) -> anyhow::Result<(PathBuf, Digest)> {
    let host = ctx.services::<Host>();
    let path = host.out_path(name)?;
    write(&path, bytes)?;
    let digest = host.store.put_blob(bytes).unwrap_or_else(|error| {
        ctx.log(Level::Warn, &format!("{}: no copy could be kept: {error}", path.display()));
        Digest::of(bytes)
    });
    Ok((path, digest))
}

/// Writes the files of a cached output node again, where they are missing or changed. False if the store no longer
/// holds one, or if the output folder is another.
pub(crate) fn restore(ctx: &Context, outputs: &Outputs) -> anyhow::Result<bool> {
    let host = ctx.services::<Host>();
    for file in outputs.ui.get("files").and_then(|f| f.as_array()).into_iter().flatten() {
        let (Some(path), Some(sha256)) = (file["path"].as_str(), file["sha256"].as_str()) else { return Ok(false) };
        let path = Path::new(path);
        let Ok(digest) = Digest::try_from(sha256.to_owned()) else { return Ok(false) };
        if !path.starts_with(&host.out_dir) || !host.store.has_blob(&digest) {
            return Ok(false);
        }
        if !Digest::of_file(path).is_ok_and(|found| found == digest) {
            write(path, &host.store.read_blob(&digest)?)?;
        }
    }
    Ok(true)
}

/// Writes a file, and the folder that it lies in; nobody ever sees half of it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    renamed_into_place(path, folder, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn renamed_into_place(path: &Path, folder: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    // Not through the temporary file itself, whose errors would name it.
    std::io::Write::write_all(file.as_file_mut(), bytes)?;
    set_readable(&file)?;
    file.persist(path)?;
    Ok(())
}

/// Temporary files are made for their owner alone; results are for everybody.
#[cfg(unix)]
fn set_readable(file: &tempfile::NamedTempFile) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_readable(_: &tempfile::NamedTempFile) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_and_time_are_filled_in() {
        let now = Moment { year: 2031, month: 4, day: 7, hour: 5, minute: 9, second: 26 };
        let name = filled_in("%year%-%month%-%day%/%hour%%minute%%second%_%width%x%height%_%seed%", (64, 32), now);
        assert_eq!(name, "2031-04-07/050926_64x32_%seed%");
    }
}
