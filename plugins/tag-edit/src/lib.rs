//! Edits tags: activation tags, prefixes and suffixes, prune, merge, replace, regex, blacklist, rare and frequent tags.
//!
//! The order is fixed: categories, HTML's signs, weights off, spelling, regex, merge, prune, blacklist, names of characters,
//! brackets, duplicates, frequency, sort or shuffle, categories' order, first tags, ratings, limit, then prefixes and suffixes,
//! the activation tags in front of everything, and weights on again. It never looks at the picture.
//! Start at [`Settings`]; the order is spelled out in `edit.rs`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod edit;
mod frame;
mod frequency;
mod order;
mod rules;
mod weights;

use edit::Edit;
use plugin_sdk::control::{self, Level};
use plugin_sdk::{Annotation, Error, FilterRequest, Info, Inputs, Result, TagFilter, Verdict, export, info};

/// Edits the tags of every image: activation tags first, then your rules.
#[derive(Inputs, Clone)]
pub struct Settings {
    /// Activation tags, separated by commas. They stand first, and once.
    #[input(default = "")]
    activation: String,
    /// Tags, or a sentence, after the activation tags.
    #[input(default = "")]
    prefix: String,
    /// Tags, or a sentence, at the end.
    #[input(default = "")]
    suffix: String,
    /// Prefixes of single subsets, one a line: `subset = tags`. `*` stands for any text.
    #[input(default = "", multiline)]
    subset_prefix: String,
    /// Suffixes of single subsets, one a line: `subset = tags`. `*` stands for any text.
    #[input(default = "", multiline)]
    subset_suffix: String,
    /// Tags to remove, separated by commas or lines; `*` stands for any text. One that removes nothing is reported.
    #[input(default = "", multiline)]
    prune: String,
    /// Standing list of unwanted tags, as `prune`, with `#` comments. It may match nothing.
    #[input(default = "", multiline)]
    blacklist: String,
    /// Merges, one a line: `a, b -> c` replaces any of a and b, `a + b -> c` replaces them if both are there.
    #[input(default = "", multiline)]
    merge: String,
    /// Regular expressions, one a line: `pattern -> replacement`, with `$1` for groups. Each tag is matched alone; an
    /// empty replacement removes what matched.
    #[input(default = "", multiline)]
    regex: String,
    /// Categories to leave out, such as `character, copyright, rating`; tags without a category stay.
    #[input(default = "")]
    drop_categories: String,
    /// How words within a tag are separated. Kaomoji such as `^_^` stay as they are.
    #[input(default = "spaces", options = ["spaces", "underscores", "keep"])]
    underscores: String,
    /// Brackets in names: `escape` writes `\\(` as prompts need it, `unescape` takes the backslashes out.
    #[input(default = "keep", options = ["keep", "escape", "unescape"])]
    brackets: String,
    /// Make two tags of a character's name with its series: `saber (fate)` becomes `saber, fate`.
    #[input(default = false)]
    split_characters: bool,
    /// Write the signs that HTML spells out: `&#039;` becomes `'`.
    #[input(default = true)]
    entities: bool,
    /// Weights as prompts have them, `(hat:1.2)`: `keep` them apart from the name, so that rules find the tag, `remove` them, or
    /// `ignore` what they mean. A tag that a rule renames loses its weight.
    #[input(default = "keep", options = ["keep", "remove", "ignore"])]
    weights: String,
    /// Keep only the first of equal tags.
    #[input(default = true)]
    dedupe: bool,
    /// Drop tags that fewer images have. 0: keep all.
    #[input(default = 0, range = 0..=100_000)]
    min_images: u32,
    /// Drop tags that a larger share of the images has. 1: keep all.
    #[input(default = 1.0, range = 0.0..=1.0, step = 0.01)]
    max_share: f64,
    /// Order of the tags between prefix and suffix. `shuffle` is another one for each picture, the same for each `seed`.
    #[input(default = "keep", options = ["keep", "score", "alphabet", "frequency", "shuffle"])]
    sort: String,
    /// Seed of `shuffle`.
    #[input(default = 0, range = 0..=4_294_967_295)]
    seed: u32,
    /// So many tags at the beginning keep their place, whatever the order of the others.
    #[input(default = 0, range = 0..=1000)]
    keep_first: u32,
    /// Where ratings stand, of the category `rating` or as `rating:safe`: where they are, first, last, or nowhere.
    #[input(default = "keep", options = ["keep", "first", "last", "drop"])]
    rating: String,
    /// Order of the categories, such as `character, copyright, general`, before `sort` within each. Tags without one count
    /// as general; others come last.
    #[input(default = "")]
    category_order: String,
    /// Tags that come first if a picture has them, in this order, such as `1girl, 1boy`; `*` stands for any text.
    #[input(default = "")]
    first: String,
    /// Keep at most this many tags between prefix and suffix. 0: all.
    #[input(default = 0, range = 0..=1000)]
    max_tags: u32,
    /// What to do with an image that is left without any tag: stop with an error, drop it, or keep it.
    #[input(default = "error", options = ["error", "drop", "keep"])]
    empty: String,
}

/// The filter.
pub struct TagEdit {
    edit: Edit,
    empty: String,
    reported: bool,
}

impl TagFilter for TagEdit {
    type Settings = Settings;
    const INFO: Info = Info { category: "dataset/tags", ..info!("anagama.tag-edit", "Edit tags") };

    fn open(settings: Settings) -> Result<Self> {
        let empty = settings.empty.clone();
        let edit = Edit::new(settings).map_err(Error::invalid_input)?;
        Ok(Self { edit, empty, reported: false })
    }

    fn passes(&self) -> u32 {
        if self.edit.needs_observation() { 2 } else { 1 }
    }

    fn observe(&mut self, batch: &[FilterRequest]) -> Result<()> {
        for request in batch {
            self.edit.observe(&request.subset, &request.annotation);
        }
        Ok(())
    }

    fn apply(&mut self, batch: Vec<FilterRequest>) -> Result<Vec<Verdict>> {
        // The first call after the observations is the first moment at which "never matched" is known.
        if !std::mem::replace(&mut self.reported, true) {
            for (warning, text) in self.edit.remarks() {
                control::log(if warning { Level::Warn } else { Level::Info }, &text);
            }
        }
        batch.into_iter().map(|request| self.verdict(request)).collect()
    }
}

impl TagEdit {
    fn verdict(&mut self, request: FilterRequest) -> Result<Verdict> {
        if let Some(annotation) = self.edit.apply(&request.id, &request.subset, &request.annotation) {
            return Ok(Verdict::Keep(annotation));
        }
        let names: Vec<&str> = request.annotation.tags.iter().map(|t| t.name.as_str()).collect();
        let had = if names.is_empty() { "it had none".into() } else { format!("it had {}", names.join(", ")) };
        match self.empty.as_str() {
            "keep" => Ok(Verdict::Keep(Annotation { tags: Vec::new(), ..request.annotation })),
            "drop" => Ok(Verdict::Drop(format!("no tag is left; {had}"))),
            _ => Err(Error::invalid_input(format!(
                "image `{}`: no tag is left; {had}. Prune less, set activation tags, or set `empty` to `drop` or `keep`",
                request.id
            ))),
        }
    }
}

export!(TagEdit: TagFilter);

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;
