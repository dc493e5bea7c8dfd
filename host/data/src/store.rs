//! Content-addressed files, keyed records and scratch folders, safe against crashes and damage.
//!
//! Everything is written to a temporary file, synced and renamed, so that a reader sees all of it or nothing.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// SHA-256 of a file's contents, in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(format!("{:x}", Sha256::digest(bytes)))
    }

    /// Of a file's contents.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_file(path: &Path) -> std::io::Result<Self> {
        let mut file = File::open(path)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(Self(format!("{:x}", hash.finalize()))),
                n => hash.update(&buffer[..n]),
            }
        }
    }

    /// The hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(hex: String) -> Result<Self, String> {
        let digits = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hex.len() == 64 && digits { Ok(Self(hex)) } else { Err(format!("expected 64 hex digits, found `{hex}`")) }
    }
}

impl From<Digest> for String {
    fn from(d: Digest) -> Self {
        d.0
    }
}

/// Hashes parts so that where one ends cannot be confused with where the next begins.
#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> String {
        format!("{:x}", self.0.finalize())
    }
}

/// Why something could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path}: {source}")]
    Io { path: String, source: std::io::Error },
    /// The contents do not match their digest. The file has been removed, so that it is made again.
    #[error("{path}: damaged, expected sha256 {expected}, found {found}; it was removed and will be made again")]
    Damaged { path: String, expected: String, found: String },
    #[error("the store holds no file with sha256 {0}")]
    Missing(Digest),
}

/// A folder of files by content, records by key, and scratch folders.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens or makes a store.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        let root = std::path::absolute(&root).unwrap_or(root);
        for part in ["blobs", "records", "scratch", "tmp"] {
            let dir = root.join(part);
            std::fs::create_dir_all(&dir).map_err(|e| io(&dir, e))?;
        }
        Ok(Self { root })
    }

    /// Where it lies.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Keeps these bytes.
    ///
    /// # Errors
    /// The disk is full or not writable.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        let path = self.blob_path(&digest);
        // A damaged file of the right length is found by `read_blob`; one of the wrong length is replaced here.
        if path.metadata().is_ok_and(|m| m.len() == bytes.len() as u64) {
            return Ok(digest);
        }
        self.write(&path, bytes)?;
        Ok(digest)
    }

    /// Keeps a copy of a file.
    ///
    /// # Errors
    /// The file cannot be read, or the store not written.
    pub fn put_file(&self, path: &Path) -> Result<Digest, StoreError> {
        let bytes = std::fs::read(path).map_err(|e| io(path, e))?;
        self.put_blob(&bytes)
    }

    /// Where a file with these contents lies, if it is kept.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(&digest.as_str()[..2]).join(digest.as_str())
    }

    /// Is a file with these contents kept? Looks at its presence only.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// The contents, compared with their digest.
    ///
    /// # Errors
    /// Missing or damaged; a damaged file is removed.
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.blob_path(digest);
        let bytes = std::fs::read(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => StoreError::Missing(digest.clone()),
            _ => io(&path, e),
        })?;
        verify(&path, &bytes, digest.as_str())?;
        Ok(bytes)
    }

    /// Keeps a small value under a kind and a key, in place of an older one.
    ///
    /// # Errors
    /// The disk is full or not writable.
    pub fn put_record(&self, kind: &str, key: &str, value: &[u8]) -> Result<(), StoreError> {
        let mut bytes = format!("{}\n", Digest::of(value)).into_bytes();
        bytes.extend_from_slice(value);
        self.write(&self.record_path(kind, key), &bytes)
    }

    /// The value under a kind and a key.
    ///
    /// # Errors
    /// Damaged: the record has been removed.
    pub fn get_record(&self, kind: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.record_path(kind, key);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io(&path, e)),
        };
        let (head, value) = bytes.split_at(bytes.len().min(65));
        let expected = String::from_utf8_lossy(head);
        verify(&path, value, expected.trim_end_matches('\n'))?;
        Ok(Some(value.to_vec()))
    }

    /// Forgets a record.
    pub fn remove_record(&self, kind: &str, key: &str) {
        // It may be gone already.
        let _ = std::fs::remove_file(self.record_path(kind, key));
    }

    /// A folder for unfinished work, such as a training state; the same one for the same key.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn scratch(&self, key: &str) -> Result<PathBuf, StoreError> {
        let dir = self.root.join("scratch").join(Digest::of(key.as_bytes()).as_str());
        std::fs::create_dir_all(&dir).map_err(|e| io(&dir, e))?;
        Ok(dir)
    }

    fn record_path(&self, kind: &str, key: &str) -> PathBuf {
        let hash = Digest::of(key.as_bytes());
        self.root.join("records").join(kind).join(&hash.as_str()[..2]).join(hash.as_str())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        write_atomic(path, bytes, &self.root.join("tmp")).map_err(|e| io(path, e))
    }
}

/// Writes a file so that it appears whole or not at all. `tmp` lies on the same file system.
fn write_atomic(path: &Path, bytes: &[u8], tmp: &Path) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(tmp);
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(tmp)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    // The rename itself is on disk only when the folder is.
    File::open(folder)?.sync_all()
}

fn io(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io { path: path.display().to_string(), source }
}

fn verify(path: &Path, bytes: &[u8], expected: &str) -> Result<(), StoreError> {
    let found = Digest::of(bytes);
    if found.as_str() == expected {
        return Ok(());
    }
    // Removing may fail on a read-only disk; the error is reported either way.
    let _ = std::fs::remove_file(path);
    Err(StoreError::Damaged { path: path.display().to_string(), expected: expected.to_owned(), found: found.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_blobs_by_content() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digest = store.put_blob(b"clay").unwrap();
        assert_eq!(store.put_blob(b"clay").unwrap(), digest);
        assert_eq!(store.read_blob(&digest).unwrap(), b"clay");
        assert!(matches!(store.read_blob(&Digest::of(b"glaze")), Err(StoreError::Missing(_))));
    }

    #[test]
    fn damage_is_found_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let digest = store.put_blob(b"clay").unwrap();
        std::fs::write(store.blob_path(&digest), b"Clay").unwrap();
        assert!(matches!(store.read_blob(&digest), Err(StoreError::Damaged { .. })));
        assert!(matches!(store.read_blob(&digest), Err(StoreError::Missing(_))));

        store.put_record("captions", "a", b"1girl").unwrap();
        let path = store.record_path("captions", "a");
        for damage in [b"".as_slice(), b"short", &[0xff; 100]] {
            std::fs::write(&path, damage).unwrap();
            assert!(matches!(store.get_record("captions", "a"), Err(StoreError::Damaged { .. })));
            assert_eq!(store.get_record("captions", "a").unwrap(), None);
        }
    }

    #[test]
    fn records_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.get_record("k", "../../x").unwrap(), None);
        store.put_record("k", "../../x", b"").unwrap();
        assert_eq!(store.get_record("k", "../../x").unwrap(), Some(vec![]));
        store.put_record("k", "../../x", b"two").unwrap();
        assert_eq!(store.get_record("k", "../../x").unwrap(), Some(b"two".to_vec()));
        assert_eq!(store.scratch("job").unwrap(), store.scratch("job").unwrap());
        assert_ne!(store.scratch("job").unwrap(), store.scratch("other").unwrap());
    }

    #[test]
    fn digests_are_checked_when_read() {
        assert!(Digest::try_from("../../etc".to_owned()).is_err());
        assert!(Digest::try_from(Digest::of(b"").to_string()).is_ok());
    }
}
