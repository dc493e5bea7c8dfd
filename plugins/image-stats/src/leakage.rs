//! Does a LoRA work where its activation tag is absent, too? Its effect on such prompts over that on prompts with the tag.

/// The effects of one checkpoint, apart.
#[derive(Debug, Default)]
pub(crate) struct Leakage {
    with: Mean,
    without: Mean,
}

#[derive(Debug, Default)]
struct Mean {
    sum: f64,
    n: u32,
}

impl Mean {
    fn get(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / f64::from(self.n))
    }
}

/// Below this a LoRA does nothing, and there is nothing to compare with.
const NOTHING: f64 = 1e-4;
/// A LoRA that does more without its tag than twice as much as with it is just broken.
const MOST: f64 = 2.0;

impl Leakage {
    pub(crate) fn add(&mut self, has_activation: bool, effect: f64) {
        let mean = if has_activation { &mut self.with } else { &mut self.without };
        mean.sum += effect;
        mean.n += 1;
    }

    /// None unless there were prompts of both kinds and the LoRA does something.
    pub(crate) fn share(&self) -> Option<f64> {
        let (with, without) = (self.with.get()?, self.without.get()?);
        (with > NOTHING).then(|| (without / with).min(MOST))
    }
}

/// Has a prompt the activation tag, as a word of its own? Cases are the same.
pub(crate) fn has(prompt: &str, activation: &str) -> bool {
    let (prompt, activation) = (prompt.to_lowercase(), activation.trim().to_lowercase());
    let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    !activation.is_empty()
        && prompt.match_indices(&activation).any(|(at, found)| {
            !inside(prompt[..at].chars().next_back()) && !inside(prompt[at + found.len()..].chars().next())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole() {
        for prompt in ["ohwx, a girl", "a girl, (OHWX:1.2)", "girl ohwx", "xohwx, ohwx"] {
            assert!(has(prompt, " ohwx "), "{prompt}");
        }
        for prompt in ["a girl", "ohwxy", "xohwx", ""] {
            assert!(!has(prompt, "ohwx"), "{prompt}");
        }
        assert!(has("das Mädchen", "mädchen") && !has("anything", " "));
    }

    #[test]
    fn the_share_of_the_effect_that_needs_no_tag() {
        let share = |with: &[f64], without: &[f64]| {
            let mut leakage = Leakage::default();
            with.iter().for_each(|e| leakage.add(true, *e));
            without.iter().for_each(|e| leakage.add(false, *e));
            leakage.share()
        };
        assert_eq!(share(&[0.5, 0.25], &[0.0]), Some(0.0));
        assert_eq!(share(&[0.5, 0.25], &[0.375]), Some(1.0));
        assert_eq!(share(&[0.5], &[0.25, 0.0]), Some(0.25));
        assert_eq!(share(&[0.1], &[0.9]), Some(MOST));
        for (with, without) in [(&[][..], &[0.5][..]), (&[0.5], &[]), (&[0.0], &[0.5])] {
            assert_eq!(share(with, without), None);
        }
    }
}
