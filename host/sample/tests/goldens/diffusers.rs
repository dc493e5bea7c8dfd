//! diffusers' schedulers: their lists of sigmas and timesteps, and their walks with the outputs that a network gave.

use crate::files::{close, file, header, root, values};
use candle_core::{DType, Device, Tensor};
use sample::{
    DIFFUSERS, DiffusersScheduler, NetworkDenoiser, Options, Plan, Prediction, SigmaTable, Spacing, Spread, Start,
    StepNoise, flow_plan, flux_mu,
};
use std::collections::BTreeMap;

/// diffusers' last ᾱ of a table with zero terminal signal-to-noise ratio, 2⁻²⁴.
const FLOOR: f64 = 1.0 / 16_777_216.0;

/// A scheduler with its settings.
struct Case {
    row: &'static DiffusersScheduler,
    options: Options,
    prediction: Prediction,
    table: SigmaTable,
}

/// Class and `timestep_spacing` that the reference's names stand for.
const NAMES: &[(&str, &str, Spacing)] = &[
    ("ddim_eta1", "DDIMScheduler-eta1", Spacing::Leading),
    ("ddim", "DDIMScheduler", Spacing::Leading),
    ("ddpm", "DDPMScheduler", Spacing::Leading),
    ("deis", "DEISMultistepScheduler", Spacing::Linspace),
    ("dpm2_a", "KDPM2AncestralDiscreteScheduler", Spacing::Linspace),
    ("dpm2", "KDPM2DiscreteScheduler", Spacing::Linspace),
    ("dpmpp_2m_sde", "DPMSolverMultistepScheduler-sde", Spacing::Linspace),
    ("dpmpp_2m", "DPMSolverMultistepScheduler", Spacing::Linspace),
    ("dpmpp_2s", "DPMSolverSinglestepScheduler", Spacing::Linspace),
    ("euler_a", "EulerAncestralDiscreteScheduler", Spacing::Linspace),
    ("euler", "EulerDiscreteScheduler", Spacing::Linspace),
    ("heun", "HeunDiscreteScheduler", Spacing::Linspace),
    ("lcm", "LCMScheduler", Spacing::Leading),
    ("lms", "LMSDiscreteScheduler", Spacing::Linspace),
    ("pndm", "PNDMScheduler", Spacing::Leading),
    ("unipc", "UniPCMultistepScheduler", Spacing::Linspace),
];

/// Words behind the class in the reference's names.
type Change = fn(&mut Case);
const WORDS: &[(&str, Change)] = &[
    ("karras", |case| case.options.spread = Spread::Karras),
    ("exponential", |case| case.options.spread = Spread::Exponential),
    ("beta", |case| case.options.spread = Spread::Beta),
    ("leading", |case| (case.options.spacing, case.options.offset) = (Spacing::Leading, 1)),
    ("trailing", |case| case.options.spacing = Spacing::Trailing),
    ("v", |case| case.prediction = Prediction::V),
    ("zsnr", |case| {
        case.table = case.table.zero_terminal_snr(FLOOR);
        case.options.spacing = Spacing::Trailing;
    }),
];

/// `dpmpp_2m_sde_karras` and the like.
fn case(name: &str) -> Option<Case> {
    let (short, class, spacing) = NAMES
        .iter()
        .filter(|(short, ..)| name.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
        .max_by_key(|(short, ..)| short.len())?;
    let offset = usize::from(*spacing == Spacing::Leading && *short != "ddpm");
    let mut case = Case {
        row: DIFFUSERS.iter().find(|row| row.name == *class).unwrap(),
        options: Options { spacing: *spacing, offset, spread: Spread::Timesteps },
        prediction: Prediction::Epsilon,
        table: SigmaTable::sd15(),
    };
    for word in name[short.len()..].split('_').filter(|word| !word.is_empty()) {
        WORDS.iter().find(|(known, _)| *known == word)?.1(&mut case);
    }
    Some(case)
}

/// The same from the settings that a file's header holds.
fn settings(case: &mut Case, json: &str) {
    let json: serde_json::Value = serde_json::from_str(&json.replace("-Infinity", "null")).unwrap();
    if let Some(spacing) = json["timestep_spacing"].as_str() {
        case.options.spacing = match spacing {
            "leading" => Spacing::Leading,
            "trailing" => Spacing::Trailing,
            _ => Spacing::Linspace,
        };
    }
    case.options.offset = json["steps_offset"].as_u64().unwrap_or(0) as usize;
    let on = |key: &str| json[key] == true;
    case.options.spread = match () {
        () if on("use_karras_sigmas") => Spread::Karras,
        () if on("use_exponential_sigmas") => Spread::Exponential,
        () if on("use_beta_sigmas") => Spread::Beta,
        () => Spread::Timesteps,
    };
    let v = json["prediction_type"] == "v_prediction";
    case.prediction = if v { Prediction::V } else { Prediction::Epsilon };
    let number = |key: &str| json[key].as_f64().unwrap();
    let steps = json["num_train_timesteps"].as_u64().unwrap() as usize;
    let table = match json["beta_schedule"].as_str().unwrap() {
        "scaled_linear" => SigmaTable::scaled_linear(number("beta_start"), number("beta_end"), steps),
        "linear" => SigmaTable::linear(number("beta_start"), number("beta_end"), steps),
        other => panic!("unknown beta_schedule {other}"),
    };
    case.table = if on("rescale_betas_zero_snr") { table.zero_terminal_snr(FLOOR) } else { table };
}

/// (sigma, timestep) of every call of the network on the way.
fn calls(case: &Case, plan: &Plan) -> Vec<(f64, f64)> {
    let table = plan.table(&case.table);
    let mut calls = Vec::new();
    let start = Tensor::zeros((1, 1, 1, 1), DType::F32, &Device::Cpu).unwrap();
    let mut denoiser = |x: &Tensor, sigma: f64| {
        calls.push((sigma, table.timestep(sigma)));
        Ok(x.zeros_like()?)
    };
    let mut noise = StepNoise::from_seed(0);
    case.row.sampler().unwrap().sample(&mut denoiser, start, &plan.sigmas, &mut noise, &mut |_| Ok(())).unwrap();
    calls
}

fn without_repeats(mut values: Vec<f64>) -> Vec<f64> {
    values.dedup();
    values
}

/// Tables of 1000 float32 products: 3e-5 relative. A timestep is a table's place times the error of a logarithm: 2e-2.
#[test]
fn schedules_equal_diffusers() {
    let Some(cases) = file("schedules/diffusers.safetensors") else { return };
    let mut compared = 0;
    for (name, expected) in cases.iter().filter(|(name, _)| name.ends_with(".timesteps")) {
        let mut parts = name.split('.');
        let (Some(short), Some(steps)) = (parts.next(), parts.next()) else { continue };
        let sigmas = cases.get(&name.replace(".timesteps", ".sigmas")).map(values);
        if short == "flux" {
            flux(&cases, name, sigmas.unwrap(), expected);
        } else {
            let case = case(short).unwrap_or_else(|| panic!("{name}: unknown scheduler"));
            let plan = case.row.plan(&case.table, &case.options, steps.parse().unwrap()).unwrap();
            let found: Vec<f64> = calls(&case, &plan).iter().map(|(_, t)| *t).collect();
            close(name, &found, &values(expected), 2e-2, 0.0);
            if let Some(sigmas) = sigmas {
                // Two-call methods list each sigma twice, and the midpoints apart.
                close(name, &plan.sigmas, &without_repeats(sigmas), 1e-6, 3e-5);
            }
        }
        compared += 1;
    }
    assert!(compared > 0, "no case was compared");
}

/// `flux.512x768.20.timesteps`
fn flux(cases: &BTreeMap<String, Tensor>, name: &str, sigmas: Vec<f64>, timesteps: &Tensor) {
    let parts: Vec<&str> = name.split('.').collect();
    let (h, w) = parts[1].split_once('x').unwrap();
    let mu = flux_mu(h.parse::<usize>().unwrap() / 16 * (w.parse::<usize>().unwrap() / 16));
    close(name, &[mu], &values(&cases[&format!("flux.{}.mu", parts[1])]), 1e-12, 0.0);
    let found = flow_plan(mu, parts[2].parse().unwrap());
    close(name, &found, &sigmas, 1e-6, 0.0);
    let times: Vec<f64> = found[..found.len() - 1].iter().map(|s| s * 1000.0).collect();
    close(name, &times, &values(timesteps), 1e-3, 0.0);
}

#[test]
fn tables_equal_diffusers() {
    let Some(cases) = file("schedules/diffusers.safetensors") else { return };
    for (key, table) in [
        ("alphas_cumprod", SigmaTable::sd15()),
        ("alphas_cumprod_zero_snr", SigmaTable::sd15().zero_terminal_snr(FLOOR)),
    ] {
        let Some(bar) = cases.get(key) else {
            println!("SKIPPED: {key}: not in schedules/diffusers.safetensors");
            continue;
        };
        // diffusers multiplies in float32, so errors of 1000 roundings add up.
        let found: Vec<f64> = table.sigmas().iter().map(|&s| 1.0 / (1.0 + f64::from(s).powi(2))).collect();
        let expected = values(bar);
        // It puts its floor in after it made the list that was recorded.
        let kept = if expected.last() == Some(&0.0) { expected.len() - 1 } else { expected.len() };
        close(key, &found[..kept], &expected[..kept], 2e-8, 1e-4);
    }
}

/// Walks over recorded outputs in float32: 1e-3 absolute, as INDEX.md suggests, and 1e-5 of the value.
#[test]
fn trajectories_equal_diffusers() {
    let folder = root().join("trajectories");
    let Some(inputs) = file("trajectories/sd15_inputs.safetensors") else { return };
    let mut compared = 0;
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    for name in names {
        let path = format!("trajectories/{name}");
        let Some(short) = name.strip_prefix("sd15_").and_then(|n| n.strip_suffix(".safetensors")) else { continue };
        let tensors = file(&path).unwrap();
        if !tensors.contains_key("model_outputs") {
            continue;
        }
        let short = short.strip_prefix("img2img_").unwrap_or(short);
        let mut case = case(short).unwrap_or_else(|| panic!("{name}: unknown scheduler"));
        let config = header(&path, "scheduler_config")
            .or_else(|| header(&format!("trajectories/sd15_{short}.safetensors"), "scheduler_config"));
        if let Some(config) = config {
            settings(&mut case, &config);
        }
        replay(&name, &case, &tensors, &inputs["noise"]);
        compared += 1;
    }
    assert!(compared > 0, "no case was compared");
}

fn replay(name: &str, case: &Case, tensors: &BTreeMap<String, Tensor>, noise: &Tensor) {
    let outputs = &tensors["model_outputs"];
    let timesteps = values(&tensors["timesteps"]);
    let strength = tensors.get("strength").map(|s| values(s)[0]);
    // The number of steps is the one that makes as many calls at the same times.
    let plan = (1..=1000)
        .filter_map(|steps| {
            let plan = case.row.plan(&case.table, &case.options, steps).ok()?;
            Some(match strength {
                Some(strength) => plan.last(strength + 1e-7),
                None => plan,
            })
        })
        .find(|plan| {
            let calls = calls(case, plan);
            calls.len() == timesteps.len() && calls.iter().zip(&timesteps).all(|((_, a), b)| (a - b).abs() < 2e-2)
        });
    let plan = plan.unwrap_or_else(|| panic!("{name}: no number of steps gives the timesteps {timesteps:?}"));
    if let Some(sigmas) = tensors.get("sigmas") {
        let recorded = without_repeats(values(sigmas));
        close(name, &plan.sigmas, &recorded[recorded.len() - plan.sigmas.len()..], 1e-6, 3e-5);
    }
    let table = plan.table(&case.table);
    let latents = &tensors["latents"];
    // Recorded latents on the sigma scale.
    let recorded = |i: usize, sigma: f64| {
        let scale = if case.row.variance_preserving { (1.0 + sigma * sigma).sqrt() } else { 1.0 };
        values(&(latents.get(i).unwrap() * scale).unwrap())
    };
    let first = plan.sigmas[0];
    let start = match (tensors.get("init_latent"), case.row.start(&case.options)) {
        (Some(latent), _) => table.noisy(first, latent, noise).unwrap(),
        (None, Start::Variance) => (noise * (1.0 + first * first).sqrt()).unwrap(),
        (None, _) => (noise * first).unwrap(),
    };
    close(&format!("{name} start"), &values(&start), &recorded(0, first), 1e-4, 1e-4);
    let draws =
        tensors.get("step_noise").map_or(Vec::new(), |n| (0..n.dim(0).unwrap()).map(|i| n.get(i).unwrap()).collect());
    let calls = std::cell::Cell::new(0);
    let mut denoiser = NetworkDenoiser {
        table: &table,
        prediction: case.prediction,
        network: |_: &Tensor, timestep: f64| {
            let call = calls.get();
            assert!((timestep - timesteps[call]).abs() < 2e-2, "{name}: timestep of call {call}");
            calls.set(call + 1);
            Ok(outputs.get(call)?)
        },
    };
    let end = case
        .row
        .sampler()
        .unwrap()
        .sample(&mut denoiser, start, &plan.sigmas, &mut StepNoise::Given(draws.into_iter()), &mut |info| {
            let i = calls.get() - 1;
            close(&format!("{name} latents[{i}]"), &values(info.x), &recorded(i, info.sigma), 1e-3, 1e-4);
            Ok(())
        })
        .unwrap();
    let last = latents.dim(0).unwrap() - 1;
    close(&format!("{name} end"), &values(&end), &recorded(last, *plan.sigmas.last().unwrap()), 1e-3, 1e-5);
}

/// Flux.1's walk, packed latents and all, over recorded velocities.
#[test]
fn flow_trajectories_equal_diffusers() {
    let name = "trajectories/flux_euler.safetensors";
    let Some(tensors) = file(name) else { return };
    let latents = &tensors["latents_packed"];
    let outputs = &tensors["model_outputs"];
    let steps = outputs.dim(0).unwrap();
    let mu = flux_mu(latents.dim(2).unwrap());
    if let Some(recorded) = header(name, "mu") {
        close("mu", &[mu], &[recorded.parse().unwrap()], 1e-12, 0.0);
    }
    let sigmas = flow_plan(mu, steps);
    close("sigmas", &sigmas, &values(&tensors["sigmas"]), 1e-6, 0.0);
    let table = SigmaTable::flow(mu);
    let mut call = 0;
    let mut denoiser = NetworkDenoiser {
        table: &table,
        prediction: Prediction::Flow,
        network: |_: &Tensor, _: f64| {
            call += 1;
            Ok(outputs.get(call - 1)?)
        },
    };
    let noise = latents.get(0).unwrap();
    let start = table.start(sigmas[0], &noise.zeros_like().unwrap(), &noise).unwrap();
    let end = sample::sampler("euler")
        .unwrap()
        .sample(&mut denoiser, start, &sigmas, &mut StepNoise::from_seed(0), &mut |info| {
            close(&format!("latents[{}]", info.step), &values(info.x), &values(&latents.get(info.step)?), 1e-5, 1e-5);
            Ok(())
        })
        .unwrap();
    close("end", &values(&end), &values(&latents.get(steps).unwrap()), 1e-5, 1e-5);
}

#[test]
fn every_scheduler_has_a_golden() {
    for row in DIFFUSERS {
        assert!(NAMES.iter().any(|(_, class, _)| *class == row.name), "{} has no golden", row.name);
    }
}
