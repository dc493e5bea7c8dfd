//! Takes out of captions what describes no picture: lead-ins ("This image shows"), mood tails ("creating a sense of
//! calm") and hedges ("appears to be"). Words within quotation marks are never touched, nor are tags.
//!
//! A caption that would lose more than `max_cut` of itself is not changed: then the rules are wrong about it. Start at
//! [`Settings`]; phrases are in `rules.rs`, their order in `clean.rs`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod clean;
mod rules;
mod sentences;

use clean::{Cleaned, Cleaner};
use plugin_sdk::control::{self, Level};
use plugin_sdk::{Error, FilterRequest, Info, Inputs, Result, TagFilter, Verdict, export, info};
use serde_json::{Map, Value, json};

/// Cleans captions in sentences of what captioning models say beside the picture.
#[derive(Inputs, Clone)]
pub struct Settings {
    /// Take out beginnings such as "This image shows" and "In this picture, we can see".
    #[input(default = true)]
    lead_ins: bool,
    /// Take out sentences and clauses about mood, such as "The scene exudes calm" and "creating a sense of depth".
    #[input(default = true)]
    mood_tails: bool,
    /// Turn guesses into statements: "appears to be" becomes "is"; asides such as ", possibly a soldier," go.
    #[input(default = true)]
    hedges: bool,
    /// Further beginnings to take out, one a line, without regard to case.
    #[input(default = "", multiline)]
    more_lead_ins: String,
    /// Further phrases, one a line: a sentence that holds one is taken out.
    #[input(default = "", multiline)]
    more_tails: String,
    /// Sentences that hold one of these phrases, one a line, stay as they are.
    #[input(default = "", multiline)]
    keep: String,
    /// The largest share of a caption that may be cut.
    #[input(default = 0.6, range = 0.0..=0.95, step = 0.05)]
    max_cut: f64,
    /// What to do with a caption that would lose more: keep it as it was and warn, leave its picture out, or stop.
    #[input(default = "keep", options = ["keep", "drop", "error"])]
    too_much: String,
    /// Changed captions that are shown in the log, before and after.
    #[input(default = 10, range = 0..=1000)]
    show: u32,
}

/// The filter.
pub struct CaptionClean {
    cleaner: Cleaner,
    settings: Settings,
    shown: u32,
}

impl TagFilter for CaptionClean {
    type Settings = Settings;
    const INFO: Info = Info {
        category: "dataset/captions",
        aliases: &["boilerplate", "caption cleanup"],
        ..info!("anagama.caption-clean", "Clean captions")
    };

    fn open(settings: Settings) -> Result<Self> {
        let cleaner = Cleaner::new(&settings).map_err(Error::internal)?;
        Ok(Self { cleaner, settings, shown: 0 })
    }

    fn apply(&mut self, batch: Vec<FilterRequest>) -> Result<Vec<Verdict>> {
        batch.into_iter().map(|request| self.one(request)).collect()
    }
}

impl CaptionClean {
    fn one(&mut self, request: FilterRequest) -> Result<Verdict> {
        let FilterRequest { id, mut annotation, .. } = request;
        let Some(text) = annotation.text.as_deref().filter(|t| !t.trim().is_empty()) else {
            return Ok(Verdict::Keep(annotation));
        };
        let Cleaned { text: new, cut } = self.cleaner.clean(text);
        if cut.is_empty() {
            return Ok(Verdict::Keep(annotation));
        }
        let length = |t: &str| t.chars().filter(|c| !c.is_whitespace()).count() as f64;
        let share = 1.0 - length(&new) / length(text).max(1.0);
        if share > self.settings.max_cut {
            let why = format!(
                "{:.0} % of the caption would be cut, more than {:.0} %: {}",
                share * 100.0,
                self.settings.max_cut * 100.0,
                cut.iter().map(|c| format!("\"{c}\"")).collect::<Vec<_>>().join(", ")
            );
            return match self.settings.too_much.as_str() {
                "drop" => Ok(Verdict::Drop(why)),
                "error" => Err(Error::invalid_input(format!("image `{id}`: {why}"))),
                _ => {
                    control::log(Level::Warn, &format!("{id}: left as it was; {why}"));
                    Ok(Verdict::Keep(annotation))
                }
            };
        }
        if self.shown < self.settings.show {
            self.shown += 1;
            control::log(Level::Info, &format!("{id}: \"{text}\" became \"{new}\""));
        }
        let extra = annotation.extra.as_deref().and_then(|e| serde_json::from_str::<Map<String, Value>>(e).ok());
        let mut extra = extra.unwrap_or_default();
        extra.insert("caption_clean".to_owned(), json!({"cut": cut}));
        annotation.extra = Some(Value::Object(extra).to_string());
        annotation.text = Some(new);
        Ok(Verdict::Keep(annotation))
    }
}

export!(CaptionClean: TagFilter);

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;
