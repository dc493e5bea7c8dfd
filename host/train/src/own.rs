//! Settings that hold for single images, because their subset has settings of its own.

use crate::Config;
use crate::config::{CaptionOptions, ImageOptions};
use anyhow::{Context, Result, ensure};
use data::Dataset;
use serde_json::{Map, Value};

/// Keys that hold for a whole run: batches mix images of all subsets.
const WHOLE_RUN: [&str; 3] = ["clip_skip", "max_token_length", "prior_loss_weight"];

/// The configuration of each image.
pub(crate) struct Own {
    /// Without the changes, then one for each set of changes.
    configs: Vec<Config>,
    /// For each image, which.
    of: Vec<usize>,
}

impl Own {
    /// # Errors
    /// A subset sets what cannot be set for a subset, or to a value that cannot be.
    pub(crate) fn new(config: &Config, dataset: &Dataset) -> Result<Self> {
        let keys = keys()?;
        let mut sets: Vec<&Map<String, Value>> = Vec::new();
        let mut own = Self { configs: vec![config.clone()], of: Vec::with_capacity(dataset.items.len()) };
        for item in &dataset.items {
            if item.settings.is_empty() {
                own.of.push(0);
                continue;
            }
            if let Some(at) = sets.iter().position(|s| **s == item.settings) {
                own.of.push(at + 1);
                continue;
            }
            let wrong = || format!("settings of subset `{}`, image {}", item.subset, item.id);
            let unknown: Vec<&str> =
                item.settings.keys().map(String::as_str).filter(|k| !keys.contains_key(*k)).collect();
            let known = || keys.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            ensure!(
                unknown.is_empty(),
                "{}: a subset cannot set `{}`; it can set {}",
                wrong(),
                unknown.join("`, `"),
                known()
            );
            let mut changes = item.settings.clone();
            // A subset's resolution replaces all resolutions of the run, in whichever form they are given.
            let (one, all) = ("resolution", "resolutions");
            if changes.contains_key(one) {
                changes.entry(all).or_insert_with(|| Value::Array(vec![]));
            } else if changes.contains_key(all) {
                changes.insert(one.into(), Value::Null);
            }
            own.configs.push(config.with(Value::Object(changes)).with_context(wrong)?);
            sets.push(&item.settings);
            own.of.push(sets.len());
        }
        Ok(own)
    }

    /// The configuration of an image.
    pub(crate) fn of(&self, item: usize) -> &Config {
        &self.configs[self.of[item]]
    }

    /// Groups of images with one configuration: the configuration, and their indices.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&Config, Vec<usize>)> {
        let members = |n: usize| (0..self.of.len()).filter(|&i| self.of[i] == n).collect();
        self.configs.iter().enumerate().map(move |(n, config)| (config, members(n)))
    }

    /// Does any image have settings of its own?
    pub(crate) fn any(&self) -> bool {
        self.configs.len() > 1
    }
}

/// What a subset can set.
fn keys() -> Result<Map<String, Value>> {
    let mut keys = Map::new();
    for section in [serde_json::to_value(ImageOptions::default())?, serde_json::to_value(CaptionOptions::default())?] {
        if let Value::Object(section) = section {
            keys.extend(section);
        }
    }
    WHOLE_RUN.iter().for_each(|key| drop(keys.remove(*key)));
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::Item;
    use serde_json::json;

    fn set(settings: &[Value]) -> Dataset {
        let item = |v: &Value| Item { settings: v.as_object().unwrap().clone(), ..Item::default() };
        Dataset { items: settings.iter().map(item).collect(), notes: vec![] }
    }

    #[test]
    fn a_subset_changes_its_own_images() {
        let set = set(&[json!({}), json!({"flip": true, "keep_tokens": 2}), json!({"flip": true, "keep_tokens": 2})]);
        let own = Own::new(&Config::default(), &set).unwrap();
        assert!(!own.of(0).images.flip && own.of(1).images.flip && own.any());
        assert_eq!(own.of(2).captions.keep_tokens, Some(2));
        assert_eq!(own.groups().map(|(_, of)| of).collect::<Vec<_>>(), [vec![0], vec![1, 2]]);
    }

    #[test]
    fn what_holds_for_the_run_is_refused() {
        let run = Config::default().with(json!({"resolutions": [1024, 768]})).unwrap();
        let wrong = |v| Own::new(&run, &set(&[v])).err().map(|e| format!("{e:#}")).unwrap();
        assert!(wrong(json!({"rank": 4})).contains("cannot set `rank`; it can set "));
        assert!(wrong(json!({"clip_skip": 2})).contains("clip_skip"));
        assert!(wrong(json!({"caption_dropout": 7})).contains("caption_dropout"));
        let own = Own::new(&run, &set(&[json!({"resolution": 512})])).unwrap();
        assert_eq!(own.of(0).images.resolutions(0), [crate::config::Resolution::Square(512)]);
    }
}
