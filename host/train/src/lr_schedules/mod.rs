//! Learning rate schedules as rows: what the rate is multiplied by at each optimizer step. To add one: a file with
//! its row, and a line in [`LR_SCHEDULES`].

mod constant;
mod cosine;
mod cosine_with_min_lr;
mod cosine_with_restarts;
mod inverse_sqrt;
mod linear;
mod piecewise_constant;
mod polynomial;
mod rex;
mod warmup_stable_decay;

pub use piecewise_constant::step_rules;

use anyhow::{Result, bail};

/// Every schedule, in the order in which menus and help show them.
pub const LR_SCHEDULES: &[LrSchedule] = &[
    constant::CONSTANT,
    cosine::COSINE,
    cosine_with_restarts::COSINE_WITH_RESTARTS,
    cosine_with_min_lr::COSINE_WITH_MIN_LR,
    linear::LINEAR,
    polynomial::POLYNOMIAL,
    rex::REX,
    inverse_sqrt::INVERSE_SQRT,
    warmup_stable_decay::WARMUP_STABLE_DECAY,
    piecewise_constant::PIECEWISE_CONSTANT,
];

/// One schedule.
pub struct LrSchedule {
    /// Name in a configuration.
    pub name: &'static str,
    /// One line for help and menus.
    pub summary: &'static str,
    /// Where the formula is from.
    pub source: &'static str,
    /// Factor while `step < warmup`.
    pub rise: fn(&Curve, f64) -> f64,
    /// Factor from the end of the warm-up on.
    pub factor: fn(&Curve, f64) -> f64,
}

/// What shapes a schedule. Steps are optimizer steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Learning rate that the factors multiply.
    pub lr: f64,
    /// Steps of the whole run.
    pub total: u64,
    /// Steps of warm-up.
    pub warmup: u64,
    /// Restarts of a cosine.
    pub cycles: f64,
    /// Exponent of a polynomial.
    pub power: f64,
    /// Lowest factor, where a schedule has one.
    pub min_ratio: f64,
    /// Steps in which the inverse square root falls to 0.71.
    pub timescale: Option<u64>,
    /// Steps of falling at the end (warmup_stable_decay).
    pub decay: u64,
    /// Factors (piecewise_constant), each with the step where it ends.
    pub rules: Vec<(u64, f64)>,
}

impl Curve {
    /// A curve with the usual shape numbers.
    pub fn new(lr: f64, total: u64, warmup: u64) -> Self {
        let decay = total / 5;
        Self { lr, total, warmup, cycles: 1.0, power: 1.0, min_ratio: 0.0, timescale: None, decay, rules: vec![] }
    }

    /// Where `step` lies between the end of the warm-up (0) and the end of the run (1).
    fn progress(&self, step: f64) -> f64 {
        (step - self.warmup as f64) / (self.total.saturating_sub(self.warmup).max(1)) as f64
    }
}

impl LrSchedule {
    /// Factor at `step`, counted from 0 for the first optimizer step. The first step of a warm-up has factor 0, as in
    /// the schedules of diffusers.
    pub fn at(&self, curve: &Curve, step: u64) -> f64 {
        let f = if step < curve.warmup { self.rise } else { self.factor };
        f(curve, step as f64)
    }
}

/// From 0 to 1 in equal steps.
fn rise(curve: &Curve, step: f64) -> f64 {
    step / curve.warmup.max(1) as f64
}

/// The row with this name.
pub fn find(name: &str) -> Result<&'static LrSchedule> {
    match LR_SCHEDULES.iter().find(|s| s.name == name) {
        Some(row) => Ok(row),
        None => {
            let known: Vec<_> = LR_SCHEDULES.iter().map(|s| s.name).collect();
            bail!("unknown lr schedule `{name}`; known: {}", known.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_once_and_documented() {
        for (i, row) in LR_SCHEDULES.iter().enumerate() {
            assert!(LR_SCHEDULES[..i].iter().all(|r| r.name != row.name), "{}", row.name);
            assert!(!row.summary.is_empty() && !row.source.is_empty(), "{}", row.name);
        }
    }

    #[test]
    fn factors_stay_between_zero_and_one_and_warm_up_rises() {
        for row in LR_SCHEDULES {
            for (total, warmup) in [(1, 0), (10, 10), (50, 5), (7, 20)] {
                let curve = Curve { cycles: 3.0, ..Curve::new(1e-3, total, warmup) };
                let all: Vec<f64> = (0..total + 2).map(|s| row.at(&curve, s)).collect();
                assert!(all.iter().all(|f| (0.0..=1.0).contains(f)), "{} {total} {warmup}: {all:?}", row.name);
                let rising = warmup.min(total) as usize;
                assert!(all[..rising].windows(2).all(|w| w[0] < w[1]), "{}: {all:?}", row.name);
            }
        }
    }
}
