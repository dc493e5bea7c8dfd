//! Steps down at given places.

use super::{LrSchedule, rise};
use anyhow::{Context, Result, ensure};

pub(crate) const PIECEWISE_CONSTANT: LrSchedule = LrSchedule {
    name: "piecewise_constant",
    summary: "a factor up to each of the steps that `lr_step_rules` names",
    source: "diffusers.optimization.get_piecewise_constant_schedule",
    rise,
    factor: |c, step| {
        let rule = c.rules.iter().find(|(until, _)| step < *until as f64);
        rule.map_or(1.0, |(_, factor)| *factor)
    },
};

/// Rules as diffusers writes them: `1:10,0.1:20,0.01` is 1 before step 10, 0.1 before step 20, then 0.01. Each becomes
/// the step where it ends, and its factor.
///
/// # Errors
/// What cannot be read, or steps that do not rise.
pub fn step_rules(text: &str) -> Result<Vec<(u64, f64)>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let mut rules: Vec<(u64, f64)> = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let bad = || format!("`lr_step_rules`: expected something like 1:10,0.1:20,0.01, found `{part}`");
        let (factor, until) = match part.split_once(':') {
            Some((factor, until)) => (factor, until.trim().parse().ok().with_context(bad)?),
            None => (*part, u64::MAX),
        };
        let factor: f64 = factor.trim().parse().ok().with_context(bad)?;
        ensure!((0.0..=1.0).contains(&factor), "`lr_step_rules`: expected factors from 0 to 1, found {factor}");
        ensure!(
            (until == u64::MAX) == (i + 1 == parts.len()),
            "`lr_step_rules`: the last factor has no step, all others do"
        );
        let rises = rules.last().is_none_or(|(before, _)| *before < until);
        ensure!(rises, "`lr_step_rules`: expected rising steps, found {until} in {text}");
        rules.push((until, factor));
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::super::Curve;
    use super::*;

    #[test]
    fn each_factor_holds_up_to_its_step() {
        let curve = Curve { rules: step_rules("1:10, 0.1:20,0.01").unwrap(), ..Curve::new(1e-3, 40, 2) };
        let at = |step| PIECEWISE_CONSTANT.at(&curve, step);
        assert_eq!(
            [at(0), at(1), at(2), at(9), at(10), at(19), at(20), at(39)],
            [0.0, 0.5, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01]
        );
        for bad in ["1:x,0.1", "2:10,1", "1:10", "1:20,0.5:10,0.1", "1,0.5"] {
            assert!(step_rules(bad).is_err_and(|e| e.to_string().contains("lr_step_rules")), "{bad}");
        }
    }
}
