//! The noise levels that a network was trained on.

use crate::Mix;
use anyhow::Result;
use candle_core::Tensor;

/// Noise level of each training timestep, ascending, and the way between the two.
///
/// Values are rounded to float32, as the tables of the programs that we compare with are.
#[derive(Clone, Debug, PartialEq)]
pub struct SigmaTable {
    sigmas: Vec<f32>,
    log_sigmas: Vec<f32>,
    time: Time,
}

/// How a sigma becomes the time that the network is told.
#[derive(Clone, Debug, PartialEq)]
enum Time {
    /// A place in the table.
    Index(TimeRule),
    /// Flow matching: the sigma itself; `mu` is the shift's exponent.
    Flow { mu: f64 },
    /// A quarter of its logarithm (Karras et al. 2022, arXiv:2206.00364, Table 1).
    Log,
}

/// How a sigma becomes a timestep, which the program that a picture is to equal decides.
#[derive(Clone, Debug, PartialEq)]
pub enum TimeRule {
    /// The index of the entry whose logarithm is nearest (ComfyUI).
    Nearest,
    /// Between entries by their logarithms (A1111, k-diffusion).
    Between,
    /// The timestep that is listed with this very sigma, else between entries (diffusers). Pairs of sigma, timestep.
    Listed(Vec<(f64, f64)>),
}

impl SigmaTable {
    /// The table of a variance-preserving diffusion with these betas: sigma² = (1 − ᾱ) / ᾱ.
    pub fn from_betas(betas: &[f64]) -> Self {
        let mut product = 1.0;
        let (sigmas, log_sigmas) = betas
            .iter()
            .map(|beta| {
                product *= 1.0 - beta;
                let sigma = ((1.0 - product) / product).sqrt();
                (sigma as f32, sigma.ln() as f32)
            })
            .unzip();
        Self { sigmas, log_sigmas, time: Time::Index(TimeRule::Nearest) }
    }

    /// «scaled linear»: betas whose square roots are evenly spaced from √`start` to √`end`.
    pub fn scaled_linear(start: f64, end: f64, timesteps: usize) -> Self {
        Self::from_betas(&scaled_linear_betas(start, end, timesteps))
    }

    /// Evenly spaced betas.
    pub fn linear(start: f64, end: f64, timesteps: usize) -> Self {
        let last = timesteps.saturating_sub(1).max(1) as f64;
        let betas: Vec<f64> = (0..timesteps).map(|i| start + (end - start) * i as f64 / last).collect();
        Self::from_betas(&betas)
    }

    /// Stable Diffusion 1.x, 2.x and XL: scaled linear, 0.00085 to 0.012, 1000 timesteps.
    pub fn sd15() -> Self {
        Self::scaled_linear(0.00085, 0.012, 1000)
    }

    /// The same betas stretched so that the last timestep is pure noise (Lin et al. 2023, arXiv:2305.08891, Algorithm 1).
    /// Its sigma would be infinite; `floor` is the last ᾱ instead: 2⁻²⁴ in diffusers, 4.8973451890853435e-8 in ComfyUI.
    pub fn zero_terminal_snr(&self, floor: f64) -> Self {
        let roots: Vec<f64> = self.sigmas.iter().map(|&s| (1.0 / (1.0 + f64::from(s).powi(2))).sqrt()).collect();
        let (Some(&first), Some(&last)) = (roots.first(), roots.last()) else { return self.clone() };
        let scale = first / (first - last);
        let (sigmas, log_sigmas) = roots
            .iter()
            .enumerate()
            .map(|(i, root)| {
                let bar = if i + 1 == roots.len() { floor } else { ((root - last) * scale).powi(2) };
                let sigma = ((1.0 - bar) / bar).sqrt();
                (sigma as f32, sigma.ln() as f32)
            })
            .unzip();
        Self { sigmas, log_sigmas, time: self.time.clone() }
    }

    /// Flow matching with a shift of exponent `mu` (Flux.1's default is 1.15), as a table of 10,000 entries.
    pub fn flow(mu: f64) -> Self {
        let sigmas: Vec<f32> = (1..=10_000).map(|i| shifted(mu, f64::from(i) / 10_000.0) as f32).collect();
        let log_sigmas = sigmas.iter().map(|s| s.ln()).collect();
        Self { sigmas, log_sigmas, time: Time::Flow { mu } }
    }

    /// The same for a shift `s` of the linear form s·t / (1 + (s − 1)·t): the exponent is its logarithm.
    pub fn flow_linear(shift: f64) -> Self {
        Self::flow(shift.ln())
    }

    /// Every level from `min` to `max`, as networks of «EDM» have them: a table of 1,000 entries for schedules that want one.
    pub fn continuous(min: f64, max: f64) -> Self {
        let (low, high) = (min.ln(), max.ln());
        let log_sigmas: Vec<f32> = (0..1000).map(|i| (low + (high - low) * f64::from(i) / 999.0) as f32).collect();
        Self { sigmas: log_sigmas.iter().map(|log| log.exp()).collect(), log_sigmas, time: Time::Log }
    }

    /// How noisy latents of this table are made.
    pub fn mix(&self) -> Mix {
        match self.time {
            Time::Index(_) | Time::Log => Mix::Added,
            // The sigma 1/10000 of the way down, as ComfyUI takes it (`offset_first_sigma_for_snr`).
            Time::Flow { .. } => Mix::Flow { below_one: self.at_percent(1e-4) },
        }
    }

    /// The noise level at a share of the way from pure noise (0) to clean (1), counted in time (ComfyUI,
    /// `percent_to_sigma`). At 0 it is above all others, at 1 it is 0.
    pub fn at_percent(&self, percent: f64) -> f64 {
        let flow = matches!(self.time, Time::Flow { .. });
        if percent <= 0.0 {
            return if flow { 1.0 } else { 999_999_999.9 };
        }
        if percent >= 1.0 {
            return 0.0;
        }
        if let Time::Log = self.time {
            let (low, high) = (self.min().ln(), self.max().ln());
            return ((high - low) * (1.0 - percent) + low).exp();
        }
        self.sigma((1.0 - percent) * if flow { 1.0 } else { 999.0 })
    }

    /// All entries, ascending.
    pub fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    /// The lowest noise level.
    pub fn min(&self) -> f64 {
        self.sigmas.first().copied().unwrap_or(0.0).into()
    }

    /// The highest noise level.
    pub fn max(&self) -> f64 {
        self.sigmas.last().copied().unwrap_or(0.0).into()
    }

    /// The same table, with another rule for timesteps. A flow has none, its time is the sigma.
    pub fn with_times(mut self, rule: TimeRule) -> Self {
        if let Time::Index(_) = self.time {
            self.time = Time::Index(rule);
        }
        self
    }

    /// The time of a noise level that the network is told.
    pub fn timestep(&self, sigma: f64) -> f64 {
        match &self.time {
            Time::Flow { .. } => sigma,
            Time::Log => 0.25 * sigma.ln(),
            Time::Index(TimeRule::Nearest) => self.nearest(sigma),
            Time::Index(TimeRule::Between) => self.between(sigma),
            Time::Index(TimeRule::Listed(list)) => {
                list.iter().find(|(s, _)| *s == sigma).map_or_else(|| self.between(sigma), |(_, time)| *time)
            }
        }
    }

    fn nearest(&self, sigma: f64) -> f64 {
        let log_sigma = (sigma as f32).ln();
        let after = self.log_sigmas.partition_point(|&s| s < log_sigma);
        let nearest = match (after.checked_sub(1), self.log_sigmas.get(after)) {
            (Some(before), Some(&high)) if log_sigma - self.log_sigmas[before] <= high - log_sigma => before,
            (Some(before), None) => before,
            _ => after,
        };
        nearest as f64
    }

    /// Between entries, by logarithms (k-diffusion, `DiscreteSchedule.sigma_to_t`).
    fn between(&self, sigma: f64) -> f64 {
        let log = |i: usize| f64::from(self.sigmas[i]).ln();
        let last = self.sigmas.len() - 1;
        let low = self.sigmas.partition_point(|&s| f64::from(s) <= sigma).saturating_sub(1).min(last.saturating_sub(1));
        if last == 0 {
            return 0.0;
        }
        let w = (sigma.max(1e-10).ln() - log(low)) / (log(low + 1) - log(low));
        low as f64 + w.clamp(0.0, 1.0)
    }

    /// The noise level of a time, between entries on a straight line (numpy's `interp`, diffusers).
    pub fn sigma_on_a_line(&self, timestep: f64) -> f64 {
        let t = timestep.clamp(0.0, self.sigmas.len().saturating_sub(1) as f64);
        let (low, high, w) = (t.floor() as usize, t.ceil() as usize, t.fract());
        (1.0 - w) * f64::from(self.sigmas[low]) + w * f64::from(self.sigmas[high])
    }

    /// The noise level of a time, between entries by their logarithms.
    pub fn sigma(&self, timestep: f64) -> f64 {
        if let Time::Flow { mu } = self.time {
            return shifted(mu, timestep);
        }
        if let Time::Log = self.time {
            return (4.0 * timestep).exp();
        }
        let t = (timestep as f32).clamp(0.0, self.log_sigmas.len().saturating_sub(1) as f32);
        let (low, high, w) = (t.floor() as usize, t.ceil() as usize, t.fract());
        f64::from(((1.0 - w) * self.log_sigmas[low] + w * self.log_sigmas[high]).exp())
    }

    /// The latent that sampling starts from: `latent` with noise of this level on it, both (b, c, h, w).
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn start(&self, sigma: f64, latent: &Tensor, noise: &Tensor) -> Result<Tensor> {
        if let Time::Flow { .. } = self.time {
            return Ok(((latent * (1.0 - sigma))? + (noise * sigma)?)?);
        }
        Ok((latent + (noise * self.start_scale(sigma))?)?)
    }

    /// A latent with noise of this level on it, without the start's rule at the top of the table.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn noisy(&self, sigma: f64, latent: &Tensor, noise: &Tensor) -> Result<Tensor> {
        Ok(((latent * self.mix().alpha(sigma))? + (noise * sigma)?)?)
    }

    /// What a walk that ended at this level hands on: on a flow, the latent's share is scaled back to 1.
    ///
    /// # Errors
    /// When computing fails.
    pub fn finish(&self, sigma: f64, x: Tensor) -> Result<Tensor> {
        match self.time {
            Time::Flow { .. } if sigma > 0.0 && sigma < 1.0 => Ok((x / (1.0 - sigma))?),
            _ => Ok(x),
        }
    }

    /// What start noise is multiplied by. At the top of the table the training data's own variance is
    /// no longer seen apart from the noise, hence √(1 + σ²) there.
    pub fn start_scale(&self, sigma: f64) -> f64 {
        let top = self.max();
        if sigma > top || (sigma - top).abs() <= 1e-5 * sigma.abs().max(top) {
            (1.0 + sigma * sigma).sqrt()
        } else {
            sigma
        }
    }
}

/// Betas whose square roots are evenly spaced.
fn scaled_linear_betas(start: f64, end: f64, timesteps: usize) -> Vec<f64> {
    let (a, b) = (start.sqrt(), end.sqrt());
    let last = timesteps.saturating_sub(1).max(1) as f64;
    (0..timesteps).map(|i| (a + (b - a) * i as f64 / last).powi(2)).collect()
}

/// e^µ / (e^µ + 1/t − 1), the time shift of Flux.1.
fn shifted(mu: f64, t: f64) -> f64 {
    if t <= 0.0 { 0.0 } else { mu.exp() / (mu.exp() + (1.0 / t - 1.0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sd15_ends_are_the_known_ones() {
        let table = SigmaTable::sd15();
        assert!((table.min() - 0.029_167_1).abs() < 1e-6);
        assert!((table.max() - 14.614_641).abs() < 1e-5);
    }

    #[test]
    fn every_entry_finds_itself() {
        let table = SigmaTable::sd15();
        for (i, &sigma) in table.sigmas().iter().enumerate() {
            assert_eq!(table.timestep(sigma.into()), i as f64);
            assert!((table.sigma(i as f64) / f64::from(sigma) - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn times_outside_the_table_stop_at_its_ends() {
        let table = SigmaTable::sd15();
        assert_eq!(table.timestep(1000.0), 999.0);
        assert_eq!(table.timestep(1e-9), 0.0);
        assert_eq!(table.timestep(0.0), 0.0);
        assert!((table.sigma(5000.0) - table.max()).abs() < 1e-4);
    }

    #[test]
    fn continuous_levels_have_a_time_each() {
        let table = SigmaTable::continuous(0.002, 120.0);
        assert!((table.min() / 0.002 - 1.0).abs() < 1e-6 && (table.max() / 120.0 - 1.0).abs() < 1e-6);
        for sigma in [0.002, 0.7, 1.0, 90.0] {
            assert!((table.sigma(table.timestep(sigma)) / sigma - 1.0).abs() < 1e-9);
        }
        assert_eq!(table.timestep(1.0), 0.0);
        assert!((table.at_percent(0.5) - (0.002f64 * 120.0).sqrt()).abs() < 1e-4);
    }

    #[test]
    fn only_the_top_adds_the_variance_of_the_data() {
        let table = SigmaTable::sd15();
        assert_eq!(table.start_scale(1.0), 1.0);
        assert_eq!(table.start_scale(table.max()), (1.0 + table.max().powi(2)).sqrt());
    }
}
