//! What a tagger's scores say about a picture and its prompt.

use booru::labels::Label;
use booru::names::{key, list, matches};
use std::collections::{BTreeMap, BTreeSet};

/// What to look for.
pub(crate) struct Judge {
    /// Position of each label, by key.
    labels: BTreeMap<String, usize>,
    threshold: f32,
    activation: Option<String>,
    /// Labels that show what the activation tag stands for.
    traits: Vec<usize>,
    ignore: Vec<String>,
}

/// What is found; none where the prompt leaves nothing to find.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Finding {
    pub(crate) recall: Option<f64>,
    pub(crate) confidence: Option<f64>,
    pub(crate) strength: Option<f64>,
    pub(crate) leakage: Option<f64>,
}

impl Judge {
    /// # Errors
    /// The trait tags, or an activation tag without traits, are not in the tagger's vocabulary.
    pub(crate) fn new(
        labels: &[Label],
        threshold: f32,
        activation: &str,
        traits: &str,
        ignore: &str,
    ) -> Result<Self, String> {
        let labels: BTreeMap<String, usize> = labels.iter().enumerate().map(|(i, l)| (key(&l.name), i)).collect();
        let activation = Some(key(activation)).filter(|a| !a.is_empty());
        let names: Vec<String> = list(traits).map(key).collect();
        // A tagger that knows the activation tag itself needs no traits.
        let names = if names.is_empty() { activation.iter().cloned().collect() } else { names };
        let unknown: Vec<_> = names.iter().filter(|n| !labels.contains_key(*n)).map(String::as_str).collect();
        if !unknown.is_empty() {
            let what = if traits.trim().is_empty() {
                "the tagger does not know the activation tag; set `traits` to tags that it knows and that show the subject"
            } else {
                "the tagger does not know these `traits`"
            };
            return Err(format!("{what}: {}", unknown.join(", ")));
        }
        let traits = names.iter().filter_map(|n| labels.get(n).copied()).collect();
        Ok(Self { labels, threshold, activation, traits, ignore: list(ignore).map(key).collect() })
    }

    /// Judges one picture by the scores of all labels.
    pub(crate) fn judge(&self, prompt: &str, scores: &[f32]) -> Finding {
        let wanted = prompt_tags(prompt);
        let triggered = self.activation.as_ref().is_some_and(|a| wanted.iter().any(|tag| names(tag, a)));
        let known: Vec<f32> = wanted
            .iter()
            .filter(|tag| !self.activation.as_ref().is_some_and(|a| names(tag, a)))
            .filter(|tag| self.ignore.iter().all(|pattern| !matches(pattern, tag)))
            .filter_map(|tag| scores.get(*self.labels.get(tag)?).copied())
            .collect();
        let mean = |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        // Traits that the prompt names itself say nothing about the activation tag.
        let asked: BTreeSet<usize> = wanted.iter().filter_map(|tag| self.labels.get(tag).copied()).collect();
        let own = |i: &&usize| triggered || self.activation.is_none() || !asked.contains(i);
        let shown =
            mean(self.traits.iter().filter(own).filter_map(|i| scores.get(*i)).map(|s| f64::from(*s)).collect());
        // A LoRA without activation tag is meant to work always: nothing can leak.
        let meant = triggered || self.activation.is_none();
        Finding {
            recall: mean(known.iter().map(|s| f64::from(u8::from(*s >= self.threshold))).collect()),
            confidence: mean(known.iter().map(|s| f64::from(*s)).collect()),
            strength: shown.filter(|_| meant),
            leakage: shown.filter(|_| !meant),
        }
    }
}

/// Is the activation tag this tag, or one of its words?
fn names(tag: &str, activation: &str) -> bool {
    tag == activation || tag.split('_').any(|word| word == activation)
}

/// The tags of a prompt as keys: without `<lora:…>`, emphasis brackets and weights.
fn prompt_tags(prompt: &str) -> BTreeSet<String> {
    let mut plain = String::new();
    let mut depth = 0_u32;
    for c in prompt.chars() {
        match c {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            c if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    list(&plain).map(|part| key(&without_emphasis(part))).filter(|k| !k.is_empty()).collect()
}

/// `((tag))`, `[tag]` and `(tag:1.2)` are `tag`; escaped brackets and those within a name stay.
fn without_emphasis(part: &str) -> String {
    let mut text = part.trim();
    loop {
        let inner = text.strip_prefix(['(', '[']).unwrap_or(text);
        let inner = if inner.ends_with("\\)") { inner } else { balanced_end(inner) };
        let inner = match inner.rsplit_once(':') {
            Some((name, weight)) if weight.trim().parse::<f32>().is_ok() => name,
            _ => inner,
        };
        if inner == text {
            return text.to_owned();
        }
        text = inner.trim();
    }
}

/// Without a closing bracket that nothing in the text opened.
fn balanced_end(text: &str) -> &str {
    for (open, close) in [('(', ')'), ('[', ']')] {
        if let Some(inner) = text.strip_suffix(close)
            && text.matches(open).count() < text.matches(close).count()
        {
            return inner;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use booru::labels::Category;

    fn judge(activation: &str, traits: &str, ignore: &str) -> Result<Judge, String> {
        let labels: Vec<Label> = ["red_hair", "hat", "smile", "ohwx"]
            .iter()
            .map(|name| Label { name: (*name).into(), category: Category::General })
            .collect();
        Judge::new(&labels, 0.35, activation, traits, ignore)
    }

    const EPS: f64 = 1e-6;

    #[test]
    fn prompts_are_read_as_tags() {
        let read = |p: &str| prompt_tags(p).into_iter().collect::<Vec<_>>().join("|");
        assert_eq!(read("a b, ((hat)), (red hair:1.3), [x], <lora:y:0.5>"), "a_b|hat|red_hair|x");
        assert_eq!(read("saber \\(fate\\), saber (fate), ((saber (fate)))"), "saber_(fate)");
        assert_eq!(read(":d, (:d:1.2), (a"), ":d|a");
    }

    #[test]
    fn recall_counts_known_tags_only() {
        let j = judge("ohwx", "", "smile").unwrap();
        let f = j.judge("ohwx, red hair, hat, smile, unknown thing", &[0.9, 0.2, 0.0, 0.8]);
        assert_eq!(f.recall, Some(0.5));
        assert!((f.confidence.unwrap() - 0.55).abs() < EPS);
        assert!((f.strength.unwrap() - 0.8).abs() < EPS);
        assert_eq!(f.leakage, None);
        assert_eq!(j.judge("unknown", &[0.0; 4]).recall, None);
    }

    #[test]
    fn without_the_trigger_the_subject_leaks() {
        let f = judge("ohwx", "", "").unwrap().judge("hat", &[0.0, 1.0, 0.0, 0.7]);
        assert_eq!((f.strength, f.recall), (None, Some(1.0)));
        assert!((f.leakage.unwrap() - 0.7).abs() < EPS);
        let traits = judge("newname", "red hair, hat", "").unwrap();
        assert!((traits.judge("hat", &[0.5, 1.0, 0.0, 0.0]).leakage.unwrap() - 0.5).abs() < EPS, "hat was asked for");
        assert!((traits.judge("newname person", &[0.5, 1.0, 0.0, 0.0]).strength.unwrap() - 0.75).abs() < EPS);
    }

    #[test]
    fn a_style_without_trigger_has_only_strength() {
        let f = judge("", "hat", "").unwrap().judge("red hair", &[0.0, 0.9, 0.0, 0.0]);
        assert!(f.leakage.is_none() && f.strength.is_some());
        let none = judge("", "", "").unwrap().judge("red hair", &[1.0; 4]);
        assert!(none.strength.is_none() && none.leakage.is_none());
    }

    #[test]
    fn unknown_traits_are_refused() {
        assert!(judge("sks", "", "").err().unwrap().contains("does not know the activation tag"));
        assert!(judge("ohwx", "blue_hat", "").err().unwrap().ends_with("these `traits`: blue_hat"));
    }
}
