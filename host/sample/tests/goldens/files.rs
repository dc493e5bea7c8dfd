//! Reading the reference.

use candle_core::{DType, Device, Tensor};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

pub(crate) fn root() -> PathBuf {
    std::env::var_os("ANAGAMA_REFERENCE")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference")))
}

pub(crate) fn file(name: &str) -> Option<BTreeMap<String, Tensor>> {
    let path = root().join(name);
    if !path.is_file() {
        println!("SKIPPED: {name}: no such file in {}", root().display());
        return None;
    }
    let tensors: HashMap<_, _> = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    Some(tensors.into_iter().collect())
}

/// A text of the file's header.
pub(crate) fn header(name: &str, key: &str) -> Option<String> {
    let bytes = std::fs::read(root().join(name)).ok()?;
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let json: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    Some(json["__metadata__"][key].as_str()?.to_owned())
}

pub(crate) fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[track_caller]
pub(crate) fn close(name: &str, found: &[f64], expected: &[f64], absolute: f64, relative: f64) {
    assert_eq!(found.len(), expected.len(), "{name}: length");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= absolute + relative * e.abs(), "{name}[{i}]: expected {e}, found {f}");
    }
}
