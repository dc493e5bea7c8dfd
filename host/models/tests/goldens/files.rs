//! The forms that checkpoints come in: number formats, shards, variants, names of newer libraries; and files that are
//! something else than what they are loaded as.

use super::{cases, cond, exact, reference, tensors};
use candle_core::{DType, Device, Tensor};
use models::{Error, Loaded, Memory, Options, load, load_network, load_texts, load_vae, load_with};
use std::collections::HashMap;
use std::path::Path;

/// A copy of a reference model's folder.
fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in std::fs::read_dir(reference().join("models").join(name)).unwrap() {
        let part = part.unwrap().path();
        if !part.is_dir() {
            continue;
        }
        let to = folder.path().join(part.file_name().unwrap());
        std::fs::create_dir(&to).unwrap();
        for entry in std::fs::read_dir(part).unwrap() {
            let entry = entry.unwrap().path();
            std::fs::copy(&entry, to.join(entry.file_name().unwrap())).unwrap();
        }
    }
    folder
}

fn try_load(path: &Path) -> models::Result<Loaded> {
    load(path, &Device::Cpu, DType::F32)
}

/// Do two models compute the same?
fn equal(a: &Loaded, b: &Loaded, unet: &str) {
    let case = tensors(&cases("forward", unet, ".safetensors")[0]);
    let run = |model: &Loaded| model.network.forward(&case["sample"], &case["timestep"], &cond(&case)).unwrap();
    exact(&run(a), &run(b));
    exact(&a.text.encode("a fox").unwrap().states, &b.text.encode("a fox").unwrap().states);
}

#[test]
fn shards_variants_and_other_text_names_are_read() {
    let folder = copy("sdxl");
    let whole = try_load(&reference().join("models/sdxl")).unwrap();
    // The network in two shards of a variant.
    let stem = "diffusion_pytorch_model";
    let path = folder.path().join("unet").join(format!("{stem}.safetensors"));
    let mut halves = [HashMap::new(), HashMap::new()];
    let mut map = serde_json::Map::new();
    for (i, (key, tensor)) in tensors(&path).into_iter().enumerate() {
        map.insert(key.clone(), format!("{stem}.fp16-0000{}-of-00002.safetensors", i % 2 + 1).into());
        halves[i % 2].insert(key, tensor);
    }
    for (i, half) in halves.iter().enumerate() {
        let name = format!("{stem}.fp16-0000{}-of-00002.safetensors", i + 1);
        candle_core::safetensors::save(half, folder.path().join("unet").join(name)).unwrap();
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": map });
    let index_path = folder.path().join("unet").join(format!("{stem}.safetensors.index.fp16.json"));
    std::fs::write(&index_path, index.to_string()).unwrap();
    std::fs::remove_file(path).unwrap();
    // The VAE as a variant.
    let vae = folder.path().join("vae");
    std::fs::rename(vae.join(format!("{stem}.safetensors")), vae.join(format!("{stem}.fp16.safetensors"))).unwrap();
    // Text encoders with and without `text_model.`, whichever the reference has not.
    for part in ["text_encoder", "text_encoder_2"] {
        let path = folder.path().join(part).join("model.safetensors");
        let renamed: HashMap<String, Tensor> = tensors(&path)
            .into_iter()
            .map(|(key, tensor)| match key.strip_prefix("text_model.") {
                Some(rest) => (rest.to_owned(), tensor),
                None if key == "text_projection.weight" => (key, tensor),
                None => (format!("text_model.{key}"), tensor),
            })
            .collect();
        candle_core::safetensors::save(&renamed, &path).unwrap();
    }
    equal(&try_load(folder.path()).unwrap(), &whole, "sdxl_unet_");
    // A shard that is not there is named.
    std::fs::remove_file(folder.path().join("unet").join(format!("{stem}.fp16-00002-of-00002.safetensors"))).unwrap();
    assert!(try_load(folder.path()).err().unwrap().to_string().contains("00002-of-00002"));
}

#[test]
fn number_formats_and_keys_that_are_no_weights_are_understood() {
    let path = reference().join("models/sd15_single.safetensors");
    let options = Options { config_from: Some(reference().join("models/sd15")), ..Options::default() };
    let open = |path: &Path| load_with(path, &Device::Cpu, DType::F32, &options);
    let folder = tempfile::tempdir().unwrap();
    let halves = open(&path).unwrap();
    for dtype in [DType::F32, DType::BF16] {
        let mut all: HashMap<String, Tensor> =
            tensors(&path).into_iter().map(|(key, t)| (key, t.to_dtype(dtype).unwrap())).collect();
        let positions = Tensor::arange(0f32, 77.0, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        all.insert("cond_stage_model.transformer.text_model.embeddings.position_ids".into(), positions.clone());
        all.insert("model_ema.decay".into(), positions.clone());
        all.insert("alphas_cumprod".into(), positions);
        let path = folder.path().join(format!("{dtype:?}.safetensors"));
        candle_core::safetensors::save(&all, &path).unwrap();
        let model = open(&path).unwrap();
        assert!(model.found.iter().any(|line| line.contains("1 keys are averaged copies")), "{:?}", model.found);
        assert!(model.found.iter().any(|line| line.contains("1 keys of the file belong to no part")));
        if dtype == DType::F32 {
            equal(&model, &halves, "sd15_unet_");
        }
    }
}

#[test]
fn what_a_checkpoint_lacks_is_named_with_the_node_that_loads_it() {
    let folder = tempfile::tempdir().unwrap();
    for (prefix, part, node) in [
        ("first_stage_model.", "the VAE", "VAELoader"),
        ("conditioner.embedders.1.", "the text encoder clip_g", "DualCLIPLoader"),
    ] {
        let mut all = tensors(&reference().join("models/sdxl_single.safetensors"));
        all.retain(|key, _| !key.starts_with(prefix));
        let path = folder.path().join("some.safetensors");
        candle_core::safetensors::save(&all, &path).unwrap();
        let error = try_load(&path).err().unwrap().to_string();
        assert!(error.contains("SDXL") && error.contains(part) && error.contains(node), "{error}");
    }
    let copy = copy("sdxl");
    std::fs::remove_dir_all(copy.path().join("text_encoder_2")).unwrap();
    assert!(try_load(copy.path()).err().unwrap().to_string().contains("expected a folder `text_encoder_2`"));
}

#[test]
fn a_file_of_another_kind_is_told_as_what_it_is() {
    let memory = Memory::unlimited();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, keys: &[(&str, &[usize])]| {
        let path = folder.path().join(name);
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let all: HashMap<String, Tensor> = keys.iter().map(|(key, shape)| (key.to_string(), zeros(shape))).collect();
        candle_core::safetensors::save(&all, &path).unwrap();
        path
    };
    let embedding = write("embedding.safetensors", &[("emb_params", &[2, 768])]);
    let control = write("control.safetensors", &[("control_model.zero_convs.0.0.weight", &[4, 4, 1, 1])]);
    let nothing = write("nothing.safetensors", &[("x", &[1])]);
    let lora = reference().join("lora/sd15_kohya.safetensors");
    let vae = reference().join("models/flux_single/ae.safetensors");
    let clip = reference().join("models/flux_single/clip_l.safetensors");
    let unet = reference().join("models/sd15/unet/diffusion_pytorch_model.safetensors");
    let says = |what: &str, error: Option<Error>, expected: &[&str]| {
        let error = error.unwrap_or_else(|| panic!("{what} was loaded")).to_string();
        assert!(expected.iter().all(|part| error.contains(part)), "{what}: {error}");
    };
    for (path, expected) in [
        (&embedding, ["an embedding", "embedding:name"]),
        (&control, ["a ControlNet", "not a checkpoint"]),
        (&lora, ["a LoRA", "then the LoRA onto it"]),
        (&vae, ["a VAE", "VAELoader"]),
        (&clip, ["a text encoder", "CLIPLoader"]),
        (&unet, ["lacks parts", "CLIPLoader"]),
        (&nothing, ["no family is recognised", "SDXL"]),
    ] {
        says("checkpoint", try_load(path).err(), &expected);
    }
    says("network", load_network(&lora, &memory).err(), &["a LoRA"]);
    says("network", load_network(&vae, &memory).err(), &["a VAE"]);
    says("vae", load_vae(&lora, &memory).err(), &["a LoRA", "not an autoencoder"]);
    says("vae", load_vae(&unet, &memory).err(), &["a network of SD 1.x", "UNETLoader"]);
    says("vae", load_vae(&nothing, &memory).err(), &["unknown kind"]);
    says("texts", load_texts(&[&vae], "stable_diffusion", &memory).err(), &["a VAE", "clip_l"]);
}

#[test]
fn prediction_and_stretched_noise_are_read_from_markers_and_settings() {
    use models::Prediction::{Epsilon, Velocity};
    let alone = |path: &Path| {
        let network = load_network(path, &Memory::unlimited()).unwrap();
        (network.prediction, network.noise.betas().unwrap().zero_snr)
    };
    let single = reference().join("models/sd15_single.safetensors");
    assert_eq!(alone(&single), (Epsilon, false));
    let folder = tempfile::tempdir().unwrap();
    let mut all = tensors(&single);
    for marker in ["v_pred", "ztsnr"] {
        all.insert(marker.into(), Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap());
    }
    let path = folder.path().join("v.safetensors");
    candle_core::safetensors::save(&all, &path).unwrap();
    assert_eq!(alone(&path), (Velocity, true));
    let seen = |model: &Loaded| (model.prediction, model.noise.betas().unwrap().zero_snr);
    let copy = copy("sd15");
    assert_eq!(seen(&try_load(copy.path()).unwrap()), (Epsilon, false));
    let config = copy.path().join("scheduler/scheduler_config.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    json["rescale_betas_zero_snr"] = true.into();
    json["prediction_type"] = "v_prediction".into();
    std::fs::write(&config, json.to_string()).unwrap();
    assert_eq!(seen(&try_load(copy.path()).unwrap()), (Velocity, true));
}
