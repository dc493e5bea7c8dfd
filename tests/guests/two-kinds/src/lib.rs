//! One artefact that serves two kinds: a captioner that states the size, and a tag filter that drops wide pictures.

use plugin_sdk::{
    Annotation, CaptionRequest, Captioner, FilterRequest, Info, Inputs, Result, Tag, TagFilter, Verdict, export, info,
};

/// States the size as tags.
pub struct Sizes;

impl Captioner for Sizes {
    type Settings = ();
    const INFO: Info = info!("test.two-kinds", "Two kinds");

    fn open((): ()) -> Result<Self> {
        Ok(Self)
    }

    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
        let one = |request: CaptionRequest| {
            let shape = if request.image.width() > request.image.height() { "wide" } else { "tall" };
            let tag = |name: String| Tag { name, ..Tag::default() };
            let tags = vec![tag(shape.into()), tag(format!("{}px", request.image.width()))];
            Ok(Annotation { tags, ..Annotation::default() })
        };
        Ok(batch.into_iter().map(one).collect())
    }
}

/// Drops images with a tag.
#[derive(Inputs)]
pub struct Settings {
    /// The tag.
    #[input(default = "wide")]
    tag: String,
}

/// Drops images with a tag.
pub struct Without(Settings);

impl TagFilter for Without {
    type Settings = Settings;
    const INFO: Info = info!("test.two-kinds-filter", "Two kinds, filter");

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self(settings))
    }

    fn apply(&mut self, batch: Vec<FilterRequest>) -> Result<Vec<Verdict>> {
        let one = |request: FilterRequest| {
            if request.annotation.tags.iter().any(|t| t.name == self.0.tag) {
                Verdict::Drop(format!("has the tag {}", self.0.tag))
            } else {
                Verdict::Keep(request.annotation)
            }
        };
        Ok(batch.into_iter().map(one).collect())
    }
}

export!(Sizes: Captioner, Without: TagFilter);
