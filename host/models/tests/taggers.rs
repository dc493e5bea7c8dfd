//! Networks that score labels of pictures, against timm (tests/peers/make_taggers.py).

#![allow(clippy::unwrap_used)] // A test that cannot read its data has failed.

use candle_core::{Device, Tensor};
use models::{LoadedTagger, Memory, load_tagger};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Two float32 implementations of the same network: a few rounding errors apart.
const CLOSE: f32 = 1e-5;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn load(path: &Path) -> models::Result<LoadedTagger> {
    load_tagger(path, &Memory::unlimited())
}

fn check(kind: &str) -> LoadedTagger {
    let loaded = load(&data(&format!("tagger_{kind}"))).unwrap();
    assert_eq!((loaded.net.side(), loaded.net.labels()), (24, 7), "{kind}");
    let case =
        candle_core::safetensors::load(data(&format!("tagger_{kind}_outputs.safetensors")), &Device::Cpu).unwrap();
    let found = loaded.net.scores(&case["pictures"]).unwrap();
    let off = (&found - &case["scores"]).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    assert!(off.to_scalar::<f32>().unwrap() <= CLOSE, "{kind}: {found} and {}", case["scores"]);
    loaded
}

#[test]
fn scores_are_timms() {
    check("vit_class");
    let vit = check("vit");
    assert_eq!(vit.found, ["a vision transformer of 2 layers and 32 features for 7 labels of pictures of 24 pixels"]);
    assert!(check("eva02").found[0].starts_with("EVA-02 of 2 layers"));
}

#[test]
fn pictures_of_another_size_are_refused() {
    let net = load(&data("tagger_vit")).unwrap().net;
    let wrong = Tensor::zeros((1, 3, 24, 24), candle_core::DType::F32, &Device::Cpu).unwrap();
    let e = net.scores(&wrong).unwrap_err().to_string();
    assert!(e.contains("expected pictures (b, 24, 24, 3)"), "{e}");
}

/// A copy of a tagger's folder with another config, and without some tensors.
fn changed(kind: &str, config: &str, without: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = data(&format!("tagger_{kind}"));
    let mut tensors: HashMap<String, Tensor> =
        candle_core::safetensors::load(from.join("model.safetensors"), &Device::Cpu).unwrap();
    tensors.retain(|name, _| !without.iter().any(|w| name.contains(w)));
    candle_core::safetensors::save(&tensors, dir.path().join("model.safetensors")).unwrap();
    std::fs::write(dir.path().join("config.json"), config).unwrap();
    dir
}

#[test]
fn what_is_no_such_network_says_so() {
    for (kind, config, without, says) in [
        ("vit", r#"{"architecture": "convnext_base"}"#, &["pos_embed"][..], "convnext_base is no vision transformer"),
        ("vit", r#"{"model_args": {"num_heads": 2, "act_layer": "relu"}}"#, &[], "`act_layer`: relu is unknown"),
        ("vit", r#"{"model_args": {"num_heads": 5}}"#, &[], "32 features in 5 heads"),
        ("vit", r#"{"model_args": {"num_heads": 2, "global_pool": "map"}}"#, &[], "`global_pool`: map is unknown"),
        ("eva02", r#"{"model_args": {"num_heads": 2, "ref_feat_shape": [1, 2]}}"#, &[], "two equal numbers"),
        ("eva02", r#"{"model_args": {"num_heads": 2}}"#, &["q_proj.bias"], "blocks.0.attn.q_proj.bias"),
    ] {
        let e = load(changed(kind, config, without).path()).err().unwrap().to_string();
        assert!(e.contains(says), "{says}: {e}");
    }
}
