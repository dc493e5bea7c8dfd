//! What a file was made for, or is, where it does not fit.

use super::Leaves;
use crate::error::Error;
use crate::family::{self, FAMILIES, Kind};
use crate::weights::WeightFile;
use std::collections::{BTreeMap, HashMap};

/// Pieces of module names that only one family's files have.
const NAMES: &[(&str, &[&str])] = &[
    ("SD 3", &["joint_blocks"]),
    ("Flux.1", &["double_blocks", "single_blocks", "single_transformer_blocks"]),
    ("Flux.1 or SD 3", &["transformer_blocks.0.attn.add_", "transformer_blocks_0_attn_add_"]),
    (
        "SDXL",
        &[
            "lora_te2_text_model",
            "attentions_0_transformer_blocks_9_",
            "attentions.0.transformer_blocks.9.",
            "input_blocks_7_1_transformer_blocks_9_",
        ],
    ),
];

/// Features of the text states → family, by the first attention to the text.
const WIDTHS: &[(usize, &str)] = &[(768, "SD 1.x"), (1024, "SD 2.x"), (2048, "SDXL")];

/// The family that a network file was made for, as far as its names, shapes and header say.
pub(super) fn family(modules: &BTreeMap<String, Leaves>, metadata: &HashMap<String, String>) -> String {
    let named =
        NAMES.iter().find(|(_, pieces)| modules.keys().any(|name| pieces.iter().any(|piece| name.contains(piece))));
    let width = modules
        .iter()
        .filter(|(name, _)| name.ends_with("attn2_to_k") || name.ends_with("attn2.to_k"))
        .find_map(|(_, leaves)| leaves.shape("lora_down")?.get(1).copied());
    let by_width = WIDTHS.iter().find(|(known, _)| Some(*known) == width).map(|(_, name)| *name);
    let stated = ["modelspec.architecture", "ss_base_model_version"].iter().find_map(|key| metadata.get(*key));
    let by_header = FAMILIES.iter().find(|family| {
        let architecture = metadata.get("modelspec.architecture").and_then(|a| a.strip_suffix("/lora"));
        architecture == Some(family.architecture)
            || metadata.get("ss_base_model_version").is_some_and(|v| v == family.base_model_version)
    });
    let family = named.map(|(name, _)| *name).or(by_width).or(by_header.map(|family| family.name));
    match (family, stated) {
        (Some(family), _) => format!("this looks like a network for {family}; use it with a checkpoint of that family"),
        (None, Some(stated)) => format!("the file says that it was made for `{stated}`"),
        (None, None) => {
            "it was made for another model; a LoRA fits checkpoints of the family and size it was trained on".into()
        }
    }
}

/// Why a file without a single module of a network cannot be used as one.
pub(super) fn not_a_network(file: &WeightFile, others: &[String]) -> Error {
    let shapes: BTreeMap<_, _> = file.entries.iter().map(|(key, entry)| (key.clone(), entry.shape.clone())).collect();
    let embedding = |key: &str| {
        ["emb_params", "clip_l", "clip_g", "t5xxl"].contains(&key)
            || key.starts_with("string_to_param")
            || key.starts_with('<')
    };
    if shapes.keys().any(|key| embedding(key)) && shapes.len() <= 4 {
        let what = "this is an embedding (textual inversion), not a LoRA; put it into the embeddings folder and write \
                    embedding:NAME in a prompt";
        return Error::file(&file.path, what);
    }
    match family::recognise(&shapes) {
        Some((Kind::Family(family), reason)) => Error::file(
            &file.path,
            format!("this is a whole checkpoint of {} ({reason}), not a LoRA; load it as a checkpoint", family.name),
        ),
        _ => Error::Keys {
            place: format!("{}: not a LoRA, or of an unknown naming", file.path.display()),
            problems: others.iter().map(|key| format!("`{key}` is no part of a LoRA")).collect(),
            hint: "expected keys such as `lora_unet_….lora_down.weight` or `unet.….lora_A.weight`".into(),
        },
    }
}
