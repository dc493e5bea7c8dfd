//! What taggers said of a picture, in its annotation's `extra`: `{"scores": {"taggers/…": {…}}}`.
//!
//! A host may hand back under `remembered` what it saw there in an earlier run; that is read and never written.

use booru::scores::Scores;
use plugin_sdk::Annotation;
use plugin_sdk::serde_json::{self, Map, Value};
use std::collections::BTreeMap;

const SCORES: &str = "scores";
const REMEMBERED: &str = "remembered";

/// By the model's name.
pub(crate) type Said = BTreeMap<String, Scores>;

fn extra(annotation: &Annotation) -> Map<String, Value> {
    annotation.extra.as_deref().and_then(|e| serde_json::from_str(e).ok()).unwrap_or_default()
}

/// What is written with the picture.
pub(crate) fn said(annotation: &Annotation) -> Said {
    scores(extra(annotation).remove(SCORES))
}

/// The same, and what the host remembers.
pub(crate) fn all_known(annotation: &Annotation) -> Vec<Said> {
    let mut extra = extra(annotation);
    let remembered = extra.remove(REMEMBERED).and_then(|mut r| r.get_mut(SCORES).map(Value::take));
    vec![scores(extra.remove(SCORES)), scores(remembered)]
}

/// Entries that cannot be read are as none: the model runs.
fn scores(from: Option<Value>) -> Said {
    let Some(Value::Object(entries)) = from else { return Said::new() };
    let read = |(name, value)| Some((name, serde_json::from_value(value).ok()?));
    entries.into_iter().filter_map(read).collect()
}

/// `extra` of a picture with these scores beside what was there; none if there is nothing to say.
pub(crate) fn with(known: &Annotation, new: &Said) -> Option<String> {
    let mut extra = extra(known);
    extra.shift_remove(REMEMBERED);
    if !new.is_empty() {
        let scores = extra.entry(SCORES).or_insert_with(|| Value::Object(Map::new()));
        if !scores.is_object() {
            *scores = Value::Object(Map::new());
        }
        for (name, entry) in new {
            scores[name.as_str()] = serde_json::to_value(entry).unwrap_or_default();
        }
    }
    (!extra.is_empty()).then(|| Value::Object(extra).to_string())
}
