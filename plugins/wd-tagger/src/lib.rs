//! A captioner: tags pictures with any WD tagger (ONNX file and `selected_tags.csv`) that the host runs.
//!
//! Decides thresholds, spelling and order. How a picture becomes numbers is in `booru::wd`; weights, threads and
//! devices are the host's. Start at [`Settings`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

use booru::labels::{self, Thresholds};
use booru::names::{key, list, matches, spaced};
use booru::wd::Tagger;
use plugin_sdk::{Annotation, CaptionRequest, Captioner, Image, Info, Inputs, Result, Tag, export, info};

/// Tags pictures with a WD tagger, highest score first.
#[derive(Inputs)]
pub struct Settings {
    /// The tagger's name below `models/taggers`; `auto` takes the only one.
    #[input(default = "auto", host_list = "models/taggers")]
    model: String,
    /// Least score of a general tag. 0.25 to 0.5 are usual; lower finds more and errs more.
    #[input(default = 0.35, range = 0.0..=1.0, step = 0.01)]
    general_threshold: f32,
    /// Least score of a character's name.
    #[input(default = 0.85, range = 0.0..=1.0, step = 0.01)]
    character_threshold: f32,
    /// Find both thresholds for each picture, at the largest gap between its scores (MCut).
    #[input(default = false)]
    mcut: bool,
    /// Add the most likely rating as a tag of the category `rating`, at the end.
    #[input(default = false)]
    rating: bool,
    /// Tags to leave out, separated by commas; `*` stands for any text.
    #[input(default = "", multiline)]
    exclude: String,
    /// How words within a tag are separated. Kaomoji such as `^_^` stay as they are.
    #[input(default = "spaces", options = ["spaces", "underscores"])]
    underscores: String,
    /// Keep at most this many tags. 0: all.
    #[input(default = 0, range = 0..=1000)]
    max_tags: u32,
    /// Pictures that are given to the model at once.
    #[input(default = 4, range = 1..=64)]
    batch_size: u32,
}

/// The captioner.
pub struct WdTagger {
    tagger: Tagger,
    exclude: Vec<String>,
    settings: Settings,
}

impl Captioner for WdTagger {
    type Settings = Settings;
    const INFO: Info = Info { category: "dataset/captions", ..info!("anagama.wd-tagger", "WD tagger") };

    fn open(settings: Settings) -> Result<Self> {
        let exclude = list(&settings.exclude).map(key).collect();
        Ok(Self { tagger: Tagger::load(&settings.model)?, exclude, settings })
    }

    fn max_batch(&self) -> u32 {
        self.settings.batch_size
    }

    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
        let images: Vec<_> = batch.iter().map(|request| &request.image).collect();
        let scores = match self.tagger.scores(&images) {
            Ok(scores) => scores.into_iter().map(Ok).collect(),
            // One bad picture must not take the others with it.
            Err(_) if images.len() > 1 => images.iter().map(|image| self.one(image)).collect(),
            Err(e) => vec![Err(e)],
        };
        Ok(scores.into_iter().map(|scores| scores.map(|s| self.annotation(&s))).collect())
    }
}

impl WdTagger {
    fn one(&self, image: &Image) -> Result<Vec<f32>> {
        Ok(self.tagger.scores(&[image])?.into_iter().next().unwrap_or_default())
    }

    fn annotation(&self, scores: &[f32]) -> Annotation {
        let s = &self.settings;
        let thresholds = Thresholds { general: s.general_threshold, character: s.character_threshold, mcut: s.mcut };
        let mut tags = labels::select(self.tagger.labels(), scores, thresholds);
        tags.retain(|tag| self.exclude.iter().all(|pattern| !matches(pattern, &key(&tag.name))));
        if s.max_tags > 0 {
            tags.truncate(s.max_tags as usize);
        }
        if s.rating {
            tags.extend(labels::rating(self.tagger.labels(), scores));
        }
        for tag in &mut tags {
            *tag = Tag { name: self.spell(&tag.name), ..std::mem::take(tag) };
        }
        Annotation { tags, ..Annotation::default() }
    }

    fn spell(&self, name: &str) -> String {
        if self.settings.underscores == "spaces" { spaced(name) } else { name.to_owned() }
    }
}

export!(WdTagger: Captioner);

#[cfg(test)]
mod tests;
