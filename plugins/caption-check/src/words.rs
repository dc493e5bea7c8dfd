//! What words alone tell: nothing said, said twice, broken off, too long.

use crate::{Doubt, Settings};
use plugin_sdk::Tag;
use std::collections::BTreeMap;

/// Words that end no sentence.
const OPEN: &[&str] = &[
    "a", "an", "the", "and", "or", "but", "of", "with", "to", "in", "on", "at", "by", "for", "from", "is", "are",
    "was", "her", "his", "its", "their", "that", "which", "while", "as", "into", "over", "under", "very", "has",
    "have",
];

/// Words in a row that make a phrase. With fewer, "the cat on the left … the cat on the right" would be a repetition.
const PHRASE: usize = 5;

/// What is wrong with a caption, and about how many tokens it has.
pub(crate) fn doubts(text: &str, tags: &[Tag], settings: &Settings) -> (Vec<Doubt>, u32) {
    let text = text.trim();
    let names: Vec<String> = tags.iter().map(|t| booru::names::key(&t.name)).collect();
    let listed = names.iter().map(|n| n.replace('_', " ")).collect::<Vec<_>>().join(", ");
    let tokens = tokens(text) + tokens_of_list(&listed, text.is_empty());
    let mut out = Vec::new();
    if text.is_empty() && tags.is_empty() {
        out.push(Doubt::new(1.0, "there is no caption"));
        return (out, 0);
    }
    if settings.max_tokens > 0 && tokens > settings.max_tokens {
        out.push(Doubt::new(0.3, format!("about {tokens} tokens, more than {}", settings.max_tokens)));
    }
    let mut seen = std::collections::BTreeSet::new();
    let twice: Vec<&str> = names.iter().filter(|n| !seen.insert(n.as_str())).map(String::as_str).collect();
    if !twice.is_empty() {
        out.push(Doubt::new(0.3, format!("tags that come twice: {}", twice.join(", "))));
    }
    if text.is_empty() {
        return (out, tokens);
    }
    let words = words(text);
    if words.len() < settings.min_words as usize {
        out.push(Doubt::new(0.4, format!("only {} words", words.len())));
    }
    out.extend(repetitions(&words));
    out.extend(ending(text, &words));
    (out, tokens)
}

/// The words in lower case.
pub(crate) fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '’'));
    parts.map(|w| w.trim_matches(['\'', '’']).to_lowercase()).filter(|w| !w.is_empty()).collect()
}

fn repetitions(words: &[String]) -> Vec<Doubt> {
    let mut out = Vec::new();
    if let Some(run) = words.windows(3).find(|w| w[0] == w[1] && w[1] == w[2]) {
        out.push(Doubt::new(0.8, format!("`{}` three times in a row", run[0])));
    }
    let mut places: BTreeMap<&[String], Vec<usize>> = BTreeMap::new();
    for (at, phrase) in words.windows(PHRASE).enumerate() {
        places.entry(phrase).or_default().push(at);
    }
    // A word counts once, however many repeated phrases hold it; the first telling is no repetition.
    let mut again = vec![false; words.len()];
    for at in places.values().flat_map(|all| all.iter().skip(1)) {
        again[*at..at + PHRASE].fill(true);
    }
    let share = again.iter().filter(|a| **a).count() as f64 / words.len().max(1) as f64;
    let most =
        places.iter().filter(|(_, all)| all.len() > 1).min_by_key(|(_, all)| (std::cmp::Reverse(all.len()), all[0]));
    if let Some((phrase, all)) = most
        && (share > 0.15 || all.len() > 2)
    {
        let text = format!("`{}` comes {} times; {:.0} % is said again", phrase.join(" "), all.len(), share * 100.0);
        out.push(Doubt::new((0.5 + share).min(0.95), text));
    }
    out
}

fn ending(text: &str, words: &[String]) -> Vec<Doubt> {
    let mut out = Vec::new();
    let last = text.chars().next_back().unwrap_or(' ');
    let word = words.last().map(String::as_str).unwrap_or_default();
    let ended = ['.', '!', '?', '。', '"', '”', '»', ')', '\'', '’'].contains(&last);
    if [',', ';', ':', '-', '–', '(', '“'].contains(&last) {
        out.push(Doubt::new(0.7, format!("it breaks off after `{last}`")));
    } else if !ended && OPEN.contains(&word) {
        out.push(Doubt::new(0.8, format!("it breaks off after `{word}`")));
    } else if !ended && (words.len() >= 12 || text.contains(". ")) {
        out.push(Doubt::new(0.3, "it ends without a full stop"));
    }
    for (open, close) in [('(', ')'), ('“', '”'), ('[', ']')] {
        let count = |c: char| text.chars().filter(|x| *x == c).count();
        if count(open) != count(close) {
            out.push(Doubt::new(0.3, format!("`{open}` and `{close}` do not match")));
        }
    }
    if text.chars().filter(|c| *c == '"').count() % 2 == 1 {
        out.push(Doubt::new(0.3, "a quotation mark stands alone"));
    }
    out
}

/// About how many tokens of CLIP a text has: short words are one, long ones two or three, marks and digits one each.
fn tokens(text: &str) -> u32 {
    let mut out = 0;
    let mut letters = 0u32;
    let of_word = |letters: u32| match letters {
        0 => 0,
        1..=8 => 1,
        9..=13 => 2,
        n => 3 + (n - 14) / 5,
    };
    for c in text.chars() {
        if c.is_alphabetic() && c.is_ascii() {
            letters += 1;
        } else {
            out += of_word(letters);
            letters = 0;
            // Letters of other scripts are mostly tokens of their own.
            out += u32::from(!c.is_whitespace());
        }
    }
    out + of_word(letters)
}

fn tokens_of_list(listed: &str, alone: bool) -> u32 {
    let own = tokens(listed);
    if own > 0 && !alone { own + 1 } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_sdk::settings;
    use serde_json::json;

    fn of(text: &str, tags: &[&str]) -> Vec<String> {
        let settings: Settings = settings(json!({"max_tokens": 75})).unwrap();
        doubts(text, &plugin_test::annotation(tags).tags, &settings).0.into_iter().map(|d| d.text).collect()
    }

    #[test]
    fn good_captions_raise_no_doubt() {
        for text in [
            "A girl with short teal hair stands in front of a red wall. She wears a white hat.",
            "The cat on the left is black. The cat on the right is white.",
            "A sign says \"Stop\".",
            "He asks her, “why?”",
            "a cat on a mat",
        ] {
            assert_eq!(of(text, &[]), Vec::<String>::new(), "{text}");
        }
        assert!(of("", &["1girl", "hat"]).is_empty());
    }

    #[test]
    fn repetitions_are_quoted() {
        let found = of("A girl in a red hat stands there. A girl in a red hat stands there. A girl in a red hat.", &[]);
        assert!(found[0].starts_with("`a girl in a red` comes 3 times; "), "{found:?}");
        assert_eq!(of("It is a very very very old house.", &[]), ["`very` three times in a row"]);
        assert_eq!(of("", &["hat", "Hat", "cat"]), ["tags that come twice: hat"]);
    }

    #[test]
    fn broken_ends_are_found() {
        for (text, doubt) in [
            ("A girl stands in front of a", "it breaks off after `a`"),
            ("A girl stands there, in a hat,", "it breaks off after `,`"),
            ("A girl stands there. She wears a hat", "it ends without a full stop"),
            ("A sign says \"Stop.", "a quotation mark stands alone"),
            ("A girl (with a hat stands there.", "`(` and `)` do not match"),
            ("A hat.", "only 2 words"),
        ] {
            assert_eq!(of(text, &[]), [doubt], "{text}");
        }
        assert_eq!(of(" ", &[]), ["there is no caption"]);
    }

    #[test]
    fn tokens_are_estimated_by_the_length_of_words() {
        assert_eq!(tokens("a photo of a cat on a mat"), 8);
        assert_eq!(tokens("1girl, long hair, smile, outdoors"), 9);
        assert_eq!(tokens("extraordinarily photorealistic"), 6);
        assert_eq!((tokens("帽子"), tokens(" ")), (2, 0));
        let long = "cat sits, ".repeat(40);
        assert!(of(&long, &[]).iter().any(|d| d == "about 120 tokens, more than 75"), "{:?}", of(&long, &[]));
    }
}
