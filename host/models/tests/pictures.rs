//! Networks that look at pictures or enlarge them, against transformers, diffusers and spandrel (tests/peers/make_vision.py
//! and make_upscalers.py).

#![allow(clippy::unwrap_used)] // A test that cannot read its data has failed.

use candle_core::{DType, Device, Tensor};
use models::lora::{File, Options};
use models::{Cond, How, Memory, Upscaler, Vision, load, load_style_model, load_upscaler, load_vision};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A whole forward pass in f32, relative to the largest value.
const CLOSE: f32 = 1e-4;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn case(name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(data(&format!("{name}_outputs.safetensors")), &Device::Cpu).unwrap()
}

#[track_caller]
fn close(what: &str, found: &Tensor, wanted: &Tensor) {
    assert_eq!(found.dims(), wanted.dims(), "{what}");
    let largest = |t: Tensor| t.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    let (off, size) = (largest((found - wanted).unwrap()), largest(wanted.clone()));
    assert!(off <= CLOSE * size.max(1.0), "{what}: differs by {off} of {size}");
}

#[track_caller]
fn error<T>(result: Result<T, models::Error>) -> String {
    result.err().unwrap().to_string()
}

fn vision(name: &str) -> Vision {
    load_vision(&data(name), &Memory::unlimited()).unwrap().net
}

fn check_vision(name: &str, net: &Vision) {
    let case = case(name);
    for (crop, prefix) in [(true, "center"), (false, "none")] {
        let seen = net.encode(&case["picture"], crop).unwrap();
        close(&format!("{name} {prefix} last"), &seen.last_hidden, &case[&format!("{prefix}.last")]);
        close(&format!("{name} {prefix} penultimate"), &seen.penultimate, &case[&format!("{prefix}.penultimate")]);
        let embeds = case.get(&format!("{prefix}.embeds")).unwrap_or(&case[&format!("{prefix}.last")]);
        close(&format!("{name} {prefix} embeds"), &seen.embeds, embeds);
    }
}

#[test]
fn vision_encoders_match_transformers_in_every_form() {
    check_vision("vision_clip", &vision("vision_clip"));
    check_vision("vision_clip", &vision("vision_clip/model.safetensors"));
    check_vision("vision_clip", &vision("vision_clip_openai.safetensors"));
    check_vision("vision_siglip", &vision("vision_siglip"));
}

#[test]
fn redux_makes_texts_of_pictures() {
    let case = case("redux");
    let net = load_style_model(&data("redux.safetensors"), &Memory::unlimited()).unwrap().net;
    close("text", &net.text(&case["states"]).unwrap(), &case["text"]);
    let narrow = case["states"].narrow(2, 0, 16).unwrap();
    assert!(error(net.text(&narrow)).contains("32 features, found 16"));
}

fn upscaler(name: &str) -> Upscaler {
    load_upscaler(&data(name), &Memory::unlimited()).unwrap().net
}

#[test]
fn esrgans_match_spandrel_in_every_form() {
    let case = case("esrgan");
    for (name, kind, scale) in [("esrgan_x4", "x4", 4), ("esrgan_x4_basicsr", "x4", 4), ("esrgan_x2", "x2", 2)] {
        let net = upscaler(&format!("{name}.safetensors"));
        assert_eq!(net.scale(), scale, "{name}");
        let picture = &case[&format!("{kind}.picture")];
        close(name, &net.upscale(picture).unwrap(), &case[&format!("{kind}.large")]);
        let grey = picture.narrow(1, 0, 1).unwrap();
        assert!(error(net.upscale(&grey)).contains("found pictures of 1"), "{name}");
    }
}

/// A network sees no further than its convolutions reach, so that tiles differ from the whole at their edges alone.
#[test]
fn tiles_of_an_upscaler_join() {
    let net = upscaler("esrgan_x4.safetensors");
    let picture = &case("esrgan")["x4.picture"];
    let tiling = models::Tiling { tile: (6, 8), overlap: 4, ..net.tiling() };
    let whole = net.upscale(picture).unwrap();
    let tiled = tiling.run(picture, &mut |tile| net.upscale(tile)).unwrap();
    assert_eq!(tiled.dims(), whole.dims());
    let off = (tiled - whole).unwrap().abs().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(off < 0.06, "{off}");
}

#[test]
fn other_files_are_told_as_such() {
    let memory = Memory::unlimited();
    assert!(error(load_upscaler(&data("redux.safetensors"), &memory)).contains("no ESRGAN"));
    assert!(error(load_vision(&data("esrgan_x4.safetensors"), &memory)).contains("no vision encoder"));
    assert!(error(load_style_model(&data("esrgan_x4.safetensors"), &memory)).contains("no Flux.1 Redux"));
}

/// Flux.1 Kontext: a picture's tokens behind those of the noisy one.
#[test]
fn flux_reads_pictures_as_diffusers_does() {
    let case = case("flux_beside");
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/models/flux");
    let network = load(&reference, &Device::Cpu, DType::F32).unwrap().network;
    assert!(network.takes().references);
    let cond = Cond {
        pooled: Some(case["pooled"].clone()),
        guidance: Some(case["guidance"].clone()),
        ..Cond::text(case["context"].clone())
    };
    let beside = [case["reference"].clone()];
    let found = network.forward_beside(&case["x"], &case["sigma"], &cond, &beside).unwrap();
    close("velocity", &found, &case["output"]);
    let alone = network.forward(&case["x"], &case["sigma"], &cond).unwrap();
    let off = (alone - &case["output"]).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(off > 0.01, "the picture changes nothing: {off}");
    let narrow = [case["reference"].narrow(1, 0, 4).unwrap()];
    assert!(error(network.forward_beside(&case["x"], &case["sigma"], &cond, &narrow)).contains("another model's VAE"));
    let unet = load(&reference.with_file_name("sd15"), &Device::Cpu, DType::F32).unwrap().network;
    assert!(!unet.takes().references);
}

/// Flux.1 Canny and Depth as LoRA files: the first layer sees a picture beside the noise, norms are replaced.
#[test]
fn network_files_widen_the_first_layer_of_flux() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/models/flux");
    let loaded = load(&reference, &Device::Cpu, DType::F32).unwrap();
    let case = case("flux_beside");
    let cond = Cond {
        pooled: Some(case["pooled"].clone()),
        guidance: Some(case["guidance"].clone()),
        ..Cond::text(case["context"].clone())
    };
    let norm = "double_blocks.0.img_attn.norm.query_norm";
    let width = loaded.network.norm_targets().into_iter().find(|n| n.path == norm).unwrap().width;
    let down = Tensor::rand(-0.2f32, 0.2, (3, 128), &Device::Cpu).unwrap();
    let up = Tensor::rand(-0.2f32, 0.2, (36, 3), &Device::Cpu).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let applied = |name: &str, up: &Tensor, strength: f64, how: How| {
        let path = folder.path().join(name);
        let tensors = HashMap::from([
            ("img_in.lora_A.weight".to_owned(), down.clone()),
            ("img_in.lora_B.weight".to_owned(), up.clone()),
            ("img_in.lora_B.bias".to_owned(), Tensor::zeros(36, DType::F32, &Device::Cpu).unwrap()),
            (format!("{norm}.scale"), Tensor::full(1.5f32, width, &Device::Cpu).unwrap()),
        ]);
        candle_core::safetensors::save(&tensors, &path).unwrap();
        let options = Options { how, ..Options::default() };
        File::read(&path).unwrap().apply(&loaded.network, &loaded.text, strength, 0.0, &options).unwrap().network
    };
    let (x, picture) = (&case["x"], case["x"].affine(0.5, 0.1).unwrap());
    let seen = Tensor::cat(&[x, &picture], 1).unwrap();
    let run = |network: &models::Network, x: &Tensor| network.forward(x, &case["sigma"], &cond).unwrap();
    let merged = applied("merged.safetensors", &up, 1.0, How::Merge);
    assert_eq!((merged.takes().channels, merged.takes().out_channels), (32, 16));
    let unmerged = applied("beside.safetensors", &up, 1.0, How::Unmerged);
    close("unmerged", &run(&unmerged, &seen), &run(&merged, &seen));
    // The weights are those of the layer, zeros, and the product.
    let plain = loaded.network.weight("img_in").unwrap();
    let wide = Tensor::cat(&[&plain, &plain.zeros_like().unwrap()], 1).unwrap();
    let wanted = (wide + up.matmul(&down).unwrap()).unwrap();
    close("weight", &merged.weight("img_in").unwrap(), &wanted);
    // A file that does nothing beside replacing the norm by what is there already shows no picture.
    let none = applied("none.safetensors", &up.zeros_like().unwrap(), 1.0, How::Merge);
    let half = applied("half.safetensors", &up.zeros_like().unwrap(), 0.5, How::Merge);
    let shown = Tensor::cat(&[x, &x.zeros_like().unwrap()], 1).unwrap();
    close("the picture has no weight", &run(&none, &seen), &run(&none, &shown));
    let off = (run(&none, &seen) - run(&half, &seen)).unwrap().abs().unwrap().max_all().unwrap();
    assert!(off.to_scalar::<f32>().unwrap() > 1e-4, "the norm is not replaced");
    let zero = applied("zero.safetensors", &up, 0.0, How::Merge);
    close("strength 0", &run(&zero, x), &run(&loaded.network, x));
}
