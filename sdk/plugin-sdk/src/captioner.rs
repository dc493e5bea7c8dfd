//! Images in, captions and tags out.

use crate::{Annotation, Image, Info, Inputs, Result};

/// One image to caption.
#[derive(Debug)]
pub struct CaptionRequest {
    pub image: Image,
    /// What is already known: tags from the source, an earlier captioner's text …
    pub known: Annotation,
}

/// A plugin that captions images. One object serves one configured node, one call at a time.
///
/// The crate's top has a whole example.
pub trait Captioner: Sized + Send + 'static {
    /// What the user can set.
    type Settings: Inputs;
    /// Usually [`info!`](crate::info).
    const INFO: Info;

    /// Called once, before the first batch. Load models here.
    ///
    /// # Errors
    /// The settings do not fit each other, or something that they name is missing.
    fn open(settings: Self::Settings) -> Result<Self>;

    /// The largest batch that it profits from; 1: no batching.
    fn max_batch(&self) -> u32 {
        1
    }

    /// One answer per request, in order; a bad image fails alone.
    ///
    /// What it leaves in `extra` under `scores`, an entry for each model, comes back under `remembered` in what is known of
    /// the same file when it is asked again, with other settings perhaps. A captioner that lets its models run only for what
    /// is not there should keep digests of weights and picture in the entries.
    ///
    /// # Errors
    /// The whole batch failed.
    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>>;
}
