//! What a node showed, in the form that clients read.

use serde_json::{Map, Value, json};
use std::path::Path;

/// Nodes name the files that they wrote as `files: [{path, sha256}]`; clients want name, subfolder and type, and no
/// path of this machine. Files that are named as pictures or otherwise already are not named twice.
pub(crate) fn public(ui: &Map<String, Value>, output_dir: &Path) -> Map<String, Value> {
    let mut shown = ui.clone();
    let Some(files) = shown.shift_remove("files") else { return shown };
    let place =
        |v: &Value| (v["subfolder"].as_str().unwrap_or("").to_owned(), v["filename"].as_str().map(str::to_owned));
    let named: Vec<_> = shown.values().filter_map(Value::as_array).flatten().map(place).collect();
    let mut others = Vec::new();
    for file in files.as_array().into_iter().flatten() {
        let Some(below) = file["path"].as_str().and_then(|p| Path::new(p).strip_prefix(output_dir).ok()) else {
            continue;
        };
        let name = below.file_name().map(|n| n.to_string_lossy().into_owned());
        let subfolder = below.parent().map(|p| p.to_string_lossy().replace('\\', "/")).unwrap_or_default();
        if let Some(name) = name
            && !named.contains(&(subfolder.clone(), Some(name.clone())))
        {
            others.push(json!({
                "filename": name, "subfolder": subfolder, "type": "output", "sha256": file["sha256"],
            }));
        }
    }
    if !others.is_empty() {
        shown.insert("files".to_owned(), Value::Array(others));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lose_their_paths() {
        let ui = json!({
            "files": [
                {"path": "/out/s/a.png", "sha256": "1"}, {"path": "/out/x.safetensors", "sha256": "2"},
                {"path": "/elsewhere/y", "sha256": "3"},
            ],
            "images": [{"filename": "a.png", "subfolder": "s", "type": "output"}],
        });
        let shown = Value::Object(public(ui.as_object().unwrap(), Path::new("/out")));
        let file = json!({"filename": "x.safetensors", "subfolder": "", "type": "output", "sha256": "2"});
        assert_eq!(shown["files"], json!([file]));
        assert_eq!(shown["images"], ui["images"]);
        assert!(!shown.to_string().contains("/out"));
    }
}
