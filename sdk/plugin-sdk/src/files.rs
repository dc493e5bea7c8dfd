//! Folders that the user granted, by the name of the grant; read only.

use crate::host::with_host;
use crate::{Error, Image, Result};
use serde::{Deserialize, Serialize};

/// A file or folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// Relative to the granted folder, with `/`.
    pub path: String,
    pub is_dir: bool,
    /// In bytes.
    pub size: u64,
    /// Milliseconds since 1970.
    pub modified_ms: u64,
}

/// What is in a folder, sorted by path, at most `limit` entries; `after` is the last path of an earlier call.
///
/// ```
/// let _host = plugin_test::FakeHost::new().file("images", "a/1.txt", b"tree").install();
/// let entries = plugin_sdk::files::list_dir("images", "a", None, 100)?;
/// assert_eq!(entries[0].path, "a/1.txt");
/// assert_eq!(plugin_sdk::files::read("images", "a/1.txt", 1000)?, b"tree");
/// # Ok::<(), plugin_sdk::Error>(())
/// ```
///
/// # Errors
/// There is no such grant or folder.
pub fn list_dir(root: &str, path: &str, after: Option<&str>, limit: u32) -> Result<Vec<Entry>> {
    with_host(|h| h.files_list_dir(root, path, after, limit))
}

/// All that is in a folder, in as many calls as it takes.
///
/// # Errors
/// There is no such grant or folder.
pub fn list_all(root: &str, path: &str) -> Result<Vec<Entry>> {
    const PAGE: u32 = 1000;
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let page = list_dir(root, path, all.last().map(|e| e.path.as_str()), PAGE)?;
        let more = page.len() == PAGE as usize;
        all.extend(page);
        if !more {
            return Ok(all);
        }
    }
}

/// The bytes of a file.
///
/// # Errors
/// There is no such grant or file, or it is larger than `max_bytes`.
pub fn read(root: &str, path: &str, max_bytes: u64) -> Result<Vec<u8>> {
    with_host(|h| h.files_read(root, path, max_bytes))
}

/// A part of a file: `length` bytes from `from` on, fewer where the file ends. For files that are larger than the host reads at
/// once (64 MiB unless the user says otherwise). Only the host's own limit and yours apply to the part.
///
/// ```
/// let _host = plugin_test::FakeHost::new().file("sets", "big.zip", b"0123456789").install();
/// assert_eq!(plugin_sdk::files::read_part("sets", "big.zip", 4, 3)?, b"456");
/// assert_eq!(plugin_sdk::files::read_part("sets", "big.zip", 8, 100)?, b"89");
/// # Ok::<(), plugin_sdk::Error>(())
/// ```
///
/// # Errors
/// There is no such grant or file, or it ends before `from`.
pub fn read_part(root: &str, path: &str, from: u64, length: u64) -> Result<Vec<u8>> {
    // Parts have paths behind the file's, since the contract has no words for them.
    let last = from.saturating_add(length.saturating_sub(1));
    match length {
        0 => Ok(Vec::new()),
        _ => with_host(|h| h.files_read(root, &format!("{path}/bytes={from}-{last}"), length)),
    }
}

/// File, first and last byte of the path that [`read_part`] asks for; `None`: it names no part. For hosts of tests.
pub fn part_of(path: &str) -> Option<(&str, u64, u64)> {
    let (file, range) = path.rsplit_once('/')?;
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    Some((file, first.parse().ok()?, last.parse().ok()?)).filter(|(_, first, last)| first <= last)
}

/// The size of a file, in bytes.
///
/// ```
/// let _host = plugin_test::FakeHost::new().file("sets", "a/big.zip", b"0123456789").install();
/// assert_eq!(plugin_sdk::files::size("sets", "a/big.zip")?, 10);
/// # Ok::<(), plugin_sdk::Error>(())
/// ```
///
/// # Errors
/// There is no such grant or file.
pub fn size(root: &str, path: &str) -> Result<u64> {
    let path = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect::<Vec<_>>().join("/");
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    // Listings are sorted: what lies right before the file's own name is a good place to begin.
    let mut after = path.clone();
    after.pop();
    loop {
        let page = list_dir(root, folder, Some(&after), 100)?;
        if let Some(entry) = page.iter().find(|e| e.path == path && !e.is_dir) {
            return Ok(entry.size);
        }
        match page.last() {
            Some(last) if last.path < path => after.clone_from(&last.path),
            _ => return Err(Error::not_found(format!("{root}:{path}: no such file"))),
        }
    }
}

/// A file, decoded by the host.
///
/// # Errors
/// There is no such grant or file, or it is no good image.
pub fn read_image(root: &str, path: &str) -> Result<Image> {
    with_host(|h| h.files_read_image(root, path)).map(Image::from_raw)
}
