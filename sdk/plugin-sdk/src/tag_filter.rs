//! Rewrites annotations, or leaves images out.

use crate::{Annotation, Info, Inputs, Result};
use serde::{Deserialize, Serialize};

/// One annotation to look at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilterRequest {
    /// Id of the image, for messages.
    pub id: String,
    /// The folder or group the image belongs to; empty if there is none.
    pub subset: String,
    pub annotation: Annotation,
}

/// What becomes of an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Go on with this annotation.
    Keep(Annotation),
    /// Leave the image out, for this reason.
    Drop(String),
}

/// A plugin that filters and rewrites tags.
///
/// ```
/// use plugin_sdk::{FilterRequest, Info, Result, TagFilter, Verdict, info};
///
/// /// Makes all tags lower case.
/// struct LowerCase;
///
/// impl TagFilter for LowerCase {
///     type Settings = ();
///     const INFO: Info = info!("example.lower-case", "Lower case");
///
///     fn open((): ()) -> Result<Self> {
///         Ok(Self)
///     }
///
///     fn apply(&mut self, batch: Vec<FilterRequest>) -> Result<Vec<Verdict>> {
///         let one = |mut request: FilterRequest| {
///             for tag in &mut request.annotation.tags {
///                 tag.name = tag.name.to_lowercase();
///             }
///             Verdict::Keep(request.annotation)
///         };
///         Ok(batch.into_iter().map(one).collect())
///     }
/// }
/// ```
pub trait TagFilter: Sized + Send + 'static {
    /// What the user can set.
    type Settings: Inputs;
    /// Usually [`info!`](crate::info).
    const INFO: Info;

    /// Called once, before the others.
    ///
    /// # Errors
    /// The settings do not fit each other.
    fn open(settings: Self::Settings) -> Result<Self>;

    /// 1: `apply` alone. More: the host shows the whole dataset to `observe` that often less one, then applies.
    fn passes(&self) -> u32 {
        1
    }

    /// Sees a batch before anything is applied, for rules that count over the dataset.
    ///
    /// # Errors
    /// The filter cannot go on.
    fn observe(&mut self, batch: &[FilterRequest]) -> Result<()> {
        let _ = batch;
        Ok(())
    }

    /// One verdict per request, in order.
    ///
    /// # Errors
    /// The filter cannot go on.
    fn apply(&mut self, batch: Vec<FilterRequest>) -> Result<Vec<Verdict>>;
}
