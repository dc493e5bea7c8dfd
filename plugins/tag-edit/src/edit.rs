//! The whole edit of one image, in its fixed order, and what is to be said about it at the end.

use crate::Settings;
use crate::frame::Frame;
use crate::frequency::{Counts, Limits};
use crate::order::Order;
use crate::rules::{Rules, Texts};
use crate::weights::{Weights, unescaped};
use booru::names::{key, list, spaced, underscored};
use plugin_sdk::{Annotation, Tag};
use std::collections::BTreeSet;

/// A configured edit.
pub(crate) struct Edit {
    settings: Settings,
    rules: Rules,
    frame: Frame,
    limits: Limits,
    drop_categories: BTreeSet<String>,
    order: Order,
    counts: Counts,
}

impl Edit {
    /// # Errors
    /// Every setting that cannot be read.
    pub(crate) fn new(settings: Settings) -> Result<Self, String> {
        let s = &settings;
        let rules = Rules::parse(&Texts { regex: &s.regex, merge: &s.merge, prune: &s.prune, blacklist: &s.blacklist });
        let frame = Frame::parse(&s.activation, &s.prefix, &s.suffix, &s.subset_prefix, &s.subset_suffix);
        let (rules, frame) = match (rules, frame) {
            (Ok(rules), Ok(frame)) => (rules, frame),
            (rules, frame) => {
                return Err([rules.err(), frame.err()].into_iter().flatten().collect::<Vec<_>>().join("; "));
            }
        };
        let limits = Limits { min_images: s.min_images.into(), max_share: s.max_share };
        let drop_categories = list(&s.drop_categories).map(str::to_lowercase).collect();
        let order = Order::new(s);
        Ok(Self { rules, frame, limits, drop_categories, order, counts: Counts::default(), settings })
    }

    /// Does the edit need to see the whole data set before it decides?
    pub(crate) fn needs_observation(&self) -> bool {
        // Rules and subsets only to report those that never match.
        self.limits.active() || self.settings.sort == "frequency" || !self.rules.is_empty() || self.frame.has_subsets()
    }

    /// Takes note of one image.
    pub(crate) fn observe(&mut self, subset: &str, annotation: &Annotation) {
        let (tags, _) = self.clean(annotation.tags.clone());
        self.counts.add(&tags);
        self.frame.saw(subset);
    }

    /// What the user should know once everything was seen: (is it a warning?, text).
    pub(crate) fn remarks(&self) -> Vec<(bool, String)> {
        if self.counts.images() == 0 {
            return Vec::new();
        }
        let n = self.counts.images();
        let mut out: Vec<_> =
            self.rules.idle().map(|rule| (true, format!("{rule} matched no tag in any of the {n} images"))).collect();
        out.extend(
            self.frame.idle().map(|s| (true, format!("no image belongs to a subset `{s}`; its texts have no effect"))),
        );
        let dropped = if self.limits.active() { self.limits.dropped(&self.counts) } else { Vec::new() };
        if !dropped.is_empty() {
            let shown: Vec<_> = dropped.iter().take(20).map(|(t, n)| format!("{t} ({n})")).collect();
            let more = if dropped.len() > 20 { ", …" } else { "" };
            out.push((
                false,
                format!("{} tags dropped for their frequency: {}{more}", dropped.len(), shown.join(", ")),
            ));
        }
        out
    }

    /// The edited annotation; none if no tag and no text is left.
    pub(crate) fn apply(&mut self, id: &str, subset: &str, annotation: &Annotation) -> Option<Annotation> {
        let (mut tags, weights) = self.clean(annotation.tags.clone());
        if self.limits.active() {
            tags.retain(|t| self.limits.keeps(&self.counts, &t.name));
        }
        self.order.apply(id, &mut tags, &self.counts);
        let text = annotation.text.as_deref().map(|t| self.signs(t.trim())).filter(|t| !t.is_empty());
        // A caption in sentences gets the frame as sentences; its tags, if any, stay a plain list behind it.
        let (mut tags, text) = match text {
            Some(text) => (tags, Some(self.frame.text(subset, &text))),
            None => (self.frame.tags(subset, tags, |name| self.spell(name)), None),
        };
        if self.settings.weights == "keep" {
            weights.give(&mut tags);
        }
        let empty = tags.is_empty() && text.is_none();
        (!empty).then(|| Annotation { text, tags, extra: annotation.extra.clone() })
    }

    /// Everything that does not need to know the other images.
    fn clean(&mut self, mut tags: Vec<Tag>) -> (Vec<Tag>, Weights) {
        if !self.drop_categories.is_empty() {
            tags.retain(|t| t.category.as_ref().is_none_or(|c| !self.drop_categories.contains(&c.to_lowercase())));
        }
        for tag in &mut tags {
            tag.name = self.signs(&tag.name);
        }
        let weights = if self.settings.weights == "ignore" { Weights::default() } else { Weights::take(&mut tags) };
        for tag in &mut tags {
            tag.name = self.spell(&tag.name);
        }
        let mut tags = self.rules.apply(tags);
        if self.settings.split_characters {
            tags = tags.into_iter().flat_map(split_character).collect();
        }
        for tag in &mut tags {
            tag.name = self.brackets(self.spell(&tag.name));
        }
        if self.settings.dedupe {
            let mut seen = BTreeSet::new();
            tags.retain(|t| seen.insert(key(&t.name)));
        }
        tags.retain(|t| !t.name.is_empty());
        (tags, weights)
    }

    fn signs(&self, text: &str) -> String {
        if self.settings.entities { unescaped(text) } else { text.to_owned() }
    }

    fn spell(&self, name: &str) -> String {
        match self.settings.underscores.as_str() {
            "spaces" => spaced(name.trim()),
            "underscores" => underscored(name.trim()),
            _ => name.trim().to_owned(),
        }
    }

    fn brackets(&self, name: String) -> String {
        if self.settings.brackets == "keep" {
            return name;
        }
        let plain = name.replace("\\(", "(").replace("\\)", ")");
        // Kaomoji are drawn with brackets.
        if self.settings.brackets == "escape" && !booru::names::KAOMOJI.contains(&plain.as_str()) {
            return plain.replace('(', "\\(").replace(')', "\\)");
        }
        plain
    }
}

/// `saber (fate)` as `saber` and `fate`; a tag that names no character stays as it is.
fn split_character(tag: Tag) -> Vec<Tag> {
    let plain = tag.name.replace("\\(", "(").replace("\\)", ")");
    let is_name = tag.category.as_deref() == Some("character") && plain.ends_with(')') && !plain.starts_with('(');
    if !is_name {
        return vec![tag];
    }
    let parts = plain.split(['(', ')']).map(|p| p.trim_matches([' ', '_'])).filter(|p| !p.is_empty());
    let category = |at: usize| Some(if at == 0 { "character" } else { "copyright" }.to_owned());
    parts
        .enumerate()
        .map(|(at, name)| Tag { name: name.to_owned(), score: tag.score, category: category(at) })
        .collect()
}
