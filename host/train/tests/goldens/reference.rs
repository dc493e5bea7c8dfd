//! Reading the reference data.

use safetensors::{Dtype, SafeTensors};
use std::path::PathBuf;

/// A file of the reference data.
pub(crate) fn path(name: &str) -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference");
    PathBuf::from(std::env::var("ANAGAMA_REFERENCE").unwrap_or_else(|_| default.into())).join(name)
}

pub(crate) fn json(name: &str) -> serde_json::Value {
    let path = path(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// Names of the files with this ending in a folder of the reference data, in order.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<String> {
    let folder = path(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(ending));
    names.sort();
    names
}

/// A safetensors file in memory.
pub(crate) struct Tensors {
    name: String,
    bytes: Vec<u8>,
}

impl Tensors {
    pub(crate) fn open(name: &str) -> Self {
        let path = path(name);
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self { name: name.into(), bytes }
    }

    fn file(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).unwrap()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.file().names().into_iter().map(str::to_owned).collect();
        names.sort();
        names
    }

    pub(crate) fn shape(&self, key: &str) -> Vec<usize> {
        self.view(key).shape().to_vec()
    }

    fn view<'a>(&'a self, key: &str) -> safetensors::tensor::TensorView<'a> {
        self.file().tensor(key).unwrap_or_else(|e| panic!("{}: {key}: {e}", self.name))
    }

    /// Numbers of any floating-point type.
    pub(crate) fn floats(&self, key: &str) -> Vec<f64> {
        let view = self.view(key);
        let data = view.data();
        match view.dtype() {
            Dtype::F64 => data.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
            Dtype::F32 => data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect(),
            Dtype::F16 => {
                data.chunks_exact(2).map(|b| half::f16::from_le_bytes(b.try_into().unwrap()).into()).collect()
            }
            other => panic!("{}: {key}: {other:?}", self.name),
        }
    }

    pub(crate) fn f32s(&self, key: &str) -> Vec<f32> {
        self.floats(key).into_iter().map(|v| v as f32).collect()
    }

    pub(crate) fn bytes(&self, key: &str) -> Vec<u8> {
        self.view(key).data().to_vec()
    }

    pub(crate) fn integers(&self, key: &str) -> Vec<i64> {
        self.view(key).data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect()
    }

    /// Has the file this key in its metadata?
    pub(crate) fn has_header(&self, key: &str) -> bool {
        let (_, metadata) = SafeTensors::read_metadata(&self.bytes).unwrap();
        metadata.metadata().as_ref().is_some_and(|m| m.contains_key(key))
    }

    /// The header's metadata under a key, as JSON.
    pub(crate) fn header(&self, key: &str) -> serde_json::Value {
        let (_, metadata) = SafeTensors::read_metadata(&self.bytes).unwrap();
        let text = metadata.metadata().as_ref().unwrap()[key].replace("Infinity", "1e308");
        serde_json::from_str(&text).unwrap_or(serde_json::Value::Null)
    }
}

/// Largest difference, as a share of the largest wanted number.
pub(crate) fn off(found: &[f32], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let scale = wanted.iter().fold(1e-12f64, |m, w| m.max(w.abs()));
    found.iter().zip(wanted).map(|(f, w)| (f64::from(*f) - w).abs()).fold(0.0, f64::max) / scale
}
