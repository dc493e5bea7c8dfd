//! Optimizers as rows. To add one: a file with its row, and a line in [`OPTIMIZERS`].

mod adafactor;
mod adam;
mod adamw;
mod adamw8bit;
mod adamw_schedulefree;
mod averaged;
pub mod blockwise;
mod lion;
mod lion8bit;
mod prodigy;
mod running;
mod settings;
mod sgd;
mod state;

pub use settings::{Knob, Settings};
pub use state::{Slot, Values};

use anyhow::{Result, bail};

/// Every optimizer, in the order in which menus and help show them.
pub const OPTIMIZERS: &[Optimizer] = &[
    adamw::ADAMW,
    adamw8bit::ADAMW8BIT,
    prodigy::PRODIGY,
    adafactor::ADAFACTOR,
    adafactor::ADAFACTOR_RELATIVE,
    adamw_schedulefree::ADAMW_SCHEDULEFREE,
    lion::LION,
    lion8bit::LION8BIT,
    adam::ADAM,
    sgd::SGD,
];

/// One optimizer.
pub struct Optimizer {
    /// Name in a configuration.
    pub name: &'static str,
    /// One line for help and menus.
    pub summary: &'static str,
    /// Where the update rule is from.
    pub source: &'static str,
    /// Learning rate where a configuration is silent.
    pub learning_rate: f64,
    /// Learning rates from here to there make sense; beyond, a plan warns.
    pub rates: (f64, f64),
    /// Learning rate schedule where a configuration is silent.
    pub schedule: &'static str,
    /// Rate of text encoders as a share of the network's, where a configuration is silent.
    pub text_encoder: f64,
    /// Averages the weights by itself: see [`Optimize::evaluated`].
    pub averages: bool,
    /// The numbers that it lets people choose, with what they are where a configuration is silent.
    pub knobs: &'static [Knob],
    /// Refuses settings that contradict each other.
    pub check: fn(&Settings) -> Result<()>,
    /// Makes the running optimizer for tensors of these shapes.
    pub build: fn(&Settings, &[Vec<usize>]) -> Box<dyn Optimize>,
}

impl Optimizer {
    /// The settings of a silent configuration.
    pub fn settings(&self) -> Settings {
        Settings::new(self.knobs)
    }
}

/// A running optimizer: all tensors of one training run, with the state that belongs to them. Values lie in host
/// memory: LoRA weights are small beside one pass through the network.
pub trait Optimize: Send {
    /// One update of every tensor, in the order given at the build. `lrs` has a rate for each tensor.
    fn step(&mut self, params: &mut [&mut [f32]], grads: &[&[f32]], lrs: &[f64]);
    /// Updates done so far.
    fn steps(&self) -> u64;
    /// State as named arrays: what resuming needs.
    fn state(&self) -> Vec<Slot>;
    /// Puts a state back, as [`Optimize::state`] gave it after `steps` updates.
    ///
    /// # Errors
    /// It is the state of another optimizer, or of other tensors.
    fn restore(&mut self, steps: u64, slots: Vec<Slot>) -> Result<()>;
    /// The weights to save, to sample with and to validate, where they are others than those that are trained.
    fn evaluated(&self, params: &[&[f32]]) -> Option<Vec<Vec<f32>>>;
}

/// `optimizer` with a running mean of the weights, which is what is saved: see [`Optimize::evaluated`]. The mean is
/// brought up to date every so many steps, and keeps at most `decay` of itself.
pub fn averaged(optimizer: Box<dyn Optimize>, decay: f64, every: u64, shapes: &[Vec<usize>]) -> Box<dyn Optimize> {
    averaged::Averaged::boxed(optimizer, decay, every, shapes)
}

/// The row with this name.
///
/// # Errors
/// There is none; the message lists those there are.
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
    use crate::lr_schedules;

    #[test]
    fn rows_are_named_once_documented_and_findable() {
        for (i, row) in OPTIMIZERS.iter().enumerate() {
            assert!(OPTIMIZERS[..i].iter().all(|r| r.name != row.name), "{}", row.name);
            assert!(!row.summary.is_empty() && !row.source.is_empty(), "{}", row.name);
            assert_eq!(find(row.name).unwrap().name, row.name);
            lr_schedules::find(row.schedule).unwrap();
            assert!((row.rates.0..row.rates.1).contains(&row.learning_rate), "{}", row.name);
            (row.check)(&row.settings()).unwrap();
            for (i, knob) in row.knobs.iter().enumerate() {
                assert!(row.knobs[..i].iter().all(|k| k.name != knob.name), "{}: {}", row.name, knob.name);
                assert!(!knob.help.is_empty(), "{}: {}", row.name, knob.name);
            }
        }
        assert!(find("adamax").is_err_and(|e| e.to_string().contains("adamw")));
    }

    /// A row's settings without weight decay.
    fn plain(row: &Optimizer) -> Settings {
        let mut settings = row.settings();
        settings.set("weight_decay", 0.0).unwrap();
        settings
    }

    #[test]
    fn every_row_finds_the_minimum_of_a_parabola() {
        for row in OPTIMIZERS {
            let mut opt = (row.build)(&plain(row), &[vec![1, 1]]);
            let mut x = [1.0f32];
            // Those that find the rate themselves get their own.
            let lr = if row.learning_rate == 1.0 { 1.0 } else { 0.01 };
            for step in 0..2000 {
                let g = [2.0 * (x[0] - 0.25)];
                let fall = if row.averages { 1.0 } else { 1.0 - f64::from(step) / 2000.0 };
                opt.step(&mut [&mut x], &[&g], &[lr * fall]);
            }
            let x = opt.evaluated(&[&x]).map_or(x[0], |e| e[0][0]);
            assert!((x - 0.25).abs() < 0.02, "{}: ended at {x}", row.name);
        }
    }

    /// Tensors on both sides of the size from which state is kept in bytes, one of them a convolution's.
    fn shapes() -> Vec<Vec<usize>> {
        vec![vec![3], vec![65, 64], vec![7, 5, 3, 3]]
    }

    /// Some weights and gradients of step `i`.
    fn numbers(i: usize) -> Vec<Vec<f32>> {
        let one = |(k, shape): (usize, &Vec<usize>)| {
            let n: usize = shape.iter().product();
            (0..n).map(|j| ((i * 31 + k * 7 + j) as f32 * 0.37).sin() * 0.3).collect()
        };
        shapes().iter().enumerate().map(one).collect()
    }

    fn steps(opt: &mut dyn Optimize, x: &mut [Vec<f32>], lr: f64, range: std::ops::Range<usize>) {
        for i in range {
            let grads = numbers(i + 1);
            let grads: Vec<&[f32]> = grads.iter().map(Vec::as_slice).collect();
            let mut values: Vec<&mut [f32]> = x.iter_mut().map(Vec::as_mut_slice).collect();
            opt.step(&mut values, &grads, &[lr, lr / 2.0, lr]);
        }
    }

    fn bits(x: &[Vec<f32>]) -> Vec<u32> {
        x.iter().flatten().map(|v| v.to_bits()).collect()
    }

    #[test]
    fn a_restored_state_goes_on_with_the_same_bits() {
        for row in OPTIMIZERS {
            let mut a = (row.build)(&row.settings(), &shapes());
            let mut x = numbers(0);
            steps(&mut *a, &mut x, row.learning_rate, 0..5);
            let mut b = (row.build)(&row.settings(), &shapes());
            b.restore(a.steps(), a.state()).unwrap();
            let mut y = x.clone();
            steps(&mut *a, &mut x, row.learning_rate, 5..9);
            steps(&mut *b, &mut y, row.learning_rate, 5..9);
            assert_eq!(bits(&x), bits(&y), "{}", row.name);
            assert_eq!(a.state(), b.state(), "{}", row.name);
            let evaluated = |o: &dyn Optimize, x: &[Vec<f32>]| {
                o.evaluated(&x.iter().map(Vec::as_slice).collect::<Vec<_>>()).map(|e| bits(&e))
            };
            assert_eq!(evaluated(&*a, &x), evaluated(&*b, &y), "{}", row.name);
            assert_eq!(evaluated(&*a, &x).is_some(), row.averages, "{}", row.name);
        }
    }

    #[test]
    fn one_thread_or_many_make_the_same_bits() {
        for row in OPTIMIZERS {
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    let (mut opt, mut x) = ((row.build)(&row.settings(), &shapes()), numbers(0));
                    steps(&mut *opt, &mut x, row.learning_rate, 0..4);
                    bits(&x)
                })
            };
            assert_eq!(run(1), run(3), "{}", row.name);
        }
    }

    #[test]
    fn a_state_of_another_shape_is_refused() {
        for row in OPTIMIZERS {
            let mut a = (row.build)(&row.settings(), &shapes());
            let good = a.state();
            let mut short = good.clone();
            short.pop();
            assert!(a.restore(1, short).is_err(), "{}", row.name);
            for i in 0..good.len() {
                let mut wrong = good.clone();
                wrong[i].values = Values::U8(vec![0; 2]);
                assert!(a.restore(1, wrong).is_err(), "{}: {}", row.name, good[i].name);
            }
            assert!(a.restore(1, good).is_ok(), "{}", row.name);
        }
    }
}
