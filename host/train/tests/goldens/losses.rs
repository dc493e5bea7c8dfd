use crate::python_random::PythonRandom;
use crate::reference::{Tensors, off, path};
use candle_core::{Device, Tensor};
use sample::rng::TorchCpu;
use train::dice::Dice;
use train::diffusion::{NoiseSchedule, Path};
use train::losses::{HuberSchedule, find, find_weighting, noise_scale};
use train::noises::{pyramid, with_adaptive_offset, with_offset};
use train::time_samplings::{Draw, TIME_SAMPLINGS, TimeShape};
use train::{LOSSES, Prediction};

fn schedule() -> NoiseSchedule {
    NoiseSchedule::new(models::FAMILIES[0].noise.betas().unwrap())
}

#[test]
fn weights_equal_the_reference() {
    let file = Tensors::open("training/loss_terms.safetensors");
    let timesteps = file.integers("timesteps");
    let noise = schedule();
    let snr: Vec<f32> = timesteps.iter().map(|&t| noise.snr(t as u32) as f32).collect();
    assert!(off(&snr, &file.floats("snr")) < 1e-5);
    let mut compared = 0;
    for name in file.names() {
        let (row, gamma) = match name.strip_prefix("min_snr.") {
            Some(rest) => ("min_snr", rest.trim_end_matches(".eps").trim_end_matches(".v").parse().unwrap()),
            None if name.starts_with("debiased.") => ("debiased", 0.0),
            None => continue,
        };
        let prediction = if name.ends_with(".v") { Prediction::V } else { Prediction::Epsilon };
        let row = find_weighting(row).unwrap();
        let wanted = file.floats(&name);
        for (&t, wanted) in timesteps.iter().zip(wanted) {
            let found = (row.weight)(noise.snr(t as u32), prediction, gamma);
            assert!((found - wanted).abs() <= 2e-5 * wanted, "{name} at {t}: {found} {wanted}");
        }
        compared += 1;
    }
    assert!(compared >= 4);
}

#[test]
fn losses_equal_the_reference() {
    let file = Tensors::open("training/loss_terms.safetensors");
    let timesteps = file.integers("loss_timesteps");
    let tensor = |key: &str| Tensor::from_vec(file.f32s(key), file.shape(key), &Device::Cpu).unwrap();
    let (prediction, target) = (tensor("pred"), tensor("target"));
    let noise = schedule();
    let schedules = [
        ("constant", HuberSchedule::Constant),
        ("exponential", HuberSchedule::Exponential),
        ("snr", HuberSchedule::Snr),
    ];
    for loss in LOSSES {
        for (name, schedule) in schedules {
            let key = if file.names().contains(&loss.name.to_owned()) {
                loss.name.to_owned()
            } else {
                format!("{}.{name}", loss.name)
            };
            let c: Vec<f32> = timesteps
                .iter()
                .map(|&t| schedule.c(0.1, t as f64 / noise.len() as f64, noise.snr(t as u32)) as f32)
                .collect();
            assert!(off(&c, &file.floats(&format!("huber_c.{name}"))) < 1e-5, "{name}");
            let c = Tensor::from_vec(c, (timesteps.len(), 1, 1, 1), &Device::Cpu).unwrap();
            let found = (find(loss.name).unwrap().apply)(&prediction, &target, &c).unwrap();
            let found: Vec<f32> = found.flatten_from(1).unwrap().mean(1).unwrap().to_vec1().unwrap();
            let off = off(&found, &file.floats(&key));
            assert!(off < 1e-5, "{key}: {off}");
        }
    }
}

#[test]
fn noise_offset_equals_the_reference() {
    let file = Tensors::open("training/loss_terms.safetensors");
    let tensor = |key: &str| Tensor::from_vec(file.f32s(key), file.shape(key), &Device::Cpu).unwrap();
    let found = with_offset(&tensor("noise"), &tensor("offset_draw"), 0.1).unwrap();
    let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
    assert!(off(&found, &file.floats("offset_0.1")) < 1e-6);
}

#[test]
fn noise_that_depends_on_the_latent_equals_the_reference() {
    let file = Tensors::open("training/loss_terms.safetensors");
    let tensor = |key: &str| Tensor::from_vec(file.f32s(key), file.shape(key), &Device::Cpu).unwrap();
    let mut compared = 0;
    for name in file.names() {
        let Some((strength, scale)) = name.strip_prefix("offset_").and_then(|n| n.split_once("_adaptive_")) else {
            continue;
        };
        let (strength, scale) = (strength.parse().unwrap(), scale.parse().unwrap());
        let found = with_adaptive_offset(&tensor("noise"), &tensor("offset_draw"), strength, &tensor("latents"), scale);
        let found: Vec<f32> = found.unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert!(off(&found, &file.floats(&name)) < 1e-6, "{name}");
        compared += 1;
    }
    assert!(compared > 0);
}

/// Numbers of the draws that are not in the file but in its description.
struct Draws {
    pyramid: u64,
    python: u64,
    flow: u64,
    shift: f64,
    tokens: usize,
}

fn draws() -> Draws {
    let index = std::fs::read_to_string(path("INDEX.md")).unwrap();
    let (_, text) = index.split_once("### `training/loss_terms.safetensors`").unwrap();
    let behind = |mark: &str, text: &str| text.split_once(mark).unwrap_or_else(|| panic!("{mark}")).1.to_owned();
    let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).to_owned();
    let first = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        number(&text[..end])
    };
    let (seeds, flow) = (behind("torch seed ", text), behind("flow sigma draws", text));
    let (height, width) = {
        let size = behind("at latent ", &flow);
        (first(&size).parse::<usize>().unwrap(), first(&behind("x", &size)).parse::<usize>().unwrap())
    };
    Draws {
        pyramid: first(&behind(" / ", &seeds)).parse().unwrap(),
        python: first(&behind("Python random seed ", text)).parse().unwrap(),
        flow: first(&behind("torch seed ", &flow)).parse().unwrap(),
        shift: first(&behind("shift ", &flow)).parse().unwrap(),
        tokens: height / 2 * (width / 2),
    }
}

#[test]
fn pyramid_noise_equals_the_reference() {
    let file = Tensors::open("training/loss_terms.safetensors");
    let noise = Tensor::from_vec(file.f32s("noise"), file.shape("noise"), &Device::Cpu).unwrap();
    let (draws, mut compared) = (draws(), 0);
    for name in file.names() {
        let Some((levels, discount)) = name.strip_prefix("pyramid_").and_then(|n| n.split_once('_')) else { continue };
        let (mut torch, mut python) = (TorchCpu::new(draws.pyramid), PythonRandom::new(draws.python));
        let (levels, discount) = (levels.parse().unwrap(), discount.parse().unwrap());
        let found = pyramid(&noise, levels, discount, &mut || python.unit(), &mut |n| torch.randn(n)).unwrap();
        let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
        let off = off(&found, &file.floats(&name));
        assert!(off < 1e-5, "{name}: {off}");
        compared += 1;
    }
    assert!(compared > 0);
}

#[test]
fn pure_noise_at_the_end_equals_the_reference() {
    let wanted = Tensors::open("training/loss_terms.safetensors").floats("zero_terminal_alphas_cumprod");
    let betas = models::FAMILIES[0].noise.betas().unwrap();
    let noise = NoiseSchedule::new(models::Betas { zero_snr: true, ..betas });
    assert_eq!(noise.len(), wanted.len());
    for (t, wanted) in wanted.iter().enumerate() {
        assert!((noise.alpha_bar(t as u32) - wanted).abs() < 1e-6, "{t}: {} {wanted}", noise.alpha_bar(t as u32));
    }
    assert!(Path::Betas(noise).ends_in_noise());
}

#[test]
fn weights_between_v_and_noise_equal_the_reference() {
    let file = Tensors::open("training/loss_terms.safetensors");
    let noise = schedule();
    let mut compared = 0;
    for name in file.names() {
        let like = name.strip_prefix("v_pred_like_").map(|n| n.parse::<f64>().unwrap());
        if like.is_none() && name != "scale_v_like_noise" {
            continue;
        }
        for (t, wanted) in file.integers("timesteps").iter().zip(file.floats(&name)) {
            let scale = noise_scale(noise.snr(*t as u32));
            let found = like.map_or(scale, |like| 1.0 + like / scale);
            assert!((found - wanted).abs() < 2e-5 * wanted, "{name} at {t}: {found} {wanted}");
        }
        compared += 1;
    }
    assert_eq!(compared, 2);
}

#[test]
fn flow_weights_equal_the_reference() {
    let file = Tensors::open("training/loss_terms.safetensors");
    let sigmas = file.f32s("flow.weight.sigmas");
    let mut compared = 0;
    for name in file.names() {
        let Some(row) = name.strip_prefix("flow.weight.").filter(|n| *n != "sigmas") else { continue };
        let row = find_weighting(row).unwrap();
        for (&sigma, wanted) in sigmas.iter().zip(file.floats(&name)) {
            let found = (row.weight)(Path::Flow.snr(sigma), Prediction::Flow, 5.0);
            assert!((found - wanted).abs() < 1e-4 * wanted, "{name} at {sigma}: {found} {wanted}");
        }
        compared += 1;
    }
    assert!(compared >= 3);
}

#[test]
fn flow_times_equal_the_reference() {
    let file = Tensors::open("training/loss_terms.safetensors");
    let names: Vec<String> = file.names().into_iter().filter(|n| n.ends_with(".sigmas")).collect();
    let Draws { flow: seed, shift, tokens, .. } = draws();
    let shape = TimeShape { scale: 1.0, shift, logit: (0.0, 1.0), tokens };
    for row in TIME_SAMPLINGS {
        // sd-scripts calls the table of a thousand times `sigma`.
        let key = if row.name == "logit_normal" { "sigma" } else { row.name };
        let key = format!("flow.{key}.sigmas");
        assert!(names.contains(&key), "{key}");
        let wanted = file.floats(&key);
        let mut torch = TorchCpu::new(seed);
        let draws = match row.draw {
            Draw::Uniform => torch.rand(wanted.len()),
            Draw::Normal => torch.randn(wanted.len()),
        };
        let found: Vec<f32> = draws.iter().map(|&d| (row.place)(d.into(), &shape) as f32).collect();
        let off = off(&found, &wanted);
        assert!(off < 1e-5, "{key}: {off}\n{found:?}\n{wanted:?}");
    }
}
