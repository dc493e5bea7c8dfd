//! The text of a caption file as an annotation: comma-separated tags or sentences.

use plugin_sdk::{Annotation, Tag};

/// How caption files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Decide for each caption; see [`reads_like_sentences`].
    Auto,
    Tags,
    Text,
}

/// The annotation in `bytes`.
///
/// # Errors
/// The file is empty or not UTF-8.
pub(crate) fn parse(bytes: &[u8], format: Format) -> Result<Annotation, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| format!("expected UTF-8, found byte 0x{:02x} at {}", bytes[e.valid_up_to()], e.valid_up_to()))?;
    let text = text.trim_start_matches('\u{feff}');
    let text = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return Err("the file is empty".into());
    }
    if format == Format::Text || format == Format::Auto && reads_like_sentences(&text) {
        return Ok(Annotation { text: Some(text), ..Annotation::default() });
    }
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let tags = names.map(|name| Tag { name: name.to_owned(), ..Tag::default() }).collect();
    Ok(Annotation { tags, ..Annotation::default() })
}

/// The caption in a JSON file as ai-toolkit has them: `{"caption": "…"}`.
///
/// # Errors
/// It is no such object.
pub(crate) fn of_json(bytes: &[u8], format: Format) -> Result<Annotation, String> {
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|e| format!("no JSON: {e}"))?;
    let caption = value["caption"].as_str().ok_or("expected an object with a text `caption`")?;
    parse(caption.as_bytes(), format)
}

/// Sentences end with a full stop, or have more than five words between commas on average.
fn reads_like_sentences(text: &str) -> bool {
    let parts = text.split(',').filter(|p| !p.trim().is_empty()).count();
    let words = text.split_whitespace().count();
    text.ends_with(['.', '!', '?']) && words > 4 || words > 5 * parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_sentences_are_told_apart() {
        let tags = parse(b"\xef\xbb\xbf1girl, solo,, long hair \r\n", Format::Auto).unwrap();
        assert_eq!(tags.tags.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["1girl", "solo", "long hair"]);
        let text = parse(b"A girl waits, alone.\nIt is raining.", Format::Auto).unwrap();
        assert_eq!(text.text.as_deref(), Some("A girl waits, alone. It is raining."));
        assert!(parse(b"ohwx", Format::Auto).unwrap().text.is_none());
        assert!(parse(b"ohwx", Format::Text).unwrap().text.is_some());
        assert_eq!(parse(b"A girl waits, alone in the rain.", Format::Tags).unwrap().tags.len(), 2);
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(parse(b" \n", Format::Auto).unwrap_err(), "the file is empty");
        assert_eq!(parse(b"ab\xff", Format::Auto).unwrap_err(), "expected UTF-8, found byte 0xff at 2");
    }
}
