//! Captions as text: splitting, joining, telling tags from sentences.

use spec::{Annotation, Tag};

/// The parts between commas, trimmed, without empty ones.
pub fn split(caption: &str) -> Vec<String> {
    caption.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect()
}

/// Tags in their order, then the text, joined by `, `.
pub fn join(annotation: &Annotation) -> String {
    let tags = annotation.tags.iter().map(|t| t.name.trim());
    let text = annotation.text.iter().map(|t| t.trim());
    tags.chain(text).filter(|t| !t.is_empty()).collect::<Vec<_>>().join(", ")
}

/// A caption file's contents as an annotation: tags, or a text if it reads like sentences. Line ends and a byte
/// order mark are removed; further lines join the first with a space.
pub fn parse(caption: &str) -> Annotation {
    let caption = caption.trim_start_matches('\u{feff}');
    let line = caption.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ");
    if is_natural_language(&line) {
        return Annotation { text: Some(line), ..Annotation::default() };
    }
    let tags = split(&line).into_iter().map(|name| Tag { name, ..Tag::default() }).collect();
    Annotation { tags, ..Annotation::default() }
}

/// Does it read like sentences rather than tags? It does if it ends like a sentence, or if its parts between commas
/// are longer than five words on average.
pub fn is_natural_language(caption: &str) -> bool {
    let parts = split(caption);
    if parts.is_empty() {
        return false;
    }
    let words: usize = parts.iter().map(|p| p.split_whitespace().count()).sum();
    let sentence_end = caption.trim_end().ends_with(['.', '!', '?']) && words > 4;
    sentence_end || words > 5 * parts.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_tags_from_sentences() {
        assert!(!is_natural_language("1girl, solo, long hair, looking at viewer"));
        assert!(!is_natural_language("ohwx"));
        assert!(!is_natural_language(""));
        assert!(is_natural_language("A girl with long hair looks out of the window, smiling."));
        assert!(is_natural_language("a photo of a small brown dog on a sofa"));
    }

    #[test]
    fn parse_and_join_round_trip() {
        let a = parse("\u{feff}1girl, solo,,  hat \n");
        assert_eq!(join(&a), "1girl, solo, hat");
        let b = parse("She waits.\r\nThe rain, it falls on her.\n");
        assert_eq!(b.text.as_deref(), Some("She waits. The rain, it falls on her."));
        assert!(b.tags.is_empty());
    }
}
