//! The dataset files of sd-scripts (TOML): which folders, with which captions, how often. What they say of the training
//! itself a source cannot pass on; the log names it.

use serde_json::{Map, Value};

/// One `[[datasets.subsets]]`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Subset {
    /// For messages.
    pub(crate) place: String,
    pub(crate) image_dir: String,
    pub(crate) repeats: u32,
    /// Ending of caption files without the dot; none: as the setting says.
    pub(crate) ending: Option<String>,
    pub(crate) class_tokens: Option<String>,
    pub(crate) metadata_file: Option<String>,
    pub(crate) is_reg: bool,
}

/// Keys that matter here.
const HERE: [&str; 6] = ["image_dir", "num_repeats", "caption_extension", "class_tokens", "metadata_file", "is_reg"];
/// Keys of sd-scripts that say how to train.
const TRAINING: [&str; 33] = [
    "resolution",
    "batch_size",
    "enable_bucket",
    "min_bucket_reso",
    "max_bucket_reso",
    "bucket_reso_steps",
    "bucket_no_upscale",
    "network_multiplier",
    "validation_split",
    "validation_seed",
    "skip_image_resolution",
    "resize_interpolation",
    "shuffle_caption",
    "caption_separator",
    "keep_tokens",
    "keep_tokens_separator",
    "secondary_separator",
    "enable_wildcard",
    "caption_prefix",
    "caption_suffix",
    "caption_dropout_rate",
    "caption_dropout_every_n_epochs",
    "caption_tag_dropout_rate",
    "token_warmup_min",
    "token_warmup_step",
    "flip_aug",
    "color_aug",
    "random_crop",
    "face_crop_aug_range",
    "alpha_mask",
    "cache_info",
    "custom_attributes",
    "conditioning_data_dir",
];

/// The subsets of a file, and the keys that only a trainer can heed.
///
/// # Errors
/// All that is wrong with the file.
pub(crate) fn read(path: &str, bytes: &[u8]) -> Result<(Vec<Subset>, Vec<String>), String> {
    let text = std::str::from_utf8(bytes).map_err(|e| format!("{path}: expected UTF-8 ({e})"))?;
    let toml: toml::Table = toml::from_str(text).map_err(|e| format!("{path}: {e}"))?;
    let Ok(Value::Object(mut top)) = serde_json::to_value(toml) else { return Err(format!("{path}: expected tables")) };
    let mut found = Found::default();
    let general = found.table(top.remove("general"), "[general]");
    let mut subsets = Vec::new();
    for (n, dataset) in found.list(top.remove("datasets"), "[[datasets]]").into_iter().enumerate() {
        let place = format!("[[datasets]] {}", n + 1);
        let mut dataset = found.table(Some(dataset), &place);
        let all = found.list(dataset.remove("subsets"), &format!("{place}, [[datasets.subsets]]"));
        found.check(&dataset, &place);
        for (m, subset) in all.into_iter().enumerate() {
            let place = format!("{place}, [[datasets.subsets]] {}", m + 1);
            let subset = found.table(Some(subset), &place);
            found.check(&subset, &place);
            subsets.push(found.subset(place, &[&subset, &dataset, &general]));
        }
    }
    found.check(&general, "[general]");
    let unknown: Vec<String> =
        top.keys().map(|k| format!("unknown table `{k}`; known: [general], [[datasets]]")).collect();
    found.faults.extend(unknown);
    if found.faults.is_empty() && subsets.is_empty() {
        found.faults.push("no [[datasets.subsets]] with an `image_dir`".to_owned());
    }
    if found.faults.is_empty() {
        Ok((subsets, found.training))
    } else {
        Err(format!("{path}: {}", found.faults.join("; ")))
    }
}

#[derive(Default)]
struct Found {
    faults: Vec<String>,
    training: Vec<String>,
}

impl Found {
    fn table(&mut self, value: Option<Value>, place: &str) -> Map<String, Value> {
        match value {
            None => Map::new(),
            Some(Value::Object(keys)) => keys,
            Some(_) => {
                self.faults.push(format!("{place}: expected a table"));
                Map::new()
            }
        }
    }

    fn list(&mut self, value: Option<Value>, place: &str) -> Vec<Value> {
        match value {
            None => Vec::new(),
            Some(Value::Array(all)) => all,
            Some(_) => {
                self.faults.push(format!("{place}: expected tables in double brackets"));
                Vec::new()
            }
        }
    }

    fn check(&mut self, keys: &Map<String, Value>, place: &str) {
        for key in keys.keys().map(String::as_str).filter(|k| !HERE.contains(k)) {
            if !TRAINING.contains(&key) {
                let known = HERE.iter().chain(&TRAINING).copied().collect::<Vec<_>>().join(", ");
                self.faults.push(format!("{place}: unknown key `{key}`; known: {known}"));
            } else if !self.training.iter().any(|k| k == key) {
                self.training.push(key.to_owned());
            }
        }
    }

    /// The innermost level that has a key counts.
    fn subset(&mut self, place: String, levels: &[&Map<String, Value>; 3]) -> Subset {
        let get = |key: &str| levels.iter().find_map(|keys| keys.get(key));
        let mut faults = Vec::new();
        let mut text = |key: &str| match get(key) {
            None => None,
            Some(Value::String(text)) => Some(text.clone()).filter(|t| !t.is_empty()),
            Some(other) => {
                faults.push(format!("{place}: `{key}`: expected a text, found {other}"));
                None
            }
        };
        let (dir, ending) = (text("image_dir"), text("caption_extension"));
        let (class_tokens, metadata_file) = (text("class_tokens"), text("metadata_file"));
        if dir.is_none() {
            faults.push(format!("{place}: no `image_dir`"));
        }
        let repeats = match get("num_repeats").map(|v| (v.as_u64().and_then(|n| u32::try_from(n).ok()), v)) {
            None => 1,
            Some((Some(n), _)) if n > 0 => n,
            Some((_, other)) => {
                faults.push(format!("{place}: `num_repeats`: expected a whole number of 1 or more, found {other}"));
                1
            }
        };
        let is_reg = get("is_reg").is_some_and(|v| v == &Value::Bool(true));
        self.faults.append(&mut faults);
        let ending = ending.map(|e| e.trim_start_matches('.').to_lowercase());
        Subset { place, image_dir: dir.unwrap_or_default(), repeats, ending, class_tokens, metadata_file, is_reg }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_down_and_what_is_for_the_trainer_is_told() {
        let toml = "[general]\ncaption_extension = \".caption\"\nflip_aug = true\n[[datasets]]\nresolution = 512\n\
                    [[datasets.subsets]]\nimage_dir = \"a\"\nnum_repeats = 3\nclass_tokens = \"ohwx girl\"\n\
                    [[datasets.subsets]]\nimage_dir = \"reg\"\nis_reg = true\ncaption_extension = \".txt\"\n";
        let (subsets, training) = read("set.toml", toml.as_bytes()).unwrap();
        let first = &subsets[0];
        assert_eq!((first.image_dir.as_str(), first.repeats, first.ending.as_deref()), ("a", 3, Some("caption")));
        assert_eq!((first.class_tokens.as_deref(), first.is_reg), (Some("ohwx girl"), false));
        assert_eq!((subsets[1].repeats, subsets[1].ending.as_deref(), subsets[1].is_reg), (1, Some("txt"), true));
        assert_eq!(training, ["resolution", "flip_aug"]);
    }

    #[test]
    fn all_faults_are_named_at_once() {
        let toml = "tea = 1\n[[datasets]]\nnum_repeat = 2\n[[datasets.subsets]]\nnum_repeats = 0\nimage_dir = 3\n";
        let e = read("set.toml", toml.as_bytes()).unwrap_err();
        for part in [
            "set.toml: ",
            "[[datasets]] 1: unknown key `num_repeat`; known: image_dir, num_repeats",
            "unknown table `tea`",
            "`num_repeats`: expected a whole number of 1 or more, found 0",
            "`image_dir`: expected a text, found 3",
        ] {
            assert!(e.contains(part), "{part} not in {e}");
        }
        assert!(read("x.toml", b"[general]").unwrap_err().contains("no [[datasets.subsets]]"));
        assert!(read("x.toml", b"= 1").is_err());
    }
}
