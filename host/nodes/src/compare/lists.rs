//! The lists that a grid is described with.

use crate::types::CheckpointFile;
use anyhow::{Context as _, Result, bail};

/// A prompt of a grid with what to avoid.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Prompt {
    pub(super) positive: String,
    pub(super) negative: String,
}

/// One prompt a line; ` --n ` begins what to avoid. Empty lines and lines with `#` are left out.
pub(super) fn prompts(text: &str) -> Result<Vec<Prompt>> {
    let mut prompts: Vec<Prompt> = Vec::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (positive, negative) = match line.split_once("--n ") {
            Some((positive, negative)) => (positive.trim(), negative.trim()),
            None => (line, ""),
        };
        if let Some(option) = [positive, negative].iter().flat_map(|p| p.split(' ')).find(|w| w.starts_with("--")) {
            bail!("`{line}`: unknown option `{option}`; `--n` begins what to avoid");
        }
        let prompt = Prompt { positive: positive.to_owned(), negative: negative.to_owned() };
        if prompts.contains(&prompt) {
            bail!("the prompt `{line}` is there twice");
        }
        prompts.push(prompt);
    }
    if prompts.is_empty() {
        bail!("no prompts: expected one a line");
    }
    Ok(prompts)
}

/// `1, 5, 10-12`: seeds and ranges of seeds.
pub(super) fn seeds(text: &str) -> Result<Vec<u64>> {
    let mut seeds = Vec::new();
    for part in parts(text) {
        let wrong = || format!("expected seeds such as `1, 5, 10-12`, found `{part}`");
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (u64, u64) = (from.trim().parse().with_context(wrong)?, to.trim().parse().with_context(wrong)?);
        if to < from || to - from >= 1000 {
            bail!("{}: up to 1000 seeds, ascending", wrong());
        }
        seeds.extend(from..=to);
    }
    unique(seeds, "seeds")
}

/// `0.5, 0.75, 1`: strengths. 0 is left out: it is always shown.
pub(super) fn strengths(text: &str) -> Result<Vec<f64>> {
    let mut strengths = Vec::new();
    for part in parts(text) {
        let strength: f64 = part
            .parse()
            .ok()
            .filter(|s: &f64| s.is_finite() && s.abs() <= 100.0)
            .with_context(|| format!("expected strengths such as `0.5, 0.75, 1`, found `{part}`"))?;
        if strength != 0.0 {
            strengths.push(strength);
        }
    }
    unique(strengths, "strengths")
}

/// `all`, `last`, or steps such as `50, 100`: which checkpoints to show, in their order.
pub(super) fn checkpoints<'a>(text: &str, all: &'a [CheckpointFile]) -> Result<Vec<&'a CheckpointFile>> {
    let steps = || all.iter().map(|c| c.step.to_string()).collect::<Vec<_>>().join(", ");
    let chosen: Vec<&CheckpointFile> = match text.trim() {
        "all" => all.iter().collect(),
        "last" => all.last().into_iter().collect(),
        list => {
            let mut chosen = Vec::new();
            for part in parts(list) {
                let found = part.parse::<u64>().ok().and_then(|step| all.iter().find(|c| c.step == step));
                chosen.push(found.with_context(|| {
                    format!("no checkpoint `{part}`; expected `all`, `last` or some of {}", steps())
                })?);
            }
            chosen
        }
    };
    if chosen.is_empty() {
        bail!("no checkpoints to show; there are {}", if all.is_empty() { "none".to_owned() } else { steps() });
    }
    Ok(chosen)
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', '\n']).map(str::trim).filter(|p| !p.is_empty())
}

fn unique<T: PartialEq + std::fmt::Display>(list: Vec<T>, what: &str) -> Result<Vec<T>> {
    if list.is_empty() {
        bail!("no {what}: expected at least one");
    }
    if let Some(twice) = list.iter().enumerate().find_map(|(i, x)| list[..i].contains(x).then_some(x)) {
        bail!("{what}: {twice} is there twice");
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_lines_with_options() {
        let found = prompts("a cat --n dog, bird\n\n# no\n b ").unwrap();
        let pairs: Vec<_> = found.iter().map(|p| (p.positive.as_str(), p.negative.as_str())).collect();
        assert_eq!(pairs, [("a cat", "dog, bird"), ("b", "")]);
        assert!(prompts("a --seed 3").unwrap_err().to_string().contains("`--seed`"));
        assert!(prompts("a\na").is_err() && prompts(" \n").is_err());
    }

    #[test]
    fn seeds_and_strengths_are_lists() {
        assert_eq!(seeds("1, 5,10-12").unwrap(), [1, 5, 10, 11, 12]);
        assert_eq!(seeds("18446744073709551615").unwrap(), [u64::MAX]);
        for bad in ["", "x", "5-3", "1,1", "0-5000", "-1"] {
            assert!(seeds(bad).is_err(), "{bad}");
        }
        assert_eq!(strengths("0, 0.5, 1").unwrap(), [0.5, 1.0]);
        for bad in ["", "0", "a", "1, 1", "inf"] {
            assert!(strengths(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn checkpoints_are_chosen_by_step() {
        let all: Vec<CheckpointFile> = [50, 100]
            .map(|step| CheckpointFile {
                step,
                epoch: 1,
                path: "x".into(),
                sha256: String::new(),
                is_last: step == 100,
                is_best: false,
            })
            .into();
        let steps = |text| checkpoints(text, &all).map(|c| c.iter().map(|c| c.step).collect::<Vec<_>>());
        assert_eq!(steps("all").unwrap(), [50, 100]);
        assert_eq!(steps("last").unwrap(), [100]);
        assert_eq!(steps("100, 50").unwrap(), [100, 50]);
        assert!(steps("75").unwrap_err().to_string().contains("some of 50, 100"));
        assert!(checkpoints("all", &[]).is_err());
    }
}
