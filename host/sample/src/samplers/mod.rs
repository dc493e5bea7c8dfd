//! Methods that walk along the sigmas, one file each.

mod ddim;
mod ddpm;
mod dpm_2;
mod dpm_2_ancestral;
mod dpmpp_2m;
mod dpmpp_2s_ancestral;
mod euler;
mod euler_ancestral;
mod heun;
mod ipndm;
mod lcm;
mod lms;

use crate::{Denoiser, StepNoise};
use anyhow::{Context, Result, bail};
use candle_core::{DType, Tensor};

/// Every sampler, in the order that menus show.
pub const SAMPLERS: &[Sampler] = &[
    euler::EULER,
    euler_ancestral::EULER_ANCESTRAL,
    heun::HEUN,
    dpm_2::DPM_2,
    dpm_2_ancestral::DPM_2_ANCESTRAL,
    lms::LMS,
    dpmpp_2s_ancestral::DPMPP_2S_ANCESTRAL,
    dpmpp_2m::DPMPP_2M,
    ddpm::DDPM,
    lcm::LCM,
    ipndm::IPNDM,
    ddim::DDIM,
];

/// A method to get from noise to a clean latent.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    /// The name in workflows; ComfyUI's where it has the method.
    pub name: &'static str,
    /// Where the method is described.
    pub source: &'static str,
    /// The schedule's last sigma above 0 is left out, because the method evaluates between sigmas.
    pub discard_penultimate: bool,
    run: Run,
}

/// (denoiser, scaled start (b, c, h, w), sigmas, noise, report) → the clean latent.
type Run = fn(&mut dyn Denoiser, Tensor, &[f64], &mut StepNoise, &mut Report<'_>) -> Result<Tensor>;
type Report<'a> = dyn FnMut(StepInfo<'_>) -> Result<()> + 'a;

/// What is known at a step, after the denoiser was asked and before the latent moves on.
#[derive(Clone, Copy)]
pub struct StepInfo<'a> {
    /// From 0.
    pub step: usize,
    pub total: usize,
    pub sigma: f64,
    /// The noisy latent of this step.
    pub x: &'a Tensor,
    /// The clean guess of this step.
    pub denoised: &'a Tensor,
}

/// The sampler of this name.
///
/// # Errors
/// Lists the names when there is none.
pub fn sampler(name: &str) -> Result<&'static Sampler> {
    SAMPLERS.iter().find(|s| s.name == name).with_context(|| {
        let names: Vec<_> = SAMPLERS.iter().map(|s| s.name).collect();
        format!("unknown sampler `{name}`; there are {}", names.join(", "))
    })
}

impl Sampler {
    /// Walks from `start`, a latent with noise of the first sigma on it, along the sigmas.
    ///
    /// `report` is called once a step and may stop the walk with an error. Without sigmas, or with one,
    /// the start is returned.
    ///
    /// # Errors
    /// The denoiser's and `report`'s, and a value that is not a number, with its step and sigma.
    pub fn sample(
        &self,
        denoiser: &mut dyn Denoiser,
        start: Tensor,
        sigmas: &[f64],
        noise: &mut StepNoise,
        report: &mut Report<'_>,
    ) -> Result<Tensor> {
        if sigmas.len() < 2 {
            return Ok(start);
        }
        if let Some(w) = sigmas.windows(2).find(|w| w[1] >= w[0] || w[1] < 0.0 || !w[0].is_finite()) {
            bail!("expected descending sigmas, found {} and then {}", w[0], w[1]);
        }
        (self.run)(denoiser, start, sigmas, noise, &mut |info| {
            check_finite(&info)?;
            report(info)
        })
    }
}

fn check_finite(info: &StepInfo<'_>) -> Result<()> {
    // One sum finds any value that is not a number or infinite.
    let sum = info.denoised.to_dtype(DType::F32)?.sqr()?.sum_all()?.to_scalar::<f32>()?;
    if !sum.is_finite() {
        bail!(
            "step {} of {} (sigma {:.4}): the model's output is not a number; \
             the model or a LoRA on it may be damaged or trained too hot, or its strength too high",
            info.step + 1,
            info.total,
            info.sigma
        );
    }
    Ok(())
}

/// The direction of the ODE, (x − denoised) / sigma.
fn slope(x: &Tensor, denoised: &Tensor, sigma: f64) -> Result<Tensor> {
    Ok(((x - denoised)? / sigma)?)
}

/// The sum of factor · tensor over all terms, of which there is at least one.
fn combine(terms: &[(f64, &Tensor)]) -> Result<Tensor> {
    let [(factor, first), rest @ ..] = terms else { bail!("a sum without terms") };
    let mut sum = (*first * *factor)?;
    for (factor, term) in rest {
        sum = (sum + (*term * *factor)?)?;
    }
    Ok(sum)
}

/// Splits a step to sigma `to` into a step down and fresh noise that together arrive there:
/// (down, up) with down² + up² = to² (Song et al. 2020, arXiv:2010.02502, at eta 1).
fn ancestral(from: f64, to: f64) -> (f64, f64) {
    let up = to.min((to * to * (from * from - to * to) / (from * from)).sqrt());
    ((to * to - up * up).max(0.0).sqrt(), up)
}

/// A walk over the steps: (index, sigma, next sigma).
fn steps(sigmas: &[f64]) -> impl Iterator<Item = (usize, f64, f64)> + '_ {
    sigmas.windows(2).enumerate().map(|(i, w)| (i, w[0], w[1]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SCHEDULES, SigmaTable};
    use candle_core::Device;

    /// If all training data is one point, every sampler on every schedule ends there.
    #[test]
    fn one_point_of_data_is_always_found() {
        let point = Tensor::new(&[[[[0.25f32, -1.5], [3.0, 0.0]]]], &Device::Cpu).unwrap();
        let table = SigmaTable::sd15();
        for sampler in SAMPLERS {
            for schedule in SCHEDULES {
                let sigmas = crate::list_of_sigmas(sampler, schedule, &table, 9, 1.0).unwrap();
                let start = (point.ones_like().unwrap() * sigmas[0]).unwrap();
                let mut calls = 0;
                let end = sampler
                    .sample(
                        &mut |_: &Tensor, _: f64| Ok(point.clone()),
                        start,
                        &sigmas,
                        &mut StepNoise::from_seed(1),
                        &mut |_| {
                            calls += 1;
                            Ok(())
                        },
                    )
                    .unwrap();
                let off = (end - &point).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                assert!(off < 1e-4, "{} on {}: off by {off}", sampler.name, schedule.name);
                assert_eq!(calls, sigmas.len() - 1, "{} reports each step once", sampler.name);
            }
        }
    }

    #[test]
    fn names_are_unique_and_sources_named() {
        for (i, row) in SAMPLERS.iter().enumerate() {
            assert!(row.source.len() > 10);
            assert!(SAMPLERS[..i].iter().all(|other| other.name != row.name), "{} twice", row.name);
            assert_eq!(sampler(row.name).unwrap().name, row.name);
        }
        assert!(sampler("dpmpp").unwrap_err().to_string().contains("dpmpp_2m"));
    }

    #[test]
    fn a_value_that_is_no_number_is_reported_with_step_and_sigma() {
        let start = Tensor::ones((1, 1, 2, 2), DType::F32, &Device::Cpu).unwrap();
        let mut calls = 0;
        let mut broken = |x: &Tensor, _: f64| {
            calls += 1;
            Ok(if calls == 2 { (x * f64::NAN)? } else { x.clone() })
        };
        let error = sampler("euler")
            .unwrap()
            .sample(&mut broken, start, &[4.0, 2.0, 1.0, 0.0], &mut StepNoise::from_seed(0), &mut |_| Ok(()))
            .unwrap_err();
        assert!(error.to_string().starts_with("step 2 of 3 (sigma 2.0000)"), "{error}");
    }

    #[test]
    fn a_report_can_stop_the_walk() {
        let start = Tensor::ones((1, 1, 2, 2), DType::F32, &Device::Cpu).unwrap();
        for row in SAMPLERS {
            let result = row.sample(
                &mut |x: &Tensor, _: f64| Ok(x.clone()),
                start.clone(),
                &[4.0, 2.0, 0.0],
                &mut StepNoise::from_seed(0),
                &mut |_| bail!("stopped"),
            );
            assert_eq!(result.unwrap_err().to_string(), "stopped", "{}", row.name);
        }
    }

    #[test]
    fn sigmas_must_descend() {
        let start = Tensor::ones((1, 1, 2, 2), DType::F32, &Device::Cpu).unwrap();
        let result = sampler("euler").unwrap().sample(
            &mut |x: &Tensor, _: f64| Ok(x.clone()),
            start,
            &[1.0, 2.0],
            &mut StepNoise::from_seed(0),
            &mut |_| Ok(()),
        );
        assert!(result.is_err());
    }
}
