//! ControlNets against what diffusers computes with them (tests/peers/make_controlnets.py).

#![allow(clippy::unwrap_used)] // A test that cannot read its data has failed.

use candle_core::{DType, Device, Tensor};
use models::{Cond, ControlNet, Memory, Residuals, load, load_controlnet};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A whole forward pass in f32, relative to the largest value.
const CLOSE: f32 = 1e-4;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn case(family: &str) -> (HashMap<String, Tensor>, Cond) {
    let case = candle_core::safetensors::load(data(&format!("controlnet_{family}_outputs.safetensors")), &Device::Cpu);
    let case = case.unwrap();
    let cond = Cond {
        context: case["encoder_hidden_states"].clone(),
        pooled: case.get("text_embeds").cloned(),
        size: case.get("time_ids").cloned(),
        guidance: None,
    };
    (case, cond)
}

fn net(name: &str) -> ControlNet {
    load_controlnet(&data(name), &Memory::unlimited()).unwrap().net
}

#[track_caller]
fn close(what: &str, found: &Tensor, wanted: &Tensor) {
    assert_eq!(found.dims(), wanted.dims(), "{what}");
    let largest = |t: Tensor| t.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    let (off, size) = (largest((found - wanted).unwrap()), largest(wanted.clone()));
    assert!(off <= CLOSE * size.max(1.0), "{what}: differs by {off} of {size}");
}

/// The residuals of a ControlNet, and the prediction of the reference's UNet with 0.7 of them.
fn check(family: &str, net: &ControlNet) {
    let (case, cond) = case(family);
    let (x, times) = (&case["sample"], &case["timesteps"]);
    let found = net.forward(x, times, &cond, &case["picture"]).unwrap();
    let first = |t: &Tensor| t.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
    for (i, skip) in found.skips.iter().enumerate() {
        close(&format!("skip {i}"), &first(skip), &case[&format!("skip.{i}")]);
    }
    assert!(!case.contains_key(&format!("skip.{}", found.skips.len())));
    close("middle", &first(found.middle.as_ref().unwrap()), &case["middle"]);

    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/models").join(family);
    let network = load(&reference, &Device::Cpu, DType::F32).unwrap().network;
    close("plain", &network.forward(x, times, &cond).unwrap(), &case["plain"]);
    let seven = found.times(0.7).unwrap();
    close("controlled", &network.forward_controlled(x, times, &cond, &seven).unwrap(), &case["controlled"]);
    let twice = found.times(0.35).unwrap();
    let both = network.forward_controlled(x, times, &cond, &twice.plus(&twice).unwrap()).unwrap();
    close("two that add up", &both, &case["controlled"]);
}

#[test]
fn controlnets_of_sd15_match_diffusers_from_folders_and_original_files() {
    check("sd15", &net("controlnet_sd15"));
    check("sd15", &net("controlnet_sd15_single.safetensors"));
    check("sd15", &net("controlnet_sd15/diffusion_pytorch_model.safetensors"));
}

#[test]
fn controlnets_of_sdxl_match_diffusers() {
    check("sdxl", &net("controlnet_sdxl"));
}

#[test]
fn adapters_match_diffusers_in_every_form() {
    for (name, form) in [("sd15_full", ""), ("sd15_full", "_original"), ("sd15_light", ""), ("sdxl_full", "")] {
        let net = net(&format!("adapter_{name}{form}.safetensors"));
        let case = candle_core::safetensors::load(data(&format!("adapter_{name}_outputs.safetensors")), &Device::Cpu);
        let case = case.unwrap();
        let family = name.split('_').next().unwrap();
        let cond = Cond {
            pooled: case.get("text_embeds").cloned(),
            size: case.get("time_ids").cloned(),
            ..Cond::text(case["encoder_hidden_states"].clone())
        };
        let (x, times) = (&case["sample"], &case["timesteps"]);
        let features = net.forward(x, times, &cond, &case["picture"]).unwrap();
        let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/models").join(family);
        let network = load(&reference, &Device::Cpu, DType::F32).unwrap().network;
        let made = |residuals: &Residuals| network.forward_controlled(x, times, &cond, residuals).unwrap();
        close(&format!("{name}{form}"), &made(&features.times(0.7).unwrap()), &case["controlled"]);
        let (some, rest) = (features.times(0.3).unwrap(), features.times(0.4).unwrap());
        close("two that add up", &made(&some.plus(&rest).unwrap()), &case["controlled"]);
        close("none", &made(&Residuals::default()), &case["plain"]);
        assert!(net.is(&net.clone()) && !net.is(&self::net("controlnet_sd15")));
    }
}

/// An adapter and a ControlNet of one prompt both count.
#[test]
fn adapters_and_controlnets_add_up() {
    let (case, cond) = case("sd15");
    let (x, times) = (&case["sample"], &case["timesteps"]);
    let made = |name: &str| net(name).forward(x, times, &cond, &case["picture"]).unwrap();
    let (control, adapter) = (made("controlnet_sd15"), made("adapter_sd15_full.safetensors"));
    let both = control.plus(&adapter).unwrap();
    assert_eq!(both.skips.len(), control.skips.len());
    assert_eq!(both.inside.iter().flatten().count(), 4);
    let other = adapter.plus(&control).unwrap();
    close("middle", other.middle.as_ref().unwrap(), control.middle.as_ref().unwrap());
}

#[test]
fn one_picture_leads_a_whole_batch() {
    let (case, cond) = case("sd15");
    let net = net("controlnet_sd15");
    let picture = case["picture"].narrow(0, 0, 1).unwrap();
    let both = Tensor::cat(&[&picture, &picture], 0).unwrap();
    let made =
        |picture: &Tensor| net.forward(&case["sample"], &case["timesteps"], &cond, picture).unwrap().middle.unwrap();
    close("middle", &made(&picture), &made(&both));
}

#[test]
fn other_files_families_and_sizes_are_refused() {
    let error = |result: Result<_, models::Error>| match result {
        Err(error) => error.to_string(),
        Ok::<(), _>(()) => panic!("accepted"),
    };
    let no = error(load_controlnet(&data("taesd.safetensors"), &Memory::unlimited()).map(|_| ()));
    assert!(no.contains("this is no ControlNet"), "{no}");
    let ((sd15, cond15), (xl, cond_xl)) = (case("sd15"), case("sdxl"));
    let net = net("controlnet_sd15");
    let no = error(net.forward(&xl["sample"], &xl["timesteps"], &cond_xl, &xl["picture"]).map(|_| ()));
    assert!(no.contains("another family"), "{no}");
    let no = error(net.forward(&sd15["sample"], &sd15["timesteps"], &cond15, &sd15["sample"]).map(|_| ()));
    assert!(no.contains("expected a picture (3, 64, 96)"), "{no}");
    let found = net.forward(&sd15["sample"], &sd15["timesteps"], &cond15, &sd15["picture"]).unwrap();
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/models/sdxl");
    let network = load(&reference, &Device::Cpu, DType::F32).unwrap().network;
    let no = error(network.forward_controlled(&xl["sample"], &xl["timesteps"], &cond_xl, &found).map(|_| ()));
    assert!(no.contains("another family"), "{no}");
}
