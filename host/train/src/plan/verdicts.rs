//! Is there enough variety in a data set? Judged by its captions: what all images share becomes part of what is learned.

use super::some;
use crate::captions::is_sentences;
use crate::own::Own;
use data::{Dataset, Item};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many images show what, in one respect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variety {
    /// `framing`, `view`, `pose`, `expression`, `head`.
    pub aspect: String,
    /// Name and number of images, most frequent first.
    pub counts: Vec<(String, usize)>,
    /// Images whose captions say nothing of it.
    pub unsaid: usize,
}

/// What images can differ in.
struct Aspect {
    name: &'static str,
    /// Value and the words that speak of it; the first value that is found counts.
    values: &'static [(&'static str, &'static [&'static str])],
    /// What follows if nearly all images are alike.
    follows: &'static str,
}

const ASPECTS: &[Aspect] = &[
    Aspect {
        name: "framing",
        values: &[
            ("full bodies", &["full body", "wide shot", "very wide shot", "full shot", "full-body"]),
            ("upper bodies", &["upper body", "cowboy shot", "half body", "medium shot", "bust shot"]),
            ("lower bodies", &["lower body", "feet only", "head out of frame"]),
            (
                "close-ups",
                &["close-up", "close up", "closeup", "portrait", "face", "face focus", "head only", "headshot"],
            ),
        ],
        follows: "other framings will come out badly",
    },
    Aspect {
        name: "view",
        values: &[
            ("from behind", &["from behind", "back view", "looking back"]),
            ("from the side", &["from side", "from the side", "profile", "side view", "three quarter view"]),
            ("from above", &["from above", "high angle"]),
            ("from below", &["from below", "low angle"]),
            ("from the front", &["looking at viewer", "from front", "front view", "facing viewer", "straight-on"]),
        ],
        follows: "other views will come out badly",
    },
    Aspect {
        name: "pose",
        values: &[
            ("standing", &["standing", "stands"]),
            ("sitting", &["sitting", "sits", "seated"]),
            ("lying", &["lying", "on back", "on side", "on stomach", "lies"]),
            ("kneeling", &["kneeling", "squatting", "all fours", "kneels"]),
            ("moving", &["walking", "running", "jumping", "dancing", "walks", "runs"]),
        ],
        follows: "the pose will stick to what is learned",
    },
    Aspect {
        name: "expression",
        values: &[
            ("smiling", &["smile", "smiling", "grin", "smiles", "laughing"]),
            ("serious", &["expressionless", "serious", "closed mouth", "frown"]),
            ("sad", &["sad", "crying", "tears"]),
            ("angry", &["angry", "shouting"]),
        ],
        follows: "the expression will stick to what is learned",
    },
    Aspect {
        name: "head",
        values: &[("tilted", &["head tilt", "tilted head"])],
        follows: "the head will be held so in every picture",
    },
];

/// Below this share of the images that say something, values are mixed enough.
const MOST: f64 = 0.8;
/// Fewer images are not worth statistics.
const ENOUGH: usize = 5;

pub(super) struct Looked {
    pub(super) variety: Vec<Variety>,
    pub(super) verdict: String,
    pub(super) warnings: Vec<String>,
}

/// Looks at the images that are to be learned.
pub(super) fn look(own: &Own, dataset: &Dataset) -> Looked {
    let learned: Vec<(usize, &Item)> = dataset.items.iter().enumerate().filter(|(_, i)| !i.is_reg).collect();
    let n = learned.len();
    let captions: Vec<Words> = learned.iter().map(|(_, item)| Words::of(item)).collect();
    let mut findings = Vec::new();
    let mut warnings = Vec::new();
    match n {
        0 => findings.push("nothing to learn from".to_owned()),
        1..=5 => {
            findings.push("too few".into());
            warnings.push(format!("{n} images are too few to learn more than these very pictures"));
        }
        6..15 => {
            findings.push("few".into());
            warnings.push(format!("{n} images are few; 15 or more give a network that is easier to steer"));
        }
        _ => {}
    }
    let mut variety = Vec::new();
    for aspect in ASPECTS {
        let counted = aspect.count(&captions);
        if let Some((value, count)) = aspect.dominant(&counted, n) {
            let share = if count == n { "all" } else { "nearly all" };
            findings.push(format!("{share} {value}"));
            warnings.push(format!(
                "{count} of {n} images are alike in {} ({value}): {}; add others, or drop some of these",
                aspect.name, aspect.follows
            ));
        }
        warnings.extend(aspect.single(&counted, n));
        if !counted.counts.is_empty() {
            variety.push(counted);
        }
    }
    warnings.extend(shared(own, &learned, &captions));
    let summary = if findings.is_empty() { "no complaints".to_owned() } else { findings.join("; ") };
    Looked { variety, verdict: format!("{n} images: {summary}"), warnings }
}

/// What a caption says, in lower case with spaces.
struct Words {
    tags: Vec<String>,
    text: String,
}

impl Words {
    fn of(item: &Item) -> Self {
        let plain = |s: &str| s.trim().to_lowercase().replace('_', " ");
        let sentences = is_sentences(item);
        let caption = plain(&item.caption());
        let tags = item.annotation.tags.iter().map(|t| plain(&t.name)).collect();
        Self { tags, text: if sentences { caption } else { String::new() } }
    }

    fn say(&self, word: &str) -> bool {
        let bounded = |at: usize| {
            let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            !letter(self.text[..at].chars().next_back()) && !letter(self.text[at + word.len()..].chars().next())
        };
        self.tags.iter().any(|t| t == word) || self.text.match_indices(word).any(|(at, _)| bounded(at))
    }
}

impl Aspect {
    fn count(&self, captions: &[Words]) -> Variety {
        let value = |words: &Words| self.values.iter().find(|(_, said)| said.iter().any(|w| words.say(w)));
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, _) in captions.iter().filter_map(value) {
            *counts.entry(name).or_default() += 1;
        }
        let unsaid = captions.len() - counts.values().sum::<usize>();
        let mut counts: Vec<(String, usize)> = counts.into_iter().map(|(k, n)| (k.to_owned(), n)).collect();
        counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        Variety { aspect: self.name.into(), counts, unsaid }
    }

    /// A value that nearly all images have. Captions that say nothing count as others where there is only one value.
    fn dominant<'a>(&self, counted: &'a Variety, n: usize) -> Option<(&'a str, usize)> {
        let (value, count) = counted.counts.first()?;
        let said = n - counted.unsaid;
        let of = if self.values.len() > 1 { said } else { n };
        let speaks = said * 2 >= n && n >= ENOUGH;
        (speaks && *count as f64 >= MOST * of as f64).then_some((value, *count))
    }

    /// Values that only one image shows.
    fn single(&self, counted: &Variety, n: usize) -> Option<String> {
        let once: Vec<&str> = counted.counts.iter().filter(|(_, n)| *n == 1).map(|(k, _)| k.as_str()).collect();
        (n >= 10 && self.values.len() > 1 && !once.is_empty()).then(|| {
            format!("{}: only one image is `{}`; two or more of a kind can be learned", self.name, once.join("`, `"))
        })
    }
}

/// Tags that say how many there are, not what they look like.
const COUNTS: [&str; 6] = ["1girl", "1boy", "solo", "1other", "no humans", "general"];

/// Tags that all images have, besides those in front that call up what is learned.
fn shared(own: &Own, learned: &[(usize, &Item)], captions: &[Words]) -> Option<String> {
    let (first, rest) = captions.split_first()?;
    if captions.len() < ENOUGH {
        return None;
    }
    let activation = |tag: &String| {
        learned.iter().any(|(i, _)| own.of(*i).captions.activation_tags.iter().any(|a| a.trim().to_lowercase() == *tag))
    };
    let front = |tag: &String| captions.iter().all(|c| c.tags.first() == Some(tag));
    let all = first.tags.iter().filter(|t| rest.iter().all(|c| c.tags.contains(t)));
    let all: Vec<&str> =
        all.filter(|t| !activation(t) && !front(t) && !COUNTS.contains(&t.as_str())).map(String::as_str).collect();
    (!all.is_empty()).then(|| {
        format!(
            "every image is tagged {}: a tag that never varies cannot be told apart from the activation tag; without \
             it, its meaning goes into what is learned",
            some(&all)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn looked(captions: &[&str]) -> Looked {
        let item = |c: &&str| Item { annotation: data::captions::parse(c), repeats: 1, ..Item::default() };
        let set = Dataset { items: captions.iter().map(item).collect(), notes: vec![] };
        look(&Own::new(&Config::default(), &set).unwrap(), &set)
    }

    #[test]
    fn a_one_sided_data_set_is_named() {
        let l =
            looked(&["ohwx, close-up, smile", "ohwx, portrait", "ohwx, face", "ohwx, close-up, hat", "ohwx, close-up"]);
        assert_eq!(l.verdict, "5 images: too few; all close-ups");
        assert!(l.warnings.iter().any(|w| w.contains("5 of 5 images are alike in framing")), "{:?}", l.warnings);
        assert_eq!(l.variety[0].counts, [("close-ups".to_owned(), 5)]);
        assert_eq!(looked(&["a", "b"]).verdict, "2 images: too few");
    }

    #[test]
    fn a_tilted_head_in_most_images_is_named() {
        let mut captions = vec!["ohwx, head_tilt, hat"; 8];
        captions.extend(["ohwx, dog", "ohwx, sea"]);
        let l = looked(&captions);
        assert!(l.warnings.iter().any(|w| w.contains("8 of 10 images are alike in head (tilted)")), "{:?}", l.warnings);
        assert!(!l.warnings.iter().any(|w| w.contains("every image")), "{:?}", l.warnings);
    }

    #[test]
    fn mixed_framing_is_fine_and_sentences_are_read() {
        let mut captions =
            vec!["A full-body picture of a man who stands there.", "A man sits, upper body only, at a table."];
        captions.extend(["ohwx, close-up, b", "ohwx, full body, c", "ohwx, full_body, sitting, surface"]);
        let l = looked(&captions);
        let framing = &l.variety[0];
        assert_eq!(framing.counts[0], ("full bodies".to_owned(), 3));
        assert_eq!(framing.unsaid, 0);
        assert_eq!(l.verdict, "5 images: too few");
    }

    #[test]
    fn what_every_image_has_is_named() {
        let l = looked(&[
            "ohwx, a, hat, solo",
            "ohwx, hat, solo, b",
            "ohwx, c, hat, solo",
            "ohwx, hat, solo",
            "ohwx, hat, solo",
        ]);
        let shared: Vec<&String> = l.warnings.iter().filter(|w| w.contains("every image")).collect();
        assert!(shared.len() == 1 && shared[0].contains("tagged hat:"), "{shared:?}");
    }
}
