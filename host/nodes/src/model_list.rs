//! What `anagama models list` shows: every model file with its size and, where that is cheap to tell, its family.

use crate::ModelDirs;
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A model file, or a folder that holds one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelEntry {
    /// The folder's name: `checkpoints`, `loras` …
    pub kind: String,
    /// As workflows name it.
    pub name: String,
    pub path: PathBuf,
    pub bytes: u64,
    /// As the file's metadata or the shape of its contents says; none if neither does.
    pub family: Option<String>,
}

impl ModelDirs {
    /// All models of all kinds, by kind and name. Reads folders, headers and small configuration files, no weights.
    pub fn entries(&self) -> Vec<ModelEntry> {
        let mut entries = Vec::new();
        for kind in self.kinds() {
            for name in self.list(&kind) {
                // A file that vanished in between is not listed.
                let Ok(path) = self.resolve(&kind, &name) else { continue };
                let (bytes, family) = (size(&path, 0), family(&path));
                entries.push(ModelEntry { kind: kind.clone(), name, path, bytes, family });
            }
        }
        entries
    }
}

/// Bytes of a file, or of everything in a model's folder.
fn size(path: &Path, depth: usize) -> u64 {
    let Ok(facts) = path.metadata() else { return 0 };
    if !facts.is_dir() {
        return facts.len();
    }
    if depth > 4 {
        return 0;
    }
    std::fs::read_dir(path).into_iter().flatten().flatten().map(|e| size(&e.path(), depth + 1)).sum()
}

fn family(path: &Path) -> Option<String> {
    if path.is_dir() { folder_family(path) } else { file_family(path) }
}

/// A diffusers folder names its pipeline; the width of the text encoding tells SD 1.x from SD 2.x.
fn folder_family(path: &Path) -> Option<String> {
    let read = |name: &str| -> Option<Value> { serde_json::from_slice(&std::fs::read(path.join(name)).ok()?).ok() };
    let index = read("model_index.json")?;
    let pipeline = index["_class_name"].as_str()?;
    let family = match pipeline {
        "StableDiffusionPipeline" => match read("unet/config.json")?["cross_attention_dim"].as_u64() {
            Some(1024) => "SD 2.x",
            _ => "SD 1.x",
        },
        "StableDiffusionXLPipeline" => "SDXL",
        other => other,
    };
    Some(family.to_owned())
}

/// Headers are JSON of a few hundred kB; a longer one is not worth reading for a list.
const MAX_HEADER: u64 = 16 << 20;

/// Keys that only one family's single files have.
const MARKS: [(&str, &str); 4] = [
    ("conditioner.embedders.1.", "SDXL"),
    ("cond_stage_model.transformer.", "SD 1.x"),
    ("cond_stage_model.model.", "SD 2.x"),
    ("double_blocks.0.", "Flux"),
];

fn file_family(path: &Path) -> Option<String> {
    let mut file = std::fs::File::open(path).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let length = u64::from_le_bytes(length);
    if path.extension()? != "safetensors" || length > MAX_HEADER {
        return None;
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    let header = header.as_object()?;
    let metadata = header.get("__metadata__");
    let said = ["modelspec.architecture", "ss_base_model_version"]
        .into_iter()
        .find_map(|key| metadata?.get(key)?.as_str().filter(|s| !s.is_empty()));
    let marked = || MARKS.iter().find(|(mark, _)| header.keys().any(|k| k.contains(mark))).map(|(_, family)| *family);
    said.or_else(marked).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn safetensors(path: &Path, header: &str) {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        write(path, &bytes);
    }

    fn write(path: &Path, bytes: &[u8]) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    #[test]
    fn models_are_listed_with_kind_size_and_family() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let key = r#"{"cond_stage_model.transformer.x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#;
        safetensors(&at("checkpoints/a.safetensors"), key);
        safetensors(&at("loras/b.safetensors"), r#"{"__metadata__":{"ss_base_model_version":"sdxl_base_v1-0"}}"#);
        write(&at("loras/broken.safetensors"), b"\xff\xff\xff\xff\xff\xff\xff\xff{");
        write(&at("diffusers/c/model_index.json"), br#"{"_class_name":"StableDiffusionPipeline"}"#);
        write(&at("diffusers/c/unet/config.json"), br#"{"cross_attention_dim":768}"#);
        write(&at("taggers/t/model.onnx"), b"onnx");
        let entries = ModelDirs::new(vec![dir.path().into(), at("absent")]).entries();
        let shown: Vec<_> = entries.iter().map(|e| (e.kind.as_str(), e.name.as_str(), e.family.as_deref())).collect();
        assert_eq!(
            shown,
            [
                ("checkpoints", "a.safetensors", Some("SD 1.x")),
                ("diffusers", "c", Some("SD 1.x")),
                ("loras", "b.safetensors", Some("sdxl_base_v1-0")),
                ("loras", "broken.safetensors", None),
                ("taggers", "taggers/t", None),
            ]
        );
        assert_eq!(entries[4].bytes, 4);
    }
}
