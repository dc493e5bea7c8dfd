//! CLIP's text encoder beside its vision encoder: texts in the space of pictures.

use super::load::{L, Reading};
use super::tokenizer::{self, Tokenizer};
use super::{TextConfig, TextEncoder, names};
use crate::error::Result;
use crate::load::{below, open, shapes_of};
use crate::memory::Memory;
use crate::text::Encode;
use candle_core::Tensor;
use std::path::Path;

/// An encoder of texts into the space that it shares with pictures. Cheap to clone.
#[derive(Clone)]
pub struct ClipText(TextEncoder);

/// Such an encoder, as its loader gives it.
pub struct LoadedClipText {
    pub net: ClipText,
    /// How it was read, for people.
    pub found: Vec<String>,
}

/// Loads the text encoder of a CLIP from a `.safetensors` file or a folder with its config, in the names of transformers, OpenAI or
/// OpenCLIP, and with the tokenizer that lies in the folder, or OpenAI's.
///
/// # Errors
/// Files that are none or have no text encoder, and keys that are missing, misshapen or left over.
pub fn load_clip_text(path: &Path, memory: &Memory) -> Result<LoadedClipText> {
    let (files, config, _) = open(path, "model")?;
    let mut source = below(path, &files, &[]);
    source.memory = memory.clone();
    let old = names::is_open(&source);
    let entries = source.entries(|key, piece| match key {
        _ if key.starts_with("visual.") => Vec::new(),
        "logit_bias" | "input_resolution" | "context_length" | "vocab_size" => Vec::new(),
        _ if old => names::open(key, piece, true),
        _ => names::transformers(key, piece, true),
    });
    let shapes = shapes_of(&entries);
    if !shapes.contains_key("embeddings.token_embedding.weight") || !shapes.contains_key("text_projection.weight") {
        return Err(source.wrong(
            "this is no CLIP with a text encoder and a projection into the space of pictures; encoders of pictures alone \
             cannot compare them with texts",
        ));
    }
    let config = match &config {
        Some(json) if !json.part("text_config")?.is_empty() => {
            TextConfig::from_json(&json.part("text_config")?.overridden_by(json, "projection_dim"))?
        }
        Some(json) => TextConfig::from_json(json)?,
        None => {
            let kinds = [&L, &super::H, &super::G];
            let width = shapes["embeddings.token_embedding.weight"][1];
            let kind = kinds.into_iter().find(|kind| kind.width == width).unwrap_or(&L);
            names::config(&shapes, kind).map_err(|what| source.wrong(what))?
        }
    };
    let own = ["tokenizer.json", "vocab.json"].iter().any(|name| path.join(name).is_file());
    let tokenizer = if own { Tokenizer::from_folder(path)? } else { Tokenizer::clip_padded(tokenizer::END)? };
    if !own {
        source.note("the tokenizer is that of OpenAI's CLIP");
    }
    source.note(format!("a text encoder of {} layers", config.num_hidden_layers));
    let reading = Reading { skip: 1, norm: true, projects: true, pooled: true };
    let net = source.build(entries, |part| TextEncoder::build(config, part, tokenizer, reading))?;
    Ok(LoadedClipText { net: ClipText(net), found: source.notes() })
}

impl ClipText {
    /// Features of the space.
    pub fn features(&self) -> usize {
        self.0.net.config.projection_dim
    }

    /// A text's place in the space, (1, e), and how many of its tokens did not fit.
    ///
    /// # Errors
    /// The text cannot be cut into tokens.
    pub fn embed(&self, text: &str) -> Result<(Tensor, usize)> {
        let tokens = self.0.tokenize(text)?;
        let row = tokens.ids.into_iter().map(crate::text::Token::Id).collect();
        let states = Encode::encode(&self.0, &[row], None)?;
        match states.pooled {
            Some(pooled) => Ok((pooled, tokens.cut)),
            None => Err(crate::Error::Unsupported("this text encoder gives no pooled state".to_owned())),
        }
    }
}
