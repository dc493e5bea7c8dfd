//! Which times along the path a run trains at, as rows. To add one: a file with its row, and a line in
//! [`TIME_SAMPLINGS`].

mod flux_shift;
mod logit_normal;
mod shift;
mod sigmoid;
mod uniform;

use anyhow::{Result, bail};

/// Every way to draw times, in the order in which menus and help show them.
pub const TIME_SAMPLINGS: &[TimeSampling] =
    &[uniform::UNIFORM, sigmoid::SIGMOID, logit_normal::LOGIT_NORMAL, shift::SHIFT, flux_shift::FLUX_SHIFT];

/// One way to draw times.
pub struct TimeSampling {
    /// Name in a configuration.
    pub name: &'static str,
    /// One line for help and menus.
    pub summary: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// What is drawn.
    pub draw: Draw,
    /// (draw, numbers that shape it) → where on the path, 0 (picture) to 1 (noise).
    pub place: fn(f64, &TimeShape) -> f64,
}

/// What a place on the path is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// Uniform in 0…1.
    Uniform,
    /// Standard normal.
    Normal,
}

/// Numbers that shape the distribution of times. A row ignores those it has no use for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeShape {
    /// Spread before the sigmoid.
    pub scale: f64,
    /// Linear shift towards noise.
    pub shift: f64,
    /// Mean and spread of `logit_normal`.
    pub logit: (f64, f64),
    /// Tokens of the picture: patches of 2 × 2 latent pixels.
    pub tokens: usize,
}

fn squash(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// σ·s / (1 + (s − 1)·σ)
fn shifted(sigma: f64, shift: f64) -> f64 {
    sigma * shift / (1.0 + (shift - 1.0) * sigma)
}

/// The row with this name.
pub fn find(name: &str) -> Result<&'static TimeSampling> {
    match TIME_SAMPLINGS.iter().find(|s| s.name == name) {
        Some(row) => Ok(row),
        None => {
            let known: Vec<_> = TIME_SAMPLINGS.iter().map(|s| s.name).collect();
            bail!("unknown way to draw timesteps `{name}`; known: {}", known.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_once_documented_and_stay_within_the_path() {
        for (i, row) in TIME_SAMPLINGS.iter().enumerate() {
            assert!(TIME_SAMPLINGS[..i].iter().all(|r| r.name != row.name), "{}", row.name);
            assert!(!row.summary.is_empty() && !row.source.is_empty(), "{}", row.name);
            for tokens in [64, 1024, 4096] {
                let shape = TimeShape { scale: 1.0, shift: 3.0, logit: (0.0, 1.0), tokens };
                let draws: &[f64] =
                    if row.draw == Draw::Uniform { &[0.0, 0.3, 0.999] } else { &[-4.0, -0.5, 0.0, 2.0, 4.0] };
                let places: Vec<f64> = draws.iter().map(|&d| (row.place)(d, &shape)).collect();
                assert!(places.iter().all(|p| (0.0..=1.0).contains(p)), "{}: {places:?}", row.name);
            }
        }
        assert!(find("sigmoyd").is_err_and(|e| e.to_string().contains("sigmoid")));
    }
}
