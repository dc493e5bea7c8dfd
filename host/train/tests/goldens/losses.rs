use crate::reference::{Tensors, off};
use candle_core::{Device, Tensor};
use train::diffusion::{NoiseSchedule, with_offset};
use train::losses::{HuberSchedule, find, find_weighting};
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
                .map(|&t| schedule.c(0.1, t as u32, noise.len(), noise.alpha_bar(t as u32)) as f32)
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
