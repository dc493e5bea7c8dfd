//! Where images come from, page by page.

use crate::{Annotation, Image, Info, Inputs, Result};

/// Where the picture of an item is.
#[derive(Debug)]
pub enum Media {
    /// The host fetches it, if a grant allows.
    Url(String),
    /// A path below a granted folder; the bytes never pass through the plugin.
    File {
        /// Name of the grant.
        root: String,
        /// Relative, with `/`.
        path: String,
    },
    /// The bytes of an image file.
    Bytes(Vec<u8>),
    /// An image that the plugin made.
    Image(Image),
}

/// One picture with what is known of it.
#[derive(Debug)]
pub struct Item {
    /// Stable within this source: the same picture has the same id tomorrow.
    pub id: String,
    pub media: Media,
    /// `extra` may say `{"repeats": 3, "subset": "name"}`.
    pub annotation: Annotation,
    /// Where it was found, for people: a page's address or a path.
    pub origin: Option<String>,
    pub license: Option<String>,
    /// The checksum that the source states, if any.
    pub digest: Option<String>,
}

impl Item {
    /// An item with nothing known beyond id and media.
    pub fn new(id: impl Into<String>, media: Media) -> Self {
        Self { id: id.into(), media, annotation: Annotation::default(), origin: None, license: None, digest: None }
    }
}

/// A part of the items.
#[derive(Debug, Default)]
pub struct Page {
    pub items: Vec<Item>,
    /// Where to go on; `None` ends the stream.
    pub next: Option<String>,
    /// How many there are in all, if known.
    pub total: Option<u64>,
}

/// A plugin that finds images.
///
/// ```
/// use plugin_sdk::{DatasetSource, Info, Item, Media, Page, Result, info};
///
/// struct Two;
///
/// impl DatasetSource for Two {
///     type Settings = ();
///     const INFO: Info = info!("example.two", "Two pictures");
///
///     fn open((): ()) -> Result<Self> {
///         Ok(Self)
///     }
///
///     fn next_page(&mut self, from: Option<String>, _max_items: u32) -> Result<Page> {
///         let url = |n| Media::Url(format!("https://example.org/{n}.png"));
///         Ok(match from {
///             None => Page { items: vec![Item::new("1", url(1))], next: Some("2".into()), total: Some(2) },
///             Some(n) => Page { items: vec![Item::new(n, url(2))], next: None, total: Some(2) },
///         })
///     }
/// }
/// ```
pub trait DatasetSource: Sized + Send + 'static {
    /// What the user can set.
    type Settings: Inputs;
    /// Usually [`info!`](crate::info).
    const INFO: Info;

    /// Called once, before the first page.
    ///
    /// # Errors
    /// The settings do not fit each other, or what they name is missing.
    fn open(settings: Self::Settings) -> Result<Self>;

    /// `from` is a `next` of an earlier page, possibly of an earlier run; `None` starts over.
    ///
    /// # Errors
    /// The page cannot be had. The host may ask for it again.
    fn next_page(&mut self, from: Option<String>, max_items: u32) -> Result<Page>;
}
