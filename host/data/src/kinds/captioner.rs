//! Describes images.

use crate::Image;
use spec::{Annotation, PluginError};

/// One image to describe.
#[derive(Clone, Debug)]
pub struct CaptionRequest {
    pub image: Image,
    /// What is already known, from the source or an earlier captioner.
    pub known: Annotation,
}

/// A configured captioner.
pub trait Captioner: Send {
    /// The largest batch that it profits from; 1 means none.
    fn max_batch(&self) -> usize;

    /// One answer per request, in order: a bad image fails alone.
    ///
    /// # Errors
    /// The whole batch failed.
    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation, PluginError>>, PluginError>;
}
