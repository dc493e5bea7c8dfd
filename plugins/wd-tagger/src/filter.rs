//! Chooses tags again from the scores that taggers left with the pictures: another threshold without another run.

use crate::choice::{self, Choice};
use crate::said::{Said, said};
use booru::names::{key, list};
use plugin_sdk::{Annotation, Error, FilterRequest, Info, Inputs, Result, Tag, TagFilter, Verdict, info};
use std::collections::BTreeSet;

/// Chooses tags by the scores that `anagama.wd-tagger` left with each picture, with other thresholds, or of several taggers.
/// Tags from elsewhere stay in front.
#[derive(Inputs)]
pub struct Settings {
    /// Names of the taggers to choose from, separated by commas. Empty: all that left scores.
    #[input(default = "")]
    taggers: String,
    #[input(flatten)]
    choice: choice::Settings,
    /// What to do with a picture without scores of these taggers: stop, leave it out, or keep it as it is.
    #[input(default = "stop", options = ["stop", "drop", "keep"])]
    missing: String,
}

/// The filter.
pub struct TagChoice {
    taggers: Vec<String>,
    choice: Choice,
    missing: String,
}

impl TagFilter for TagChoice {
    type Settings = Settings;
    const INFO: Info = Info {
        category: "dataset/tags",
        aliases: &["thresholds", "combine taggers"],
        ..info!("anagama.tag-choice", "Choose tags by score")
    };

    fn open(s: Settings) -> Result<Self> {
        let taggers = list(&s.taggers).map(str::to_owned).collect();
        Ok(Self { taggers, choice: Choice::new(s.choice)?, missing: s.missing })
    }

    fn apply(&mut self, batch: Vec<FilterRequest>) -> Result<Vec<Verdict>> {
        batch.into_iter().map(|request| self.one(request)).collect()
    }
}

impl TagChoice {
    fn one(&self, request: FilterRequest) -> Result<Verdict> {
        let mut said = said(&request.annotation);
        let all: BTreeSet<String> = said.values().flat_map(|s| &s.tags).map(|row| key(&row.0)).collect();
        if !self.taggers.is_empty() {
            said.retain(|name, _| self.taggers.contains(name));
        }
        if let Some(why) = self.lack(&said) {
            return match self.missing.as_str() {
                "keep" => Ok(Verdict::Keep(request.annotation)),
                "drop" => Ok(Verdict::Drop(why)),
                _ => Err(Error::invalid_input(format!(
                    "image `{}`: {why}. Put `anagama.wd-tagger` in front, or set `missing` to `drop` or `keep`",
                    request.id
                ))),
            };
        }
        // Tags without a score are a person's or a board's.
        let others = |tag: &Tag| tag.score.is_none() || !all.contains(&key(&tag.name));
        let mut tags: Vec<Tag> = request.annotation.tags.into_iter().filter(others).collect();
        let there: BTreeSet<String> = tags.iter().map(|tag| key(&tag.name)).collect();
        let chosen = self.choice.tags(&said.values().collect::<Vec<_>>());
        tags.extend(chosen.into_iter().filter(|tag| !there.contains(&key(&tag.name))));
        Ok(Verdict::Keep(Annotation { tags, ..request.annotation }))
    }

    /// What the picture's scores lack for this choice.
    fn lack(&self, said: &Said) -> Option<String> {
        if said.is_empty() && self.taggers.is_empty() {
            return Some("no tagger left its scores".to_owned());
        }
        if let Some(name) = self.taggers.iter().find(|name| !said.contains_key(*name)) {
            return Some(format!("`{name}` left no scores"));
        }
        let high = said.iter().find(|(_, scores)| scores.least > self.choice.least())?;
        Some(format!(
            "`{}` left scores from {} on, the lowest threshold is {}",
            high.0,
            high.1.least,
            self.choice.least()
        ))
    }
}
