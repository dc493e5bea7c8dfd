//! What a captioner's model said of a picture outlives the choice that was made of it.
//!
//! A captioner may leave `scores` in an annotation's `extra`, an entry for each model. The store keeps them by plugin and
//! file. When the captioner is asked about the file again, with other settings, it finds them under `remembered` and need
//! not run its model; whether they serve is its own decision. Answers never hold `remembered`.

use data::{Digest, Item, Store};
use serde_json::{Map, Value};
use spec::Annotation;

const KIND: &str = "scores";
const SCORES: &str = "scores";
const REMEMBERED: &str = "remembered";

/// The memory of one plugin.
#[derive(Clone, Copy)]
pub(super) struct Memory<'a> {
    pub(super) store: &'a Store,
    pub(super) plugin: &'a str,
}

impl Memory<'_> {
    /// What is known of a picture, for the captioner: with what it said before.
    pub(super) fn with(self, item: &Item) -> Annotation {
        let mut known = item.annotation.clone();
        let scores = self.read(item);
        if !scores.is_empty() {
            let mut extra = object(known.extra.as_deref());
            extra.insert(REMEMBERED.to_owned(), Value::Object(Map::from_iter([(SCORES.to_owned(), scores.into())])));
            known.extra = Some(Value::Object(extra).to_string());
        }
        known
    }

    /// Keeps what the answer says of models, and takes out what was only remembered. A memory that cannot be written costs
    /// time later and nothing else.
    pub(super) fn keep(self, item: &Item, answer: &mut Annotation) {
        let mut extra = object(answer.extra.as_deref());
        if extra.shift_remove(REMEMBERED).is_some() {
            answer.extra = (!extra.is_empty()).then(|| Value::Object(extra.clone()).to_string());
        }
        let Some(Value::Object(new)) = extra.shift_remove(SCORES) else { return };
        // What an earlier captioner left with the picture is not this one's.
        let given = object(item.annotation.extra.as_deref()).shift_remove(SCORES).unwrap_or_default();
        let mut all = self.read(item);
        let before = all.clone();
        all.extend(new.into_iter().filter(|(name, entry)| given.get(name) != Some(entry)));
        if all != before
            && let Err(e) = self.store.put_record(KIND, &self.key(item), Value::Object(all).to_string().as_bytes())
        {
            tracing::warn!("scores of {} are not remembered: {e}", item.id);
        }
    }

    /// A damaged record is removed by the store and counts as none.
    fn read(self, item: &Item) -> Map<String, Value> {
        if item.digest.is_empty() {
            return Map::new();
        }
        let bytes = self.store.get_record(KIND, &self.key(item)).ok().flatten();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    fn key(self, item: &Item) -> String {
        Digest::of(format!("{}\n{}", self.plugin, item.digest).as_bytes()).to_string()
    }
}

fn object(extra: Option<&str>) -> Map<String, Value> {
    extra.and_then(|e| serde_json::from_str(e).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn annotation(extra: Value) -> Annotation {
        Annotation { extra: Some(extra.to_string()), ..Annotation::default() }
    }

    fn extra(annotation: &Annotation) -> Value {
        object(annotation.extra.as_deref()).into()
    }

    #[test]
    fn a_captioner_is_told_what_it_said_and_no_other_is() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let memory = |plugin| Memory { store: &store, plugin };
        let item = |digest: &str| Item {
            digest: digest.into(),
            annotation: annotation(json!({"credits": "x", "scores": {"first": 1}})),
            ..Item::default()
        };
        let one = item("sha256:1");
        assert_eq!(memory("a").with(&one), one.annotation, "nothing was said yet");

        let mut answer = annotation(json!({"credits": "x", "scores": {"first": 1, "m": {"tags": [1]}}}));
        let whole = answer.clone();
        memory("a").keep(&one, &mut answer);
        assert_eq!(answer, whole, "the answer stays as it is");
        let told = extra(&memory("a").with(&one));
        assert_eq!(told["remembered"], json!({"scores": {"m": {"tags": [1]}}}), "its own, not the earlier tagger's");
        assert_eq!((&told["credits"], &told["scores"]), (&json!("x"), &json!({"first": 1})));
        assert_eq!(memory("b").with(&one), one.annotation);
        assert_eq!(memory("a").with(&item("sha256:2")), one.annotation);

        // One that hands everything back.
        let mut echo = memory("a").with(&one);
        memory("a").keep(&one, &mut echo);
        assert_eq!(echo, one.annotation);
        let mut bare = annotation(json!({"remembered": {}}));
        memory("a").keep(&one, &mut bare);
        assert_eq!(bare.extra, None);
    }
}
