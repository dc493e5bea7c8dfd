//! Texts, bytes and lists of them out of Parquet files, for plugins: a page of a column at a time, and never more than a file has
//! to say.
//!
//! Files come from strangers, so no number in them is believed: sizes, counts and places are compared with what is there before
//! there is room made, and each fault is an error in words. Numbers, dates and deeper nesting are not read; columns that nobody
//! asks for are not touched. Packed by Snappy or gzip, or not at all; of the encodings the plain one and dictionaries, which is
//! what writers use for texts unless told otherwise. Source: the format's description, github.com/apache/parquet-format.
//! Start at [`Table`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod footer;
mod levels;
mod pages;
mod rows;
mod thrift;

pub use footer::Leaf;
pub use rows::{Rows, Value};

use footer::Footer;
use std::sync::Arc;

/// Most rows of a file.
pub const MAX_ROWS: u64 = 4_000_000;
/// Bytes of the footer, which describes all columns and pages.
const MAX_FOOTER: u64 = 16 << 20;
/// Sign at both ends of a file, and that of an encrypted one.
const SIGN: &[u8] = b"PAR1";
const ENCRYPTED: &[u8] = b"PARE";

/// Where the bytes of a file are.
pub trait Source {
    /// In bytes.
    fn size(&self) -> u64;

    /// `length` bytes from `from` on, fewer where the file ends.
    ///
    /// # Errors
    /// They cannot be read.
    fn read(&self, from: u64, length: u64) -> Result<Vec<u8>, String>;
}

impl Source for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, from: u64, length: u64) -> Result<Vec<u8>, String> {
        let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(self.len());
        Ok(self[at(from)..at(from.saturating_add(length))].to_vec())
    }
}

/// An open file.
pub struct Table<S> {
    source: S,
    footer: Footer,
}

impl<S: Source> Table<S> {
    /// Reads the footer.
    ///
    /// # Errors
    /// It is no Parquet file, or a damaged one.
    pub fn open(source: S) -> Result<Arc<Self>, String> {
        let size = source.size();
        let tail = source.read(size.saturating_sub(8), 8)?;
        let (length, sign) = tail.split_at_checked(4).ok_or("no Parquet file: it is too short")?;
        let head = source.read(0, 4)?;
        match (head == SIGN, sign) {
            (_, ENCRYPTED) => return Err("the Parquet file is encrypted; write it without a key".to_owned()),
            (true, SIGN) if size >= 12 => {}
            (true, _) => return Err("the Parquet file is cut off: its footer is missing".to_owned()),
            _ => return Err("no Parquet file: expected it to begin and end with `PAR1`".to_owned()),
        }
        let length = u64::from(u32::from_le_bytes([length[0], length[1], length[2], length[3]]));
        if length > MAX_FOOTER || length > size - 12 {
            return Err(format!("the Parquet file is damaged: its footer would have {length} bytes"));
        }
        let bytes = source.read(size - 8 - length, length)?;
        let footer = Footer::read(&bytes, size).map_err(|e| format!("the Parquet file's footer is damaged: {e}"))?;
        Ok(Arc::new(Self { source, footer }))
    }

    pub fn rows(&self) -> u64 {
        self.footer.rows
    }

    /// Names of the columns at the top, in order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for name in self.footer.leaves.iter().filter_map(|l| l.path.first()) {
            if names.last() != Some(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// The parts of a column at the top; a plain column is its own only part.
    pub fn parts(&self, name: &str) -> Vec<&Leaf> {
        self.footer.leaves.iter().filter(|l| l.path.first().is_some_and(|first| first == name)).collect()
    }

    /// A column of texts, bytes, or lists of them.
    ///
    /// # Errors
    /// What it is instead.
    pub fn texts(&self, name: &str) -> Result<&Leaf, String> {
        match self.parts(name).as_slice() {
            [] => Err(format!("no column `{name}`")),
            [leaf] => {
                leaf.readable()?;
                Ok(leaf)
            }
            several => {
                let parts: Vec<&str> = several.iter().filter_map(|l| l.path.last()).map(String::as_str).collect();
                Err(format!("expected texts, found records of {}", parts.join(", ")))
            }
        }
    }

    /// One value for each row.
    pub fn read(self: &Arc<Self>, leaf: &Leaf) -> Rows<S> {
        Rows::new(self.clone(), leaf.clone())
    }
}

#[cfg(test)]
mod tests;
