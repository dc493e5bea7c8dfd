//! How noise is put onto latents in training, and what a network is to make of it: the path between picture and noise.

use crate::losses::Prediction;
use candle_core::{Device, Result, Tensor};
use models::Betas;

/// The way from a picture (no noise) to noise alone. A place on it is a *time*: a timestep 0…999, or sigma 0…1 for flow
/// matching.
#[derive(Clone, Debug)]
pub enum Path {
    /// Timesteps with a β each.
    Betas(NoiseSchedule),
    /// Straight lines: (1 − σ)·latent + σ·noise (Liu et al. 2022, arXiv:2209.03003).
    Flow,
}

impl Path {
    /// Latents with noise; latents and noise (b, c, h, w), one time for each image.
    pub fn noisy(&self, latents: &Tensor, noise: &Tensor, times: &[f32]) -> Result<Tensor> {
        match self {
            Self::Betas(schedule) => schedule.add_noise(latents, noise, &steps(times)),
            Self::Flow => {
                let sigma = column(times, latents.device())?;
                latents.broadcast_mul(&(1.0 - &sigma)?)? + noise.broadcast_mul(&sigma)?
            }
        }
    }

    /// What the network should output; (b, c, h, w).
    pub fn target(&self, prediction: Prediction, latents: &Tensor, noise: &Tensor, times: &[f32]) -> Result<Tensor> {
        match (self, prediction) {
            (Self::Betas(schedule), Prediction::V) => schedule.velocity(latents, noise, &steps(times)),
            (_, Prediction::Flow) => noise - latents,
            (_, Prediction::Epsilon | Prediction::V) => Ok(noise.clone()),
        }
    }

    /// Signal-to-noise ratio: ᾱ / (1 − ᾱ), or ((1 − σ) / σ)².
    pub fn snr(&self, time: f32) -> f64 {
        match self {
            Self::Betas(schedule) => schedule.snr(time as u32),
            Self::Flow => ((1.0 - f64::from(time)) / f64::from(time)).powi(2),
        }
    }

    /// How far along the path a time lies, 0…1.
    pub fn share(&self, time: f32) -> f64 {
        match self {
            Self::Betas(schedule) => f64::from(time) / schedule.len() as f64,
            Self::Flow => time.into(),
        }
    }

    /// Timesteps that the path is divided into: those of the base's training.
    pub fn len(&self) -> usize {
        match self {
            Self::Betas(schedule) => schedule.len(),
            Self::Flow => 1000,
        }
    }

    /// Is it without timesteps? Never, for a path that means anything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Is nothing of a picture left at the end, because a schedule of betas was stretched so?
    pub fn ends_in_noise(&self) -> bool {
        match self {
            Self::Betas(schedule) => schedule.alphas_cumprod.last() == Some(&0.0),
            Self::Flow => false,
        }
    }

    /// The time at a share 0…1 of the timesteps `low` (included) to `high` (not included).
    pub fn time(&self, share: f64, (low, high): (u32, u32)) -> f32 {
        let at = f64::from(low) + share * f64::from(high - low);
        match self {
            Self::Betas(_) => at.floor().min(f64::from(high) - 1.0) as f32,
            // A picture without any noise teaches nothing, and its velocity cannot be told.
            Self::Flow => (at / self.len() as f64).clamp(1e-4, 1.0) as f32,
        }
    }
}

fn steps(times: &[f32]) -> Vec<u32> {
    times.iter().map(|&t| t as u32).collect()
}

/// (b, 1, 1, 1)
fn column(values: &[f32], device: &Device) -> Result<Tensor> {
    Tensor::from_slice(values, (values.len(), 1, 1, 1), device)
}

/// ᾱ for every timestep: how much of the latent is left.
#[derive(Clone, Debug)]
pub struct NoiseSchedule {
    alphas_cumprod: Vec<f32>,
}

impl NoiseSchedule {
    /// From a family's betas; for SD 1.x their square roots are evenly spaced from √0.00085 to √0.012. Computed in f32 as
    /// diffusers does. With `zero_snr` they are stretched so that nothing is left at the last timestep (Lin et al. 2023,
    /// arXiv:2305.08891, Algorithm 1).
    pub fn new(betas: Betas) -> Self {
        let root = |x: f64| if betas.scaled { x.sqrt() as f32 } else { x as f32 };
        let (from, to, n) = (root(betas.start), root(betas.end), betas.steps);
        let step = (to - from) / (n.max(2) - 1) as f32;
        let beta = |i: usize| {
            // As torch.linspace: the second half counts from the end.
            let x = if i < n / 2 { from + step * i as f32 } else { to - step * (n - 1 - i) as f32 };
            if betas.scaled { x * x } else { x }
        };
        let alphas_cumprod = products((0..n).map(|i| 1.0 - beta(i)));
        Self { alphas_cumprod: if betas.zero_snr { stretched(&alphas_cumprod) } else { alphas_cumprod } }
    }

    /// Number of timesteps.
    pub fn len(&self) -> usize {
        self.alphas_cumprod.len()
    }

    /// Is it without timesteps? Never, for a schedule that means anything.
    pub fn is_empty(&self) -> bool {
        self.alphas_cumprod.is_empty()
    }

    /// ᾱ at a timestep.
    pub fn alpha_bar(&self, timestep: u32) -> f64 {
        f64::from(self.alphas_cumprod[timestep as usize])
    }

    /// Signal-to-noise ratio ᾱ / (1 − ᾱ).
    pub fn snr(&self, timestep: u32) -> f64 {
        let a = self.alpha_bar(timestep);
        a / (1.0 - a)
    }

    /// Latents with noise: sqrt(ᾱ)·x + sqrt(1 − ᾱ)·noise; all (b, c, h, w), one timestep for each image.
    pub fn add_noise(&self, latents: &Tensor, noise: &Tensor, timesteps: &[u32]) -> Result<Tensor> {
        let (signal, dirt) = self.roots(timesteps, latents.device())?;
        latents.broadcast_mul(&signal)? + noise.broadcast_mul(&dirt)?
    }

    /// sqrt(ᾱ)·noise − sqrt(1 − ᾱ)·x; (b, c, h, w). Salimans and Ho 2022 (arXiv:2202.00512).
    pub fn velocity(&self, latents: &Tensor, noise: &Tensor, timesteps: &[u32]) -> Result<Tensor> {
        let (signal, dirt) = self.roots(timesteps, latents.device())?;
        noise.broadcast_mul(&signal)? - latents.broadcast_mul(&dirt)?
    }

    /// sqrt(ᾱ) and sqrt(1 − ᾱ), each (b, 1, 1, 1).
    fn roots(&self, timesteps: &[u32], device: &Device) -> Result<(Tensor, Tensor)> {
        let bars: Vec<f32> = timesteps.iter().map(|&t| self.alphas_cumprod[t as usize]).collect();
        let signal: Vec<f32> = bars.iter().map(|a| a.sqrt()).collect();
        let dirt: Vec<f32> = bars.iter().map(|a| (1.0 - a).sqrt()).collect();
        Ok((column(&signal, device)?, column(&dirt, device)?))
    }
}

fn products(factors: impl Iterator<Item = f32>) -> Vec<f32> {
    let running = |product: &mut f32, factor: f32| {
        *product *= factor;
        Some(*product)
    };
    factors.scan(1.0f32, running).collect()
}

/// Moved and scaled so that the first stays and the last is zero; then through betas and back, as sd-scripts'
/// `fix_noise_scheduler_betas_for_zero_terminal_snr` does, for the same last bits.
fn stretched(alphas_cumprod: &[f32]) -> Vec<f32> {
    let roots: Vec<f32> = alphas_cumprod.iter().map(|a| a.sqrt()).collect();
    let (first, last) = (roots.first().copied().unwrap_or(1.0), roots.last().copied().unwrap_or(0.0));
    let bars: Vec<f32> = roots.iter().map(|r| ((r - last) * (first / (first - last))).powi(2)).collect();
    let previous = |i: usize| if i == 0 { 1.0 } else { bars[i - 1] };
    products((0..bars.len()).map(|i| 1.0 - (1.0 - bars[i] / previous(i))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_falls_from_almost_one_to_almost_zero() {
        let s = NoiseSchedule::new(models::FAMILIES[0].noise.betas().unwrap());
        assert_eq!(s.len(), 1000);
        assert!((s.alpha_bar(0) - 0.99915).abs() < 1e-6);
        assert!((s.alpha_bar(999) - 0.0046602).abs() < 1e-5, "{}", s.alpha_bar(999));
        assert!((1..1000).all(|t| s.alpha_bar(t) < s.alpha_bar(t - 1)));
    }

    #[test]
    fn noise_and_v_give_the_latent_back() {
        let s = NoiseSchedule::new(models::FAMILIES[0].noise.betas().unwrap());
        let x = Tensor::new(&[[[[0.3f32, -1.2]]]], &Device::Cpu).unwrap();
        let n = Tensor::new(&[[[[1.1f32, 0.4]]]], &Device::Cpu).unwrap();
        let noisy = s.add_noise(&x, &n, &[400]).unwrap();
        let v = s.velocity(&x, &n, &[400]).unwrap();
        let a = s.alpha_bar(400);
        let back = ((noisy * a.sqrt()).unwrap() - (v * (1.0 - a).sqrt()).unwrap()).unwrap();
        let off = (back - x).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(off < 1e-6, "{off}");
    }

    #[test]
    fn a_step_against_the_flow_leads_to_the_latent() {
        let x = Tensor::new(&[[[[0.3f32, -1.2]]]], &Device::Cpu).unwrap();
        let n = Tensor::new(&[[[[1.1f32, 0.4]]]], &Device::Cpu).unwrap();
        let noisy = Path::Flow.noisy(&x, &n, &[0.7]).unwrap();
        let flow = Path::Flow.target(Prediction::Flow, &x, &n, &[0.7]).unwrap();
        let back = (noisy - (flow * 0.7).unwrap()).unwrap();
        let off = (back - x).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(off < 1e-6, "{off}");
    }

    #[test]
    fn times_stay_within_their_range() {
        let s = Path::Betas(NoiseSchedule::new(models::FAMILIES[0].noise.betas().unwrap()));
        assert_eq!((s.time(0.0, (10, 20)), s.time(1.0, (10, 20)), s.time(0.55, (10, 20))), (10.0, 19.0, 15.0));
        assert_eq!((Path::Flow.time(0.0, (0, 1000)), Path::Flow.time(1.0, (0, 1000))), (1e-4, 1.0));
        assert!((Path::Flow.time(0.5, (200, 400)) - 0.3).abs() < 1e-7);
    }
}
