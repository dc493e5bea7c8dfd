//! Which timesteps and sigmas diffusers' schedulers visit, and which sampler each of them is.

use crate::samplers::{DEIS_LOG_RHO, DPMPP_2S, LMS_TO_THE_END, UNI_PC_2};
use crate::schedules::beta_quantiles;
use crate::{Sampler, SigmaTable, Start, TimeRule, sampler};
use anyhow::{Result, bail};

/// A scheduler class.
#[derive(Clone, Copy, Debug)]
pub struct DiffusersScheduler {
    /// The class' name.
    pub name: &'static str,
    method: Method,
    points: Points,
    ending: Ending,
    /// Timesteps are whole numbers.
    whole: bool,
    /// Latents are kept at variance 1 instead of on the sigma scale: they are √(1 + σ²) smaller.
    pub variance_preserving: bool,
}

#[derive(Clone, Copy, Debug)]
enum Method {
    /// A sampler of the menu.
    Named(&'static str),
    /// One that only diffusers has.
    Own(&'static Sampler),
}

/// How timesteps are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Points {
    /// Both ends of the table, fractions included.
    Ends,
    /// As if there were one step more, which is left out.
    OneMore,
    /// The same as `Ends`, in whole numbers.
    Whole,
    /// Of the 50 timesteps that a latent consistency model was distilled on.
    Consistency,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Sigma 0.
    Zero,
    /// The table's lowest sigma.
    Lowest,
}

/// `timestep_spacing` (Lin et al. 2023, arXiv:2305.08891, table 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    Leading,
    Linspace,
    Trailing,
}

/// How sigmas are spread between those of the first and the last timestep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// As the timesteps are.
    Timesteps,
    Karras,
    Exponential,
    Beta,
}

/// A scheduler's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    pub spacing: Spacing,
    /// `steps_offset`, for leading.
    pub offset: usize,
    pub spread: Spread,
}

/// What is visited.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Descending, one more than steps.
    pub sigmas: Vec<f64>,
    /// One per step.
    pub timesteps: Vec<f64>,
}

macro_rules! scheduler {
    ($name:literal, $method:expr, $points:ident, $ending:ident, whole $whole:literal, vp $vp:literal) => {
        DiffusersScheduler {
            name: $name,
            method: $method,
            points: Points::$points,
            ending: Ending::$ending,
            whole: $whole,
            variance_preserving: $vp,
        }
    };
}

/// The classes that are known.
pub const DIFFUSERS: &[DiffusersScheduler] = &[
    scheduler!("EulerDiscreteScheduler", Method::Named("euler"), Ends, Zero, whole false, vp false),
    scheduler!("EulerAncestralDiscreteScheduler", Method::Named("euler_ancestral"), Ends, Zero, whole false, vp false),
    scheduler!("HeunDiscreteScheduler", Method::Named("heun"), Ends, Zero, whole false, vp false),
    scheduler!("KDPM2DiscreteScheduler", Method::Named("dpm_2"), Ends, Zero, whole false, vp false),
    scheduler!("KDPM2AncestralDiscreteScheduler", Method::Named("dpm_2_ancestral"), Ends, Zero, whole false, vp false),
    scheduler!("LMSDiscreteScheduler", Method::Own(&LMS_TO_THE_END), Ends, Zero, whole false, vp false),
    scheduler!("DPMSolverMultistepScheduler", Method::Named("dpmpp_2m"), OneMore, Zero, whole true, vp true),
    // `algorithm_type` sde-dpmsolver++.
    scheduler!("DPMSolverMultistepScheduler-sde", Method::Named("dpmpp_2m_sde"), OneMore, Zero, whole true, vp true),
    scheduler!("DPMSolverSinglestepScheduler", Method::Own(&DPMPP_2S), OneMore, Zero, whole true, vp true),
    scheduler!("DEISMultistepScheduler", Method::Own(&DEIS_LOG_RHO), OneMore, Lowest, whole true, vp true),
    scheduler!("UniPCMultistepScheduler", Method::Own(&UNI_PC_2), OneMore, Zero, whole true, vp true),
    // Without `set_alpha_to_one`, as Stable Diffusion's settings have it.
    scheduler!("DDIMScheduler", Method::Named("ddim"), Whole, Lowest, whole true, vp true),
    // With eta 1.
    scheduler!("DDIMScheduler-eta1", Method::Named("euler_ancestral"), Whole, Lowest, whole true, vp true),
    scheduler!("DDPMScheduler", Method::Named("ddpm"), Whole, Zero, whole true, vp true),
    // With `skip_prk_steps`.
    scheduler!("PNDMScheduler", Method::Named("plms"), Whole, Lowest, whole true, vp true),
    scheduler!("LCMScheduler", Method::Named("lcm"), Consistency, Zero, whole true, vp true),
];

impl DiffusersScheduler {
    /// The method that the class is.
    ///
    /// # Errors
    /// When the menu lacks it.
    pub fn sampler(&self) -> Result<&'static Sampler> {
        match self.method {
            Method::Named(name) => sampler(name),
            Method::Own(own) => Ok(own),
        }
    }

    /// What start noise is multiplied by on the sigma scale (`init_noise_sigma`).
    pub fn start(&self, options: &Options) -> Start {
        if self.variance_preserving || options.spacing == Spacing::Leading { Start::Variance } else { Start::Sigma }
    }

    /// The timesteps and sigmas of `steps` steps (`set_timesteps`).
    ///
    /// # Errors
    /// When there are no steps, or more than the table has entries.
    pub fn plan(&self, table: &SigmaTable, options: &Options, steps: usize) -> Result<Plan> {
        let entries = table.sigmas().len();
        if steps == 0 || steps >= entries {
            bail!("expected from 1 to {} steps, found {steps}", entries.saturating_sub(1));
        }
        let timesteps = self.timesteps(entries, options, steps);
        let at = |timesteps: &[f64]| timesteps.iter().map(|&t| table.sigma_on_a_line(t)).collect::<Vec<f64>>();
        // The multistep classes spread over the whole table, the others over what the timesteps span.
        let (high, low) = match self.points {
            Points::OneMore => (table.max(), table.min()),
            _ => {
                let sigmas = at(&timesteps);
                (sigmas[0], sigmas[steps - 1])
            }
        };
        let along = |i: usize| i as f64 / (steps.max(2) - 1) as f64;
        let spread = |rule: &dyn Fn(f64) -> f64| (0..steps).map(|i| rule(along(i))).collect::<Vec<f64>>();
        let mut sigmas = match options.spread {
            Spread::Timesteps => at(&timesteps),
            Spread::Karras => {
                let (a, b) = (high.powf(1.0 / 7.0), low.powf(1.0 / 7.0));
                spread(&|x| (a + x * (b - a)).powi(7))
            }
            Spread::Exponential => spread(&|x| (high.ln() + x * (low.ln() - high.ln())).exp()),
            Spread::Beta => spread(&|x| low + beta_quantiles(1.0 - x) * (high - low)),
        };
        let timesteps = if options.spread == Spread::Timesteps {
            timesteps
        } else {
            let between = table.clone().with_times(TimeRule::Between);
            let round = |t: f64| match (self.whole, options.spread) {
                (true, Spread::Karras) => t.round_ties_even(),
                (true, _) => t.floor(),
                (false, _) => t,
            };
            sigmas.iter().map(|&s| round(between.timestep(s))).collect()
        };
        sigmas.push(match self.ending {
            Ending::Zero => 0.0,
            Ending::Lowest => table.min(),
        });
        Ok(Plan { sigmas, timesteps })
    }

    fn timesteps(&self, entries: usize, options: &Options, steps: usize) -> Vec<f64> {
        let last = (entries - 1) as f64;
        let whole = self.points != Points::Ends;
        if self.points == Points::Consistency {
            const DISTILLED: usize = 50;
            let k = entries / DISTILLED;
            let index = |i: usize| (i as f64 * DISTILLED as f64 / steps as f64) as usize;
            return (0..steps).map(|i| ((DISTILLED - index(i)) * k - 1) as f64).collect();
        }
        match options.spacing {
            Spacing::Linspace => {
                let parts = if self.points == Points::OneMore { steps } else { steps.max(2) - 1 };
                (0..steps)
                    .map(|i| {
                        // In the order of numpy's `linspace`, which decides ties.
                        let t = (parts - i.min(parts)) as f64 * (last / parts as f64);
                        if whole { t.round_ties_even() } else { f64::from(t as f32) }
                    })
                    .collect()
            }
            Spacing::Leading if self.points == Points::OneMore => {
                let distance = entries / (steps + 1);
                (0..steps).map(|i| ((steps - i) * distance + options.offset) as f64).collect()
            }
            Spacing::Leading => {
                let distance = entries / steps;
                (0..steps).map(|i| ((steps - 1 - i) * distance + options.offset) as f64).collect()
            }
            Spacing::Trailing => {
                let distance = entries as f64 / steps as f64;
                (0..steps).map(|i| (entries as f64 - i as f64 * distance).round_ties_even() - 1.0).collect()
            }
        }
    }
}

impl Plan {
    /// The table with this plan's timesteps for its sigmas.
    pub fn table(&self, table: &SigmaTable) -> SigmaTable {
        let pairs = self.sigmas.iter().copied().zip(self.timesteps.iter().copied()).collect();
        table.clone().with_times(TimeRule::Listed(pairs))
    }

    /// The last int(steps · strength) steps, which img2img walks.
    pub fn last(mut self, strength: f64) -> Self {
        let steps = self.timesteps.len();
        let left_out = steps - ((steps as f64 * strength) as usize).min(steps);
        self.sigmas.drain(..left_out);
        self.timesteps.drain(..left_out);
        self
    }
}

/// The µ of Flux.1's shift by the picture's size: 0.5 at 256 tokens to 1.15 at 4096, a token being 16 by 16 pixels
/// (Black Forest Labs, `get_lin_function`; diffusers, `calculate_shift`).
pub fn flux_mu(tokens: usize) -> f64 {
    0.5 + (1.15 - 0.5) * (tokens as f64 - 256.0) / (4096.0 - 256.0)
}

/// `FlowMatchEulerDiscreteScheduler` with dynamic shift: sigmas from 1 to 1/steps, shifted, and 0.
pub fn flow_plan(mu: f64, steps: usize) -> Vec<f64> {
    let table = SigmaTable::flow(mu);
    let steps = steps.max(1);
    let even = (0..steps).map(|i| 1.0 + (1.0 / steps as f64 - 1.0) * i as f64 / (steps.max(2) - 1) as f64);
    even.map(|t| table.sigma(t)).chain([0.0]).collect()
}
