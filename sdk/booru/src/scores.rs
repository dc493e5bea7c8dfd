//! What a tagger said of a picture, and which tags to choose of it.
//!
//! All scores from [`LEAST`] on are kept with the picture, so that other thresholds need no other run of the model.
//! Start at [`Scores::new`], then [`Scores::choose`].

use crate::labels::{Category, Label};
use crate::names::key;
use plugin_sdk::Tag;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;

/// Scores below are not kept, unless a threshold is lower.
pub const LEAST: f32 = 0.05;

/// The least threshold that MCut may give for characters: most pictures show none that the model knows.
const CHARACTER_MCUT_FLOOR: f32 = 0.15;

/// The scores of one picture by one tagger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Digest of the model's weights, and hashes of the files beside them that matter.
    pub weights: String,
    /// Digest of the picture's pixels.
    pub picture: String,
    /// How it was brought to the model's size.
    pub resize: String,
    /// The least score that is kept; all of ratings and qualities are.
    pub least: f32,
    /// MCut's threshold by category, over all scores, those below `least` too.
    pub cuts: BTreeMap<String, f32>,
    /// Name as in the model's list, category, score; in the order of that list.
    #[serde(serialize_with = "in_few_digits")]
    pub tags: Vec<(String, String, f32)>,
}

/// A score as the shortest number that is it again; as any other f64 it would have seventeen digits.
fn in_few_digits<S: Serializer>(tags: &[(String, String, f32)], to: S) -> Result<S::Ok, S::Error> {
    let short = |score: f32| score.to_string().parse::<f64>().unwrap_or(f64::from(score));
    to.collect_seq(tags.iter().map(|(name, category, score)| (name, category, short(*score))))
}

impl Scores {
    /// What to keep of a picture's scores, one for each label.
    pub fn new(labels: &[Label], scores: &[f32], least: f32) -> Self {
        let mut by_category: BTreeMap<String, Vec<f32>> = BTreeMap::new();
        for (label, score) in labels.iter().zip(scores) {
            by_category.entry(label.category.name().to_owned()).or_default().push(*score);
        }
        let kept = |(label, score): &(&Label, &f32)| **score >= least || label.category.only_one();
        let row = |(label, score): (&Label, &f32)| (label.name.clone(), label.category.name().to_owned(), *score);
        Self {
            least,
            cuts: by_category.into_iter().map(|(category, scores)| (category, mcut(&scores))).collect(),
            tags: labels.iter().zip(scores).filter(kept).map(row).collect(),
            ..Self::default()
        }
    }

    /// The tags above their thresholds, highest score first; of ratings and qualities none.
    pub fn choose(&self, thresholds: &Thresholds) -> Vec<Tag> {
        let chosen = |(_, category, score): &&(String, String, f32)| {
            let only_one = Category::named(category).is_some_and(Category::only_one);
            !only_one && *score >= thresholds.of(category, &self.cuts)
        };
        let mut tags: Vec<Tag> = self.tags.iter().filter(chosen).map(tag).collect();
        sort(&mut tags);
        tags
    }

    /// The tag with the highest score of a category, if the model has that category.
    pub fn best(&self, category: Category) -> Option<Tag> {
        let of = self.tags.iter().filter(|row| row.1 == category.name());
        of.reduce(|best, row| if row.2 > best.2 { row } else { best }).map(tag)
    }
}

fn tag((name, category, score): &(String, String, f32)) -> Tag {
    Tag { name: name.clone(), score: Some(*score), category: Some(category.clone()) }
}

/// A stable sort: equal scores keep the order of the list, so that results never depend on chance.
fn sort(tags: &mut [Tag]) {
    tags.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
}

/// From which score on a tag counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    pub general: f32,
    pub character: f32,
    /// Of further categories, by name; those that are not named are as general tags.
    pub others: BTreeMap<String, f32>,
    /// Use [`mcut`] instead, where no threshold is named in `others`.
    pub mcut: bool,
}

impl Thresholds {
    /// Reads a list such as `copyright = 0.5, meta = off`.
    ///
    /// # Errors
    /// Other words, unknown categories and scores outside 0…1.
    pub fn others(list: &str) -> Result<BTreeMap<String, f32>, String> {
        let mut out = BTreeMap::new();
        for part in crate::names::list(list) {
            let wrong = || format!("expected `category = score`, with a score from 0 to 1 or `off`, found `{part}`");
            let (name, score) = part.split_once('=').ok_or_else(wrong)?;
            let category = Category::named(name).filter(|c| !c.only_one());
            let category = category.ok_or_else(|| {
                format!(
                    "`{}` is no category with a threshold; there are general, character, copyright, artist, meta, model \
                     and other",
                    name.trim()
                )
            })?;
            let score = match score.trim() {
                "off" => f32::INFINITY,
                number => number.parse().ok().filter(|s| (0.0..=1.0).contains(s)).ok_or_else(wrong)?,
            };
            out.insert(category.name().to_owned(), score);
        }
        Ok(out)
    }

    fn of(&self, category: &str, cuts: &BTreeMap<String, f32>) -> f32 {
        if let Some(own) = self.others.get(category) {
            return *own;
        }
        let floor = if category == "character" { CHARACTER_MCUT_FLOOR } else { LEAST };
        match (cuts.get(category), category) {
            (Some(cut), _) if self.mcut => cut.max(floor),
            (_, "character") => self.character,
            _ => self.general,
        }
    }

    /// The score from which on a tagger's answer must be kept for this choice.
    pub fn least(&self) -> f32 {
        let fixed = if self.mcut { LEAST } else { self.general.min(self.character) };
        self.others.values().copied().fold(fixed.min(LEAST), f32::min)
    }
}

/// How the choices of several taggers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// Tags that any of them chose, with the highest score.
    Union,
    /// Tags that all of them chose, with the lowest.
    Intersection,
}

/// One choice of several, highest score first. Tags are the same if their names are but for spelling.
pub fn combine(choices: &[Vec<Tag>], how: Combine) -> Vec<Tag> {
    let [first, others @ ..] = choices else { return Vec::new() };
    let mut tags = first.clone();
    for other in others {
        let theirs: BTreeMap<String, &Tag> = other.iter().map(|tag| (key(&tag.name), tag)).collect();
        if how == Combine::Intersection {
            tags.retain(|tag| theirs.contains_key(&key(&tag.name)));
        }
        let mut seen = std::collections::BTreeSet::new();
        for tag in &mut tags {
            let name = key(&tag.name);
            if let (Some(ours), Some(score)) = (tag.score, theirs.get(&name).and_then(|t| t.score)) {
                let better = (score > ours) == (how == Combine::Union);
                tag.score = Some(if better { score } else { ours });
            }
            seen.insert(name);
        }
        if how == Combine::Union {
            tags.extend(other.iter().filter(|tag| !seen.contains(&key(&tag.name))).cloned());
        }
    }
    sort(&mut tags);
    tags
}

/// Maximum cut: the middle of the largest gap in the sorted scores.
/// Source: Largeron, Moulin and Géry, "MCut: a thresholding strategy for multi-label classification" (2012).
pub fn mcut(scores: &[f32]) -> f32 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted
        .windows(2)
        .fold(
            (0.0, 1.0),
            |(gap, cut), w| if w[0] - w[1] > gap { (w[0] - w[1], (w[0] + w[1]) / 2.0) } else { (gap, cut) },
        )
        .1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::parse;

    const CSV: &str = "name,category\nsafe,9\nnsfw,9\nlong_hair,0\nhat,0\nmiku,4\nvocaloid,3\n";

    fn thresholds(others: &str, mcut: bool) -> Thresholds {
        Thresholds { general: 0.35, character: 0.85, others: Thresholds::others(others).unwrap(), mcut }
    }

    fn names(tags: &[Tag]) -> Vec<&str> {
        tags.iter().map(|t| t.name.as_str()).collect()
    }

    #[test]
    fn thresholds_differ_by_category_and_tags_are_sorted() {
        let labels = parse(CSV).unwrap();
        let chosen =
            |scores: &[f32], t: &Thresholds| names(&Scores::new(&labels, scores, t.least()).choose(t)).join(" ");
        let plain = thresholds("", false);
        assert_eq!(chosen(&[0.9, 0.1, 0.4, 0.5, 0.8, 0.4], &plain), "hat long_hair vocaloid");
        assert_eq!(chosen(&[0.9, 0.1, 0.34, 0.1, 0.9, 0.1], &plain), "miku");
        let named = thresholds("Copyright = 0.9, character=off, general = 0.02", false);
        assert_eq!(named.least(), 0.02);
        assert_eq!(chosen(&[0.9, 0.1, 0.03, 0.01, 0.99, 0.8], &named), "long_hair");
    }

    #[test]
    fn another_choice_of_what_was_kept_is_that_of_a_new_run() {
        let labels = parse(CSV).unwrap();
        let scores = [0.2, 0.01, 0.3, 0.06, 0.9, 0.04];
        let kept = Scores::new(&labels, &scores, LEAST);
        assert_eq!(kept.tags.len(), 5, "ratings are kept whatever their score: {kept:?}");
        assert_eq!(kept.best(Category::Rating).unwrap().name, "safe");
        assert_eq!(kept.best(Category::Quality), None);
        for general in [0.05, 0.06, 0.061, 0.3, 0.5] {
            for mcut in [false, true] {
                let t = Thresholds { general, mcut, ..thresholds("", false) };
                let all = Scores::new(&labels, &scores, 0.0).choose(&t);
                assert_eq!(kept.choose(&t), all, "{general} {mcut}");
            }
        }
        let json = plugin_sdk::serde_json::to_value(&kept).unwrap().to_string();
        assert!(json.contains(r#"["hat","general",0.06]"#), "{json}");
        assert_eq!(plugin_sdk::serde_json::from_str::<Scores>(&json).unwrap(), kept, "{json}");
    }

    #[test]
    fn mcut_cuts_at_the_largest_gap() {
        assert!((mcut(&[0.9, 0.1, 0.85, 0.2]) - 0.525).abs() < 1e-6);
        assert_eq!(mcut(&[]), 1.0);
        let labels = parse(CSV).unwrap();
        let kept = Scores::new(&labels, &[0.0, 0.0, 0.3, 0.05, 0.1, 0.0], LEAST);
        assert_eq!(names(&kept.choose(&thresholds("", true))), ["long_hair"]);
        // The gap counts that lies below what is kept.
        let low = Scores::new(&labels, &[0.0, 0.0, 0.09, 0.06, 0.1, 0.0], LEAST);
        assert!((low.cuts["general"] - 0.075).abs() < 1e-6);
        assert_eq!(names(&low.choose(&thresholds("general = 0.05", true))), ["long_hair", "hat"]);
    }

    #[test]
    fn several_taggers_are_united_or_intersected() {
        let tag = |name: &str, score: f32| Tag { name: name.into(), score: Some(score), ..Tag::default() };
        let a = vec![tag("long_hair", 0.9), tag("hat", 0.5)];
        let b = vec![tag("smile", 0.95), tag("Hat", 0.7), tag("long hair", 0.6)];
        let all = |choices: &[Vec<Tag>], how| -> Vec<(String, f32)> {
            combine(choices, how).into_iter().map(|t| (t.name, t.score.unwrap())).collect()
        };
        let row = |name: &str, score: f32| (name.to_owned(), score);
        let both = [a.clone(), b];
        assert_eq!(all(&both, Combine::Union), [row("smile", 0.95), row("long_hair", 0.9), row("hat", 0.7)]);
        assert_eq!(all(&both, Combine::Intersection), [row("long_hair", 0.6), row("hat", 0.5)]);
        assert_eq!(combine(std::slice::from_ref(&a), Combine::Intersection), a);
        assert!(combine(&[a, Vec::new()], Combine::Intersection).is_empty());
    }

    #[test]
    fn wrong_lists_are_refused() {
        for (list, says) in [
            ("copyright", "found `copyright`"),
            ("colour = 0.5", "`colour` is no category"),
            ("rating = 0.5", "`rating` is no category"),
            ("meta = 2", "from 0 to 1"),
            ("meta = much", "or `off`"),
        ] {
            let e = Thresholds::others(list).unwrap_err();
            assert!(e.contains(says), "{e}");
        }
    }
}
