//! Rules that rewrite one image's tags, and how often each of them had something to do.

use booru::names::{key, list, matches};
use plugin_sdk::Tag;
use regex_lite::Regex;
use std::collections::BTreeSet;

/// What a rule does to tags that it matches.
enum Action {
    /// Any of these tags becomes the new ones.
    ReplaceAny { from: BTreeSet<String>, to: Vec<String> },
    /// If all of these tags are there, the new ones stand in for them.
    ReplaceAll { from: BTreeSet<String>, to: Vec<String> },
    /// Rewrites names; the result is split at commas, an empty one removes the tag.
    Regex { pattern: Regex, with: String },
    /// Removes tags whose key matches, `*` included.
    Remove { pattern: String },
}

struct Rule {
    action: Action,
    /// The setting and the rule as the user wrote it.
    origin: String,
    /// Is it a mistake if the rule never matches? Not for standing lists such as a blacklist.
    expected: bool,
    hits: u64,
}

/// All rules in the order in which they run: regex, merge, prune, blacklist.
pub(crate) struct Rules(Vec<Rule>);

/// The rules as the user wrote them.
pub(crate) struct Texts<'a> {
    pub(crate) regex: &'a str,
    pub(crate) merge: &'a str,
    pub(crate) prune: &'a str,
    pub(crate) blacklist: &'a str,
}

impl Rules {
    /// # Errors
    /// All rules that cannot be read, each with its setting and text.
    pub(crate) fn parse(texts: &Texts) -> Result<Self, String> {
        let (mut rules, mut problems) = (Vec::new(), Vec::new());
        let mut take = |setting: &str, text: &str, expected: bool, action: Result<Action, String>| match action {
            Ok(action) => rules.push(Rule { action, origin: format!("{setting} `{text}`"), expected, hits: 0 }),
            Err(e) => problems.push(format!("{setting} `{text}`: {e}")),
        };
        for line in lines(texts.regex) {
            take("regex", line, true, regex(line));
        }
        for line in lines(texts.merge) {
            take("merge", line, true, merge(line));
        }
        for name in list(texts.prune) {
            take("prune", name, true, Ok(Action::Remove { pattern: key(name) }));
        }
        // A blacklist may have comments, as the lists that people share do.
        for name in texts.blacklist.lines().flat_map(|l| list(l.split('#').next().unwrap_or(""))) {
            take("blacklist", name, false, Ok(Action::Remove { pattern: key(name) }));
        }
        if problems.is_empty() { Ok(Self(rules)) } else { Err(problems.join("; ")) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Applies every rule in order.
    pub(crate) fn apply(&mut self, mut tags: Vec<Tag>) -> Vec<Tag> {
        for rule in &mut self.0 {
            let before = tags.len();
            let hit;
            (tags, hit) = rule.action.apply(tags);
            rule.hits += u64::from(hit || tags.len() != before);
        }
        tags
    }

    /// Rules that should have matched something and never did.
    pub(crate) fn idle(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|r| r.expected && r.hits == 0).map(|r| r.origin.as_str())
    }
}

impl Action {
    /// The tags afterwards, and whether the action had anything to do.
    fn apply(&self, tags: Vec<Tag>) -> (Vec<Tag>, bool) {
        match self {
            Self::Remove { pattern } => {
                let before = tags.len();
                let kept: Vec<_> = tags.into_iter().filter(|t| !matches(pattern, &key(&t.name))).collect();
                let hit = kept.len() != before;
                (kept, hit)
            }
            Self::Regex { pattern, with } => {
                let mut hit = false;
                let new = tags.into_iter().flat_map(|tag| {
                    let name = pattern.replace_all(&tag.name, with.as_str());
                    hit |= name != tag.name;
                    list(&name).map(|name| Tag { name: name.to_owned(), ..tag.clone() }).collect::<Vec<_>>()
                });
                (new.collect(), hit)
            }
            Self::ReplaceAny { from, to } => replace(tags, from, to),
            Self::ReplaceAll { from, to } => {
                let there: BTreeSet<String> = tags.iter().map(|t| key(&t.name)).collect();
                if from.is_subset(&there) { replace(tags, from, to) } else { (tags, false) }
            }
        }
    }
}

/// Puts `to` where the first of `from` was; it inherits the best score.
fn replace(tags: Vec<Tag>, from: &BTreeSet<String>, to: &[String]) -> (Vec<Tag>, bool) {
    let old = |t: &&Tag| from.contains(&key(&t.name));
    let Some(first) = tags.iter().find(old).cloned() else { return (tags, false) };
    let score = tags.iter().filter(old).filter_map(|t| t.score).reduce(f32::max);
    let mut new = Some(to.iter().map(|name| Tag { name: name.clone(), score, category: first.category.clone() }));
    let out = tags.into_iter().flat_map(|tag| {
        if from.contains(&key(&tag.name)) { new.take().into_iter().flatten().collect() } else { vec![tag] }
    });
    (out.collect(), true)
}

fn regex(line: &str) -> Result<Action, String> {
    let (pattern, with) = arrow(line)?;
    let pattern = Regex::new(pattern).map_err(|e| format!("not a regular expression: {e}"))?;
    Ok(Action::Regex { pattern, with: with.to_owned() })
}

fn merge(line: &str) -> Result<Action, String> {
    let (from, to) = arrow(line)?;
    let to: Vec<String> = list(to).map(str::to_owned).collect();
    if to.is_empty() {
        return Err("expected tags after `->`, found none; use the setting `prune` to remove tags".into());
    }
    let all: BTreeSet<String> = from.split(" + ").map(key).collect();
    let any: BTreeSet<String> = list(from).map(key).collect();
    if any.is_empty() || all.contains("") {
        return Err("expected tags before `->`, found none".into());
    }
    Ok(if all.len() > 1 { Action::ReplaceAll { from: all, to } } else { Action::ReplaceAny { from: any, to } })
}

fn arrow(line: &str) -> Result<(&str, &str), String> {
    let (from, to) = line.rsplit_once("->").ok_or("expected `old -> new`, found no `->`")?;
    Ok((from.trim(), to.trim()))
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|l| !l.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str) -> Vec<Tag> {
        list(text).map(|name| Tag { name: name.to_owned(), ..Tag::default() }).collect()
    }

    fn run(texts: Texts, text: &str) -> (String, Vec<String>) {
        let mut rules = Rules::parse(&texts).unwrap();
        let out = rules.apply(tags(text)).into_iter().map(|t| t.name).collect::<Vec<_>>().join(", ");
        (out, rules.idle().map(str::to_owned).collect())
    }

    const NONE: Texts<'static> = Texts { regex: "", merge: "", prune: "", blacklist: "" };

    #[test]
    fn merges_any_or_all() {
        let merge = "striped shirt, vertical stripes -> striped_shirt_2\nhat + red -> red hat";
        assert_eq!(run(Texts { merge, ..NONE }, "a, vertical_stripes, b, red").0, "a, striped_shirt_2, b, red");
        let (out, idle) = run(Texts { merge, ..NONE }, "red, x, hat");
        assert_eq!(out, "red hat, x");
        assert_eq!(idle, ["merge `striped shirt, vertical stripes -> striped_shirt_2`"]);
    }

    #[test]
    fn a_merge_of_one_tag_with_itself_still_counts() {
        assert!(run(Texts { merge: "a -> a", ..NONE }, "a").1.is_empty());
    }

    #[test]
    fn prunes_exactly_and_with_wildcards() {
        let (out, idle) = run(Texts { prune: "teal hair, *_eyes, missing", ..NONE }, "teal_hair, blue eyes, eyes");
        assert_eq!(out, "eyes");
        assert_eq!(idle, ["prune `missing`"]);
    }

    #[test]
    fn a_blacklist_has_comments_and_may_match_nothing() {
        let (out, idle) = run(Texts { blacklist: "# meta tags\nhighres # sizes\n*_commentary", ..NONE }, "highres, a");
        assert_eq!(out, "a");
        assert!(idle.is_empty());
    }

    #[test]
    fn regex_rules_capture_split_and_remove() {
        let regex = "^(\\w+) haired (\\w+)$ -> $1 hair, $2\n^score_.* ->";
        assert_eq!(run(Texts { regex, ..NONE }, "red haired girl, score_9, hat").0, "red hair, girl, hat");
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let e = Rules::parse(&Texts { regex: "( -> x", merge: "a, b\n -> c\nd ->", ..NONE }).err().unwrap();
        for part in [
            "regex `( -> x`: not a regular expression",
            "merge `a, b`: expected `old -> new`",
            "merge `-> c`: expected tags before",
            "merge `d ->`: expected tags after",
        ] {
            assert!(e.contains(part), "{part} not in {e}");
        }
    }

    #[test]
    fn the_best_score_is_kept() {
        let mut input = tags("a, b");
        input[0].score = Some(0.5);
        input[1].score = Some(0.9);
        let mut rules = Rules::parse(&Texts { merge: "a, b -> c", ..NONE }).unwrap();
        assert_eq!(rules.apply(input)[0].score, Some(0.9));
    }
}
