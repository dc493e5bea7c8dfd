//! What plugins of either form answer, looked at before the host uses it: sizes, numbers, and characters that hide.

use crate::error::Fault;
use data::{Metric, Page, Score};
use spec::Annotation;

/// Bytes of a caption.
const MAX_TEXT: usize = 1 << 20;
/// Bytes of the JSON beside a caption.
const MAX_EXTRA: usize = 16 << 20;
/// Tags of a picture. Taggers have ten thousand labels.
const MAX_TAGS: usize = 50_000;
/// Bytes of a tag, an id, a cursor or the name of a place.
const MAX_NAME: usize = 4096;

fn broken(what: &str, why: &str) -> Fault {
    Fault::Trapped(format!("it broke the contract of {what}: {why}"))
}

/// Is this a character that makes text look like other text, or ends it early? Marks of direction that ordinary text
/// needs are none.
fn hides(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

/// Writes such characters out, as `\u{202e}`, so that whoever reads the name sees them.
fn show_hidden(text: &mut String, keep: impl Fn(char) -> bool) {
    if text.chars().any(|c| hides(c) && !keep(c)) {
        let one = |c: char| if hides(c) && !keep(c) { c.escape_unicode().to_string() } else { c.to_string() };
        *text = text.chars().map(one).collect();
    }
}

/// A number of bytes within a limit.
fn short(what: &str, name: &str, text: &str, limit: usize) -> Result<(), Fault> {
    if text.len() <= limit {
        return Ok(());
    }
    let begin: String = text.chars().take(30).collect();
    Err(broken(what, &format!("{name} may have {limit} bytes, found {} ({begin:?}…)", text.len())))
}

/// Refuses what is no annotation that the host could keep, and shows what hides in it.
pub(crate) fn annotation(what: &str, annotation: &mut Annotation) -> Result<(), Fault> {
    if annotation.tags.len() > MAX_TAGS {
        return Err(broken(what, &format!("a picture may have {MAX_TAGS} tags, found {}", annotation.tags.len())));
    }
    for tag in &mut annotation.tags {
        short(what, "a tag", &tag.name, MAX_NAME)?;
        short(what, "a category", tag.category.as_deref().unwrap_or_default(), MAX_NAME)?;
        if let Some(score) = tag.score.filter(|s| !s.is_finite()) {
            return Err(broken(what, &format!("the score of `{}` is no number, but {score}", tag.name)));
        }
        show_hidden(&mut tag.name, |_| false);
    }
    if let Some(text) = &mut annotation.text {
        short(what, "a caption", text, MAX_TEXT)?;
        show_hidden(text, |c| matches!(c, '\n' | '\r' | '\t') || !c.is_control());
    }
    if let Some(extra) = &annotation.extra {
        short(what, "`extra`", extra, MAX_EXTRA)?;
        serde_json::from_str::<serde::de::IgnoredAny>(extra)
            .map_err(|e| broken(what, &format!("`extra` is no JSON: {e}")))?;
    }
    Ok(())
}

/// As [`annotation`], for each item of a page.
pub(crate) fn page(page: &mut Page, max_items: u32) -> Result<(), Fault> {
    const WHAT: &str = "dataset-source.next-page";
    if page.items.len() > max_items as usize {
        let why = format!("it was asked for {max_items} items at most, and gave {}", page.items.len());
        return Err(broken(WHAT, &why));
    }
    short(WHAT, "a cursor", page.next.as_deref().unwrap_or_default(), MAX_TEXT)?;
    for item in &mut page.items {
        short(WHAT, "an id", &item.id, MAX_NAME)?;
        show_hidden(&mut item.id, |_| false);
        for text in [&item.origin, &item.license, &item.digest] {
            short(
                WHAT,
                &format!("origin, license or digest of `{}`", item.id),
                text.as_deref().unwrap_or_default(),
                MAX_TEXT,
            )?;
        }
        annotation(WHAT, &mut item.annotation)?;
    }
    Ok(())
}

/// Scores of metrics that were announced. What is no number stands for «does not apply».
pub(crate) fn scores(what: &str, metrics: &[Metric], scores: &[Score]) -> Result<(), Fault> {
    match scores.iter().find(|s| !metrics.iter().any(|m| m.name == s.metric)) {
        None => Ok(()),
        Some(odd) => {
            let known: Vec<&str> = metrics.iter().map(|m| m.name.as_str()).collect();
            let why = format!("`{}` is none of the metrics that it announced ({})", odd.metric, known.join(", "));
            Err(broken(what, &why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::Tag;

    fn tag(name: &str, score: Option<f32>) -> Annotation {
        Annotation { tags: vec![Tag { name: name.into(), score, category: None }], ..Annotation::default() }
    }

    #[test]
    fn hidden_characters_are_shown_and_others_stay() {
        let mut odd = tag("exe\u{202e}gnp\0", Some(0.5));
        odd.text = Some("one\ntwo\u{7}, \u{202b}עברית\u{202c}, 👩‍👩‍👧".into());
        annotation("x", &mut odd).unwrap();
        assert_eq!(odd.tags[0].name, "exe\\u{202e}gnp\\u{0}");
        assert_eq!(odd.text.as_deref(), Some("one\ntwo\\u{7}, \u{202b}עברית\u{202c}, 👩‍👩‍👧"));
        let mut fine = tag(">_<  é e\u{301} 日本語 \u{200f}", None);
        let before = fine.clone();
        annotation("x", &mut fine).unwrap();
        assert_eq!(fine, before);
    }

    #[test]
    fn too_much_and_no_numbers_are_refused() {
        let refused = |mut a: Annotation| annotation("x", &mut a).unwrap_err().to_string();
        assert!(refused(tag("a", Some(f32::NAN))).contains("`a` is no number"));
        assert!(refused(tag(&"ä".repeat(4000), None)).contains("found 8000"));
        let text = Annotation { text: Some("x".repeat(MAX_TEXT + 1)), ..Annotation::default() };
        assert!(refused(text).contains("a caption may have"));
        let extra = Annotation { extra: Some("[".repeat(1000)), ..Annotation::default() };
        assert!(refused(extra).contains("no JSON"));
        let many = Annotation { tags: vec![Tag::default(); MAX_TAGS + 1], ..Annotation::default() };
        assert!(refused(many).contains("50001"));
    }
}
