//! The names of vision encoders' tensors, and the shape of one without a config.

use super::{Activation, VisionConfig};
use crate::clip;
use crate::config::Json;
use crate::error::Result;
use crate::family::Shapes;
use crate::load::{Named, whole};
use crate::unet::infer::{count, dim};
use crate::weights::Piece;

/// Tensors outside of the blocks: OpenAI's and OpenCLIP's code, transformers.
const OUTER: &[(&str, &str)] = &[
    ("class_embedding", "embeddings.class_embedding"),
    ("conv1.weight", "embeddings.patch_embedding.weight"),
    ("positional_embedding", "embeddings.position_embedding.weight"),
    ("ln_pre.weight", "pre_layrnorm.weight"),
    ("ln_pre.bias", "pre_layrnorm.bias"),
    ("ln_post.weight", "post_layernorm.weight"),
    ("ln_post.bias", "post_layernorm.bias"),
];

/// Tensors of files with both encoders, of SigLIP's own pooling and of language models, which are not read.
const BESIDE: &[&str] = &[
    "text_model.",
    "text_projection",
    "logit_",
    "embeddings.position_ids",
    "head.",
    "multi_modal_projector.",
    "token_embedding.",
    "ln_final.",
];

/// A tensor under transformers' name without `vision_model.`; no name for what is no weight of the encoder.
pub(super) fn transformers(key: &str, piece: Piece) -> Vec<Named> {
    let key = key.strip_prefix("vision_model.").unwrap_or(key);
    if BESIDE.iter().any(|beside| key.starts_with(beside)) { Vec::new() } else { whole(key.to_owned(), piece) }
}

/// A tensor of OpenAI's or OpenCLIP's code, whose encoder lies below `visual.`, under transformers' name.
pub(super) fn open(key: &str, piece: Piece) -> Vec<Named> {
    let Some(key) = key.strip_prefix("visual.") else { return Vec::new() };
    if let Some((_, name)) = OUTER.iter().find(|(old, _)| *old == key) {
        return whole((*name).to_owned(), piece);
    }
    match key {
        // Pictures are multiplied with it from the left.
        "proj" => whole("visual_projection.weight".to_owned(), Piece { turned: true, ..piece }),
        _ => clip::open_name(key, piece, false),
    }
}

/// The config of a folder.
pub(super) fn from_json(json: &Json) -> Result<VisionConfig> {
    // A file of both encoders has a config of both.
    let both = json.part("vision_config")?;
    if !both.is_empty() {
        return from_json(&both.overridden_by(json, "projection_dim"));
    }
    let kind: String = json.optional("model_type")?.unwrap_or_else(|| "clip_vision_model".to_owned());
    let class = match kind.as_str() {
        "clip_vision_model" => true,
        "siglip_vision_model" => false,
        other => {
            return Err(
                json.wrong(format!("`model_type`: expected clip_vision_model or siglip_vision_model, found {other}"))
            );
        }
    };
    let act: String = json.optional("hidden_act")?.unwrap_or_else(|| "quick_gelu".to_owned());
    let config = VisionConfig {
        hidden: json.required("hidden_size")?,
        inside: json.required("intermediate_size")?,
        layers: json.required("num_hidden_layers")?,
        heads: json.required("num_attention_heads")?,
        side: json.required("image_size")?,
        patch: json.required("patch_size")?,
        activation: match act.as_str() {
            "quick_gelu" => Activation::QuickGelu,
            "gelu" => Activation::Gelu,
            "gelu_pytorch_tanh" => Activation::GeluTanh,
            other => return Err(json.wrong(format!("`hidden_act`: {other} is unknown"))),
        },
        eps: json.optional("layer_norm_eps")?.unwrap_or(1e-5),
        class,
        projection: if class { json.optional("projection_dim")? } else { None },
    };
    config.check().map_err(|what| json.wrong(what))?;
    Ok(config)
}

/// The shape from the tensors. What does not show in them is as in the published encoders: 16 heads, and OpenAI's ViT-L,
/// the smallest, has its own activation.
pub(super) fn inferred(shapes: &Shapes) -> Result<VisionConfig, String> {
    let class = shapes.contains_key("embeddings.class_embedding");
    let patches = "embeddings.patch_embedding.weight";
    let (hidden, patch) = (dim(shapes, patches, 0)?, dim(shapes, patches, 2)?);
    let positions = dim(shapes, "embeddings.position_embedding.weight", 0)?;
    let places = positions - usize::from(class && positions > 0);
    let row = (1..=places).find(|n| n * n >= places).unwrap_or(0);
    let layers = count(shapes, "encoder.layers.", ".layer_norm1.weight");
    let config = VisionConfig {
        hidden,
        inside: dim(shapes, "encoder.layers.0.mlp.fc1.weight", 0)?,
        layers,
        heads: 16,
        // SigLIP's pictures of 384 pixels leave a rest of six, which no patch covers.
        side: if !class && (patch, row) == (14, 27) { 384 } else { row * patch },
        patch,
        activation: match class {
            false => Activation::GeluTanh,
            true if layers <= 24 => Activation::QuickGelu,
            true => Activation::Gelu,
        },
        eps: 1e-5,
        class,
        projection: dim(shapes, "visual_projection.weight", 0).ok(),
    };
    if row * row != places {
        return Err(format!("expected positions of a square of patches, found {places}"));
    }
    config.check()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(hidden: usize, patch: usize, positions: usize, layers: usize, class: bool) -> Shapes {
        let mut shapes = Shapes::from([
            ("embeddings.patch_embedding.weight".to_owned(), vec![hidden, 3, patch, patch]),
            ("embeddings.position_embedding.weight".to_owned(), vec![positions, hidden]),
            ("encoder.layers.0.mlp.fc1.weight".to_owned(), vec![4 * hidden, hidden]),
        ]);
        shapes.extend((0..layers).map(|i| (format!("encoder.layers.{i}.layer_norm1.weight"), vec![hidden])));
        if class {
            shapes.insert("embeddings.class_embedding".to_owned(), vec![hidden]);
            shapes.insert("visual_projection.weight".to_owned(), vec![768, hidden]);
        }
        shapes
    }

    #[test]
    fn shapes_of_published_encoders_are_told() {
        let found = |h, p, n, l, c| inferred(&shapes(h, p, n, l, c)).unwrap();
        let l = found(1024, 14, 257, 24, true);
        assert_eq!((l.side, l.activation, l.projection), (224, Activation::QuickGelu, Some(768)));
        assert_eq!(found(1024, 14, 577, 24, true).side, 336);
        assert_eq!(found(1664, 14, 257, 48, true).activation, Activation::Gelu);
        let siglip = found(1152, 14, 729, 27, false);
        assert_eq!((siglip.side, siglip.activation, siglip.projection), (384, Activation::GeluTanh, None));
        assert_eq!(found(1152, 16, 1024, 27, false).side, 512);
        assert!(inferred(&shapes(1024, 14, 250, 24, true)).unwrap_err().contains("square"));
    }
}
