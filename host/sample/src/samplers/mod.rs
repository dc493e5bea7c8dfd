//! Methods that walk along the sigmas, one file each.

mod ddim;
mod ddpm;
mod deis;
mod deis_log_rho;
mod dpm_2;
mod dpm_2_ancestral;
mod dpmpp_2m;
mod dpmpp_2m_cfg_pp;
mod dpmpp_2m_sde;
mod dpmpp_2s;
mod dpmpp_2s_ancestral;
mod dpmpp_3m_sde;
mod dpmpp_sde;
mod er_sde;
mod euler;
mod euler_ancestral;
mod euler_cfg_pp;
mod gradient_estimation;
mod heun;
mod heunpp2;
mod ipndm;
mod ipndm_v;
mod lcm;
mod lms;
mod plms;
mod res_multistep;
mod seeds;
mod uni_pc;

pub(crate) use deis_log_rho::DEIS_LOG_RHO;
pub(crate) use dpmpp_2s::DPMPP_2S;
pub(crate) use lms::LMS_TO_THE_END;
pub(crate) use uni_pc::UNI_PC_2;

use crate::{Denoiser, Mix, StepNoise};
use anyhow::{Context, Result, bail};
use candle_core::{DType, Tensor};

/// Every sampler, in the order that menus show.
pub const SAMPLERS: &[Sampler] = &[
    euler::EULER,
    euler_cfg_pp::EULER_CFG_PP,
    euler_ancestral::EULER_ANCESTRAL,
    euler_cfg_pp::EULER_ANCESTRAL_CFG_PP,
    heun::HEUN,
    heunpp2::HEUNPP2,
    dpm_2::DPM_2,
    dpm_2_ancestral::DPM_2_ANCESTRAL,
    lms::LMS,
    dpmpp_2s_ancestral::DPMPP_2S_ANCESTRAL,
    dpmpp_sde::DPMPP_SDE,
    dpmpp_sde::DPMPP_SDE_GPU,
    dpmpp_2m::DPMPP_2M,
    dpmpp_2m_cfg_pp::DPMPP_2M_CFG_PP,
    dpmpp_2m_sde::DPMPP_2M_SDE,
    dpmpp_2m_sde::DPMPP_2M_SDE_GPU,
    dpmpp_2m_sde::DPMPP_2M_SDE_HEUN,
    dpmpp_2m_sde::DPMPP_2M_SDE_HEUN_GPU,
    dpmpp_3m_sde::DPMPP_3M_SDE,
    dpmpp_3m_sde::DPMPP_3M_SDE_GPU,
    ddpm::DDPM,
    lcm::LCM,
    ipndm::IPNDM,
    ipndm_v::IPNDM_V,
    deis::DEIS,
    res_multistep::RES_MULTISTEP,
    res_multistep::RES_MULTISTEP_CFG_PP,
    res_multistep::RES_MULTISTEP_ANCESTRAL,
    res_multistep::RES_MULTISTEP_ANCESTRAL_CFG_PP,
    gradient_estimation::GRADIENT_ESTIMATION,
    gradient_estimation::GRADIENT_ESTIMATION_CFG_PP,
    er_sde::ER_SDE,
    seeds::SEEDS_2,
    seeds::SEEDS_3,
    ddim::DDIM,
    plms::PLMS,
    uni_pc::UNI_PC,
    uni_pc::UNI_PC_BH2,
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
    /// Where a mask keeps a part of the latent, this part has noise of its own on it instead of the start noise: what
    /// ComfyUI does for `ddim` (`inpaint_options`). It is the first draw of the steps' noise.
    pub mask_noise_anew: bool,
    run: Run,
}

/// (walk, scaled start (b, c, h, w)) → the clean latent.
type Run = fn(&mut Walk<'_>, Tensor) -> Result<Tensor>;
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
        // Downwards as a rule; upwards, from a picture to its noise, works with methods that add none.
        let down = sigmas[1] < sigmas[0];
        let wrong = |w: &[f64]| w[0] == w[1] || (w[1] < w[0]) != down || w[1] < 0.0 || !w[0].is_finite();
        if let Some(w) = sigmas.windows(2).find(|w| wrong(w)) {
            bail!("expected descending sigmas, found {} and then {}", w[0], w[1]);
        }
        let mix = denoiser.mix();
        if mix.is_flow() && sigmas[0] > 1.0 {
            bail!(
                "expected sigmas up to 1 for a flow model, found {}; the sigmas were made for another model",
                sigmas[0]
            );
        }
        let mut walk = Walk { denoiser, sigmas: sigmas.to_vec(), noise, report, mix };
        (self.run)(&mut walk, start)
    }
}

/// What a sampler works with on its way.
struct Walk<'a> {
    denoiser: &'a mut dyn Denoiser,
    sigmas: Vec<f64>,
    noise: &'a mut StepNoise,
    report: &'a mut Report<'a>,
    mix: Mix,
}

impl Walk<'_> {
    /// (index, sigma, next sigma) of each step.
    fn steps(&self) -> Vec<(usize, f64, f64)> {
        self.sigmas.windows(2).enumerate().map(|(i, w)| (i, w[0], w[1])).collect()
    }

    /// For samplers that step in λ: there is none at sigma 1 of a flow, so a value just below is taken.
    fn stay_below_one(&mut self) {
        if let (Mix::Flow { below_one }, Some(first)) = (self.mix, self.sigmas.first_mut()) {
            *first = first.min(below_one);
        }
    }

    /// Steps with λ of both ends.
    fn steps_in_lambda(&self) -> Vec<Step> {
        let mix = self.mix;
        let all = self.steps().into_iter();
        all.map(|(index, sigma, next)| Step {
            index,
            sigma,
            next,
            h: mix.lambda(next) - mix.lambda(sigma),
            alpha: mix.alpha(sigma),
            alpha_next: mix.alpha(next),
        })
        .collect()
    }

    /// The clean guess at the beginning of a step, which is reported.
    fn guess(&mut self, step: usize, x: &Tensor) -> Result<Tensor> {
        let denoised = self.denoiser.denoise(x, self.sigmas[step])?;
        self.tell(step, x, &denoised)?;
        Ok(denoised)
    }

    /// The same with guidance, and without.
    fn guess_both(&mut self, step: usize, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (denoised, without) = self.denoiser.denoise_both(x, self.sigmas[step])?;
        self.tell(step, x, &denoised)?;
        Ok((denoised, without))
    }

    fn tell(&mut self, step: usize, x: &Tensor, denoised: &Tensor) -> Result<()> {
        let info = StepInfo { step, total: self.sigmas.len() - 1, sigma: self.sigmas[step], x, denoised };
        check_finite(&info)?;
        (self.report)(info)
    }

    /// A clean guess within a step.
    fn denoise(&mut self, x: &Tensor, sigma: f64) -> Result<Tensor> {
        self.denoiser.denoise(x, sigma)
    }

    /// Fresh noise of variance 1, in the shape of `x`.
    fn fresh(&mut self, x: &Tensor) -> Result<Tensor> {
        self.noise.draw(x)
    }
}

/// A step in λ.
struct Step {
    index: usize,
    sigma: f64,
    next: f64,
    /// Its length in λ; infinite if it ends at sigma 0.
    h: f64,
    alpha: f64,
    alpha_next: f64,
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

/// The same on the straight line of a flow, where fresh noise needs the clean latent scaled too: (down, scale, up),
/// and the latent at `to` is scale · (latent at `down`) + up · noise (ComfyUI, `sample_euler_ancestral_RF`).
fn ancestral_flow(from: f64, to: f64) -> (f64, f64, f64) {
    let down = to * (to / from);
    let scale = (1.0 - to) / (1.0 - down);
    (down, scale, (to * to - down * down * scale * scale).max(0.0).sqrt())
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
                // uni_pc stops at 0.001, where that much of the noise is left.
                let left = if sampler.name.starts_with("uni_pc") { 2e-3 } else { 1e-4 };
                assert!(off < left, "{} on {}: off by {off}", sampler.name, schedule.name);
                assert_eq!(calls, sigmas.len() - 1, "{} reports each step once", sampler.name);
            }
        }
    }

    struct OnePoint(Tensor, Mix);

    impl Denoiser for OnePoint {
        fn denoise(&mut self, _: &Tensor, _: f64) -> Result<Tensor> {
            Ok(self.0.clone())
        }

        fn mix(&self) -> Mix {
            self.1
        }
    }

    #[test]
    fn one_point_of_data_is_always_found_on_a_flow() {
        let point = Tensor::new(&[[[[0.25f32, -1.5], [3.0, 0.0]]]], &Device::Cpu).unwrap();
        let table = SigmaTable::flow(1.15);
        for sampler in SAMPLERS {
            for schedule in SCHEDULES {
                let sigmas = crate::list_of_sigmas(sampler, schedule, &table, 9, 1.0).unwrap();
                let mut denoiser = OnePoint(point.clone(), table.mix());
                let start = table.start(sigmas[0], &point, &point.ones_like().unwrap()).unwrap();
                let mut noise = StepNoise::from_seed(1);
                let end = sampler.sample(&mut denoiser, start, &sigmas, &mut noise, &mut |_| Ok(())).unwrap();
                let off = (end - &point).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                // uni_pc stops at 0.001, where that much of the noise is left.
                assert!(off < 5e-3, "{} on {}: off by {off}", sampler.name, schedule.name);
            }
        }
    }

    /// Without guidance both guesses are one, and CFG++ is the plain method.
    #[test]
    fn cfg_pp_without_guidance_is_the_plain_method() {
        let start = Tensor::new(&[[[[9.0f32, -8.0], [3.0, 0.5]]]], &Device::Cpu).unwrap();
        let run = |name: &str| {
            let mut guess = |x: &Tensor, s: f64| Ok(((x / (1.0 + s * s))? + (x.sin()? * 0.1)?)?);
            let sigmas = [10.0, 5.0, 2.0, 1.0, 0.4, 0.0];
            let mut noise = StepNoise::from_seed(3);
            let end = sampler(name).unwrap().sample(&mut guess, start.clone(), &sigmas, &mut noise, &mut |_| Ok(()));
            end.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        for row in SAMPLERS.iter().filter(|row| row.name.ends_with("_cfg_pp")) {
            // Its second-order term takes the difference to the guess without a prompt, over the whole step.
            let plain = run(row.name.trim_end_matches("_cfg_pp"));
            for (a, b) in run(row.name).iter().zip(plain) {
                assert!((a - b).abs() < 1e-4, "{}: {a} {b}", row.name);
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
        for sigmas in [[1.0, 2.0, 0.5], [2.0, 1.0, 1.0], [2.0, 1.0, -1.0]] {
            let mut guess = |x: &Tensor, _: f64| Ok(x.clone());
            let mut noise = StepNoise::from_seed(0);
            let result =
                sampler("euler").unwrap().sample(&mut guess, start.clone(), &sigmas, &mut noise, &mut |_| Ok(()));
            assert!(result.is_err());
        }
    }

    /// Up to noise and down again along the same slopes.
    #[test]
    fn a_way_up_is_walked_too() {
        let start = Tensor::new(&[[[[1.0f32, -2.0]]]], &Device::Cpu).unwrap();
        let walk = |start: Tensor, sigmas: &[f64]| {
            let mut guess = |x: &Tensor, s: f64| Ok((x / (1.0 + s * s))?);
            let mut noise = StepNoise::from_seed(0);
            sampler("heun").unwrap().sample(&mut guess, start, sigmas, &mut noise, &mut |_| Ok(())).unwrap()
        };
        let up: Vec<f64> = (1..=200).map(|i| f64::from(i) * 0.02).collect();
        let down: Vec<f64> = up.iter().rev().copied().collect();
        let noisy = walk(start.clone(), &up);
        let back = walk(noisy, &down);
        let off = (back - start).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(off < 1e-3, "{off}");
    }
}
