//! How many people a caption speaks of, against the tags.

use crate::Doubt;
use crate::words::words;
use plugin_sdk::Tag;

const SEVERAL: &[(&str, u32)] = &[
    ("two", 2),
    ("three", 3),
    ("four", 4),
    ("five", 5),
    ("six", 6),
    ("several", 3),
    ("many", 3),
    ("multiple", 3),
    ("2", 2),
    ("3", 3),
    ("4", 4),
    ("5", 5),
];
const PEOPLE: &[&str] = &[
    "girls",
    "women",
    "ladies",
    "boys",
    "men",
    "people",
    "persons",
    "characters",
    "figures",
    "children",
    "individuals",
];
const ONE: &[&str] = &["girl", "woman", "lady", "boy", "man", "child", "person"];
/// Words that may stand between a number and its noun.
const BETWEEN: usize = 2;

/// Contradictions between the text and tags such as `solo` and `no humans`.
pub(crate) fn doubts(text: &str, tags: &[Tag]) -> Vec<Doubt> {
    let words = words(text);
    let names: Vec<String> = tags.iter().map(|t| booru::names::key(&t.name)).collect();
    let has = |name: &str| names.iter().any(|n| n == name);
    let mut out = Vec::new();
    let group = words.iter().enumerate().find_map(|(at, word)| {
        let (_, number) = SEVERAL.iter().find(|(w, _)| w == word)?;
        let noun = words[at + 1..].iter().take(BETWEEN + 1).find(|w| PEOPLE.contains(&w.as_str()))?;
        Some((format!("{word} {noun}"), *number))
    });
    if let Some((said, _)) = &group
        && has("solo")
    {
        out.push(Doubt::new(0.6, format!("it speaks of `{said}`, the tags say `solo`")));
    }
    if let Some((said, _)) = &group
        && !has("solo")
        && let Some(total) = counted(&names)
        && total == 1
    {
        out.push(Doubt::new(0.5, format!("it speaks of `{said}`, the tags count one person")));
    }
    if has("no_humans")
        && let Some(word) = words.iter().find(|w| ONE.contains(&w.as_str()) || PEOPLE[..5].contains(&w.as_str()))
    {
        out.push(Doubt::new(0.5, format!("it speaks of `{word}`, the tags say `no humans`")));
    }
    out
}

/// People that tags such as `1girl` and `2boys` count; none if they do not say, or not exactly.
fn counted(names: &[String]) -> Option<u32> {
    let mut total = None;
    for name in names {
        let digits = name.len() - name.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if ["girl", "girls", "boy", "boys", "other", "others"].contains(&&name[digits..]) && digits > 0 {
            if name.contains('+') {
                return None;
            }
            total = Some(total.unwrap_or(0) + name[..digits].parse::<u32>().ok()?);
        } else if name.starts_with("multiple_") || name.contains("+girls") || name.contains("+boys") {
            return None;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, tags: &[&str]) -> Vec<String> {
        doubts(text, &plugin_test::annotation(tags).tags).into_iter().map(|d| d.text).collect()
    }

    #[test]
    fn numbers_are_compared_where_both_speak() {
        assert_eq!(of("Two young girls.", &["1girl", "solo"]), ["it speaks of `two girls`, the tags say `solo`"]);
        assert_eq!(of("Three men.", &["1boy"]), ["it speaks of `three men`, the tags count one person"]);
        assert_eq!(of("A man waits.", &["no_humans"]), ["it speaks of `man`, the tags say `no humans`"]);
        for (text, tags) in [
            ("Two girls.", &["1girl", "1boy"][..]),
            ("Two girls.", &["2girls"]),
            ("Two girls.", &["hat"]),
            ("Two people.", &["1girl", "multiple boys"]),
            ("A girl with two hats.", &["1girl", "solo"]),
            ("Two dogs and a girl.", &["1girl"]),
        ] {
            assert!(of(text, tags).is_empty(), "{text} {tags:?}");
        }
    }
}
