//! `tag_mapping.json`, the label list of newer taggers, in its two forms: `{"0": {"tag": …, "category": …}}`, and
//! `{"idx_to_tag": {"0": …}, "tag_to_category": {…}}`.

use crate::labels::{Category, Label};
use plugin_sdk::serde_json::{self, Map, Value};
use std::collections::BTreeMap;

/// The labels in the order of their numbers.
///
/// # Errors
/// Other JSON, and numbers that are missing: a score would get another label's name.
pub(crate) fn parse(json: &str) -> Result<Vec<Label>, String> {
    let bad = |what: String| format!("tag_mapping.json: {what}");
    let map: Map<String, Value> =
        serde_json::from_str(json).map_err(|e| bad(format!("expected a JSON object: {e}")))?;
    let by_number = map.get("idx_to_tag").and_then(Value::as_object).unwrap_or(&map);
    let categories = map.get("tag_to_category").and_then(Value::as_object);
    let mut labels = BTreeMap::new();
    for (number, entry) in by_number {
        let at: usize =
            number.parse().map_err(|_| bad(format!("expected the number of an output, found `{number}`")))?;
        let name = entry.as_str().or_else(|| entry["tag"].as_str());
        let name = name.ok_or_else(|| bad(format!("`{number}` has no tag")))?;
        let category = match categories {
            Some(categories) => categories.get(name).and_then(Value::as_str),
            None => entry["category"].as_str(),
        };
        let category = category.and_then(Category::named).unwrap_or(Category::Other);
        labels.insert(at, Label { name: name.to_owned(), category });
    }
    if let Some((missing, _)) = (0..).zip(labels.keys()).find(|(n, key)| n != *key) {
        return Err(bad(format!("there is no tag {missing}")));
    }
    Ok(labels.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_give_the_same_labels() {
        let whole = r#"{"1": {"tag": "saber_(fate)", "category": "Character"}, "0": {"tag": "safe", "category": "Rating"},
            "2": {"tag": "best_quality", "category": "Quality"}, "10": {"tag": "x", "category": "New"}}"#;
        assert!(parse(whole).unwrap_err().contains("there is no tag 3"));
        let whole = whole.replace("\"10\"", "\"3\"");
        let halves = r#"{"idx_to_tag": {"0": "safe", "1": "saber_(fate)", "2": "best_quality", "3": "x"},
            "tag_to_category": {"safe": "Rating", "saber_(fate)": "Character", "best_quality": "Quality"}}"#;
        let labels = parse(&whole).unwrap();
        assert_eq!(labels, parse(halves).unwrap());
        let kinds: Vec<_> = labels.iter().map(|l| l.category.name()).collect();
        assert_eq!(kinds, ["rating", "character", "quality", "other"]);
    }

    #[test]
    fn other_files_are_refused() {
        for (json, says) in
            [("[]", "expected a JSON object"), (r#"{"a": {}}"#, "found `a`"), (r#"{"0": {}}"#, "no tag")]
        {
            let e = parse(json).unwrap_err();
            assert!(e.contains(says), "{e}");
        }
    }
}
