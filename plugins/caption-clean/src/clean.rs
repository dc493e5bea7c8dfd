//! The whole of it, in order: quotations aside, then each sentence: kept phrases, mood clauses, mood sentences, lead-ins,
//! hedges, and repairs of capitals and articles.

use crate::Settings;
use crate::rules::{GOES_ON, HEDGES, MOOD_WORDS, TAILS, lead_ins, moods};
use crate::sentences::{Masked, is_quote};
use regex_lite::Regex;

/// A caption afterwards, and what was cut out of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Cleaned {
    pub(crate) text: String,
    pub(crate) cut: Vec<String>,
}

/// Configured rules.
pub(crate) struct Cleaner {
    lead_ins: Vec<Regex>,
    moods: Vec<Regex>,
    hedges: Vec<(Regex, &'static str)>,
    clauses: bool,
    tails: Vec<String>,
    keep: Vec<String>,
}

impl Cleaner {
    /// # Errors
    /// A rule is no regular expression.
    pub(crate) fn new(s: &Settings) -> Result<Self, String> {
        let regex = |text: &str| Regex::new(&format!("(?i){text}")).map_err(|e| format!("{text}: {e}"));
        let all = |on: bool, texts: Vec<String>| -> Result<Vec<Regex>, String> {
            texts.iter().filter(|_| on).map(|t| regex(t)).collect()
        };
        let mut beginnings = all(s.lead_ins, lead_ins())?;
        for phrase in lines(&s.more_lead_ins) {
            beginnings.insert(0, regex(&format!("^{}[,:]?\\s+", regex_lite::escape(&phrase)))?);
        }
        let hedges = HEDGES.iter().filter(|_| s.hedges).map(|(t, with)| Ok((regex(t)?, *with)));
        Ok(Self {
            lead_ins: beginnings,
            moods: all(s.mood_tails, moods())?,
            hedges: hedges.collect::<Result<_, String>>()?,
            clauses: s.mood_tails,
            tails: lines(&s.more_tails).collect(),
            keep: lines(&s.keep).collect(),
        })
    }

    /// Cleans a caption. Without a cut it comes back byte for byte.
    pub(crate) fn clean(&self, text: &str) -> Cleaned {
        if text.contains(is_quote) {
            // Private characters already: nothing may be put in their place.
            return Cleaned { text: text.to_owned(), cut: Vec::new() };
        }
        let masked = Masked::new(text);
        let mut cut = Vec::new();
        let mut out: Vec<String> = Vec::new();
        for sentence in masked.sentences() {
            let lower = sentence.to_lowercase();
            if self.keep.iter().any(|k| lower.contains(k)) {
                out.push(sentence);
                continue;
            }
            let mut part = Vec::new();
            // Clauses first: "A cat sleeps, creating a sense of calm" speaks of a cat.
            let sentence = self.without_clauses(sentence, &mut part);
            if self.is_mood(&sentence, &lower) {
                part.push(sentence);
            } else {
                let new = self.sentence(sentence, &mut part);
                if !new.trim_matches(['.', '!', '?', ' ']).is_empty() {
                    out.push(new);
                }
            }
            cut.extend(part.iter().map(|c| masked.restore(c)));
        }
        let text = if cut.is_empty() { text.to_owned() } else { masked.restore(&out.join(" ")) };
        Cleaned { text, cut }
    }

    /// Does the sentence speak of nothing but a mood? What holds a quotation does not.
    fn is_mood(&self, sentence: &str, lower: &str) -> bool {
        !sentence.contains(is_quote)
            && (self.moods.iter().any(|m| m.is_match(sentence)) || self.tails.iter().any(|t| lower.contains(t)))
    }

    fn without_clauses(&self, mut sentence: String, cut: &mut Vec<String>) -> String {
        while let Some((from, to)) = self.clause(&sentence) {
            cut.push(sentence[from..to].trim_start_matches([',', ' ']).to_owned());
            sentence.replace_range(from..to, "");
        }
        sentence
    }

    fn sentence(&self, mut sentence: String, cut: &mut Vec<String>) -> String {
        for rule in &self.lead_ins {
            if let Some(found) = rule.find(&sentence).filter(|m| !m.as_str().contains(is_quote)) {
                cut.push(found.as_str().trim().to_owned());
                sentence = capital(&sentence[found.end()..]);
                break;
            }
        }
        for (rule, with) in &self.hedges {
            let Some(found) = rule.find(&sentence).filter(|m| !m.as_str().contains(is_quote)) else { continue };
            let mut rest = Some((found.start(), found.end()));
            while let Some((from, to)) = rest {
                cut.push(sentence[from..to].trim_matches([',', ' ']).to_owned());
                let new = if with.is_empty() && from == 0 { "" } else { with.trim_matches('\u{1}') };
                sentence.replace_range(from..to, new);
                article(&mut sentence, from + new.len());
                rest = rule
                    .find_iter(&sentence)
                    .find(|m| m.start() >= from && !m.as_str().contains(is_quote))
                    .map(|m| (m.start(), m.end()));
            }
        }
        capital(sentence.trim_start_matches([',', ' ']))
    }

    /// The next clause about a mood: from its comma to where the sentence goes on or ends.
    fn clause(&self, sentence: &str) -> Option<(usize, usize)> {
        if !self.clauses {
            return None;
        }
        let lower = sentence.to_ascii_lowercase();
        TAILS.iter().find_map(|(word, needs_mood)| {
            let from = lower.find(&format!(", {word} "))?;
            let after = from + 2 + word.len();
            let full = lower[after..].trim_end_matches(['.', '!', '?', '…', ' ']).len() + after;
            let to = GOES_ON.iter().filter_map(|g| lower[after..full].find(g)).min().map_or(full, |at| after + at);
            let clause = &lower[after..to];
            let mood = || clause.split(|c: char| !c.is_alphanumeric()).any(|w| MOOD_WORDS.contains(&w));
            (!clause.contains(is_quote) && (!needs_mood || mood())).then_some((from, to))
        })
    }
}

fn lines(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().map(|l| l.trim().to_lowercase()).filter(|l| !l.is_empty())
}

/// The text with a capital in front.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// Makes `a` or `an` in front of a place fit the word that follows now.
fn article(sentence: &mut String, at: usize) {
    let Some(next) = sentence.get(at..).and_then(|rest| rest.chars().next()) else { return };
    let before = &sentence[..at];
    let (word, from) = match before.trim_end().rsplit_once(' ') {
        Some((head, word)) => (word, head.len() + 1),
        None => (before.trim_end(), 0),
    };
    let vowel = "aeiou".contains(next.to_ascii_lowercase());
    let new = match (word, vowel) {
        ("a", true) => "an",
        ("A", true) => "An",
        ("an", false) => "a",
        ("An", false) => "A",
        _ => return,
    };
    let to = from + word.len();
    sentence.replace_range(from..to, new);
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_sdk::settings;
    use serde_json::{Value, json};

    fn clean(config: Value, text: &str) -> String {
        let cleaner = Cleaner::new(&settings::<Settings>(config).unwrap()).unwrap();
        let once = cleaner.clean(text).text;
        assert_eq!(cleaner.clean(&once), Cleaned { text: once.clone(), cut: vec![] }, "a second time changes nothing");
        once
    }

    #[test]
    fn lead_ins_go_and_the_sentence_begins_again() {
        for (text, clean_text) in [
            ("The image shows a girl in a hat.", "A girl in a hat."),
            ("This vibrant digital illustration depicts two cats.", "Two cats."),
            ("In this picture, we can see a red car.", "A red car."),
            ("In the image there is a dog.", "A dog."),
            ("This is a black and white photograph of a man.", "A man."),
            ("This image is a digitally created scene from a Japanese animated film, depicting a girl.", "A girl."),
            ("We can see a lake.", "A lake."),
            ("The image is dark.", "The image is dark."),
            ("A girl shows the picture.", "A girl shows the picture."),
            ("The painting on the wall shows a ship.", "The painting on the wall shows a ship."),
        ] {
            assert_eq!(clean(json!({}), text), clean_text);
        }
    }

    #[test]
    fn moods_go_and_what_can_be_seen_stays() {
        for (text, clean_text) in [
            ("A cat sleeps. The overall mood is calm and serene.", "A cat sleeps."),
            ("A cat sleeps. The scene exudes tranquility.", "A cat sleeps."),
            ("A cat sleeps. Overall, it is a nice picture.", "A cat sleeps."),
            ("A cat sleeps in the sun, creating a sense of calm.", "A cat sleeps in the sun."),
            ("A cat sleeps, creating a sense of calm, while a dog barks.", "A cat sleeps, while a dog barks."),
            ("A woman dances, emphasizing her long hair.", "A woman dances."),
            ("A lake lies there, reflecting the red sky.", "A lake lies there, reflecting the red sky."),
            ("A man sits there, giving a cat milk.", "A man sits there, giving a cat milk."),
            ("The image shows a girl at a wall, creating a sense of calm.", "A girl at a wall."),
            ("A cat. The soft lighting creates a sense of depth.", "A cat."),
            ("A cat. The use of cool colours conveys a feeling of peace.", "A cat."),
            ("The girl wears a dress that evokes spring.", "The girl wears a dress that evokes spring."),
            ("The boy gives his dog a sense of smell.", "The boy gives his dog a sense of smell."),
            ("A cat. The atmosphere is \"calm\".", "A cat. The atmosphere is \"calm\"."),
        ] {
            assert_eq!(clean(json!({}), text), clean_text);
        }
    }

    #[test]
    fn guesses_become_statements_with_the_right_article() {
        for (text, clean_text) in [
            ("She appears to be sad.", "She is sad."),
            ("They seem to be twins.", "They are twins."),
            ("He holds what appears to be a sword.", "He holds a sword."),
            ("A man, possibly a soldier, stands there.", "A man stands there."),
            ("A boat, perhaps from the harbour.", "A boat."),
            ("An apparently old man.", "An old man."),
            ("A possibly angry man.", "An angry man."),
            ("An apparently wet dog.", "A wet dog."),
            ("A sign says \"It appears to be closed\".", "A sign says \"It appears to be closed\"."),
        ] {
            assert_eq!(clean(json!({}), text), clean_text);
        }
    }

    #[test]
    fn each_part_can_be_switched_off_and_words_be_added() {
        let text = "The image shows a cat. It seems to be old. The mood is calm.";
        let off = json!({"lead_ins": false, "mood_tails": false, "hedges": false});
        assert_eq!(clean(off, text), text);
        assert_eq!(clean(json!({"keep": "MOOD IS"}), text), "A cat. It is old. The mood is calm.");
        let own = json!({"more_lead_ins": "anime screencap of", "more_tails": "award-winning"});
        assert_eq!(clean(own, "Anime screencap of a cat. It is award-winning."), "A cat.");
    }
}
