//! Sections of a configuration whose keys stand side by side in JSON.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// A group of settings.
pub(crate) trait Section {
    /// Adds what is wrong with the values.
    fn check(&self, problems: &mut Problems);
}

/// What is wrong with a configuration.
#[derive(Default)]
pub(crate) struct Problems(Vec<String>);

impl Problems {
    pub(crate) fn list(self) -> Vec<String> {
        self.0
    }

    /// Adds `text` if `ok` does not hold.
    pub(crate) fn want(&mut self, ok: bool, text: impl Into<String>) {
        if !ok {
            self.0.push(text.into());
        }
    }

    /// A name that must be found in a table.
    pub(crate) fn found<T>(&mut self, row: anyhow::Result<T>) {
        if let Err(e) = row {
            self.0.push(format!("{e:#}"));
        }
    }

    pub(crate) fn at_least_one(&mut self, key: &str, value: u64) {
        self.want(value > 0, format!("`{key}`: expected at least 1, found 0"));
    }

    pub(crate) fn positive(&mut self, key: &str, value: f64) {
        self.want(value > 0.0 && value.is_finite(), format!("`{key}`: expected a number above 0, found {value}"));
    }

    pub(crate) fn not_negative(&mut self, key: &str, value: f64) {
        self.want(value >= 0.0 && value.is_finite(), format!("`{key}`: expected 0 or more, found {value}"));
    }

    /// A number from 0 to 1.
    pub(crate) fn share(&mut self, key: &str, value: f64) {
        self.want((0.0..=1.0).contains(&value), format!("`{key}`: expected 0 to 1, found {value}"));
    }
}

/// A section from those entries of `map` that are its own, which are taken out.
pub(super) fn take<S>(map: &mut Map<String, Value>, known: &mut Vec<String>, problems: &mut Vec<String>) -> S
where
    S: Default + Serialize + DeserializeOwned,
{
    let default = S::default();
    let Ok(Value::Object(keys)) = serde_json::to_value(&default) else { return default };
    let own: Map<String, Value> = keys.keys().filter_map(|k| Some((k.clone(), map.remove(k)?))).collect();
    known.extend(keys.into_iter().map(|(key, _)| key));
    // One at a time, so that the message can name the key.
    for (key, value) in &own {
        if let Err(e) = serde_json::from_value::<S>(Map::from_iter([(key.clone(), value.clone())]).into()) {
            problems.push(format!("`{key}`: {e}"));
        }
    }
    serde_json::from_value(own.into()).unwrap_or(default)
}

/// The configuration from its sections: a struct, and its form in JSON.
macro_rules! sections {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $(pub $field: $type,)*
        }

        impl $name {
            /// Each section's name, which is its file's, and the file.
            const SOURCES: &[(&str, &str)] = &[
                $((stringify!($field), include_str!(concat!(stringify!($field), ".rs"))),)*
            ];

            fn sections(&self) -> Vec<&dyn Section> {
                vec![$(&self.$field),*]
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                let mut map = serde_json::Map::new();
                for section in [$(serde_json::to_value(&self.$field)),*] {
                    if let serde_json::Value::Object(keys) = section.map_err(serde::ser::Error::custom)? {
                        map.extend(keys);
                    }
                }
                map.serialize(to)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let mut map = serde_json::Map::deserialize(from)?;
                let (mut known, mut problems) = (Vec::new(), Vec::new());
                let found = $name {
                    $($field: section::take(&mut map, &mut known, &mut problems),)*
                };
                if !map.is_empty() {
                    let unknown: Vec<String> = map.keys().map(|key| format!("`{key}`")).collect();
                    let known: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
                    problems.push(format!("unknown key {}; known: {}", unknown.join(", "), known.join(", ")));
                }
                if problems.is_empty() { Ok(found) } else { Err(serde::de::Error::custom(problems.join("; "))) }
            }
        }
    };
}
pub(super) use sections;
