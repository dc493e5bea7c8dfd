//! The names of CLIP's tensors in transformers and in OpenCLIP, and the shape of an encoder without a config.

use super::{Kind, TextConfig};
use crate::family::Shapes;
use crate::load::{Named, Source, whole};
use crate::unet::infer::{count, dim};
use crate::weights::Piece;

/// Layers of a block: OpenCLIP, transformers.
const BLOCK: &[(&str, &str)] = &[
    ("ln_1.", "layer_norm1."),
    ("ln_2.", "layer_norm2."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
    ("attn.out_proj.", "self_attn.out_proj."),
];

/// Tensors outside of the blocks: OpenCLIP, transformers.
const OUTER: &[(&str, &str)] = &[
    ("token_embedding.weight", "embeddings.token_embedding.weight"),
    ("positional_embedding", "embeddings.position_embedding.weight"),
    ("ln_final.weight", "final_layer_norm.weight"),
    ("ln_final.bias", "final_layer_norm.bias"),
];

/// Whether the keys are OpenCLIP's.
pub(super) fn is_open(source: &Source) -> bool {
    source.has("transformer.resblocks.0.")
}

/// A tensor under transformers' names without `text_model.`, which newer versions leave out. No name for what is no
/// weight of the encoder.
pub(super) fn transformers(key: &str, piece: Piece, projects: bool) -> Vec<Named> {
    let key = key.strip_prefix("text_model.").unwrap_or(key);
    let extra = ["embeddings.position_ids", "logit_scale"];
    let rest = extra.contains(&key) || key.starts_with("vision_model.") || key.starts_with("visual_projection.");
    if rest || (key == "text_projection.weight" && !projects) {
        return vec![];
    }
    whole(key.to_owned(), piece)
}

/// A tensor of OpenCLIP under transformers' names: query, key and value are one matrix there, and the projection is
/// turned (mlfoundations/open_clip, transformer.py: `x @ text_projection`).
pub(crate) fn open(key: &str, piece: Piece, projects: bool) -> Vec<Named> {
    if let Some((_, name)) = OUTER.iter().find(|(old, _)| *old == key) {
        return whole((*name).to_owned(), piece);
    }
    match key {
        "text_projection" if projects => {
            return whole("text_projection.weight".to_owned(), Piece { turned: true, ..piece });
        }
        "text_projection" | "text_projection.weight" | "logit_scale" | "attn_mask" => return vec![],
        _ => {}
    }
    let block = key.strip_prefix("transformer.resblocks.").and_then(|rest| rest.split_once('.'));
    let Some((number, rest)) = block else { return whole(key.to_owned(), piece) };
    let path = format!("encoder.layers.{number}");
    if let Some(leaf) = rest.strip_prefix("attn.in_proj_") {
        let third = piece.shape().and_then(|shape| Some(shape.first()? / 3)).unwrap_or(0);
        let each = ["q_proj", "k_proj", "v_proj"].into_iter().enumerate();
        return each
            .map(|(i, name)| {
                let piece = Piece { rows: Some(i * third..(i + 1) * third), ..piece.clone() };
                (format!("{path}.self_attn.{name}.{leaf}"), 0, piece)
            })
            .collect();
    }
    let name = BLOCK.iter().find_map(|(old, new)| Some(format!("{path}.{new}{}", rest.strip_prefix(old)?)));
    whole(name.unwrap_or_else(|| key.to_owned()), piece)
}

/// The shape of an encoder from its tensors' shapes under transformers' names. What does not show in them is as in the
/// full-size model.
pub(super) fn config(shapes: &Shapes, kind: &Kind) -> Result<TextConfig, String> {
    let tokens = "embeddings.token_embedding.weight";
    let hidden = dim(shapes, tokens, 1)?;
    let config = TextConfig {
        vocab_size: dim(shapes, tokens, 0)?,
        hidden_size: hidden,
        intermediate_size: dim(shapes, "encoder.layers.0.mlp.fc1.weight", 0)?,
        num_hidden_layers: count(shapes, "encoder.layers.", ".mlp.fc1.weight"),
        // All of CLIP's text encoders have heads of 64 features.
        num_attention_heads: (hidden / 64).max(1),
        max_position_embeddings: dim(shapes, "embeddings.position_embedding.weight", 0)?,
        hidden_act: kind.activation,
        layer_norm_eps: 1e-5,
        eos_token_id: 2,
        projection_dim: dim(shapes, "text_projection.weight", 0).unwrap_or(hidden),
    };
    config.check()?;
    Ok(config)
}

/// A reason to take a file's keys for those of OpenAI's ViT-L.
pub(crate) fn is_l(shapes: &Shapes) -> Option<String> {
    is(shapes, &super::L)
}

/// A reason to take a file's keys for those of OpenCLIP's ViT-H.
pub(crate) fn is_h(shapes: &Shapes) -> Option<String> {
    is(shapes, &super::H)
}

/// A reason to take a file's keys for those of OpenCLIP's ViT-bigG.
pub(crate) fn is_g(shapes: &Shapes) -> Option<String> {
    is(shapes, &super::G)
}

/// By the width; a small one without a full-size width is told by whether it has a projection.
fn is(shapes: &Shapes, kind: &Kind) -> Option<String> {
    let ends = ["embeddings.token_embedding.weight", "token_embedding.weight"];
    let (key, shape) = shapes.iter().find(|(key, _)| ends.iter().any(|end| key.ends_with(end)))?;
    let width = *shape.last()?;
    if width == kind.width {
        return Some(format!("`{key}` has {width} features"));
    }
    let full = [&super::L, &super::H, &super::G].iter().any(|kind| kind.width == width);
    let projects = shapes.keys().any(|key| key.contains("text_projection"));
    (!full && projects == kind.projects)
        .then(|| format!("`{key}` has {width} features, and it has {} projection", if projects { "a" } else { "no" }))
}
