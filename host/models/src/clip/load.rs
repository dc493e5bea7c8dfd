//! CLIP's text encoders from files, and at full size.

use super::names;
use super::tokenizer::{self, Tokenizer};
use super::{Activation, TextConfig, TextEncoder};
use crate::error::Result;
use crate::family::TextRow;
use crate::load::Source;
use crate::text::TextPart;
use crate::weights::Part;
use std::sync::Arc;

/// One of CLIP's text encoders at full size.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Features of each state.
    pub(super) width: usize,
    layers: usize,
    pub(super) activation: Activation,
    /// Whether files have a projection of the pooled state.
    pub(super) projects: bool,
    /// What fills short rows.
    padding: &'static str,
}

/// OpenAI's ViT-L/14.
pub(crate) const L: Kind =
    Kind { width: 768, layers: 12, activation: Activation::QuickGelu, projects: false, padding: tokenizer::END };
/// OpenCLIP's ViT-H/14.
pub(crate) const H: Kind = Kind { width: 1024, layers: 24, activation: Activation::Gelu, projects: true, padding: "!" };
/// OpenCLIP's ViT-bigG/14.
pub(crate) const G: Kind = Kind { width: 1280, layers: 32, activation: Activation::Gelu, projects: true, padding: "!" };

/// Which states a family reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Those so many layers before the end, 1: the last.
    pub(crate) skip: usize,
    /// Behind the final norm.
    pub(crate) norm: bool,
    /// The pooled state behind the projection.
    pub(crate) projects: bool,
    /// Whether the family takes the pooled state at all.
    pub(crate) pooled: bool,
}

/// Reads an encoder in the names of transformers or OpenCLIP. Without a config its shape is inferred, and its tokenizer
/// is that of OpenAI's CLIP.
pub(crate) fn load(source: &Source, row: &'static TextRow, kind: &Kind, reading: Reading) -> Result<TextPart> {
    let open = names::is_open(source);
    let name = if open { names::open } else { names::transformers };
    let entries = source.entries(|key, piece| name(key, piece, reading.projects));
    let config = match &source.config {
        Some(json) => TextConfig::from_json(json)?,
        None => names::config(&crate::load::shapes_of(&entries), kind).map_err(|what| source.wrong(what))?,
    };
    let tokenizer = match &source.tokenizer {
        Some(folder) => Tokenizer::from_folder(folder)?,
        None => {
            source.note(format!("the tokenizer of {} is that of OpenAI's CLIP", row.name));
            Tokenizer::clip_padded(kind.padding)?
        }
    };
    let mut encoder = source.build(entries, |part| TextEncoder::build(config, part, tokenizer, reading))?;
    // Files in transformers' form leave out the layers behind the states that the family reads.
    let whole = open || encoder.net.blocks.len() >= kind.layers;
    encoder.cut = if reading.norm && !whole { reading.skip - 1 } else { 0 };
    Ok(TextPart::new(row, Arc::new(encoder)))
}

/// An encoder of the full size.
pub(crate) fn full_size(part: &mut Part, row: &'static TextRow, kind: &Kind, reading: Reading) -> Result<TextPart> {
    let config = TextConfig {
        vocab_size: 49408,
        hidden_size: kind.width,
        intermediate_size: 4 * kind.width,
        num_hidden_layers: kind.layers,
        num_attention_heads: kind.width / 64,
        max_position_embeddings: tokenizer::LENGTH,
        hidden_act: kind.activation,
        layer_norm_eps: 1e-5,
        eos_token_id: 2,
        projection_dim: kind.width,
    };
    let encoder = TextEncoder::build(config, part, Tokenizer::clip_padded(kind.padding)?, reading)?;
    Ok(TextPart::new(row, Arc::new(encoder)))
}
