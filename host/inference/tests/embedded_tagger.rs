//! The embedded tagger gives the scores that onnxruntime gave.
#![allow(clippy::unwrap_used)]

use data::{Array, Inference};
use sha2::{Digest, Sha256};
use std::path::PathBuf;

fn models() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/models")
}

fn expected() -> serde_json::Value {
    let path = models().join("taggers/embedded-tagger/examples/expected.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The picture as the model wants it: BGR, 0–255; `None` if it would have to be resized.
fn prepared(entry: &serde_json::Value) -> Option<Vec<f32>> {
    if entry["resized"] != false {
        return None;
    }
    let file = models().join("taggers/embedded-tagger/examples").join(entry["file"].as_str().unwrap());
    let image = data::Image::open(&file, &data::DecodeLimits::default()).unwrap();
    let rgb = image.convert(data::PixelFormat::Rgb8);
    let bgr: Vec<u8> = rgb.pixels.chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]).collect();
    let hash: String = Sha256::digest(&bgr).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hash, entry["prepared_u8_bgr_sha256"], "{}", file.display());
    Some(bgr.into_iter().map(f32::from).collect())
}

#[test]
fn scores_agree_with_onnxruntime_alone_and_in_a_batch() {
    let registry = inference::Registry::new(vec![models()]);
    assert_eq!(registry.names(), ["taggers/embedded-tagger"]);
    let session = registry.load("taggers/embedded-tagger", None).unwrap();
    let info = session.info();
    assert_eq!((info.family.as_str(), &info.inputs[0].shape), ("tagger", &vec![None, Some(96), Some(96), Some(3)]));
    assert_eq!((info.outputs[0].name.as_str(), info.outputs[0].shape[1]), ("output", Some(87)));
    assert_eq!(info.digest, registry.digest("taggers/embedded-tagger").unwrap());

    let expected = expected();
    let entries: Vec<&serde_json::Value> = expected["images"].as_array().unwrap().iter().collect();
    let pictures: Vec<_> = entries.iter().filter_map(|e| Some((*e, prepared(e)?))).collect();
    assert!(pictures.len() >= 3);
    let check = |entry: &serde_json::Value, scores: &[f32]| {
        let want: Vec<f64> = entry["scores"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert_eq!(scores.len(), want.len());
        for (i, (a, b)) in scores.iter().zip(&want).enumerate() {
            // Two float32 implementations of the same network: a few rounding errors apart.
            assert!((f64::from(*a) - b).abs() < 1e-5, "{} score {i}: {a} and {b}", entry["file"]);
        }
    };
    for (entry, pixels) in &pictures {
        let input = Array::from_f32(vec![1, 96, 96, 3], pixels.clone()).unwrap();
        let out = session.run(vec![("input".into(), input)]).unwrap();
        check(entry, &out[0].1.to_f32());
    }
    let all: Vec<f32> = pictures.iter().flat_map(|(_, p)| p.clone()).collect();
    let batch = Array::from_f32(vec![pictures.len(), 96, 96, 3], all).unwrap();
    let out = session.run(vec![("input".into(), batch)]).unwrap();
    assert_eq!(out[0].1.shape, [pictures.len(), 87]);
    for ((entry, _), scores) in pictures.iter().zip(out[0].1.to_f32().chunks(87)) {
        check(entry, scores);
    }
}

#[test]
fn wrong_inputs_say_what_is_expected() {
    let registry = inference::Registry::new(vec![models()]);
    let session = registry.load("taggers/embedded-tagger", None).unwrap();
    let array = |shape: Vec<usize>| Array::from_f32(shape.clone(), vec![0.0; shape.iter().product()]).unwrap();
    for (name, shape, says) in [
        ("pixels", vec![1, 96, 96, 3], "its inputs are input"),
        ("input", vec![1, 3, 96, 96], "expected shape [any, 96, 96, 3]"),
        ("input", vec![96, 96, 3], "found [96, 96, 3]"),
    ] {
        let e = session.run(vec![(name.into(), array(shape))]).unwrap_err();
        assert!(e.message.contains(says), "{e}");
    }
    assert!(session.run(vec![]).unwrap_err().message.contains("`input` is missing"));
    assert!(session.asset("../config.json").is_err());
    assert!(session.asset("model.onnx").unwrap_err().message.contains("selected_tags.csv"));
    assert!(session.asset("selected_tags.csv").unwrap().starts_with(b"tag_id,name,category,count"));
    assert!(registry.load("taggers/embedded-tagger", Some(&serde_json::json!({"device": "gpu"}))).is_err());
}
