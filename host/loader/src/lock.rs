//! The lock file: which native libraries the user has approved, each by its sha256.

use crate::digest::sha256_file;
use crate::{LoadError, Manifest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What approving a native library means; printed before it is recorded.
pub const NATIVE_WARNING: &str = "\
A native library is machine code that runs inside Anagama with all your rights: it can read and change your
files, use the network and crash or hang the program. Grants, deadlines and memory limits do not hold for it.
Approve it only if you trust whoever built it, or built it yourself. The approval is for exactly this file;
when the file changes, it must be approved again. A component (.wasm) needs no approval: it is sandboxed.";

/// One approved library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Approval {
    /// The plugin it belonged to when it was approved.
    pub plugin: String,
    pub version: String,
    /// Where it lay; the hash decides, not the place.
    pub path: PathBuf,
}

/// Approvals by sha256 of the library.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lock {
    #[serde(default)]
    pub native: BTreeMap<String, Approval>,
}

impl Lock {
    /// Reads a lock file; a missing one approves nothing.
    ///
    /// # Errors
    /// An unreadable or damaged file.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| LoadError::Io {
                path: path.to_owned(),
                problem: format!("not a lock file: {e}; repair it, or delete it and approve again"),
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(LoadError::io(path, &e)),
        }
    }

    /// Is the library with this sha256 approved?
    pub fn approves(&self, sha256: &str) -> bool {
        self.native.contains_key(sha256)
    }

    fn write(&self, path: &Path) -> Result<(), LoadError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| LoadError::Io { path: path.to_owned(), problem: e.to_string() })?;
        write_atomic(path, &text).map_err(|e| LoadError::io(path, &e))
    }
}

/// Approves the native library at `path` (the library itself, or its plugin's folder) in `lock_file`.
/// Returns the library's sha256 and what was recorded. Show [`NATIVE_WARNING`] first.
///
/// # Errors
/// No library there, or the lock file cannot be read or written.
pub fn approve(lock_file: &Path, path: &Path) -> Result<(String, Approval), LoadError> {
    let (library, manifest) = library_at(path)?;
    let sha256 = sha256_file(&library).map_err(|e| LoadError::io(&library, &e))?;
    let approval = Approval { plugin: manifest.id, version: manifest.version, path: library };
    let mut lock = Lock::read(lock_file)?;
    lock.native.insert(sha256.clone(), approval.clone());
    lock.write(lock_file)?;
    Ok((sha256, approval))
}

/// Takes approvals back: `what` is a plugin's id, a library's path, or the beginning of a sha256 (at least
/// eight digits). Returns what was revoked; a library that already runs goes on until the program ends.
///
/// # Errors
/// Nothing fits, or the lock file cannot be read or written.
pub fn revoke(lock_file: &Path, what: &str) -> Result<Vec<(String, Approval)>, LoadError> {
    let mut lock = Lock::read(lock_file)?;
    let path = std::fs::canonicalize(what).unwrap_or_else(|_| what.into());
    let fits = |sha: &str, a: &Approval| {
        a.plugin == what
            || a.path == path
            || a.path.parent() == Some(&path)
            || (what.len() >= 8 && sha.starts_with(what))
    };
    let (gone, kept): (BTreeMap<_, _>, BTreeMap<_, _>) =
        std::mem::take(&mut lock.native).into_iter().partition(|(sha, a)| fits(sha, a));
    if gone.is_empty() {
        let known: Vec<String> = kept.values().map(|a| format!("{} ({})", a.plugin, a.path.display())).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(LoadError::Io {
            path: lock_file.to_owned(),
            problem: format!("no approval fits `{what}`; approved are: {known}"),
        });
    }
    lock.native = kept;
    lock.write(lock_file)?;
    Ok(gone.into_iter().collect())
}

fn library_at(path: &Path) -> Result<(PathBuf, Manifest), LoadError> {
    let path = std::fs::canonicalize(path).map_err(|e| LoadError::io(path, &e))?;
    let folder = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(&path) };
    let manifest = Manifest::read(folder)?;
    let name = if path.is_dir() {
        manifest.native_here().map(str::to_owned).ok_or_else(|| LoadError::Manifest {
            path: folder.join(crate::manifest::FILE_NAME),
            problem: format!("no library for {} under [native], so there is nothing to approve", crate::NATIVE_TARGET),
        })?
    } else {
        path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    };
    if !manifest.native.values().any(|n| *n == name) {
        let known: Vec<&str> = manifest.native.values().map(String::as_str).collect();
        return Err(LoadError::Manifest {
            path: folder.join(crate::manifest::FILE_NAME),
            problem: format!("`{name}` is not one of the plugin's native libraries: {}", known.join(", ")),
        });
    }
    Ok((folder.join(name), manifest))
}

/// Writes a file so that a reader sees the old or the new content, never a part.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(folder: &Path) -> PathBuf {
        std::fs::create_dir_all(folder).unwrap();
        let manifest = format!(
            "id = \"example.x\"\nversion = \"0.1.0\"\nwit = \"anagama:plugin@0.1.0\"\n[native]\n{} = \"libx.so\"\n",
            crate::NATIVE_TARGET
        );
        std::fs::write(folder.join("plugin.toml"), manifest).unwrap();
        std::fs::write(folder.join("libx.so"), b"code").unwrap();
        std::fs::canonicalize(folder.join("libx.so")).unwrap()
    }

    #[test]
    fn approvals_are_per_content_and_can_be_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let library = plugin(&dir.path().join("x"));
        let lock = dir.path().join("conf/plugins.lock.json");
        let (sha, approval) = approve(&lock, &dir.path().join("x")).unwrap();
        assert_eq!(approval.plugin, "example.x");
        assert_eq!(approval.path, library);
        assert!(Lock::read(&lock).unwrap().approves(&sha));

        std::fs::write(&library, b"other code").unwrap();
        assert!(
            !Lock::read(&lock).unwrap().approves(&sha256_file(&library).unwrap()),
            "another file, another approval"
        );
        approve(&lock, &library).unwrap();
        assert_eq!(Lock::read(&lock).unwrap().native.len(), 2);

        assert!(revoke(&lock, "example.y").unwrap_err().to_string().contains("example.x"));
        assert_eq!(revoke(&lock, &sha[..12]).unwrap().len(), 1);
        assert_eq!(revoke(&lock, "example.x").unwrap().len(), 1);
        assert_eq!(Lock::read(&lock).unwrap(), Lock::default());
    }

    #[test]
    fn only_a_plugins_own_library_can_be_approved() {
        let dir = tempfile::tempdir().unwrap();
        plugin(&dir.path().join("x"));
        let lock = dir.path().join("lock.json");
        std::fs::write(dir.path().join("x/evil.so"), b"x").unwrap();
        let e = approve(&lock, &dir.path().join("x/evil.so")).unwrap_err().to_string();
        assert!(e.contains("libx.so"), "{e}");
        assert!(approve(&lock, &dir.path().join("nothing")).is_err());
        assert!(!lock.exists());
    }

    #[test]
    fn a_damaged_lock_file_is_an_error_and_approves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("lock.json");
        std::fs::write(&lock, b"{").unwrap();
        assert!(Lock::read(&lock).unwrap_err().to_string().contains("lock.json"));
    }
}
