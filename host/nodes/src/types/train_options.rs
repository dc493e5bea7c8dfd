use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use spec::ObjectType;
use std::collections::BTreeMap;

/// Settings for the trainer that somebody has made, by their names in its configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainOptions(pub BTreeMap<String, Setting>);

/// One setting, and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    pub value: Json,
    /// For messages: `node 7 (TrainNetworkOptions)`.
    pub place: String,
    /// A preset's values give way to those that somebody has set by hand.
    pub preset: bool,
}

impl ObjectType for TrainOptions {
    const SOCKET: &'static str = "TRAIN_OPTIONS";
}

impl TrainOptions {
    /// Adds a setting that somebody has made by hand.
    ///
    /// # Errors
    /// It was made elsewhere with another value; the message names both places.
    pub fn set(&mut self, key: &str, value: Json, place: &str) -> Result<()> {
        self.add(key, Setting { value, place: place.to_owned(), preset: false })
    }

    /// Adds a setting of a preset.
    ///
    /// # Errors
    /// Another preset has another value.
    pub fn preset(&mut self, key: &str, value: Json, place: &str) -> Result<()> {
        self.add(key, Setting { value, place: place.to_owned(), preset: true })
    }

    /// Adds all settings of others.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn extend(&mut self, others: &Self) -> Result<()> {
        others.0.iter().try_for_each(|(key, setting)| self.add(key, setting.clone()))
    }

    fn add(&mut self, key: &str, new: Setting) -> Result<()> {
        if let Some(old) = self.0.get(key) {
            if old.preset == new.preset && !same(&old.value, &new.value) {
                let (a, b) = (&old.place, &new.place);
                bail!("`{key}` is {} in {a}, but {} in {b}: set it in one of them", old.value, new.value);
            }
            if new.preset {
                return Ok(());
            }
        }
        self.0.insert(key.to_owned(), new);
        Ok(())
    }

    /// Is this setting made?
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The values alone.
    pub fn values(&self) -> Map<String, Json> {
        self.0.iter().map(|(key, setting)| (key.clone(), setting.value.clone())).collect()
    }
}

/// Equal, where 1 and 1.0 are.
pub(crate) fn same(a: &Json, b: &Json) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn two_values_of_one_setting_name_both_places() {
        let mut options = TrainOptions::default();
        options.set("rank", json!(16), "node 1").unwrap();
        options.set("rank", json!(16.0), "node 2").unwrap();
        let error = options.set("rank", json!(8), "node 3").unwrap_err().to_string();
        assert!(["`rank`", "16", "8", "node 2", "node 3"].iter().all(|t| error.contains(t)), "{error}");
    }

    #[test]
    fn presets_give_way_whatever_the_order() {
        let mut options = TrainOptions::default();
        options.preset("rank", json!(16), "preset").unwrap();
        options.set("rank", json!(8), "hand").unwrap();
        options.preset("rank", json!(32), "other preset").unwrap();
        assert_eq!(options.values()["rank"], json!(8));
        let mut presets = TrainOptions::default();
        presets.preset("rank", json!(16), "one").unwrap();
        assert!(presets.preset("rank", json!(8), "two").is_err());
    }
}
