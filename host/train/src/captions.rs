//! From the caption of an image to the prompt of one step, in sd-scripts' order: prefix and suffix, dropout, choice of
//! a line and wildcards, kept tokens, growing number of tokens, shuffling, dropout of tags, second separator.

use crate::batches::Slice;
use crate::dice::{Dice, Purpose, Stream, shuffle};
use crate::own::Own;
use crate::plan::keep_tokens;
use data::{Dataset, Item};

/// What is done to captions. The default leaves them as they are, except that only the first line counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Put in front, with a space.
    pub prefix: String,
    /// Put behind, with a space.
    pub suffix: String,
    /// Share of steps in which a caption is empty.
    pub dropout: f64,
    /// Every so many epochs all captions are empty; 0: never.
    pub dropout_every_epochs: u64,
    /// Choose one of several lines, and one of `{a|b}`.
    pub wildcards: bool,
    /// Shuffle the tags after the kept ones.
    pub shuffle: bool,
    /// How many tags keep their places in front.
    pub keep_tokens: usize,
    /// Tags in front of the first of these, and behind the second, keep their places; empty: not used.
    pub keep_separator: String,
    /// Steps over which the number of tags grows; below 1 a share of all steps.
    pub warmup_steps: f64,
    /// Number of tags at the start of that.
    pub warmup_min: usize,
    /// Share of the tags after the kept ones that are left out.
    pub tag_dropout: f64,
    /// What stands between tags.
    pub separator: String,
    /// Replaced by the separator at the end, so that some tags stay together; empty: not used.
    pub second_separator: String,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            suffix: String::new(),
            dropout: 0.0,
            dropout_every_epochs: 0,
            wildcards: false,
            shuffle: false,
            keep_tokens: 0,
            keep_separator: String::new(),
            warmup_steps: 0.0,
            warmup_min: 1,
            tag_dropout: 0.0,
            separator: ",".into(),
            second_separator: String::new(),
        }
    }
}

/// When a caption is used.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// From 1.
    pub epoch: u64,
    /// From 0.
    pub step: u64,
    /// Steps of the whole run.
    pub total: u64,
}

impl Pipeline {
    /// The same for captions in sentences: nothing that would tear them apart.
    pub fn for_sentences(&self) -> Self {
        Self { shuffle: false, tag_dropout: 0.0, warmup_steps: 0.0, ..self.clone() }
    }

    /// The same for one caption: a prefix or suffix that it has already is not added again, and sentences are not torn
    /// apart.
    pub fn for_caption(&self, caption: &str, sentences: bool) -> Self {
        let mut own = if sentences { self.for_sentences() } else { self.clone() };
        let is_there = |added: &str, found: bool| !added.trim().is_empty() && found;
        if is_there(&own.prefix, caption.trim_start().starts_with(own.prefix.trim())) {
            own.prefix.clear();
        }
        if is_there(&own.suffix, caption.trim_end().ends_with(own.suffix.trim())) {
            own.suffix.clear();
        }
        own
    }

    /// A caption with prefix and suffix.
    pub fn dressed(&self, caption: &str) -> String {
        let mut caption = caption.to_owned();
        if !self.prefix.is_empty() {
            caption = format!("{} {caption}", self.prefix);
        }
        if !self.suffix.is_empty() {
            caption = format!("{caption} {}", self.suffix);
        }
        caption
    }

    /// The tags of a caption's first line in their order, without those behind a second separator.
    pub fn tags(&self, caption: &str) -> Vec<String> {
        let line = first_line(caption);
        let (mut tags, free, _) = self.parts(&line);
        tags.extend(free);
        tags.into_iter().map(str::to_owned).collect()
    }

    /// The prompt for one use of a caption.
    pub fn prompt(&self, caption: &str, at: Moment, dice: &mut dyn Dice) -> String {
        let mut caption = self.dressed(caption);
        let drop = self.dropout > 0.0 && dice.unit() < self.dropout;
        if drop || (self.dropout_every_epochs > 0 && at.epoch.is_multiple_of(self.dropout_every_epochs)) {
            caption.clear();
        } else {
            caption = if self.wildcards { choose(&caption, dice) } else { first_line(&caption) };
            if self.shuffle || self.warmup_steps > 0.0 || self.tag_dropout > 0.0 {
                caption = self.rearrange(&caption, at, dice);
            }
        }
        if self.second_separator.is_empty() {
            caption
        } else {
            caption.replace(&self.second_separator, &self.separator)
        }
    }

    fn rearrange(&self, caption: &str, at: Moment, dice: &mut dyn Dice) -> String {
        let (mut fixed, mut free, end) = self.parts(caption);
        let warmup =
            if self.warmup_steps < 1.0 { (self.warmup_steps * at.total as f64).floor() } else { self.warmup_steps };
        if warmup > 0.0 && (at.step as f64) < warmup {
            let grown = at.step as f64 * ((free.len() as f64 - self.warmup_min as f64) / warmup);
            let count = grown.floor() as i64 + self.warmup_min as i64;
            // A negative count cuts from the end, as Python's slices do.
            let len = free.len() as i64;
            free.truncate(if count < 0 { (len + count).max(0) } else { count } as usize);
        }
        if self.shuffle {
            shuffle(dice, &mut free);
        }
        if self.tag_dropout > 0.0 {
            free.retain(|_| dice.unit() >= self.tag_dropout);
        }
        fixed.extend(free);
        fixed.extend(end);
        fixed.join(", ")
    }

    /// Tags that stay in front, tags that may move, tags that stay behind.
    fn parts<'a>(&self, caption: &'a str) -> (Vec<&'a str>, Vec<&'a str>, Vec<&'a str>) {
        let full = |part: &'a str| -> Vec<&'a str> {
            part.split(&self.separator).map(str::trim).filter(|t| !t.is_empty()).collect()
        };
        if !self.keep_separator.is_empty()
            && let Some((front, rest)) = caption.split_once(&self.keep_separator)
        {
            let (middle, end) = rest.split_once(&self.keep_separator).unwrap_or((rest, ""));
            return (full(front), full(middle), full(end));
        }
        let mut fixed: Vec<&str> = caption.trim().split(&self.separator).map(str::trim).collect();
        let free = fixed.split_off(self.keep_tokens.min(fixed.len()));
        (fixed, free, Vec::new())
    }
}

/// Does a caption consist of sentences, so that it must not be torn apart?
pub(crate) fn is_sentences(item: &Item) -> bool {
    item.natural_language || item.annotation.text.is_some()
}

/// The captions of a data set, each with what is done to it.
pub(crate) struct Captions {
    rows: Vec<(String, Pipeline)>,
    /// Steps of the whole run.
    total: u64,
}

impl Captions {
    pub(crate) fn new(own: &Own, dataset: &Dataset, total: u64) -> Self {
        let keep = keep_tokens(own, dataset);
        let row = |(i, item): (usize, &Item)| {
            let caption = item.caption();
            let pipeline = own.of(i).captions.pipeline(keep[i]).for_caption(&caption, is_sentences(item));
            (caption, pipeline)
        };
        Self { rows: dataset.items.iter().enumerate().map(row).collect(), total }
    }

    /// The prompts of a batch, as they are trained at optimizer step `step` (from 0).
    pub(crate) fn draw(&self, slice: &Slice, step: u64, seed: u64) -> Vec<String> {
        let mut dice = Stream::new(seed, Purpose::Caption, slice.index);
        let at = Moment { epoch: slice.epoch, step, total: self.total };
        let rows = slice.items.iter().map(|&i| &self.rows[i]);
        rows.map(|(caption, pipeline)| pipeline.prompt(caption, at, &mut dice)).collect()
    }

    /// Do the same prompts come back from epoch to epoch? Not if they are shuffled, say.
    pub(crate) fn come_back(&self) -> bool {
        let drawn = |p: &Pipeline| p.shuffle || p.wildcards || p.tag_dropout > 0.0 || p.warmup_steps > 0.0;
        self.rows.iter().all(|(_, pipeline)| !drawn(pipeline))
    }

    /// The caption of an image, whole, with prefix and suffix.
    pub(crate) fn whole(&self, item: usize) -> String {
        let (caption, pipeline) = &self.rows[item];
        pipeline.dressed(caption)
    }

    /// Every caption whole, with prefix and suffix, in the order of the data set.
    pub(crate) fn all(&self) -> impl Iterator<Item = String> {
        self.rows.iter().map(|(caption, pipeline)| pipeline.dressed(caption))
    }
}

fn first_line(caption: &str) -> String {
    caption.split('\n').next().unwrap_or_default().to_owned()
}

/// One of the lines, one of each `{a|b}`; doubled braces stand for themselves.
fn choose(caption: &str, dice: &mut dyn Dice) -> String {
    let lines: Vec<&str> = caption.split('\n').collect();
    let line = if lines.len() > 1 { lines[dice.below(lines.len())] } else { caption };
    // Private-use characters stand for the doubled braces in between.
    let mut rest = &*line.replace("{{", "\u{e000}").replace("}}", "\u{e001}");
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once('{') {
        match after.split_once('}') {
            Some((inside, behind)) if !inside.is_empty() => {
                let options: Vec<&str> = inside.split('|').collect();
                out.push_str(before);
                out.push_str(options[dice.below(options.len())]);
                rest = behind;
            }
            _ => {
                out.push_str(before);
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out.replace('\u{e000}', "{").replace('\u{e001}', "}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::{Purpose, Stream};

    const AT: Moment = Moment { epoch: 1, step: 0, total: 100 };

    fn dice(index: u64) -> Stream {
        Stream::new(5, Purpose::Caption, index)
    }

    #[test]
    fn kept_tags_stay_and_the_others_move() {
        let p = Pipeline { shuffle: true, keep_tokens: 1, ..Pipeline::default() };
        let mut seen = std::collections::BTreeSet::new();
        for i in 0..50 {
            let out = p.prompt("ohwx, hat, dog , sea", AT, &mut dice(i));
            assert!(out.starts_with("ohwx, ") && out.len() == "ohwx, hat, dog, sea".len(), "{out}");
            seen.insert(out);
        }
        assert_eq!(seen.len(), 6);
    }

    #[test]
    fn sentences_are_left_alone() {
        let p = Pipeline { shuffle: true, tag_dropout: 0.9, ..Pipeline::default() }.for_sentences();
        let text = "A dog, a cat, and a hat, in that order.";
        assert_eq!(p.prompt(text, AT, &mut dice(0)), text);
    }

    #[test]
    fn a_prefix_is_not_doubled() {
        let p = Pipeline { prefix: "In style of X.".into(), suffix: "end".into(), ..Pipeline::default() };
        let once = |caption: &str| p.for_caption(caption, true).prompt(caption, AT, &mut dice(0));
        assert_eq!(once("A dog."), "In style of X. A dog. end");
        assert_eq!(once(&once("A dog.")), once("A dog."));
    }

    #[test]
    fn all_captions_are_empty_in_some_epochs() {
        let p = Pipeline { dropout_every_epochs: 3, ..Pipeline::default() };
        let empty = |epoch| p.prompt("hat", Moment { epoch, ..AT }, &mut dice(0)).is_empty();
        assert_eq!((1..7).map(empty).collect::<Vec<_>>(), [false, false, true, false, false, true]);
    }

    #[test]
    fn dropout_empties_about_its_share() {
        let p = Pipeline { dropout: 0.25, ..Pipeline::default() };
        let empty = (0..1000).filter(|&i| p.prompt("hat", AT, &mut dice(i)).is_empty()).count();
        assert!((200..300).contains(&empty), "{empty}");
    }

    #[test]
    fn an_unclosed_brace_is_a_character() {
        let p = Pipeline { wildcards: true, ..Pipeline::default() };
        assert_eq!(p.prompt("a {} and {{c}} {d", AT, &mut dice(0)), "a {} and {c} {d");
    }
}
