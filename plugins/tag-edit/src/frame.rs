//! What stands around the tags: activation tags first, then prefixes; suffixes last. Never doubled.

use booru::names::{key, list, matches};
use plugin_sdk::Tag;

/// A text for the subsets whose name matches a pattern.
struct PerSubset {
    pattern: String,
    text: String,
    used: bool,
}

/// Activation tags, prefixes and suffixes.
pub(crate) struct Frame {
    activation: String,
    prefix: String,
    suffix: String,
    subset_prefix: Vec<PerSubset>,
    subset_suffix: Vec<PerSubset>,
}

impl Frame {
    /// # Errors
    /// A line of a per-subset setting that is not `subset = text`.
    pub(crate) fn parse(
        activation: &str,
        prefix: &str,
        suffix: &str,
        subset_prefix: &str,
        subset_suffix: &str,
    ) -> Result<Self, String> {
        Ok(Self {
            activation: activation.trim().to_owned(),
            prefix: prefix.trim().to_owned(),
            suffix: suffix.trim().to_owned(),
            subset_prefix: per_subset("subset_prefix", subset_prefix)?,
            subset_suffix: per_subset("subset_suffix", subset_suffix)?,
        })
    }

    pub(crate) fn has_subsets(&self) -> bool {
        !(self.subset_prefix.is_empty() && self.subset_suffix.is_empty())
    }

    /// Notes that a subset exists, so that rules for others can be reported.
    pub(crate) fn saw(&mut self, subset: &str) {
        for rule in self.subset_prefix.iter_mut().chain(&mut self.subset_suffix) {
            rule.used |= matches(&rule.pattern, subset);
        }
    }

    /// Patterns that no subset matched.
    pub(crate) fn idle(&self) -> impl Iterator<Item = &str> {
        self.subset_prefix.iter().chain(&self.subset_suffix).filter(|r| !r.used).map(|r| r.pattern.as_str())
    }

    /// Puts the frame around tags. Tags of the frame are taken out of the middle, so that a second run changes
    /// nothing.
    pub(crate) fn tags(&self, subset: &str, middle: Vec<Tag>, spelling: impl Fn(&str) -> String) -> Vec<Tag> {
        let (front, back) = self.parts(subset);
        let make = |parts: &[&str]| -> Vec<Tag> {
            let names = parts.iter().flat_map(|text| list(text)).map(&spelling);
            names.map(|name| Tag { name, ..Tag::default() }).collect()
        };
        let (front, back) = (make(&front), make(&back));
        let framed: Vec<String> = front.iter().chain(&back).map(|t| key(&t.name)).collect();
        let middle = middle.into_iter().filter(|t| !framed.contains(&key(&t.name)));
        let mut all: Vec<Tag> = Vec::new();
        for tag in front.into_iter().chain(middle).chain(back) {
            // The frame's own parts may overlap: an activation tag that is also a prefix stands once.
            let ours = framed.contains(&key(&tag.name));
            if !ours || all.iter().all(|t| key(&t.name) != key(&tag.name)) {
                all.push(tag);
            }
        }
        all
    }

    /// Puts the frame around a caption in sentences.
    pub(crate) fn text(&self, subset: &str, text: &str) -> String {
        let (front, back) = self.parts(subset);
        let mut body = text.trim().to_owned();
        // From the inside out, so that each part finds itself where an earlier run put it.
        let mut lead = String::new();
        for part in front {
            body = body.strip_prefix(part).map_or(body.clone(), |rest| rest.trim_start_matches([',', ' ']).to_owned());
            lead = join(&lead, part);
        }
        for part in back {
            body = if body.ends_with(part) { body } else { join(&body, part) };
        }
        join(&lead, &body)
    }

    /// The texts before and after an image of this subset.
    fn parts(&self, subset: &str) -> (Vec<&str>, Vec<&str>) {
        let of = |rules: &'_ [PerSubset]| -> Vec<usize> {
            (0..rules.len()).filter(|&i| matches(&rules[i].pattern, subset)).collect()
        };
        let mut front = vec![self.activation.as_str()];
        front.extend(of(&self.subset_prefix).into_iter().map(|i| self.subset_prefix[i].text.as_str()));
        front.push(&self.prefix);
        let mut back = vec![self.suffix.as_str()];
        back.extend(of(&self.subset_suffix).into_iter().map(|i| self.subset_suffix[i].text.as_str()));
        front.retain(|t| !t.is_empty());
        back.retain(|t| !t.is_empty());
        (front, back)
    }
}

/// A sentence needs only a space after it, a tag needs a comma.
fn join(a: &str, b: &str) -> String {
    match (a.is_empty(), b.is_empty()) {
        (true, _) => b.to_owned(),
        (_, true) => a.to_owned(),
        _ if a.ends_with(['.', '!', '?', ':', ',']) => format!("{a} {b}"),
        _ => format!("{a}, {b}"),
    }
}

fn per_subset(setting: &str, text: &str) -> Result<Vec<PerSubset>, String> {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    lines
        .map(|line| {
            let (pattern, text) = line
                .split_once('=')
                .ok_or_else(|| format!("{setting} `{line}`: expected `subset = tags`, found no `=`"))?;
            Ok(PerSubset { pattern: pattern.trim().to_owned(), text: text.trim().to_owned(), used: false })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tags: &[Tag]) -> String {
        tags.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn tags(text: &str) -> Vec<Tag> {
        list(text).map(|name| Tag { name: name.to_owned(), ..Tag::default() }).collect()
    }

    #[test]
    fn activation_is_first_and_never_doubled() {
        let frame = Frame::parse("ohwx, 1girl", "best", "end", "", "").unwrap();
        let once = frame.tags("", tags("a, ohwx, end, b"), str::to_owned);
        assert_eq!(names(&once), "ohwx, 1girl, best, a, b, end");
        assert_eq!(frame.tags("", once.clone(), str::to_owned), once);
    }

    #[test]
    fn subsets_have_their_own_texts() {
        let mut frame = Frame::parse("", "p", "", "day* = sunny, day\nx = y", "night = dark").unwrap();
        assert_eq!(names(&frame.tags("day1", tags("a"), str::to_owned)), "sunny, day, p, a");
        assert_eq!(names(&frame.tags("night", tags("a"), str::to_owned)), "p, a, dark");
        frame.saw("day1");
        frame.saw("night");
        assert_eq!(frame.idle().collect::<Vec<_>>(), ["x"]);
        assert!(Frame::parse("", "", "", "totoro", "").err().unwrap().contains("expected `subset = tags`"));
    }

    #[test]
    fn sentences_get_sentences_around_them() {
        let frame = Frame::parse("In style of X.", "", "", "totoro = Scene from 'Totoro' film.", "").unwrap();
        let once = frame.text("totoro", "A girl waits, in the rain.");
        assert_eq!(once, "In style of X. Scene from 'Totoro' film. A girl waits, in the rain.");
        assert_eq!(frame.text("totoro", &once), once);
        let tag = Frame::parse("ohwx", "", "", "", "").unwrap();
        assert_eq!(tag.text("", "A girl."), "ohwx, A girl.");
        assert_eq!(tag.text("", "ohwx, A girl."), "ohwx, A girl.");
    }
}
