//! Says where images come from.

use crate::Image;
use spec::{Annotation, PluginError};

/// Where an item's picture is.
#[derive(Clone, Debug)]
pub enum Media {
    /// An address that the host fetches.
    Url(String),
    /// A file below a granted folder.
    File {
        /// Name of the grant.
        root: String,
        /// Path relative to it.
        path: String,
    },
    /// The bytes of an image file.
    Bytes(Vec<u8>),
    /// An image that is decoded already.
    Image(Image),
}

/// One image of a source.
#[derive(Clone, Debug)]
pub struct SourceItem {
    /// Stable within the source.
    pub id: String,
    pub media: Media,
    /// What the source knows. Its `extra` object may hold `repeats` (a number), `subset` (text),
    /// `natural_language` and `is_reg` (booleans).
    pub annotation: Annotation,
    /// Where it comes from: an address or a path.
    pub origin: Option<String>,
    pub license: Option<String>,
    /// Checksum that the source states, if any.
    pub digest: Option<String>,
}

/// One page of a listing.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub items: Vec<SourceItem>,
    /// Where to go on; none ends the listing.
    pub next: Option<String>,
    pub total: Option<u64>,
}

/// A configured source.
pub trait DatasetSource: Send {
    /// The page at `from`, or the first one.
    ///
    /// # Errors
    /// The plugin failed.
    fn next_page(&mut self, from: Option<String>, max_items: u32) -> Result<Page, PluginError>;
}
