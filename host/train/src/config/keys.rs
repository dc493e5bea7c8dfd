//! What can be said about the keys of a configuration: their documentation is read from the sections' own sources, so
//! that it stands in one place.

use super::Config;
use serde_json::Value;

/// One key of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigKey {
    /// The section that it belongs to.
    pub section: &'static str,
    /// What the section is about.
    pub about: String,
    pub name: String,
    /// What it does, and its default in words.
    pub text: String,
    /// What it is where a configuration is silent; null where that depends on other things.
    pub default: Value,
}

/// All keys, in the order of the sections.
pub fn config_keys() -> Vec<ConfigKey> {
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let of = |(section, source): &(&'static str, &'static str)| {
        let (about, keys) = read(source);
        let section = *section;
        let key = |(name, text): (String, String)| {
            let default = defaults.get(&name).cloned().unwrap_or_default();
            ConfigKey { section, about: about.clone(), name, text, default }
        };
        keys.into_iter().map(key).collect::<Vec<_>>()
    };
    Config::SOURCES.iter().flat_map(of).collect()
}

/// The documentation of a section's struct, and of each of its keys.
fn read(source: &str) -> (String, Vec<(String, String)>) {
    let (mut about, mut keys) = (String::new(), Vec::new());
    let (mut text, mut renamed, mut inside) = (Vec::new(), None, false);
    for line in source.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("///") {
            text.push(doc.trim());
        } else if let Some(name) = line.strip_prefix("#[serde(rename = \"").and_then(|l| l.split('"').next()) {
            renamed = Some(name.to_owned());
        } else if line.starts_with("#[") {
            // Other attributes stand between a text and what it is about.
        } else if line.starts_with("pub struct ") && line.contains("Options {") {
            inside = true;
            about = std::mem::take(&mut text).join(" ");
        } else if inside && line == "}" {
            break;
        } else {
            let field = line.strip_prefix("pub ").and_then(|l| l.split_once(": "));
            if let Some((name, _)) = field.filter(|_| inside) {
                keys.push((renamed.take().unwrap_or(name.to_owned()), text.join(" ")));
            }
            text.clear();
        }
    }
    (about, keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_documented_and_there_are_no_others() {
        let keys = config_keys();
        let Ok(Value::Object(all)) = serde_json::to_value(Config::default()) else { panic!("an object") };
        let documented: Vec<&str> = keys.iter().map(|k| k.name.as_str()).collect();
        assert_eq!(documented, all.keys().map(String::as_str).collect::<Vec<_>>());
        for key in &keys {
            assert!(key.text.ends_with('.') && !key.about.is_empty(), "{}: {:?}", key.name, key.text);
        }
    }
}
