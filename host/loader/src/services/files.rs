//! Granted folders, read-only: no path leads out, symlinks included.

use super::{Services, refuse};
use spec::{ErrorKind, PluginError};
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Most entries of one answer, whatever was asked for.
const MAX_ENTRIES: u32 = 10_000;

/// One file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Path relative to the root, with `/` between its parts.
    pub(crate) path: String,
    pub(crate) is_dir: bool,
    pub(crate) size: u64,
    pub(crate) modified_ms: u64,
}

impl Services {
    /// The entries of a folder, sorted by path. What cannot be read or leads out of the root is left out.
    pub(crate) fn list_dir(
        &self,
        root: &str,
        path: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Entry>, PluginError> {
        let (base, folder) = self.resolve(root, path)?;
        // `./a/` and `a` are one folder, and its entries have one path.
        let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
        let above = parts.join("/");
        let listing = std::fs::read_dir(&folder).or_else(|e| missing(root, path, &e))?;
        let mut found: Vec<(String, PathBuf)> = listing
            .flatten()
            .filter_map(|e| {
                // A name that is no UTF-8 cannot be asked for again.
                let name = e.file_name().to_str()?.to_owned();
                Some((if above.is_empty() { name } else { format!("{above}/{name}") }, e.path()))
            })
            .filter(|(path, _)| after.is_none_or(|a| path.as_str() > a))
            .collect();
        found.sort();
        let entries = found.into_iter().filter_map(|(path, full)| {
            let real = std::fs::canonicalize(full).ok().filter(|real| real.starts_with(&base))?;
            let meta = std::fs::metadata(real).ok()?;
            let modified = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
            Some(Entry {
                path,
                is_dir: meta.is_dir(),
                size: meta.len(),
                modified_ms: modified.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            })
        });
        Ok(entries.take(limit.min(MAX_ENTRIES) as usize).collect())
    }

    /// A file of at most `max_bytes`, whole.
    pub(crate) fn read_file(&self, root: &str, path: &str, max_bytes: u64) -> Result<Vec<u8>, PluginError> {
        let (_, file) = self.resolve(root, path)?;
        let meta = std::fs::metadata(&file).or_else(|e| missing(root, path, &e))?;
        if !meta.is_file() {
            return refuse(ErrorKind::InvalidInput, format!("{root}:{path}: expected a file, found a folder"));
        }
        let max = max_bytes.min(self.limits.transfer);
        if meta.len() > max {
            return refuse(
                ErrorKind::TooLarge,
                format!("{root}:{path}: expected at most {max} bytes, found {}", meta.len()),
            );
        }
        std::fs::read(&file).or_else(|e| missing(root, path, &e))
    }

    /// Where a path below a granted root really lies.
    pub(crate) fn resolve(&self, root: &str, path: &str) -> Result<(PathBuf, PathBuf), PluginError> {
        self.note(self.really(root, path))
    }

    fn really(&self, root: &str, path: &str) -> Result<(PathBuf, PathBuf), PluginError> {
        let Some(base) = self.call.folders.get(root).or_else(|| self.rights.folders.get(root)) else {
            let mut known: Vec<&str> =
                self.call.folders.keys().chain(self.rights.folders.keys()).map(String::as_str).collect();
            known.dedup();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return refuse(
                ErrorKind::Denied,
                format!("folder `{root}` is not granted: it needs the grant `folders.{root}`; granted are: {known}"),
            );
        };
        let base = std::fs::canonicalize(base).or_else(|e| missing(root, "", &e))?;
        let inside = Path::new(path).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !inside || path.contains('\\') {
            return refuse(
                ErrorKind::Denied,
                format!("{root}:{path}: expected a path below the folder, without `..` and `\\`"),
            );
        }
        let full = std::fs::canonicalize(base.join(path)).or_else(|e| missing(root, path, &e))?;
        if !full.starts_with(&base) {
            return refuse(ErrorKind::Denied, format!("{root}:{path}: leads out of the granted folder"));
        }
        Ok((base, full))
    }
}

fn missing<T>(root: &str, path: &str, error: &std::io::Error) -> Result<T, PluginError> {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        std::io::ErrorKind::NotADirectory | std::io::ErrorKind::IsADirectory => ErrorKind::InvalidInput,
        _ => ErrorKind::Unavailable,
    };
    refuse(kind, format!("{root}:{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CallContext;
    use crate::services::tests::services;

    fn granted(folder: &Path) -> Services {
        let call = CallContext { folders: [("pictures".into(), folder.into())].into(), ..CallContext::default() };
        services(&Default::default(), &Default::default(), call, folder)
    }

    #[test]
    fn lists_in_order_and_resumes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        for name in ["c.png", "a.png", "b/d.png"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let s = granted(dir.path());
        let names = |v: Vec<Entry>| v.into_iter().map(|e| e.path).collect::<Vec<_>>();
        assert_eq!(names(s.list_dir("pictures", "", None, 100).unwrap()), ["a.png", "b", "c.png"]);
        assert_eq!(names(s.list_dir("pictures", ".", Some("a.png"), 1).unwrap()), ["b"]);
        assert_eq!(names(s.list_dir("pictures", "b/", None, 100).unwrap()), ["b/d.png"]);
        let e = &s.list_dir("pictures", "b", None, 1).unwrap()[0];
        assert!(!e.is_dir && e.size == 7 && e.modified_ms > 0);
        assert_eq!(s.read_file("pictures", "b/d.png", 7).unwrap(), b"b/d.png");
        assert_eq!(s.read_file("pictures", "b/d.png", 6).unwrap_err().kind, ErrorKind::TooLarge);
        assert_eq!(s.read_file("pictures", "b", 100).unwrap_err().kind, ErrorKind::InvalidInput);
        assert_eq!(s.read_file("pictures", "x", 100).unwrap_err().kind, ErrorKind::NotFound);
    }

    #[test]
    fn nothing_leads_out_of_a_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(dir.path().join("secret"), b"s").unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(dir.path().join("secret"), root.join("link")).unwrap();
            std::os::unix::fs::symlink(dir.path(), root.join("sub/up")).unwrap();
        }
        let s = granted(&root);
        let absolute = dir.path().join("secret");
        for path in ["../secret", "sub/../../secret", absolute.to_str().unwrap(), "link", "sub/up/secret", "..\\secret"]
        {
            let e = s.read_file("pictures", path, 100).unwrap_err();
            assert_eq!(e.kind, ErrorKind::Denied, "{path}: {e}");
        }
        assert_eq!(s.list_dir("pictures", "sub", None, 10).unwrap(), [], "a link that leads out is not listed");
        let e = s.read_file("other", "a", 1).unwrap_err();
        assert_eq!(e.kind, ErrorKind::Denied);
        assert!(e.message.contains("`folders.other`") && e.message.contains("pictures"), "{e}");
    }
}
