//! Optimizers as rows. To add one: a file with its row, and a line in [`OPTIMIZERS`].

mod adam;
mod adamw;
mod elementwise;
mod lion;
mod sgd;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// Every optimizer, in the order in which menus and help show them.
pub const OPTIMIZERS: &[Optimizer] = &[adamw::ADAMW, adam::ADAM, lion::LION, sgd::SGD];

/// One optimizer.
pub struct Optimizer {
    /// Name in a configuration.
    pub name: &'static str,
    /// One line for help and menus.
    pub summary: &'static str,
    /// Where the update rule is from.
    pub source: &'static str,
    /// What it uses where a configuration is silent.
    pub defaults: Settings,
    /// Makes the running optimizer for tensors of these lengths.
    pub build: fn(Settings, &[usize]) -> Box<dyn Optimize>,
}

/// Numbers that an update rule may use. A rule ignores those it has no use for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Decay of the running mean of gradients, and of their squares.
    pub betas: (f64, f64),
    /// Added to the denominator.
    pub eps: f64,
    /// Weight decay, per unit of learning rate where it is decoupled.
    pub weight_decay: f64,
    /// Share of the last update that is kept (SGD).
    pub momentum: f64,
}

/// A running optimizer: all tensors of one training run, with the state that belongs to them. Values lie in host
/// memory: LoRA weights are small beside one pass through the network.
pub trait Optimize: Send {
    /// One update of every tensor, in the order given at the build. `lrs` has a rate for each tensor.
    fn step(&mut self, params: &mut [&mut [f32]], grads: &[&[f32]], lrs: &[f64]);
    /// Updates done so far.
    fn steps(&self) -> u64;
    /// State as named arrays: for each tensor (by index) what resuming needs.
    fn state(&self) -> Vec<Slot>;
    /// Puts a state back, as [`Optimize::state`] gave it after `steps` updates.
    fn restore(&mut self, steps: u64, slots: Vec<Slot>) -> Result<()>;
}

/// One array of optimizer state.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Index of the tensor that it belongs to.
    pub tensor: usize,
    /// What it is: `mean`, `square`, `momentum` …
    pub name: String,
    pub values: Vec<f32>,
}

/// The row with this name.
pub fn find(name: &str) -> Result<&'static Optimizer> {
    match OPTIMIZERS.iter().find(|o| o.name == name) {
        Some(row) => Ok(row),
        None => {
            let known: Vec<_> = OPTIMIZERS.iter().map(|o| o.name).collect();
            bail!("unknown optimizer `{name}`; known: {}", known.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_once_documented_and_findable() {
        for (i, row) in OPTIMIZERS.iter().enumerate() {
            assert!(OPTIMIZERS[..i].iter().all(|r| r.name != row.name), "{}", row.name);
            assert!(!row.summary.is_empty() && !row.source.is_empty(), "{}", row.name);
            assert_eq!(find(row.name).unwrap().name, row.name);
        }
        assert!(find("adamax").is_err_and(|e| e.to_string().contains("adamw")));
    }

    #[test]
    fn every_row_finds_the_minimum_of_a_parabola() {
        for row in OPTIMIZERS {
            let mut opt = (row.build)(Settings { weight_decay: 0.0, ..row.defaults }, &[1]);
            let mut x = [1.0f32];
            for _ in 0..400 {
                let g = [2.0 * (x[0] - 0.25)];
                opt.step(&mut [&mut x], &[&g], &[0.01]);
            }
            assert!((x[0] - 0.25).abs() < 0.02, "{}: ended at {}", row.name, x[0]);
        }
    }

    #[test]
    fn a_restored_state_goes_on_with_the_same_bits() {
        for row in OPTIMIZERS {
            let grad = |i: usize| [(i as f32).sin(), 0.3 - i as f32 * 0.01, -1.0];
            let mut a = (row.build)(row.defaults, &[3]);
            let mut x = [0.5f32, -0.5, 2.0];
            for i in 0..5 {
                a.step(&mut [&mut x], &[&grad(i)], &[0.01]);
            }
            let mut b = (row.build)(row.defaults, &[3]);
            b.restore(a.steps(), a.state()).unwrap();
            let mut y = x;
            for i in 5..9 {
                a.step(&mut [&mut x], &[&grad(i)], &[0.01]);
                b.step(&mut [&mut y], &[&grad(i)], &[0.01]);
            }
            assert_eq!(x.map(f32::to_bits), y.map(f32::to_bits), "{}", row.name);
        }
    }

    #[test]
    fn a_state_of_another_shape_is_refused() {
        for row in OPTIMIZERS {
            let mut a = (row.build)(row.defaults, &[3]);
            let wrong = vec![Slot { tensor: 0, name: "mean".into(), values: vec![0.0; 2] }];
            assert!(a.restore(1, wrong).is_err(), "{}", row.name);
        }
    }
}
