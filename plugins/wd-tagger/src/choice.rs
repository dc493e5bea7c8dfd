//! Which tags to choose of what taggers said, and how to write them. The same for the tagger and for [`crate::TagChoice`].

use booru::labels::Category;
use booru::names::{key, list, matches, spaced};
use booru::scores::{Combine, Scores, Thresholds, combine};
use plugin_sdk::{Error, Inputs, Result, Tag};

/// Thresholds, spelling and order.
#[derive(Inputs)]
pub(crate) struct Settings {
    /// Least score of a general tag. 0.25 to 0.5 are usual; lower finds more and errs more.
    #[input(default = 0.35, range = 0.0..=1.0, step = 0.01)]
    general_threshold: f32,
    /// Least score of a character's name.
    #[input(default = 0.85, range = 0.0..=1.0, step = 0.01)]
    character_threshold: f32,
    /// Least scores of further categories, such as `copyright = 0.5, meta = off`; those not named are as general tags.
    #[input(default = "")]
    thresholds: String,
    /// Find the threshold of each category for each picture, at the largest gap between its scores (MCut).
    #[input(default = false)]
    mcut: bool,
    /// Add the most likely rating as a tag of the category `rating`, at the end.
    #[input(default = false)]
    rating: bool,
    /// Add the most likely quality, of taggers that judge it, at the end.
    #[input(default = false)]
    quality: bool,
    /// Of several taggers: tags that any of them found, or those that all did.
    #[input(default = "union", options = ["union", "intersection"])]
    combine: String,
    /// Tags to leave out, separated by commas; `*` stands for any text.
    #[input(default = "", multiline)]
    exclude: String,
    /// How words within a tag are separated. Kaomoji such as `^_^` stay as they are.
    #[input(default = "spaces", options = ["spaces", "underscores"])]
    underscores: String,
    /// Keep at most this many tags. 0: all.
    #[input(default = 0, range = 0..=1000)]
    max_tags: u32,
}

/// The settings, read.
pub(crate) struct Choice {
    thresholds: Thresholds,
    exclude: Vec<String>,
    combine: Combine,
    settings: Settings,
}

impl Choice {
    pub(crate) fn new(settings: Settings) -> Result<Self> {
        let others =
            Thresholds::others(&settings.thresholds).map_err(|e| Error::invalid_input(format!("`thresholds`: {e}")))?;
        let (general, character) = (settings.general_threshold, settings.character_threshold);
        Ok(Self {
            thresholds: Thresholds { general, character, others, mcut: settings.mcut },
            exclude: list(&settings.exclude).map(key).collect(),
            combine: if settings.combine == "intersection" { Combine::Intersection } else { Combine::Union },
            settings,
        })
    }

    /// From which score on taggers' answers must be kept.
    pub(crate) fn least(&self) -> f32 {
        self.thresholds.least()
    }

    /// The tags of one picture.
    pub(crate) fn tags(&self, said: &[&Scores]) -> Vec<Tag> {
        let s = &self.settings;
        let choices: Vec<Vec<Tag>> = said.iter().map(|scores| scores.choose(&self.thresholds)).collect();
        let mut tags = combine(&choices, self.combine);
        tags.retain(|tag| self.exclude.iter().all(|pattern| !matches(pattern, &key(&tag.name))));
        if s.max_tags > 0 {
            tags.truncate(s.max_tags as usize);
        }
        for (_, category) in [(s.rating, Category::Rating), (s.quality, Category::Quality)].iter().filter(|row| row.0) {
            let found = said.iter().filter_map(|scores| scores.best(*category));
            tags.extend(found.reduce(|best, tag| if tag.score > best.score { tag } else { best }));
        }
        for tag in &mut tags {
            *tag = Tag { name: self.spell(&tag.name), ..std::mem::take(tag) };
        }
        tags
    }

    fn spell(&self, name: &str) -> String {
        if self.settings.underscores == "spaces" { spaced(name) } else { name.to_owned() }
    }
}
