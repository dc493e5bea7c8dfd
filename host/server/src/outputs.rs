//! What the UI outputs of a job hold that can be shown.

use serde_json::{Map, Value, json};

/// Counts, and the one picture that stands for the job.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Facts {
    pub(crate) count: usize,
    pub(crate) previewable: usize,
    pub(crate) preview: Option<Value>,
}

/// Endings of files that a browser shows.
const SHOWN: &[(&str, &[&str])] = &[
    ("images", &["png", "jpg", "jpeg", "webp", "gif", "bmp", "avif"]),
    ("video", &["mp4", "webm", "mov", "mkv"]),
    ("audio", &["mp3", "wav", "ogg", "flac", "opus", "m4a"]),
    ("3d", &["glb", "gltf", "obj", "stl", "splat", "ply"]),
];

/// Looks through `{node: {kind: [items]}}`. Saved files stand for the job rather than previews.
pub(crate) fn facts(outputs: &Map<String, Value>) -> Facts {
    let mut facts = Facts::default();
    for (node, ui) in outputs {
        for (kind, items) in ui.as_object().into_iter().flatten() {
            // `animated` is a list of booleans beside the pictures.
            if kind == "animated" {
                continue;
            }
            for item in items.as_array().into_iter().flatten() {
                facts.count += 1;
                let Some(name) = item["filename"].as_str() else { continue };
                let ending = name.rsplit('.').next().unwrap_or("").to_lowercase();
                if !SHOWN.iter().any(|(_, endings)| endings.contains(&ending.as_str())) {
                    continue;
                }
                facts.previewable += 1;
                let better = facts.preview.as_ref().is_none_or(|p| p["type"] == "temp" && item["type"] == "output");
                if better {
                    let mut preview = item.as_object().cloned().unwrap_or_default();
                    preview.insert("nodeId".into(), json!(node));
                    preview.insert("mediaType".into(), json!(kind));
                    facts.preview = Some(Value::Object(preview));
                }
            }
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_picture_stands_for_the_job() {
        let outputs = json!({
            "3": {"images": [{"filename": "a.png", "subfolder": "", "type": "temp"}], "animated": [false]},
            "5": {"files": [{"filename": "x.safetensors", "subfolder": "", "type": "output"}]},
            "4": {"images": [{"filename": "b.PNG", "subfolder": "s", "type": "output"}], "text": ["x"]},
        });
        let facts = facts(outputs.as_object().unwrap());
        assert_eq!((facts.count, facts.previewable), (4, 2));
        let expected =
            json!({"filename": "b.PNG", "subfolder": "s", "type": "output", "nodeId": "4", "mediaType": "images"});
        assert_eq!(facts.preview, Some(expected));
    }
}
