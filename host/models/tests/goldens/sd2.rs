//! SD 2.x against diffusers and transformers: a small model that tests/peers/make_models.py made.

use super::{assert_close, exact, tensors};
use candle_core::{DType, Device};
use models::{Cond, Loaded, Options, Prediction, load, load_with};
use std::path::PathBuf;

pub(super) fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn matches_diffusers(model: &Loaded) {
    assert_eq!((model.family.name, model.prediction), ("SD 2.x", Prediction::Velocity));
    let case = tensors(&data("sd2_outputs.safetensors"));
    let part = &model.text.parts()[0];
    assert_eq!((part.name(), part.tokens().padding()), ("clip_h", 0));
    let states = model.text.combine(vec![part.encode_ids(&case["ids"], None).unwrap()]).unwrap().states;
    assert_close("states", &states, &case["states"]);
    let cond = Cond::text(case["states"].clone());
    let output = model.network.forward(&case["sample"], &case["timestep"], &cond).unwrap();
    assert_close("output", &output, &case["output"]);
    assert_close("mean", &model.vae.encode(&case["image"]).unwrap().0, &case["mean"]);
    assert_close("decoded", &model.vae.decode(&case["mean"]).unwrap(), &case["decoded"]);
}

#[test]
fn folder_and_single_file_match_diffusers() {
    let folder = load(&data("sd2"), &Device::Cpu, DType::F32).unwrap();
    matches_diffusers(&folder);
    let options = Options { config_from: Some(data("sd2")), ..Options::default() };
    let single = load_with(&data("sd2_single.safetensors"), &Device::Cpu, DType::F32, &options);
    // The folder's config leaves out the last layer, which the single file has.
    assert!(single.err().unwrap().to_string().contains("`cond_stage_model.model.transformer.resblocks.3"));
}

#[test]
fn the_single_files_own_layers_are_counted() {
    let single = single();
    matches_diffusers(&single);
    let (whole, cut) = (&single.text.parts()[0], &load(&data("sd2"), &Device::Cpu, DType::F32).unwrap().text);
    let cut = &cut.parts()[0];
    assert_eq!((whole.layers(), cut.layers()), (4, 3));
    let case = tensors(&data("sd2_outputs.safetensors"));
    // Layers are counted from the end of the whole encoder in both.
    for skip in [None, Some(2), Some(3)] {
        let states = |part: &models::TextPart| part.encode_ids(&case["ids"], skip).unwrap().states;
        exact(&states(whole), &states(cut));
    }
    assert!(whole.encode_ids(&case["ids"], Some(1)).is_ok());
    let error = cut.encode_ids(&case["ids"], Some(1)).unwrap_err().to_string();
    assert!(error.contains("leaves out the last layer"), "{error}");
    assert!(whole.encode_ids(&case["ids"], Some(9)).is_err());
}

/// The single file with the configs of the folder, but with all layers.
fn single() -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    for part in ["unet", "vae", "text_encoder", "tokenizer", "scheduler"] {
        std::fs::create_dir(folder.path().join(part)).unwrap();
        for entry in std::fs::read_dir(data("sd2").join(part)).unwrap() {
            let entry = entry.unwrap().path();
            std::fs::copy(&entry, folder.path().join(part).join(entry.file_name().unwrap())).unwrap();
        }
    }
    let config = folder.path().join("text_encoder/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4")).unwrap();
    let options = Options { config_from: Some(folder.path().to_owned()), ..Options::default() };
    load_with(&data("sd2_single.safetensors"), &Device::Cpu, DType::F32, &options).unwrap()
}
