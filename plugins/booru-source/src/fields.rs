//! Fields of JSON objects, whatever type a site gives them: numbers as text, `"true"`, empty texts, missing keys.

use serde_json::Value;

/// A text that is not empty.
pub(crate) fn text<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str).filter(|s| !s.is_empty())
}

/// A whole number, also one that stands in a text.
pub(crate) fn number(object: &Value, key: &str) -> Option<i64> {
    match object.get(key)? {
        Value::Number(n) => n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)),
        Value::String(s) => s.trim().parse().ok(),
        _ => None,
    }
}

pub(crate) fn count(object: &Value, key: &str) -> Option<u64> {
    number(object, key).and_then(|n| u64::try_from(n).ok())
}

/// A truth, also as `"true"`, `1` or `"1"`.
pub(crate) fn truth(object: &Value, key: &str) -> bool {
    match object.get(key) {
        Some(Value::Bool(b)) => *b,
        Some(Value::String(s)) => s == "true" || s == "1",
        Some(Value::Number(n)) => n.as_i64() == Some(1),
        _ => false,
    }
}

/// The elements of an array; a single object counts as an array of one, a missing or null one as empty.
pub(crate) fn list(value: Option<&Value>) -> Vec<&Value> {
    match value {
        Some(Value::Array(all)) => all.iter().collect(),
        Some(object @ Value::Object(_)) => vec![object],
        _ => Vec::new(),
    }
}

/// A text without `&amp;`, `&#039;` and their like.
pub(crate) fn unescaped(text: &str) -> String {
    quick_xml::escape::unescape(text).map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_do_not_matter() {
        let o = json!({"a": "12", "b": 12, "c": null, "d": "", "e": "true", "f": 0, "g": " x", "h": -3, "i": 1.0});
        assert_eq!(["a", "b", "c", "d", "i"].map(|k| number(&o, k)), [Some(12), Some(12), None, None, Some(1)]);
        assert_eq!((text(&o, "d"), text(&o, "g"), count(&o, "h")), (None, Some(" x"), None));
        assert!(truth(&o, "e") && !truth(&o, "f") && !truth(&o, "z"));
        assert_eq!(list(Some(&json!({"id": 1}))).len(), 1);
        assert!(list(Some(&Value::Null)).is_empty() && list(None).is_empty());
        assert_eq!(unescaped("&gt;_&lt; d&#039;arc &nosuch;"), "&gt;_&lt; d&#039;arc &nosuch;");
        assert_eq!(unescaped("&gt;_&lt; d&#039;arc &amp; &quot;"), ">_< d'arc & \"");
    }
}
