//! The shape of a tagger: from its tensors, and what does not show in them from the config beside it.

use crate::config::Json;
use crate::family::Shapes;
use crate::unet::infer::{count, dim};
use serde_json::{Map, Value};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Feed {
    Gelu,
    GeluTanh,
    /// Gated by SiLU, with a norm (EVA-02).
    Gated,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct TaggerConfig {
    pub(super) hidden: usize,
    pub(super) inside: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    /// Pixels of a picture's side.
    pub(super) side: usize,
    /// Pixels of a patch's side.
    pub(super) patch: usize,
    pub(super) labels: usize,
    pub(super) feed: Feed,
    /// Queries, keys and values from one layer.
    pub(super) joined: bool,
    /// A state of its own stands beside the patches.
    pub(super) class: bool,
    /// The patches' mean is scored, not the class.
    pub(super) pools: bool,
    pub(super) norm: bool,
    pub(super) pooled_norm: bool,
    /// Positions turn queries and keys, as if the picture had so many patches a side (EVA-02).
    pub(super) reference: Option<usize>,
}

/// timm's heads, where the config does not say how many there are, have so many features.
const HEAD: usize = 64;
/// `ref_feat_shape` of timm's EVA-02.
const REFERENCE: usize = 16;

impl TaggerConfig {
    pub(super) fn of(json: Option<&Json>, shapes: &Shapes) -> Result<Self, String> {
        let read = |key: &str| json.and_then(|j| j.optional::<Value>(key).ok().flatten());
        let args: Map<String, Value> = read("model_args").and_then(|v| v.as_object().cloned()).unwrap_or_default();
        let number = |key: &str| args.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let word = |key: &str| args.get(key).cloned().or_else(|| read(key)).and_then(|v| v.as_str().map(str::to_owned));

        if !shapes.contains_key("pos_embed") || !shapes.contains_key("blocks.0.norm1.weight") {
            let name = word("architecture").unwrap_or_else(|| "a network of another kind".to_owned());
            return Err(format!(
                "{name} is no vision transformer in timm's names, and only those and EVA-02 are read from safetensors; \
                 use its model.onnx"
            ));
        }
        let gated = shapes.contains_key("blocks.0.mlp.fc1_g.weight");
        let class = shapes.contains_key("cls_token");
        let (hidden, patch) = (dim(shapes, "patch_embed.proj.weight", 0)?, dim(shapes, "patch_embed.proj.weight", 2)?);
        let places = dim(shapes, "pos_embed", 1)?;
        let places = places.saturating_sub(usize::from(class));
        let row = places.isqrt();
        let feed = match word("act_layer").as_deref() {
            _ if gated => Feed::Gated,
            None | Some("gelu") => Feed::Gelu,
            Some("gelu_tanh") => Feed::GeluTanh,
            Some(other) => return Err(format!("`act_layer`: {other} is unknown")),
        };
        let pool = word("global_pool").unwrap_or_else(|| if gated || !class { "avg" } else { "token" }.to_owned());
        let first = if gated { "blocks.0.mlp.fc1_g.weight" } else { "blocks.0.mlp.fc1.weight" };
        let reference = match args.get("ref_feat_shape") {
            Some(Value::Array(sides)) => match sides.as_slice() {
                [a, b] if a == b => a.as_u64().and_then(|n| usize::try_from(n).ok()),
                _ => return Err("`ref_feat_shape`: expected two equal numbers".to_owned()),
            },
            Some(Value::Number(n)) => n.as_u64().and_then(|n| usize::try_from(n).ok()),
            Some(Value::Null) => Some(row),
            _ => Some(REFERENCE),
        };
        let config = Self {
            hidden,
            inside: dim(shapes, first, 0)?,
            layers: count(shapes, "blocks.", ".norm1.weight"),
            heads: number("num_heads").unwrap_or(hidden / HEAD),
            side: row * patch,
            patch,
            labels: dim(shapes, "head.weight", 0)?,
            feed,
            joined: shapes.contains_key("blocks.0.attn.qkv.weight"),
            class,
            pools: match pool.as_str() {
                "avg" => true,
                "token" if class => false,
                other => return Err(format!("`global_pool`: {other} is unknown")),
            },
            norm: shapes.contains_key("norm.weight"),
            pooled_norm: shapes.contains_key("fc_norm.weight"),
            reference: if gated { reference } else { None },
        };
        config.check(places, row)?;
        Ok(config)
    }

    fn check(&self, places: usize, row: usize) -> Result<(), String> {
        if row == 0 || row * row != places {
            return Err(format!("positions of {places} patches, which are no square"));
        }
        let whole = self.heads > 0 && self.hidden.is_multiple_of(self.heads);
        // Pairs for rows and for columns.
        if !whole || self.reference.is_some() && !(self.hidden / self.heads).is_multiple_of(4) {
            return Err(format!("{} features in {} heads", self.hidden, self.heads));
        }
        Ok(())
    }
}

impl fmt::Display for TaggerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.feed == Feed::Gated { "EVA-02" } else { "a vision transformer" };
        let Self { layers, hidden, side, labels, .. } = self;
        write!(f, "{kind} of {layers} layers and {hidden} features for {labels} labels of pictures of {side} pixels")
    }
}
