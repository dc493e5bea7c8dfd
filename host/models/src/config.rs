//! Reading `config.json` files as diffusers and transformers write them.

use crate::error::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// One `config.json`. Unknown keys are allowed: the libraries that write them add new ones with every version.
#[derive(Clone)]
pub(crate) struct Json {
    path: PathBuf,
    map: Map<String, Value>,
}

/// A setting for all levels or one for each.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(usize),
    Many(Vec<usize>),
}

impl Json {
    pub(crate) fn read(path: &Path) -> Result<Json> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        match serde_json::from_str(&text) {
            Ok(Value::Object(map)) => Ok(Json { path: path.to_owned(), map }),
            Ok(_) => Err(Error::file(path, "expected a JSON object")),
            Err(e) => Err(Error::file(path, format!("not JSON: {e}"))),
        }
    }

    /// An error about this file.
    pub(crate) fn wrong(&self, what: String) -> Error {
        Error::file(&self.path, what)
    }

    /// The settings of a part; none where newer files leave out what is as usual.
    pub(crate) fn part(&self, key: &str) -> Result<Json> {
        Ok(Json { path: self.path.clone(), map: self.optional(key)?.unwrap_or_default() })
    }

    /// The same with the setting of another file, if that has it, in place of its own.
    pub(crate) fn overridden_by(&self, above: &Json, key: &str) -> Json {
        let mut with = self.clone();
        with.map.extend(above.map.get(key).map(|value| (key.to_owned(), value.clone())));
        with
    }

    /// Whether nothing is set.
    pub(crate) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The same file with a setting that it lacks.
    pub(crate) fn with(&self, key: &str, value: Value) -> Json {
        let mut with = self.clone();
        with.map.entry(key).or_insert(value);
        with
    }

    /// A setting that may be absent or null.
    pub(crate) fn optional<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value).map(Some).map_err(|e| self.wrong(format!("`{key}` = {value}: {e}"))),
        }
    }

    /// A setting that must be there.
    pub(crate) fn required<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        self.optional(key)?.ok_or_else(|| self.wrong(format!("`{key}` is missing")))
    }

    /// Refuses settings with a value other than those that mean «not used».
    pub(crate) fn expect_values(&self, unused: &[(&str, &[&str])]) -> Result<()> {
        let problems: Vec<String> = unused
            .iter()
            .filter_map(|(key, allowed)| {
                let value = self.map.get(*key)?.to_string();
                (!allowed.contains(&value.as_str()))
                    .then(|| format!("`{key}` = {value}, expected {}", allowed.join(" or ")))
            })
            .collect();
        if problems.is_empty() {
            return Ok(());
        }
        Err(self.wrong(format!("this network has parts that this program does not know: {}", problems.join("; "))))
    }

    /// Spreads a setting over `levels`.
    pub(crate) fn per_level(&self, key: &str, value: OneOrMany, levels: usize) -> Result<Vec<usize>> {
        match value {
            OneOrMany::One(value) => Ok(vec![value; levels]),
            OneOrMany::Many(values) if values.len() == levels => Ok(values),
            OneOrMany::Many(values) => {
                Err(self.wrong(format!("`{key}`: expected {levels} values, found {}", values.len())))
            }
        }
    }
}
