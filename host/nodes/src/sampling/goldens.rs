//! Recorded walks of other programs through the tiny networks of each family.

use super::beside::Scene;
use super::guide::Guided;
use super::leads::Sides;
use super::walk::{Path, Start, Walk, walk};
use crate::testing::*;
use crate::types::{Cond, Conditioning, Guidance, Model, Size};
use candle_core::{DType, Device, Tensor};
use sample::{DIFFUSERS, Noises, Options, Sampler, SigmaTable, Spacing, Spread, StepNoise, flow_plan, flux_mu};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

type Tensors = HashMap<String, Tensor>;

fn reference() -> PathBuf {
    std::env::var_os("ANAGAMA_REFERENCE").map_or_else(|| repository("tests/reference"), PathBuf::from)
}

fn file(name: &str) -> Option<Tensors> {
    let path = reference().join("trajectories").join(name);
    if !path.is_file() {
        println!("SKIPPED: {name}: no such file in {}", reference().display());
        return None;
    }
    Some(candle_core::safetensors::load(path, &Device::Cpu).unwrap())
}

/// The files of one kind: (name without its prefix and `.safetensors`, tensors).
fn files(prefix: &str) -> Vec<(String, Tensors)> {
    let Ok(folder) = std::fs::read_dir(reference().join("trajectories")) else {
        println!("SKIPPED: {prefix}*: no trajectories in {}", reference().display());
        return Vec::new();
    };
    let mut names: Vec<String> = folder.flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    let matching = names.iter().filter_map(|name| name.strip_prefix(prefix)?.strip_suffix(".safetensors"));
    matching.filter_map(|case| Some((case.to_owned(), file(&format!("{prefix}{case}.safetensors"))?))).collect()
}

fn model(folder: &str) -> Option<Model> {
    let path = reference().join("models").join(folder);
    if !path.is_dir() {
        println!("SKIPPED: {folder}: no such folder in {}", reference().join("models").display());
        return None;
    }
    let loaded = models::load(&path, &Device::Cpu, DType::F32).unwrap();
    Some(Model {
        base_text: Some(loaded.text.clone()),
        network: loaded.network,
        family: loaded.family,
        name: folder.into(),
        digest: loaded.digest,
        prediction: loaded.prediction,
        noise: loaded.noise,
        latent: loaded.latent,
        sampling: None,
        predicts: None,
        differential: None,
    })
}

fn number(tensors: &Tensors, name: &str) -> f64 {
    tensors[name].to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()[0]
}

fn parts(tensors: &Tensors, name: &str) -> Vec<Tensor> {
    tensors.get(name).map_or(Vec::new(), |t| (0..t.dim(0).unwrap()).map(|i| t.get(i).unwrap()).collect())
}

fn off(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap()
}

fn prompt(states: &Tensor, pooled: Option<&Tensor>) -> Cond {
    Cond::new(states.clone(), pooled.cloned())
}

fn classifier(positive: Cond, negative: Cond, cfg: f64) -> Guidance {
    let one = |cond| Arc::new(Conditioning(vec![cond]));
    Guidance::Classifier { positive: one(positive), negative: one(negative), cfg }
}

/// ComfyUI's runs of the tiny SD 1.5 model: its sigmas, its timesteps, its start, its guidance. 1e-3 over a trajectory
/// in float32.
#[test]
fn equals_comfyui_on_sd15() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let (Some(inputs), Some(model)) = (file("sd15_inputs.safetensors"), model("sd15")) else { return };
    let cases = files("comfyui_sd15_");
    for (case, tensors) in &cases {
        let scheduler = sample::SCHEDULES.iter().find(|s| case.ends_with(&format!("_{}", s.name))).unwrap();
        let sampler = case.strip_suffix(&format!("_{}", scheduler.name)).unwrap();
        let (sampler, scheduler) = (sampler, scheduler.name);
        let steps = tensors["sigmas"].elem_count() - 1;
        let path = Walk { sampler, scheduler, steps, denoise: 1.0, start: 0, end: usize::MAX, finish: true };
        let cfg = number(&inputs, "guidance");
        let (positive, negative) = (&inputs["prompt_embeds"], &inputs["negative_embeds"]);
        let guidance = classifier(prompt(positive, None), prompt(negative, None), cfg);
        let noise = inputs["noise"].clone();
        let draws = parts(tensors, "step_noise").into_iter();
        let start = Start {
            latent: noise.zeros_like().unwrap(),
            noise: Noises { start: noise, steps: StepNoise::Given(draws) },
            mask: None,
            seed: 0,
        };
        let done = walk(&ctx, &model, &guidance, &path.path(&model).unwrap(), start, (0, 0)).unwrap();
        let found = model.latent.scale(&done.samples).unwrap();
        let off = off(&found, &tensors["result"]);
        assert!(off < 1e-3, "{case}: off by {off}");
    }
    println!("{} of ComfyUI's walks compared", cases.len());
}

/// Walks from noise of the first sigma, by another program's rules for timesteps: the scaled latent at the end.
fn go(model: &Model, table: &SigmaTable, guidance: &Guidance, path: &Path, x: Tensor, steps: StepNoise) -> Tensor {
    let (b, _, h, w) = x.dims4().unwrap();
    let mut guided = Guided::new(guidance, model, table, Sides { b, h, w }, Scene::default(), &Device::Cpu).unwrap();
    let mut steps = steps;
    path.sampler.sample(&mut guided, x, &path.sigmas, &mut steps, &mut |_| Ok(())).unwrap()
}

/// The settings of diffusers' schedulers that the files' names stand for.
const SDXL: &[(&str, &str, Options)] = &[
    (
        "dpmpp_2m_karras",
        "DPMSolverMultistepScheduler",
        Options { spacing: Spacing::Linspace, offset: 0, spread: Spread::Karras },
    ),
    (
        "euler_a",
        "EulerAncestralDiscreteScheduler",
        Options { spacing: Spacing::Linspace, offset: 0, spread: Spread::Timesteps },
    ),
    (
        "euler_leading",
        "EulerDiscreteScheduler",
        Options { spacing: Spacing::Leading, offset: 1, spread: Spread::Timesteps },
    ),
];

/// diffusers' walks of the tiny SDXL model, with its size and pooled text: 1e-3 over a trajectory in float32.
#[test]
fn equals_diffusers_on_sdxl() {
    let Some(model) = model("sdxl") else { return };
    let cases = files("sdxl_");
    for (case, tensors) in &cases {
        let (_, class, options) =
            SDXL.iter().find(|(name, ..)| name == case).unwrap_or_else(|| panic!("unknown {case}"));
        let row = DIFFUSERS.iter().find(|row| row.name == *class).unwrap();
        let base = model.sigma_table();
        let plan = row.plan(&base, options, tensors["timesteps"].elem_count()).unwrap();
        let (table, first) = (plan.table(&base), plan.sigmas[0]);
        let sizes = tensors["time_ids"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let [height, width, crop_top, crop_left, target_height, target_width] = sizes[..] else { panic!("{sizes:?}") };
        let size = [width, height, crop_left, crop_top, target_width, target_height].map(|n| n as u32);
        let [width, height, crop_left, crop_top, target_width, target_height] = size;
        let size = Size { width, height, crop_left, crop_top, target_width, target_height };
        let lead =
            |states: &str, pooled: &str| Cond { size: Some(size), ..prompt(&tensors[states], Some(&tensors[pooled])) };
        let positive = lead("prompt_embeds", "pooled");
        let negative = lead("negative_embeds", "negative_pooled");
        let guidance = classifier(positive, negative, number(tensors, "guidance"));
        let scale = match row.start(options) {
            sample::Start::Variance => (1.0 + first * first).sqrt(),
            _ => first,
        };
        let x = (&tensors["noise"] * scale).unwrap();
        let path = Path { sampler: row.sampler().unwrap(), sigmas: plan.sigmas };
        let noise = StepNoise::Given(parts(tensors, "step_noise").into_iter());
        let found = go(&model, &table, &guidance, &path, x, noise);
        let latents = parts(tensors, "latents");
        let off = off(&found, latents.last().unwrap());
        assert!(off < 1e-3, "{case}: off by {off}");
    }
    println!("{} walks of SDXL compared", cases.len());
}

/// diffusers' walk of the tiny Flux.1 model: 1e-3 over a trajectory in float32.
#[test]
fn equals_diffusers_on_flux() {
    if models::FAMILIES.iter().all(|family| family.prediction != models::Prediction::Flow) {
        println!("SKIPPED: flux_euler: no family of flow matching is listed");
        return;
    }
    let (Some(model), Some(tensors)) = (model("flux"), file("flux_euler.safetensors")) else { return };
    let latents = &tensors["latents_packed"];
    let mu = flux_mu(latents.dim(2).unwrap());
    let sigmas = flow_plan(mu, tensors["timesteps"].elem_count());
    let lead = Cond {
        guidance: Some(number(&tensors, "guidance")),
        ..prompt(&tensors["t5_hidden"], Some(&tensors["pooled"]))
    };
    let guidance = Guidance::Plain(Arc::new(Conditioning(vec![lead])));
    let sampler: &Sampler = sample::sampler("euler").unwrap();
    let path = Path { sampler, sigmas };
    let noise = tensors["noise"].clone();
    let found = go(&model, &SigmaTable::flow(mu), &guidance, &path, noise, StepNoise::from_seed(0));
    let off = off(&found, &tensors["final_latent"]);
    assert!(off < 1e-3, "off by {off}");
}

#[test]
fn prompts_share_the_picture_by_their_strengths() {
    let (Some(inputs), Some(model)) = (file("sd15_inputs.safetensors"), model("sd15")) else { return };
    let (one, two) = (&inputs["prompt_embeds"], &inputs["negative_embeds"]);
    let x = (&inputs["noise"] * 3.0).unwrap();
    let (b, _, h, w) = x.dims4().unwrap();
    let table = model.sigma_table();
    let guess = |conds: Vec<Cond>| {
        let guidance = Guidance::Plain(Arc::new(Conditioning(conds)));
        let sides = Sides { b, h, w };
        let mut guided = Guided::new(&guidance, &model, &table, sides, Scene::default(), &Device::Cpu).unwrap();
        sample::Denoiser::denoise(&mut guided, &x, 3.0).unwrap()
    };
    let (a, c) = (guess(vec![prompt(one, None)]), guess(vec![prompt(two, None)]));
    let strong = Cond { strength: 3.0, ..prompt(two, None) };
    let mixed = ((&a + (&c * 3.0).unwrap()).unwrap() / 4.0).unwrap();
    assert!(off(&guess(vec![prompt(one, None), strong]), &mixed) < 1e-5);
    // Out of its range, a prompt is as if it were not there.
    let late = Cond { range: (0.99, 1.0), ..prompt(two, None) };
    assert!(off(&guess(vec![prompt(one, None), late.clone()]), &a) < 1e-6);
    assert_eq!(off(&guess(vec![late]), &a.zeros_like().unwrap()), 0.0);
}
