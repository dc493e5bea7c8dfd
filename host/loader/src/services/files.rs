//! Granted folders, read-only: no path leads out, symlinks included.
//!
//! A path that goes on behind a file, `big.zip/bytes=0-65535`, is that part of it, both ends included as in HTTP's `Range`. So
//! a plugin reads files that are larger than one answer may be, without words in the contract for it.

use super::{Services, refuse};
use spec::{ErrorKind, PluginError};
use std::io::{Read, Seek, SeekFrom};
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

    /// A file of at most `max_bytes`, whole, or a part of one.
    pub(crate) fn read_file(&self, root: &str, path: &str, max_bytes: u64) -> Result<Vec<u8>, PluginError> {
        if let Some((whole, first, last)) = part(path)
            && let Ok((_, file)) = self.really(root, whole)
            && file.is_file()
        {
            let max = max_bytes.min(self.limits.transfer);
            return read_part(&file, first, last, max, &format!("{root}:{path}"));
        }
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

/// File, first and last byte of a path that names a part.
fn part(path: &str) -> Option<(&str, u64, u64)> {
    let (file, range) = path.rsplit_once('/')?;
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let number = |t: &str| t.parse::<u64>().ok().filter(|_| t.bytes().all(|b| b.is_ascii_digit()));
    Some((file, number(first)?, number(last)?)).filter(|(_, first, last)| first <= last)
}

/// The part of a file, shorter where the file ends.
fn read_part(file: &Path, first: u64, last: u64, max: u64, shown: &str) -> Result<Vec<u8>, PluginError> {
    let read = || -> std::io::Result<Result<Vec<u8>, PluginError>> {
        let mut open = std::fs::File::open(file)?;
        let size = open.metadata()?.len();
        if first > size {
            return Ok(refuse(ErrorKind::InvalidInput, format!("{shown}: the file has {size} bytes")));
        }
        let length = (size - first).min((last - first).saturating_add(1));
        if length > max {
            let message = format!("{shown}: expected a part of at most {max} bytes, found {length}");
            return Ok(refuse(ErrorKind::TooLarge, message));
        }
        open.seek(SeekFrom::Start(first))?;
        let mut bytes = Vec::new();
        open.take(length).read_to_end(&mut bytes)?;
        Ok(Ok(bytes))
    };
    read().unwrap_or_else(|e| refuse(ErrorKind::Unavailable, format!("{shown}: {e}")))
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
    fn a_large_file_is_read_in_parts() {
        let dir = tempfile::tempdir().unwrap();
        // Mostly a hole: no room is taken on the disk.
        let mut file = std::fs::File::create(dir.path().join("large.bin")).unwrap();
        file.set_len(6 << 30).unwrap();
        file.seek(SeekFrom::Start(5 << 30)).unwrap();
        std::io::Write::write_all(&mut file, b"far away").unwrap();
        let s = granted(dir.path());
        let read = |range: &str, max| s.read_file("pictures", &format!("large.bin/bytes={range}"), max);
        let at = 5u64 << 30;
        assert_eq!(read(&format!("{at}-{}", at + 7), 8).unwrap(), b"far away");
        assert_eq!(read(&format!("{}-{}", at + 4, at + 7), 100).unwrap(), b"away");
        let end = 6u64 << 30;
        assert_eq!(read(&format!("{}-{}", end - 3, u64::MAX), 100).unwrap(), [0; 3], "the file ends there");
        assert_eq!(read(&format!("{end}-{end}"), 100).unwrap(), b"");
        assert_eq!(read(&format!("{}-{}", end + 1, end + 2), 100).unwrap_err().kind, ErrorKind::InvalidInput);
        assert_eq!(read("0-7", 7).unwrap_err().kind, ErrorKind::TooLarge);
        let e = read(&format!("0-{}", u64::MAX), u64::MAX).unwrap_err();
        assert!(e.kind == ErrorKind::TooLarge && e.message.contains("67108864"), "{e}");
        for odd in ["", "-", "0-", "-5", "7-0", "+1-2", "0-1-2", "0-99999999999999999999"] {
            assert!(read(odd, 100).is_err(), "{odd}");
        }
        // What a folder really holds comes first, and nothing leads out.
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/bytes=0-1"), b"a file").unwrap();
        assert_eq!(s.read_file("pictures", "sub/bytes=0-1", 100).unwrap(), b"a file");
        let inner = granted(&dir.path().join("sub"));
        let e = inner.read_file("pictures", "../large.bin/bytes=0-1", 100).unwrap_err();
        assert_eq!(e.kind, ErrorKind::Denied, "{e}");
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
