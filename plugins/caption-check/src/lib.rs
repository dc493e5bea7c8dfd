//! Looks for captions that are likely wrong: repetitions, cut endings, too many tokens, and what contradicts the picture
//! or its tags. It changes no caption; it notes what it found and how suspicious that is, for a review.
//!
//! Start at [`Settings`]; words are looked at in `words.rs`, pictures in `picture.rs`, tags in `people.rs`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod people;
mod picture;
mod words;

use picture::Looks;
use plugin_sdk::{
    Annotation, CaptionRequest, Captioner, Filter, Fit, Image, Info, Inputs, PixelFormat, ResizeSpec, Result, export,
    info,
};
use serde_json::{Map, Value, json};

/// Marks captions that are likely wrong, without changing them: repetitions, cut endings, length, and contradictions with
/// the picture and its tags. `ReviewCaptions` orders a data set by it.
#[derive(Inputs, Clone)]
pub struct Settings {
    /// Compare what a caption says of colours and brightness with the picture.
    #[input(default = true)]
    picture: bool,
    /// Compare how many people a caption speaks of with the tags.
    #[input(default = true)]
    tags: bool,
    /// A caption longer than about this many tokens is suspicious: 75, 150 or 225 for CLIP, 512 for T5. 0: no limit.
    #[input(default = 225, range = 0..=10_000)]
    max_tokens: u32,
    /// A caption of fewer words is suspicious, unless it is a list of tags.
    #[input(default = 4, range = 0..=1000)]
    min_words: u32,
}

/// Something that is likely wrong.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Doubt {
    /// How likely, 0 to 1.
    pub(crate) weight: f64,
    pub(crate) text: String,
}

impl Doubt {
    pub(crate) fn new(weight: f64, text: impl Into<String>) -> Self {
        Self { weight, text: text.into() }
    }
}

/// The captioner.
pub struct CaptionCheck {
    settings: Settings,
    looks: Looks,
}

/// Side of the copy that is looked at, in pixels.
const SIDE: u32 = 128;

impl Captioner for CaptionCheck {
    type Settings = Settings;
    const INFO: Info = Info {
        category: "dataset/captions",
        aliases: &["hallucination", "caption review"],
        ..info!("anagama.caption-check", "Check captions")
    };

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self { settings, looks: Looks::new() })
    }

    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
        Ok(batch.into_iter().map(|request| self.check(request)).collect())
    }
}

impl CaptionCheck {
    fn check(&self, request: CaptionRequest) -> Result<Annotation> {
        let CaptionRequest { image, mut known } = request;
        let extra = known.extra.as_deref().and_then(|e| serde_json::from_str::<Map<String, Value>>(e).ok());
        let mut extra = extra.unwrap_or_default();
        let text = known.text.clone().unwrap_or_default();
        let (mut doubts, tokens) = words::doubts(&text, &known.tags, &self.settings);
        if extra.get("captioner").is_some_and(|c| c["cut_off"] == true) {
            doubts.push(Doubt::new(0.4, "the captioner ran into its limit of tokens"));
        }
        if self.settings.tags {
            doubts.extend(people::doubts(&text, &known.tags));
        }
        if self.settings.picture && !(text.is_empty() && known.tags.is_empty()) {
            let names = known.tags.iter().map(|t| t.name.replace('_', " ")).collect::<Vec<_>>().join(", ");
            let (rgba, width, height) = small(&image)?;
            let seen = self.looks.at(&rgba, width, height);
            doubts.extend(self.looks.doubts(&seen, &text));
            // A list of tags is a text whose phrases stand alone.
            doubts.extend(self.looks.doubts(&seen, &names));
        }
        doubts.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let trust: f64 = doubts.iter().map(|d| 1.0 - d.weight).product();
        let suspicion = ((1.0 - trust) * 1000.0).round() / 1000.0;
        let problems: Vec<&str> = doubts.iter().map(|d| d.text.as_str()).collect();
        let found = json!({"suspicion": suspicion, "problems": problems, "tokens": tokens});
        extra.insert("caption_check".to_owned(), found);
        known.extra = Some(Value::Object(extra).to_string());
        Ok(known)
    }
}

/// R, G, B, A of a small copy, and its size.
fn small(image: &Image) -> Result<(Vec<u8>, usize, usize)> {
    let spec = ResizeSpec { width: SIDE, height: SIDE, fit: Fit::Contain, filter: Filter::Area, pad_color: 0 };
    let copy = (image.width().max(image.height()) > SIDE).then(|| image.resize(&spec)).transpose()?;
    let copy = copy.as_ref().unwrap_or(image);
    Ok((copy.read(PixelFormat::Rgba8)?, copy.width() as usize, copy.height() as usize))
}

export!(CaptionCheck: Captioner);

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;
