//! Tags that say the same twice: drops what a more special tag implies, or adds what is implied; names aliases by their
//! usual name; drops words that another tag holds, and traits that cannot be told apart among several people.
//!
//! The order: aliases, implications, overlap, several people. Start at [`Settings`]; the graph of implications is in
//! `graph.rs`, the other rules in `rules.rs`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod graph;
mod rules;

use booru::names::{key, list};
use graph::Graph;
use plugin_sdk::{Error, FilterRequest, Info, Inputs, Result, Tag, TagFilter, Verdict, export, files, info};
use std::collections::{BTreeMap, BTreeSet};

/// Drops tags that more special ones imply, or adds what is implied, by your own lists or those of an image board.
#[derive(Inputs, Clone)]
pub struct Settings {
    /// `collapse` drops what another tag of the picture implies, `expand` adds it, `off` does neither.
    #[input(default = "collapse", options = ["collapse", "expand", "off"])]
    mode: String,
    /// Implications, one a line: `white shirt -> shirt, clothes`.
    #[input(default = "", multiline)]
    implications: String,
    /// Aliases, one a line: `grey hair = gray hair, silver-grey hair`; the first name stays.
    #[input(default = "", multiline)]
    aliases: String,
    /// A folder with lists as image boards give them, `tag_implications.json` and `tag_aliases.json`.
    #[input(default = "", host_list = "folder")]
    folder: String,
    /// Drop a tag whose words all stand at the end of another: `shirt` beside `white shirt`.
    #[input(default = false)]
    overlap: bool,
    /// If several people have different hair, eyes or sleeves, drop all tags that tell them: nobody could say whose they
    /// are.
    #[input(default = false)]
    several_people: bool,
    /// Tags that are never dropped, separated by commas or lines; `*` stands for any text.
    #[input(default = "", multiline)]
    keep: String,
}

/// The filter.
pub struct TagImplications {
    settings: Settings,
    graph: Graph,
    /// Key of an alias → usual name.
    aliases: BTreeMap<String, String>,
    keep: Vec<String>,
}

/// Longest list of a board.
const MAX_BYTES: u64 = 32 << 20;

impl TagFilter for TagImplications {
    type Settings = Settings;
    const INFO: Info = Info { category: "dataset/tags", ..info!("anagama.tag-implications", "Implied tags") };

    fn open(settings: Settings) -> Result<Self> {
        let mut pairs = Vec::new();
        let mut aliases = BTreeMap::new();
        let mut problems = Vec::new();
        for line in lines(&settings.implications) {
            match line.split_once("->").map(|(from, to)| (from.trim(), list(to).collect::<Vec<_>>())) {
                Some((from, to)) if !from.is_empty() && !from.contains(',') && !to.is_empty() => {
                    pairs.extend(to.iter().map(|t| (from.to_owned(), (*t).to_owned())));
                }
                _ => problems.push(format!("implications `{line}`: expected `special tag -> general tag, …`")),
            }
        }
        for line in lines(&settings.aliases) {
            match line.split_once(" = ").map(|(usual, others)| (usual.trim(), list(others).collect::<Vec<_>>())) {
                Some((usual, others)) if !usual.is_empty() && !others.is_empty() => {
                    aliases.extend(others.iter().map(|o| (key(o), usual.to_owned())));
                }
                _ => problems.push(format!("aliases `{line}`: expected `usual tag = other, …`")),
            }
        }
        if !problems.is_empty() {
            return Err(Error::invalid_input(problems.join("; ")));
        }
        if !settings.folder.is_empty() {
            let read = |name: &str| listed(&settings.folder, name);
            let (implied, alias) = (read("tag_implications.json")?, read("tag_aliases.json")?);
            if implied.is_none() && alias.is_none() {
                return Err(Error::not_found(
                    "folder: expected `tag_implications.json` or `tag_aliases.json`, found neither",
                ));
            }
            pairs.extend(implied.into_iter().flatten());
            for (other, usual) in alias.into_iter().flatten() {
                // What the user wrote counts more than a board's list.
                aliases.entry(key(&other)).or_insert(usual);
            }
        }
        let keep = list(&settings.keep).map(key).collect();
        Ok(Self { graph: Graph::new(pairs), aliases, keep, settings })
    }

    fn apply(&mut self, batch: Vec<FilterRequest>) -> Result<Vec<Verdict>> {
        let one = |mut request: FilterRequest| {
            let tags = std::mem::take(&mut request.annotation.tags);
            request.annotation.tags = self.tags(tags);
            Verdict::Keep(request.annotation)
        };
        Ok(batch.into_iter().map(one).collect())
    }
}

impl TagImplications {
    fn tags(&self, mut tags: Vec<Tag>) -> Vec<Tag> {
        for tag in &mut tags {
            if let Some(usual) = self.aliases.get(&key(&tag.name)) {
                tag.name = spelled_as(usual, &tag.name);
            }
        }
        if !self.aliases.is_empty() {
            let mut seen = BTreeSet::new();
            tags.retain(|t| seen.insert(key(&t.name)));
        }
        match self.settings.mode.as_str() {
            "collapse" => {
                let there: Vec<String> = tags.iter().map(|t| key(&t.name)).collect();
                let implied = self.graph.implied_by_others(&there);
                tags.retain(|t| !implied.contains(&key(&t.name)) || self.kept(&t.name));
            }
            "expand" => tags = self.expanded(tags),
            _ => {}
        }
        if self.settings.overlap {
            let held = rules::held(&tags);
            tags.retain(|t| !held.contains(&key(&t.name)) || self.kept(&t.name));
        }
        if self.settings.several_people {
            let mixed = rules::mixed_traits(&tags);
            tags.retain(|t| !mixed.contains(&key(&t.name)) || self.kept(&t.name));
        }
        tags
    }

    /// Each tag with what it implies behind it.
    fn expanded(&self, tags: Vec<Tag>) -> Vec<Tag> {
        let mut seen: BTreeSet<String> = tags.iter().map(|t| key(&t.name)).collect();
        let mut out = Vec::with_capacity(tags.len());
        for tag in tags {
            let new: Vec<Tag> = self
                .graph
                .all_from(&key(&tag.name))
                .into_iter()
                .filter(|(k, _)| seen.insert(k.clone()))
                .map(|(_, name)| Tag { name: spelled_as(&name, &tag.name), score: tag.score, category: None })
                .collect();
            out.push(tag);
            out.extend(new);
        }
        out
    }

    fn kept(&self, name: &str) -> bool {
        self.keep.iter().any(|pattern| booru::names::matches(pattern, &key(name)))
    }
}

/// The name with spaces or underscores, as another has them.
fn spelled_as(name: &str, like: &str) -> String {
    if like.contains('_') { booru::names::underscored(name) } else { booru::names::spaced(name) }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|l| l.split('#').next().unwrap_or_default().trim()).filter(|l| !l.is_empty())
}

/// The active pairs of a board's list; none if the folder does not hold it.
fn listed(folder: &str, name: &str) -> Result<Option<Vec<(String, String)>>> {
    let bytes = match files::read(folder, name, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(e) if e.kind == plugin_sdk::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let bad = |found: &str| Error::invalid_input(format!("{name}: expected a list of a board as JSON, found {found}"));
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| bad(&e.to_string()))?;
    let rows = value.as_array().ok_or_else(|| bad("no list"))?;
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let (Some(from), Some(to)) = (row["antecedent_name"].as_str(), row["consequent_name"].as_str()) else {
            return Err(bad("a row without `antecedent_name` and `consequent_name`"));
        };
        if row["status"].as_str().is_none_or(|s| s == "active") {
            out.push((from.to_owned(), to.to_owned()));
        }
    }
    Ok(Some(out))
}

export!(TagImplications: TagFilter);

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;
