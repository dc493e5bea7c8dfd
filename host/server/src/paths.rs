//! Names from clients to files of ours: nothing leads out of its folder, not even through a symbolic link.

use crate::http::Response;
use std::path::{Component, Path, PathBuf};

/// Why a name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The name itself is not one.
    BadName,
    /// It leads out of the folder.
    Outside,
    Absent,
    /// The disk has no room for a folder.
    NoRoom,
}

impl From<Refused> for Response {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::BadName => Self::empty(400),
            Refused::Outside => Self::empty(403),
            Refused::Absent => Self::empty(404),
            Refused::NoRoom => Self::text(507, "the folder cannot be made: the disk is full"),
        }
    }
}

/// An existing file or folder below `root`. Links are followed before the check.
pub(crate) fn existing(root: &Path, below: &str) -> Result<PathBuf, Refused> {
    let path = plain(root, below)?;
    let root = root.canonicalize().map_err(|_| Refused::Absent)?;
    let real = path.canonicalize().map_err(|_| Refused::Absent)?;
    if real.starts_with(&root) { Ok(real) } else { Err(Refused::Outside) }
}

/// Where a new file may be written below `root`; its folders are made. An existing link is not written through.
pub(crate) fn writable(root: &Path, below: &str) -> Result<PathBuf, Refused> {
    let path = plain(root, below)?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Refused::BadName) };
    if path == root {
        return Err(Refused::BadName);
    }
    let root = root.canonicalize().map_err(|_| Refused::Absent)?;
    // The deepest folder that is there already must lie inside, before anything is made below it.
    let there = parent.ancestors().find_map(|a| a.canonicalize().ok()).ok_or(Refused::Absent)?;
    if !there.starts_with(&root) && !root.starts_with(&there) {
        return Err(Refused::Outside);
    }
    std::fs::create_dir_all(parent)
        .map_err(|e| if engine::no_room(&e.into()).is_some() { Refused::NoRoom } else { Refused::BadName })?;
    let parent = parent.canonicalize().map_err(|_| Refused::Absent)?;
    let file = parent.join(name);
    let link = file.symlink_metadata().is_ok_and(|m| m.file_type().is_symlink());
    if parent.starts_with(&root) && !link { Ok(file) } else { Err(Refused::Outside) }
}

/// `root/below`, if `below` has only plain parts. `\` separates too: names come from Windows.
fn plain(root: &Path, below: &str) -> Result<PathBuf, Refused> {
    if below.chars().any(char::is_control) || below.len() > 2000 {
        return Err(Refused::BadName);
    }
    let below = below.replace('\\', "/");
    let path = Path::new(&below);
    // `C:` means something on Windows only, and never something good here.
    if cfg!(windows) && below.contains(':') {
        return Err(Refused::Outside);
    }
    let inside = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if inside { Ok(root.join(path)) } else { Err(Refused::Outside) }
}

/// A file name without folders, for an upload.
pub(crate) fn file_name(name: &str) -> Option<String> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name).trim();
    let clean: String = name.chars().filter(|c| !c.is_control()).collect();
    let bad = clean.is_empty() || clean == "." || clean == ".." || clean.len() > 255;
    (!bad).then_some(clean)
}

/// `a.png [temp]` says where it lies.
pub(crate) fn noted_type(filename: &str) -> (&str, Option<&'static str>) {
    for kind in ["input", "output", "temp"] {
        if let Some(name) =
            filename.strip_suffix(']').and_then(|f| f.strip_suffix(kind)).and_then(|f| f.strip_suffix('['))
        {
            return (name.trim_end(), Some(kind));
        }
    }
    (filename, None)
}

/// The pictures directly in a folder, sorted.
pub(crate) fn pictures_in(folder: &Path) -> Vec<String> {
    const ENDINGS: [&str; 7] = ["png", "jpg", "jpeg", "webp", "gif", "bmp", "tiff"];
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().filter(|e| e.path().is_file()).map(|e| e.file_name().to_string_lossy().into_owned());
    let is_picture = |name: &String| {
        name.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending.to_ascii_lowercase().as_str()))
    };
    let mut names: Vec<String> = names.filter(is_picture).collect();
    names.sort();
    names
}

/// Writes a file so that nobody ever sees half of it.
///
/// # Errors
/// Disk full, no permission.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut part = tempfile::Builder::new().prefix(".part-").tempfile_in(folder)?;
    std::io::Write::write_all(&mut part, bytes)?;
    part.as_file().sync_all()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        part.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    part.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(root.join("sub/a.txt"), "a").unwrap();
        std::fs::write(dir.path().join("secret"), "s").unwrap();
        assert!(existing(&root, "sub/a.txt").is_ok());
        assert!(existing(&root, "./sub\\a.txt").is_ok());
        for outside in ["../secret", "/etc/passwd", "sub/../../secret", "..\\secret"] {
            assert_eq!(existing(&root, outside), Err(Refused::Outside), "{outside}");
            assert_eq!(writable(&root, outside), Err(Refused::Outside), "{outside}");
        }
        assert_eq!(existing(&root, "absent"), Err(Refused::Absent));
        assert_eq!(existing(&root, "a\0b"), Err(Refused::BadName));
        assert!(writable(&root, "new/deep/b.txt").is_ok_and(|p| p.parent().is_some_and(Path::is_dir)));
    }

    #[test]
    #[cfg(unix)]
    fn links_do_not_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let (root, other) = (dir.path().join("root"), dir.path().join("other"));
        for folder in [&root, &other] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(other.join("secret"), "s").unwrap();
        std::os::unix::fs::symlink(&other, root.join("link")).unwrap();
        std::os::unix::fs::symlink(other.join("secret"), root.join("file")).unwrap();
        assert_eq!(existing(&root, "link/secret"), Err(Refused::Outside));
        assert_eq!(existing(&root, "file"), Err(Refused::Outside));
        assert_eq!(writable(&root, "link/new"), Err(Refused::Outside));
        assert_eq!(writable(&root, "link/deeper/new"), Err(Refused::Outside));
        assert!(!other.join("deeper").exists());
        assert_eq!(writable(&root, "file"), Err(Refused::Outside));
    }

    #[test]
    fn names_may_say_where_they_lie() {
        assert_eq!(noted_type("a b.png [temp]"), ("a b.png", Some("temp")));
        assert_eq!(noted_type("a.png[input]"), ("a.png", Some("input")));
        assert_eq!(noted_type("a.png [other]"), ("a.png [other]", None));
    }

    #[test]
    fn upload_names_have_no_folders() {
        assert_eq!(file_name("C:\\x\\a.png").as_deref(), Some("a.png"));
        assert_eq!(file_name("../../a b.png").as_deref(), Some("a b.png"));
        for bad in ["", "..", "a/", "."] {
            assert_eq!(file_name(bad), None, "{bad}");
        }
    }
}
