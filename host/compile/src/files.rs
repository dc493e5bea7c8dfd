//! Puts artefacts where the host looks for them: atomically, and only if they changed.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Writes a file unless it has these bytes already. Did it?
///
/// # Errors
/// The folder or the file cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    let folder = path.parent().context("a file without a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A running host sees the old file or the new one, never half of one.
    let new = folder.join(format!(".{name}.{}", std::process::id()));
    let written = fs::write(&new, bytes).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written.with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(true)
}

/// Copies a file unless it is there already.
///
/// # Errors
/// One cannot be read, or the other not written.
pub fn copy(from: &Path, to: &Path) -> Result<bool> {
    let bytes = fs::read(from).with_context(|| format!("cannot read `{}`", from.display()))?;
    write(to, &bytes)
}

/// Removes the folders in `installed` whose names are not in `wanted`.
///
/// # Errors
/// One cannot be removed.
pub fn prune(installed: &Path, wanted: &[&str]) -> Result<()> {
    let Ok(entries) = fs::read_dir(installed) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !wanted.contains(&name.as_str()) {
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove `{}`", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_only_changes_and_prunes() {
        let folder = std::env::temp_dir().join(format!("anagama-files-{}", std::process::id()));
        let file = folder.join("a/plugin.toml");
        assert!(write(&file, b"one").unwrap());
        assert!(!write(&file, b"one").unwrap());
        assert!(write(&file, b"two").unwrap());
        assert_eq!(fs::read_dir(folder.join("a")).unwrap().count(), 1);
        write(&folder.join("b/plugin.toml"), b"").unwrap();
        prune(&folder, &["a"]).unwrap();
        assert!(file.exists() && !folder.join("b").exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
