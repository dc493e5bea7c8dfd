//! What the model is asked: a kind of caption, a length, wishes, and what is known of the picture.

use crate::Settings;
use plugin_sdk::Annotation;

/// A kind of caption.
struct Kind {
    name: &'static str,
    /// What to write; `{length}` is the place of the length.
    ask: &'static str,
    /// The answer is a list of tags.
    tags: bool,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "straightforward",
        ask: "Write a{length} caption for this picture in plain, direct sentences. Begin with the main subject. Name \
              people, things, colours, clothing, pose, place and writing that can be seen, and leave out what is not \
              there. Do not speak of moods or of what something might mean, and do not begin with words like \"This \
              picture\" or \"The image shows\".",
        tags: false,
    },
    Kind {
        name: "descriptive",
        ask: "Write a{length} description of this picture in a matter-of-fact tone. Go from the main subject to the \
              background.",
        tags: false,
    },
    Kind {
        name: "casual",
        ask: "Write a{length} description of this picture as you would tell a friend what is on it.",
        tags: false,
    },
    Kind {
        name: "stable diffusion",
        ask: "Write a{length} prompt with which Stable Diffusion could have made this picture: short phrases, separated \
              by commas, the subject first.",
        tags: false,
    },
    Kind {
        name: "midjourney",
        ask: "Write a{length} prompt with which Midjourney could have made this picture. No parameters.",
        tags: false,
    },
    Kind {
        name: "tags",
        ask: "Write a{length} list of tags for this picture, separated by commas, the most important first. Only tags, no \
              sentences.",
        tags: true,
    },
    Kind {
        name: "danbooru tags",
        ask: "Write a{length} list of Danbooru's tags for this picture, separated by commas, lower case: how many people \
              and of which sex first (such as 1girl), then names, then appearance, clothing, pose and background. Only \
              tags, no sentences.",
        tags: true,
    },
    Kind {
        name: "e621 tags",
        ask: "Write a{length} list of e621's tags for this picture, separated by commas, lower case: artists, copyrights, \
              characters, species, then all others in the order of the alphabet. Only tags, no sentences.",
        tags: true,
    },
    Kind {
        name: "rule34 tags",
        ask: "Write a{length} list of rule34's tags for this picture, separated by commas, lower case: artists, \
              copyrights, characters, then all others in the order of the alphabet. Only tags, no sentences.",
        tags: true,
    },
    Kind {
        name: "art critic",
        ask: "Write a{length} critique of this picture as one who knows the history of art: style, composition, colour, \
              light, technique, and the school it stands in.",
        tags: false,
    },
    Kind {
        name: "product",
        ask: "Write a{length} text for this picture as if what it shows were for sale in a shop.",
        tags: false,
    },
    Kind {
        name: "social post",
        ask: "Write a{length} caption for this picture as its owner would post it for friends.",
        tags: false,
    },
    Kind { name: "own", ask: "", tags: false },
];

/// What stands for `{length}`, and what is said after.
const LENGTHS: &[(&str, &str)] = &[
    ("any", ""),
    ("very short", " very short (up to 25 words)"),
    ("short", " short (up to 60 words)"),
    ("medium", " medium-length (about 100 words)"),
    ("long", " long (about 150 words)"),
    ("very long", " very long (200 words or more)"),
];

const WISHES: &[(&str, &str)] = &[
    ("no text", "Do not speak of writing in the picture."),
    ("no watermark", "Do not speak of watermarks, signatures or logos."),
    ("no ambiguity", "Say only what is certain; no words like \"perhaps\" or \"seems\"."),
    ("no mood", "Say nothing of mood, atmosphere or feelings."),
    ("no artist", "Name no artist and no title."),
    ("no resolution", "Say nothing of the picture's resolution."),
    ("safe", "Keep the words fit for children."),
    (
        "camera",
        "If it is a photograph, say from which angle and distance it was taken and with what lens and exposure it \
                may have been made.",
    ),
    ("lighting", "Say where the light comes from and how hard it is."),
    ("composition", "Say how the picture is composed: what is where, lines, symmetry, depth of field."),
    ("quality", "Say how good the picture is as a picture, from bad to excellent."),
    ("people", "Give the apparent age group, build, hair and clothing of each person."),
    ("known tags", "These tags are known to fit; use them where they help: {tags}."),
];

/// What of the picture may stand in a prompt.
const PLACES: [&str; 7] = ["tags", "characters", "copyrights", "artists", "text", "subset", "name"];

/// A configured prompt.
pub(crate) struct Prompt {
    template: String,
    start: String,
    name: String,
    tags: bool,
}

impl Prompt {
    /// # Errors
    /// Unknown wishes and placeholders, an own prompt that is missing.
    pub(crate) fn new(s: &Settings) -> Result<Self, String> {
        let kind = KINDS.iter().find(|k| k.name == s.kind).ok_or_else(|| format!("kind: unknown `{}`", s.kind))?;
        let own = s.prompt.trim();
        if kind.ask.is_empty() && own.is_empty() {
            return Err("prompt: expected the text to ask, since `kind` is `own`; found nothing".to_owned());
        }
        let length = LENGTHS.iter().find(|(n, _)| *n == s.length && s.words == 0).map_or("", |(_, l)| *l);
        let mut parts = vec![kind.ask.replace("{length}", length)];
        if s.words > 0 {
            parts.push(format!("Use at most {} words.", s.words));
        }
        let mut unknown = Vec::new();
        for wish in s.wishes.split([',', '\n']).map(str::trim).filter(|w| !w.is_empty()) {
            match WISHES.iter().find(|(n, _)| *n == wish) {
                Some((_, text)) => parts.push((*text).to_owned()),
                None => unknown.push(format!("`{wish}`")),
            }
        }
        if !unknown.is_empty() {
            let known: Vec<_> = WISHES.iter().map(|(n, _)| *n).collect();
            return Err(format!("wishes: unknown {}; known are {}", unknown.join(", "), known.join(", ")));
        }
        let name = s.name.trim();
        if !name.is_empty() && !own.contains("{name}") {
            parts.push("If there is a person or main character in the picture, call them {name}.".to_owned());
        }
        let start = s.start.trim();
        if !start.is_empty() {
            parts.push(format!("Begin with exactly these words: {start}"));
        }
        let avoid: Vec<_> = s.avoid.split([',', '\n']).map(str::trim).filter(|w| !w.is_empty()).collect();
        if !avoid.is_empty() {
            parts.push(format!("Do not use these words: {}.", avoid.join(", ")));
        }
        parts.push(own.to_owned());
        parts.retain(|p| !p.is_empty());
        check(own)?;
        Ok(Self { template: parts.join(" "), start: start.to_owned(), name: name.to_owned(), tags: kind.tags })
    }

    /// Is the answer a list of tags?
    pub(crate) fn tags(&self) -> bool {
        self.tags
    }

    /// The prompt for a picture.
    pub(crate) fn text(&self, known: &Annotation) -> String {
        let mut out = self.template.clone();
        for place in PLACES {
            let mark = format!("{{{place}}}");
            if out.contains(&mark) {
                out = out.replace(&mark, &self.value(place, known));
            }
        }
        out
    }

    fn value(&self, place: &str, known: &Annotation) -> String {
        let of = |category: &str| {
            let named = known.tags.iter().filter(|t| category.is_empty() || t.category.as_deref() == Some(category));
            named.map(|t| t.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        // What was known must not be read as a placeholder in turn.
        let value = match place {
            "tags" => of(""),
            "characters" => of("character"),
            "copyrights" => of("copyright"),
            "artists" => of("artist"),
            "text" => known.text.clone().unwrap_or_default(),
            "name" => self.name.clone(),
            _ => {
                let extra = known.extra.as_deref().and_then(|e| serde_json::from_str::<serde_json::Value>(e).ok());
                extra.and_then(|e| e["subset"].as_str().map(str::to_owned)).unwrap_or_default()
            }
        };
        value.replace(['{', '}'], "")
    }

    /// The caption, beginning as it was asked to.
    pub(crate) fn begin(&self, text: &str) -> String {
        let start = &self.start;
        if start.is_empty() || text.to_lowercase().starts_with(&start.to_lowercase()) {
            return text.to_owned();
        }
        let separator = if start.ends_with(['.', ',', ':', ';', '!', '?']) || !self.tags { " " } else { ", " };
        format!("{start}{separator}{text}")
    }
}

/// # Errors
/// Placeholders that do not exist.
fn check(own: &str) -> Result<(), String> {
    let mut rest = own;
    while let Some(at) = rest.find('{') {
        let inner = &rest[at + 1..];
        let end = inner.find('}').unwrap_or(inner.len());
        if !PLACES.contains(&&inner[..end]) {
            return Err(format!(
                "prompt: unknown placeholder `{{{}}}`; known are {{{}}}",
                &inner[..end],
                PLACES.join("}, {")
            ));
        }
        rest = &inner[end..];
    }
    Ok(())
}

/// The tags of an answer: separated by commas or lines, without bullets, numbers and full stops.
pub(crate) fn split_tags(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for part in text.split([',', '\n']) {
        let part = part.trim().trim_start_matches(['-', '*', '•', '#']).trim().trim_matches(['`', '"']);
        let numbered =
            part.split_once(['.', ')']).filter(|(n, _)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        let part = numbered.map_or(part, |(_, rest)| rest).trim();
        let part = part.strip_suffix('.').filter(|p| !p.ends_with('.')).unwrap_or(part);
        if !part.is_empty() && !out.iter().any(|o| o == part) {
            out.push(part.to_owned());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_sdk::Tag;
    use plugin_sdk::settings;
    use serde_json::{Value, json};

    fn prompt(config: Value) -> Result<Prompt, String> {
        Prompt::new(&settings::<Settings>(config).unwrap())
    }

    #[test]
    fn every_kind_and_length_of_the_menu_has_a_text() {
        let options = |name: &str| -> Vec<String> {
            let inputs = <Settings as plugin_sdk::spec::traits::Inputs>::inputs();
            match inputs.into_iter().find(|i| i.name == name).unwrap().widget {
                plugin_sdk::Widget::Combo { options, .. } => options,
                other => panic!("{other:?}"),
            }
        };
        let kinds: Vec<_> = KINDS.iter().map(|k| k.name.to_owned()).collect();
        assert_eq!(options("kind"), kinds);
        let lengths: Vec<_> = LENGTHS.iter().map(|(n, _)| (*n).to_owned()).collect();
        assert_eq!(options("length"), lengths);
        for kind in kinds.iter().filter(|k| *k != "own") {
            for length in &lengths {
                let text = prompt(json!({"kind": kind, "length": length})).unwrap().text(&Annotation::default());
                assert!(!text.contains(['{', '}']) && text.len() > 40, "{kind} {length}: {text}");
            }
        }
        let text = prompt(json!({"length": "short"})).unwrap().text(&Annotation::default());
        assert!(text.starts_with("Write a short (up to 60 words) caption for this picture"), "{text}");
        let text = prompt(json!({"words": 40})).unwrap().text(&Annotation::default());
        assert!(text.starts_with("Write a caption") && text.ends_with("Use at most 40 words."), "{text}");
    }

    #[test]
    fn what_is_known_fills_the_places() {
        let tag = |name: &str, category: &str| Tag { name: name.into(), score: None, category: Some(category.into()) };
        let known = Annotation {
            text: Some("A girl {tags}.".into()),
            tags: vec![tag("hat", "general"), tag("saber", "character")],
            extra: Some(r#"{"subset": "night"}"#.into()),
        };
        let own = "Of {characters} ({tags}) in {subset}: {text} {name}{artists}";
        let prompt = prompt(json!({"kind": "own", "prompt": own, "name": "Mia"})).unwrap();
        assert_eq!(prompt.text(&known), "Of saber (hat, saber) in night: A girl tags. Mia");
    }

    #[test]
    fn wishes_names_and_words_are_passed_on() {
        let prompt = prompt(json!({
            "wishes": "no mood, known tags", "name": "Mia", "start": "ohwx,", "avoid": "vibrant, stunning",
        }));
        let prompt = prompt.unwrap();
        let text = prompt.text(&plugin_test::annotation(&["hat"]));
        for part in [
            "Say nothing of mood",
            "where they help: hat.",
            "call them Mia",
            "exactly these words: ohwx,",
            "Do not use these words: vibrant, stunning.",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(prompt.begin("A hat."), "ohwx, A hat.");
        assert_eq!(prompt.begin("OHWX, a hat."), "OHWX, a hat.");
    }

    #[test]
    fn mistakes_are_named_with_what_is_known() {
        let error = |config| prompt(config).err().unwrap();
        assert!(error(json!({"wishes": "no txt, camera"})).starts_with("wishes: unknown `no txt`; known are no text,"));
        assert!(error(json!({"kind": "own"})).contains("expected the text to ask"));
        assert!(error(json!({"prompt": "a {tag}"})).contains("unknown placeholder `{tag}`; known are {tags}, "));
        assert!(error(json!({"prompt": "{\"a\": 1}"})).contains("unknown placeholder"));
    }

    #[test]
    fn lists_of_tags_are_read_however_they_are_written() {
        assert_eq!(split_tags("1girl, solo,long hair, solo."), ["1girl", "solo", "long hair"]);
        assert_eq!(split_tags("- hat\n- red  dress\n* ..."), ["hat", "red  dress", "..."]);
        assert_eq!(split_tags("1. hat\n2) cat"), ["hat", "cat"]);
    }
}
