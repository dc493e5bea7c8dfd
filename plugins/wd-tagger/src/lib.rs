//! A captioner: tags pictures with WD taggers and their kin (model, and `selected_tags.csv` or `tag_mapping.json`) that
//! the host runs. And a tag filter that chooses again from the scores that it left, without a picture.
//!
//! Decides thresholds, spelling and order. How a picture becomes numbers is in `booru::wd`; weights, threads and
//! devices are the host's. Start at [`Settings`]; the choice is in `choice.rs`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod choice;
mod filter;
mod said;

pub use filter::TagChoice;

use booru::scores::Scores;
use booru::wd::{Resize, Tagger};
use choice::Choice;
use plugin_sdk::{Annotation, CaptionRequest, Captioner, Error, Image, Info, Inputs, Result, export, info};
use said::Said;

/// Tags pictures with a WD tagger, highest score first, and keeps all its scores from 0.05 on.
#[derive(Inputs)]
pub struct Settings {
    /// The tagger's name below `models/taggers`; `auto` takes the only one.
    #[input(default = "auto", host_list = "models/taggers")]
    model: String,
    #[input(flatten)]
    choice: choice::Settings,
    /// What taggers before this one left with the pictures: choose of their scores too, as `combine` says, or of this
    /// tagger's alone.
    #[input(default = "ignore", options = ["ignore", "use"])]
    earlier: String,
    /// How pictures are brought to the model's size: `bicubic` as in the models' own demo, `area` as in sd-scripts (where
    /// they shrink).
    #[input(default = "bicubic", options = ["bicubic", "area"])]
    resize: String,
    /// Keep the scores with each picture, for `anagama.tag-choice` and other thresholds.
    #[input(default = true)]
    keep_scores: bool,
    /// Pictures that are given to the model at once.
    #[input(default = 4, range = 1..=64)]
    batch_size: u32,
}

/// The captioner.
pub struct WdTagger {
    tagger: Tagger,
    choice: Choice,
    earlier: bool,
    keep_scores: bool,
    batch_size: u32,
}

impl Captioner for WdTagger {
    type Settings = Settings;
    const INFO: Info = Info { category: "dataset/captions", ..info!("anagama.wd-tagger", "WD tagger") };

    fn open(s: Settings) -> Result<Self> {
        let resize = if s.resize == "area" { Resize::Area } else { Resize::Bicubic };
        Ok(Self {
            tagger: Tagger::load(&s.model)?.resized(resize),
            choice: Choice::new(s.choice)?,
            earlier: s.earlier == "use",
            keep_scores: s.keep_scores,
            batch_size: s.batch_size,
        })
    }

    fn max_batch(&self) -> u32 {
        self.batch_size
    }

    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
        let mut scores: Vec<Option<Result<Scores>>> = batch.iter().map(|r| self.known(r).map(Ok)).collect();
        let asked: Vec<usize> = (0..batch.len()).filter(|i| scores[*i].is_none()).collect();
        let images: Vec<&Image> = asked.iter().map(|i| &batch[*i].image).collect();
        for (i, answer) in asked.into_iter().zip(self.judge(&images)) {
            scores[i] = Some(answer);
        }
        let answer = |(request, scores): (&CaptionRequest, Option<Result<Scores>>)| {
            let scores = scores.unwrap_or_else(|| Err(Error::internal("the model gave no answer for this picture")));
            self.annotation(request, scores?)
        };
        Ok(batch.iter().zip(scores).map(answer).collect())
    }
}

impl WdTagger {
    /// What this tagger said of the picture before, if that is known and enough for the choice.
    fn known(&self, request: &CaptionRequest) -> Option<Scores> {
        let known = said::all_known(&request.known);
        let mut own = known.into_iter().filter_map(|mut said| said.remove(self.tagger.name()));
        own.find(|scores| self.tagger.gave(scores, &request.image, self.choice.least()))
    }

    fn judge(&self, images: &[&Image]) -> Vec<Result<Scores>> {
        match self.tagger.judge(images, self.choice.least()) {
            Ok(scores) => scores.into_iter().map(Ok).collect(),
            // One bad picture must not take the others with it.
            Err(_) if images.len() > 1 => images.iter().flat_map(|image| self.judge(&[image])).collect(),
            Err(e) => vec![Err(e)],
        }
    }

    fn annotation(&self, request: &CaptionRequest, scores: Scores) -> Result<Annotation> {
        let mut earlier = if self.earlier { said::said(&request.known) } else { Said::new() };
        earlier.remove(self.tagger.name());
        // Scores of the picture before it was changed say nothing about this one.
        earlier.retain(|_, other| other.picture == scores.picture);
        if let Some((name, other)) = earlier.iter().find(|(_, other)| other.least > self.choice.least()) {
            let (left, needed) = (other.least, self.choice.least());
            return Err(Error::invalid_input(format!(
                "`{name}` left scores from {left} on, these thresholds need {needed}"
            )));
        }
        let all: Vec<&Scores> = std::iter::once(&scores).chain(earlier.values()).collect();
        let tags = self.choice.tags(&all);
        let new = self.keep_scores.then(|| (self.tagger.name().to_owned(), scores));
        Ok(Annotation { tags, extra: said::with(&request.known, &new.into_iter().collect()), ..Annotation::default() })
    }
}

export!(WdTagger: Captioner, TagChoice: TagFilter);

#[cfg(test)]
mod tests;
