//! Networks that write captions, against transformers (tests/peers/make_blip.py).

#![allow(clippy::unwrap_used)] // A test that cannot read its data has failed.

use candle_core::{Device, Tensor};
use models::{LoadedBlip, Memory, Writing, load_blip};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Two float32 implementations of the same network: a few rounding errors apart.
const CLOSE: f32 = 1e-4;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn load(path: &Path) -> models::Result<LoadedBlip> {
    load_blip(path, &Memory::unlimited())
}

fn cases() -> (Vec<Value>, HashMap<String, Tensor>) {
    let texts = std::fs::read(data("blip_outputs.json")).unwrap();
    let tensors = candle_core::safetensors::load(data("blip_outputs.safetensors"), &Device::Cpu).unwrap();
    (serde_json::from_slice(&texts).unwrap(), tensors)
}

#[test]
fn captions_and_logits_are_transformers() {
    let loaded = load(&data("captioners/tiny-blip")).unwrap();
    assert_eq!(loaded.found, ["BLIP of 2 and 2 layers for pictures of 32 pixels"]);
    let (cases, tensors) = cases();
    assert!(cases.len() >= 5);
    for (n, case) in cases.iter().enumerate() {
        let picture = tensors["pictures"].narrow(0, case["picture"].as_u64().unwrap() as usize, 1).unwrap();
        let sight = loaded.net.look(&picture).unwrap();
        let ids: Vec<u32> = case["tokens"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        let given = case["given"].as_u64().unwrap() as usize;
        let prompt = case["prompt"].as_str().unwrap();
        let begun = loaded.net.begin(prompt).unwrap();
        assert_eq!(begun, ids[..given], "{case}");

        let wanted = &tensors[&format!("logits.{n}")];
        let off = (loaded.net.logits(&ids, &sight).unwrap() - wanted).unwrap().abs().unwrap();
        let off = off.flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
        assert!(off <= CLOSE, "{case}: {off}");

        let how = Writing {
            max_tokens: 14,
            min_tokens: case["min_new_tokens"].as_u64().unwrap_or(0) as usize,
            repetition_penalty: case["repetition_penalty"].as_f64().unwrap_or(1.0) as f32,
            ..Writing::default()
        };
        let written = loaded.net.write(&sight, prompt, &how, &|| true).unwrap().unwrap();
        let ended = ids.last() == Some(&3);
        assert_eq!((written.tokens, written.finished), (ids.len() - given - usize::from(ended), ended), "{case}");
        assert_eq!(format!("{}{}", prompt.to_lowercase(), written.text), case["text"].as_str().unwrap());
    }
}

#[test]
fn a_text_is_drawn_by_its_seed_and_ends_when_it_is_told_to() {
    let net = load(&data("captioners/tiny-blip")).unwrap().net;
    let (_, tensors) = cases();
    let sight = net.look(&tensors["pictures"].narrow(0, 0, 1).unwrap()).unwrap();
    let drawn = |seed| {
        let how = Writing { temperature: 1.0, min_tokens: 10, seed, ..Writing::default() };
        net.write(&sight, "", &how, &|| true).unwrap().unwrap().text
    };
    assert_eq!(drawn(3), drawn(3));
    assert_ne!(drawn(3), drawn(4));
    let calls = std::cell::Cell::new(0);
    let go_on = || {
        calls.set(calls.get() + 1);
        calls.get() < 4
    };
    let how = Writing { min_tokens: 10, ..Writing::default() };
    assert_eq!(net.write(&sight, "", &how, &go_on).unwrap(), None);
    assert_eq!(calls.get(), 4);
    let long = net.write(&sight, &"cat ".repeat(60), &how, &|| true).unwrap_err().to_string();
    assert!(long.contains("a prompt of 61 tokens; a text has at most 40"), "{long}");
}

/// A copy of the captioner's folder with another file in place of one.
fn changed(name: &str, bytes: Option<&[u8]>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(data("captioners/tiny-blip")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    match bytes {
        Some(bytes) => std::fs::write(dir.path().join(name), bytes).unwrap(),
        None => std::fs::remove_file(dir.path().join(name)).unwrap(),
    }
    dir
}

#[test]
fn what_is_no_captioner_says_so() {
    let shape = br#"{"model_type": "blip", "text_config": {"hidden_act": "relu"}}"#;
    for (name, bytes, says) in [
        ("config.json", None, "expected config.json beside the weights"),
        ("config.json", Some(&br#"{"model_type": "blip-2"}"#[..]), "expected blip, found blip-2"),
        ("config.json", Some(shape), "`hidden_act`: expected gelu, found relu"),
        ("config.json", Some(br#"{"model_type": "blip"}"#), "keys do not fit the network"),
        ("tokenizer.json", None, "tokenizer.json"),
        ("tokenizer.json", Some(b"{}"), "not a tokenizer"),
        ("model.safetensors", None, "expected model.safetensors"),
    ] {
        let e = load(changed(name, bytes).path()).err().unwrap().to_string();
        assert!(e.contains(says), "{says}: {e}");
    }
}
