//! Folders that the user granted, by the name of the grant; read only.

use crate::host::with_host;
use crate::{Image, Result};
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

/// A file, decoded by the host.
///
/// # Errors
/// There is no such grant or file, or it is no good image.
pub fn read_image(root: &str, path: &str) -> Result<Image> {
    with_host(|h| h.files_read_image(root, path)).map(Image::from_raw)
}
