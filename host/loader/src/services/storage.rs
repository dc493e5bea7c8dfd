//! A plugin's private key-value store: one file per key, written atomically, with a quota.

use super::refuse;
use crate::digest::hex;
use crate::lock::write_atomic;
use spec::{ErrorKind, PluginError};
use std::path::PathBuf;

/// Longest key in bytes; its hex form must fit a file name.
const MAX_KEY: usize = 100;
/// A file costs more than its bytes: an empty value is charged as this many.
const ENTRY_COST: u64 = 256;

/// The store of one plugin.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    folder: PathBuf,
    quota: u64,
}

impl Storage {
    /// A store in `folder`, made when the first key is set.
    pub(crate) fn new(folder: PathBuf, quota: u64) -> Self {
        Self { folder, quota }
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, PluginError> {
        match std::fs::read(self.file(key)?) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => unavailable(&e),
        }
    }

    pub(crate) fn set(&self, key: &str, value: &[u8]) -> Result<(), PluginError> {
        let file = self.file(key)?;
        let others: u64 = self.entries().into_iter().filter(|(k, _)| k != key).map(|(_, size)| size + ENTRY_COST).sum();
        let needed = others + ENTRY_COST + value.len() as u64;
        if needed > self.quota {
            return refuse(
                ErrorKind::TooLarge,
                format!(
                    "storage: {needed} bytes would be in use, {} are granted; a larger `storage-mib` in the manifest \
                     and in the grants allows more",
                    self.quota
                ),
            );
        }
        write_atomic(&file, value).or_else(|e| unavailable(&e))
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), PluginError> {
        match std::fs::remove_file(self.file(key)?) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => unavailable(&e),
            _ => Ok(()),
        }
    }

    /// Keys that begin with `prefix`, sorted, at most `limit` of those after `after`.
    pub(crate) fn keys(&self, prefix: &str, after: Option<&str>, limit: u32) -> Vec<String> {
        let mut keys: Vec<String> = self.entries().into_iter().map(|(key, _)| key).collect();
        keys.retain(|k| k.starts_with(prefix) && after.is_none_or(|a| k.as_str() > a));
        keys.sort();
        keys.truncate(limit as usize);
        keys
    }

    fn file(&self, key: &str) -> Result<PathBuf, PluginError> {
        if key.is_empty() || key.len() > MAX_KEY {
            return refuse(
                ErrorKind::InvalidInput,
                format!("storage: expected a key of 1 to {MAX_KEY} bytes, found {}", key.len()),
            );
        }
        // Hex keeps any key within the folder, whatever the file system thinks of its characters and case.
        Ok(self.folder.join(hex(key.as_bytes())))
    }

    fn entries(&self) -> Vec<(String, u64)> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries
            .filter_map(|e| {
                let key = from_hex(e.file_name().to_str()?)?;
                Some((key, e.metadata().ok()?.len()))
            })
            .collect()
    }
}

fn from_hex(name: &str) -> Option<String> {
    let digits = name.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    String::from_utf8(digits.collect::<Option<Vec<u8>>>()?).ok()
}

fn unavailable<T>(error: &std::io::Error) -> Result<T, PluginError> {
    refuse(ErrorKind::Unavailable, format!("storage: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_values_lists_keys_and_stays_within_its_quota() {
        let dir = tempfile::tempdir().unwrap();
        let s = Storage::new(dir.path().join("s"), 2000);
        assert_eq!(s.get("a").unwrap(), None);
        for key in ["a/1", "a/2", "../b", "a/3"] {
            s.set(key, key.as_bytes()).unwrap();
        }
        assert_eq!(s.get("../b").unwrap().unwrap(), b"../b");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing outside its folder");
        assert_eq!(s.keys("a/", Some("a/1"), 10), ["a/2", "a/3"]);
        assert_eq!(s.keys("", None, 2), ["../b", "a/1"]);
        s.delete("a/3").unwrap();
        s.delete("a/3").unwrap();
        assert_eq!(s.set("big", &[0; 2000]).unwrap_err().kind, ErrorKind::TooLarge);
        s.set("a/1", &[0; 900]).unwrap();
        s.set("a/1", &[0; 900]).unwrap();
        assert!(s.set("", b"").is_err() && s.set(&"k".repeat(101), b"").is_err());
    }
}
