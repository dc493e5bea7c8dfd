//! The networks against tensors that diffusers and transformers made (tests/reference/INDEX.md). Cases, sizes and
//! configurations are found in the files, so that another folder of the same layout passes as it is.

#![allow(clippy::unwrap_used)] // A test that cannot read its data has failed.

#[path = "goldens/files.rs"]
mod files;
#[path = "goldens/keys.rs"]
mod keys;
#[path = "goldens/parts.rs"]
mod parts;
#[path = "goldens/previews.rs"]
mod previews;
#[path = "goldens/sd2.rs"]
mod sd2;

use candle_core::{DType, Device, Result, Tensor};
use models::{Cond, Loaded, Options, TextEncoder, Tokenizer, load, load_with};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A whole forward pass in f32 may differ by this much (INDEX.md).
const FORWARD: f64 = 1e-4;

fn reference() -> PathBuf {
    match std::env::var_os("ANAGAMA_REFERENCE") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference"),
    }
}

/// The files `folder/start*end` of the reference.
fn cases(folder: &str, start: &str, end: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(reference().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(start) && name.ends_with(end)
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no reference files {folder}/{start}*{end}");
    found
}

fn tensors(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

/// The conditions of a case, for whatever network.
fn cond(case: &HashMap<String, Tensor>) -> Cond {
    Cond {
        context: case["encoder_hidden_states"].clone(),
        pooled: case.get("text_embeds").cloned(),
        size: case.get("time_ids").cloned(),
        guidance: None,
    }
}

/// The first text encoder of a model.
fn clip(model: &Loaded) -> &TextEncoder {
    model.text.parts()[0].clip().unwrap()
}

fn sd15() -> Loaded {
    load(&reference().join("models/sd15"), &Device::Cpu, DType::F32).unwrap()
}

fn assert_close(what: &str, got: &Tensor, want: &Tensor) {
    assert_eq!(got.dims(), want.dims(), "{what}");
    let difference = || -> Result<f64> {
        (got.to_dtype(DType::F64)? - want.to_dtype(DType::F64)?)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>()
    };
    let difference = difference().unwrap();
    assert!(difference <= FORWARD, "{what}: differs by {difference}, allowed {FORWARD}");
}

/// The same for what is inside of a network: relative to the largest value, which may be far from 1 there.
fn assert_close_inside(what: &str, got: &Tensor, want: &Tensor) {
    let largest = want.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    let scale = 1.0 / f64::from(largest.max(1.0));
    assert_close(what, &(got * scale).unwrap(), &(want * scale).unwrap());
}

#[test]
fn text_encoder_matches_transformers() {
    let model = sd15();
    for path in cases("forward", "sd15_text", ".safetensors") {
        let case = tensors(&path);
        let part = &model.text.parts()[0];
        let output = clip(&model).encode(&case["input_ids"]).unwrap();
        assert_close("last_hidden_state", &output.last_hidden, &case["last_hidden_state"]);
        assert_close("pooler_output", &output.pooled, &case["pooler_output"]);
        let before = &output.hidden_states[output.hidden_states.len() - 2];
        assert_close("hidden_minus_2_no_norm", before, &case["hidden_minus_2_no_norm"]);
        let states = |skip| part.encode_ids(&case["input_ids"], skip).unwrap();
        assert_close("last_hidden_state", &states(None).states, &case["last_hidden_state"]);
        assert_close("pooler_output", &states(None).pooled.unwrap(), &case["pooler_output"]);
        assert_close("clip_skip_2", &states(Some(2)).states, &case["clip_skip_2"]);
        let file = safetensors_metadata(&path);
        let prompts: Vec<String> = serde_json::from_str(&file["prompts"]).unwrap();
        let ids = clip(&model).tokenize_batch(&prompts).unwrap();
        let want = case["input_ids"].to_dtype(DType::U32).unwrap().to_vec2::<u32>().unwrap();
        assert_eq!(ids.to_vec2::<u32>().unwrap(), want);
    }
}

fn safetensors_metadata(path: &Path) -> HashMap<String, String> {
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    header.metadata().clone().unwrap_or_default()
}

#[test]
fn unets_match_diffusers_block_by_block() {
    for name in ["sd15", "sdxl"] {
        let model = load(&reference().join("models").join(name), &Device::Cpu, DType::F32).unwrap();
        unet_matches_diffusers(&model, name);
    }
}

fn unet_matches_diffusers(model: &Loaded, name: &str) {
    for path in cases("forward", &format!("{name}_unet_"), ".safetensors") {
        let case = tensors(&path);
        let mut seen = 0;
        let output = model
            .network
            .forward_observed(&case["sample"], &case["timestep"], &cond(&case), &mut |name, x| {
                if let Some(want) = case.get(&format!("inner.{name}")) {
                    let x = if x.rank() == 4 { models::ops::channels_first(x)? } else { x.clone() };
                    assert_close_inside(name, &x, want);
                    seen += 1;
                }
                Ok(())
            })
            .unwrap();
        assert_close(&path.display().to_string(), &output, &case["output"]);
        assert_eq!(seen, case.keys().filter(|key| key.starts_with("inner.")).count());
    }
}

#[test]
fn sdxl_text_encoders_match_transformers() {
    let model = load(&reference().join("models/sdxl"), &Device::Cpu, DType::F32).unwrap();
    for path in cases("forward", "sdxl_text", ".safetensors") {
        let case = tensors(&path);
        let prompts: Vec<String> = serde_json::from_str(&safetensors_metadata(&path)["prompts"]).unwrap();
        let mut states = Vec::new();
        for (part, (ids, hidden)) in
            model.text.parts().iter().zip([("input_ids", "hidden_1"), ("input_ids_2", "hidden_2")])
        {
            let rows: Vec<Vec<u32>> = prompts.iter().map(|text| part.row_of(text).unwrap().0).collect();
            assert_eq!(rows, case[ids].to_dtype(DType::U32).unwrap().to_vec2::<u32>().unwrap(), "{ids}");
            let found = part.encode_ids(&case[ids], None).unwrap();
            assert_close(hidden, &found.states, &case[hidden]);
            states.push(found);
        }
        let encoded = model.text.combine(states).unwrap();
        assert_close("prompt_embeds", &encoded.states, &case["prompt_embeds"]);
        assert_close("pooled", &encoded.pooled.unwrap(), &case["pooled"]);
    }
}

#[test]
fn vae_matches_diffusers() {
    let model = sd15();
    for path in cases("forward", "sd15_vae", ".safetensors") {
        let case = tensors(&path);
        let (mean, logvar) = model.vae.encode(&case["image"]).unwrap();
        assert_close("mean", &mean, &case["mean"]);
        assert_close("logvar", &logvar, &case["logvar"]);
        assert_close("latent_scaled", &model.latent.scale(&case["sampled"]).unwrap(), &case["latent_scaled"]);
        assert_close("decoded", &model.vae.decode(&case["sampled"]).unwrap(), &case["decoded"]);
    }
}

#[test]
fn single_files_equal_the_folders() {
    for name in ["sd15", "sdxl"] {
        let folder = reference().join("models").join(name);
        let options = Options { config_from: Some(folder.clone()), ..Options::default() };
        let path = reference().join(format!("models/{name}_single.safetensors"));
        let single = load_with(&path, &Device::Cpu, DType::F32, &options).unwrap();
        let whole = load(&folder, &Device::Cpu, DType::F32).unwrap();
        let case = tensors(&cases("forward", &format!("{name}_unet_"), ".safetensors")[0]);
        let run = |model: &Loaded| model.network.forward(&case["sample"], &case["timestep"], &cond(&case)).unwrap();
        exact(&run(&single), &run(&whole));
        let case = tensors(&cases("forward", "sd15_vae", ".safetensors")[0]);
        let (a, b) = (single.vae.encode(&case["image"]).unwrap(), whole.vae.encode(&case["image"]).unwrap());
        exact(&a.0, &b.0);
        exact(&single.vae.decode(&a.0).unwrap(), &whole.vae.decode(&a.0).unwrap());
        assert_eq!(single.latent, whole.latent);
        for text in ["a fox, (smile:1.2)", ""] {
            let (a, b) = (single.text.encode(text).unwrap(), whole.text.encode(text).unwrap());
            exact(&a.states, &b.states);
            assert_eq!(a.pooled.is_some(), b.pooled.is_some());
            if let (Some(a), Some(b)) = (a.pooled, b.pooled) {
                exact(&a, &b);
            }
        }
        assert_ne!(single.digest, whole.digest);
    }
}

fn exact(a: &Tensor, b: &Tensor) {
    let list = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(list(a), list(b));
}

#[test]
fn keys_that_do_not_fit_are_listed_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let from = reference().join("models/sd15");
    for part in ["unet", "vae", "text_encoder", "tokenizer", "scheduler"] {
        std::fs::create_dir(folder.path().join(part)).unwrap();
        for entry in std::fs::read_dir(from.join(part)).unwrap() {
            let entry = entry.unwrap().path();
            std::fs::copy(&entry, folder.path().join(part).join(entry.file_name().unwrap())).unwrap();
        }
    }
    let path = folder.path().join("unet/diffusion_pytorch_model.safetensors");
    let mut unet = tensors(&path);
    let kept = unet.remove("conv_in.bias").unwrap();
    unet.insert("nobody.knows".into(), kept.clone());
    unet.insert("conv_out.bias".into(), Tensor::cat(&[&kept, &kept], 0).unwrap());
    candle_core::safetensors::save(&unet, &path).unwrap();
    let error = load(folder.path(), &Device::Cpu, DType::F32).err().unwrap().to_string();
    for expected in ["`conv_in.bias` is missing", "`nobody.knows` is surplus", "`conv_out.bias`: expected shape"] {
        assert!(error.contains(expected), "{error}");
    }
    assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
    std::fs::rename(&path, path.with_extension("bin")).unwrap();
    let error = load(folder.path(), &Device::Cpu, DType::F32).err().unwrap().to_string();
    assert!(error.contains("Python pickle") && error.contains("convert"), "{error}");
}

#[test]
fn other_files_are_no_checkpoints() {
    let lora = reference().join("lora/sd15_kohya.safetensors");
    let error = load(&lora, &Device::Cpu, DType::F32).err().unwrap().to_string();
    assert!(error.contains("this is a LoRA, not a checkpoint"), "{error}");
}

#[test]
fn kinds_of_files_are_seen_without_loading_them() {
    let name = |path: &str| models::look_at(&reference().join(path)).unwrap().map(|seen| seen.name);
    assert_eq!(name("models/sd15"), Some("SD 1.x"));
    assert_eq!(name("models/sd15_single.safetensors"), Some("SD 1.x"));
    assert_eq!(name("models/sdxl_single.safetensors"), Some("SDXL"));
    assert_eq!(name("models/flux"), Some("Flux.1"));
    assert_eq!(name("lora/sd15_kohya.safetensors"), Some("a LoRA"));
    assert_eq!(name("forward/sd15_vae.safetensors"), None);
}

#[test]
fn clip_tokens_match_transformers() {
    let tokenizer = Tokenizer::clip().unwrap();
    let cases: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(reference().join("text/tokenizers.json")).unwrap()).unwrap();
    for case in &cases {
        let text = case["text"].as_str().unwrap();
        let numbers = |key: &str| -> Vec<u32> {
            case[key].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as u32).collect()
        };
        let mut whole = vec![tokenizer.start()];
        whole.extend(tokenizer.ids(text).unwrap());
        whole.push(tokenizer.end());
        assert_eq!(whole, numbers("clip"), "{text:?}");
        assert_eq!(tokenizer.tokenize(text).unwrap().ids, numbers("clip_77"), "{text:?}");
    }
    assert!(!cases.is_empty());
}

#[test]
fn every_target_gets_a_gradient_and_the_weights_get_none() {
    use models::{Adapter, LoraRef, TargetKind};
    use std::sync::Arc;
    struct Lora(Tensor, Tensor);
    impl Adapter for Lora {
        fn as_lora(&self) -> Option<LoraRef<'_>> {
            Some(LoraRef { down: &self.0, up: &self.1, scale: 0.5 })
        }
    }
    let model = sd15();
    let mut vars = Vec::new();
    let mut adapters = |targets: Vec<models::Target>| -> HashMap<String, Arc<dyn Adapter>> {
        targets
            .into_iter()
            .map(|target| {
                let (down, up) = match target.shape {
                    TargetKind::Linear { inp, out } => (vec![2, inp], vec![out, 2]),
                    TargetKind::Conv { inp, out, kernel } => (vec![2, inp, kernel, kernel], vec![out, 2, 1, 1]),
                };
                let var = |shape: Vec<usize>| candle_core::Var::randn(0f32, 0.1, shape, &Device::Cpu).unwrap();
                let (down, up) = (var(down), var(up));
                let adapter = Lora(down.as_tensor().clone(), up.as_tensor().clone());
                vars.push((format!("{} down", target.path), down));
                vars.push((format!("{} up", target.path), up));
                (target.path, Arc::new(adapter) as Arc<dyn Adapter>)
            })
            .collect()
    };
    let network = model.network.with_adapters(&adapters(model.network.targets())).unwrap();
    let part = &model.text.parts()[0];
    let part = part.with_adapters(&adapters(part.targets())).unwrap();
    let case = tensors(&reference().join("forward/sd15_unet_a.safetensors"));
    let ids = clip(&model).tokenize_batch(&["a small wooden boat", "fox"]).unwrap();
    let cond = Cond::text(part.encode_ids(&ids, None).unwrap().states);
    let loss = network.forward(&case["sample"], &case["timestep"], &cond).unwrap().sqr().unwrap().mean_all().unwrap();
    let grads = loss.backward().unwrap();
    for (name, var) in &vars {
        let grad = grads.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
        let size = grad.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        // Attention over a single pixel gives the same whatever query and key are.
        let single = name.starts_with("mid_block") && (name.contains("attn1.to_q") || name.contains("attn1.to_k"));
        assert!(single || size > 0.0, "the gradient of {name} is zero");
        assert!(size.is_finite());
    }
}
