//! The bytes of an archive: parts of a file, as the host reads them, or memory.

use plugin_sdk::{Result, files};
use std::sync::{Mutex, PoisonError};

/// What is read at once where little is asked for: headers lie together, and small files behind them.
const WINDOW: u64 = 16 << 10;

pub(crate) enum Bytes {
    Memory(Vec<u8>),
    File(File),
}

/// A file of a granted folder, of which no more than parts are ever in memory.
pub(crate) struct File {
    root: String,
    path: String,
    size: u64,
    /// The part that was read last, and where it begins.
    window: Mutex<(u64, Vec<u8>)>,
}

impl Bytes {
    /// # Errors
    /// There is no such file.
    pub(crate) fn of_file(root: &str, path: &str) -> Result<Self> {
        let size = files::size(root, path)?;
        Ok(Self::File(File { root: root.to_owned(), path: path.to_owned(), size, window: Mutex::default() }))
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(file) => file.size,
        }
    }

    /// `length` bytes from `from` on, fewer where the archive ends.
    ///
    /// # Errors
    /// The file cannot be read any more, or at once.
    pub(crate) fn get(&self, from: u64, length: u64) -> Result<Vec<u8>, String> {
        match self {
            Self::Memory(bytes) => Ok(within(bytes, from, length).to_vec()),
            Self::File(file) => file.get(from, length).map_err(|e| e.message),
        }
    }

    /// A part that must be there.
    ///
    /// # Errors
    /// The archive ends before it does, or cannot be read.
    pub(crate) fn whole(&self, from: u64, length: u64) -> Result<Vec<u8>, String> {
        let found = self.get(from, length)?;
        if found.len() as u64 == length { Ok(found) } else { Err("damaged: the archive ends early".to_owned()) }
    }
}

impl File {
    fn get(&self, from: u64, length: u64) -> Result<Vec<u8>> {
        let length = length.min(self.size.saturating_sub(from));
        if length > WINDOW || length == 0 {
            return files::read_part(&self.root, &self.path, from, length);
        }
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, bytes) = &*window;
        if from < *start || from + length > start + bytes.len() as u64 {
            let wanted = WINDOW.min(self.size - from);
            *window = (from, files::read_part(&self.root, &self.path, from, wanted)?);
        }
        Ok(within(&window.1, from - window.0, length).to_vec())
    }
}

impl columns::Source for Bytes {
    fn size(&self) -> u64 {
        self.len()
    }

    fn read(&self, from: u64, length: u64) -> Result<Vec<u8>, String> {
        self.get(from, length)
    }
}

fn within(bytes: &[u8], from: u64, length: u64) -> &[u8] {
    let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(bytes.len());
    &bytes[at(from)..at(from.saturating_add(length))]
}

/// A little-endian number of up to 8 bytes.
pub(crate) fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(size)?)?;
    Some(part.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_test::FakeHost;

    #[test]
    fn a_file_gives_the_same_parts_as_memory() {
        let all: Vec<u8> = (0..50_000u32).map(|n| (n * 7 % 251) as u8).collect();
        let _host = FakeHost::new().file("f", "a/big", &all).install();
        let file = Bytes::of_file("f", "a/big").unwrap();
        let memory = Bytes::Memory(all.clone());
        assert_eq!((file.len(), memory.len()), (50_000, 50_000));
        for from in [0, 1, 16_000, 16_383, 16_384, 33_000, 49_990, 50_000, 60_000, u64::MAX] {
            for length in [0, 1, 10, 16_384, 16_385, 50_000, u64::MAX] {
                let part = file.get(from, length).unwrap();
                assert_eq!(part, memory.get(from, length).unwrap(), "{from} {length}");
                assert_eq!(part, within(&all, from, length));
            }
        }
        assert!(file.whole(49_999, 2).unwrap_err().contains("ends early"));
        assert_eq!(Bytes::of_file("f", "a/gone").err().unwrap().kind, plugin_sdk::ErrorKind::NotFound);
    }
}
