//! Rewrites annotations.

use spec::{Annotation, PluginError};

/// One annotation to rewrite.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterRequest {
    pub id: String,
    /// The folder or group that the image belongs to; empty for none.
    pub subset: String,
    pub annotation: Annotation,
}

/// What becomes of an image.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Keep(Annotation),
    /// Leave the image out, for this reason.
    Drop(String),
}

/// A configured tag filter.
pub trait TagFilter: Send {
    /// 1, or 2 if it wants to see the whole data set before it decides.
    fn passes(&self) -> u32;

    /// Shows a part of the data set, when two passes were asked for.
    ///
    /// # Errors
    /// The plugin failed.
    fn observe(&mut self, batch: &[FilterRequest]) -> Result<(), PluginError>;

    /// One verdict per request, in order.
    ///
    /// # Errors
    /// The plugin failed.
    fn apply(&mut self, batch: &[FilterRequest]) -> Result<Vec<Verdict>, PluginError>;
}
