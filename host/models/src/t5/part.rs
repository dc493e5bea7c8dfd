//! T5's encoder as a text encoder of a family: its files, and what it gives.

use super::{KOHYA_PREFIX, T5_MIN_LENGTH, T5Config, T5Encoder, T5Tokenizer};
use crate::adapter::{Adapter, NormTarget, Target};
use crate::error::{Error, Result};
use crate::family::{Shapes, TextRow, has};
use crate::load::{Named, Source, shapes_of, whole};
use crate::patch::{How, Patched};
use crate::text::{Encode, PartStates, TextPart, Token, TokenCutter};
use crate::weights::{Part, Piece};
use candle_core::Tensor;
use std::collections::HashMap;
use std::sync::Arc;

/// In front of a layer's tensors: llama.cpp (`convert_hf_to_gguf.py`), transformers.
const OUTER: &[(&str, &str)] = &[("token_embd.", "shared."), ("enc.output_norm.", "encoder.final_layer_norm.")];

/// The same within `enc.blk.N.` and `encoder.block.N.`.
const BLOCK: &[(&str, &str)] = &[
    ("attn_q.", "layer.0.SelfAttention.q."),
    ("attn_k.", "layer.0.SelfAttention.k."),
    ("attn_v.", "layer.0.SelfAttention.v."),
    ("attn_o.", "layer.0.SelfAttention.o."),
    ("attn_norm.", "layer.0.layer_norm."),
    ("attn_rel_b.", "layer.0.SelfAttention.relative_attention_bias."),
    ("ffn_gate.", "layer.1.DenseReluDense.wi_0."),
    ("ffn_up.", "layer.1.DenseReluDense.wi_1."),
    ("ffn_down.", "layer.1.DenseReluDense.wo."),
    ("ffn_norm.", "layer.1.layer_norm."),
];

/// A tensor under transformers' names. What has no place keeps its name, so that it is told as surplus.
fn name(key: &str, piece: Piece) -> Vec<Named> {
    let renamed = |table: &[(&str, &str)], key: &str| {
        table.iter().find_map(|(old, new)| Some(format!("{new}{}", key.strip_prefix(old)?)))
    };
    if let Some(name) = renamed(OUTER, key) {
        return whole(name, piece);
    }
    let block = key.strip_prefix("enc.blk.").and_then(|rest| rest.split_once('.'));
    match block.and_then(|(number, rest)| Some(format!("encoder.block.{number}.{}", renamed(BLOCK, rest)?))) {
        Some(name) => whole(name, piece),
        // The same table again, and the half of a whole T5 that is not used.
        None if key == "encoder.embed_tokens.weight" || key.starts_with("decoder.") || key.starts_with("lm_head.") => {
            vec![]
        }
        None => whole(key.to_owned(), piece),
    }
}

/// A reason to take a file's keys for those of T5 v1.1.
pub(crate) fn is_t5(shapes: &Shapes) -> Option<String> {
    has(shapes, "encoder.block.0.layer.1.DenseReluDense.wi_0.").or_else(|| has(shapes, "enc.blk.0.ffn_gate."))
}

/// Reads an encoder in the names of transformers or llama.cpp. Without a config its shape is inferred, and its tokenizer is
/// the built-in one.
pub(crate) fn load(source: &Source, row: &'static TextRow) -> Result<TextPart> {
    let mut entries = source.entries(name);
    if !entries.contains_key("shared.weight") {
        let table = |key: &str, piece| match key {
            "encoder.embed_tokens.weight" => whole("shared.weight".to_owned(), piece),
            _ => vec![],
        };
        entries.extend(source.entries(table));
    }
    let config = match &source.config {
        Some(json) => T5Config::from_json(json)?,
        None => T5Config::from_shapes(&shapes_of(&entries)).map_err(|what| source.wrong(what))?,
    };
    let tokenizer = match &source.tokenizer {
        Some(folder) => T5Tokenizer::from_folder(folder)?,
        None => {
            source.note(format!("the tokenizer of {} is that of T5 v1.1", row.name));
            T5Tokenizer::t5()?
        }
    };
    let encoder = source.build(entries, |part| T5Encoder::build(config, part, tokenizer))?;
    Ok(TextPart::new(row, Arc::new(encoder)))
}

/// An encoder of the full size.
pub(crate) fn full_size(part: &mut Part, row: &'static TextRow) -> Result<TextPart> {
    let encoder = T5Encoder::build(T5Config::xxl(), part, T5Tokenizer::t5()?)?;
    Ok(TextPart::new(row, Arc::new(encoder)))
}

impl TokenCutter for T5Tokenizer {
    fn ids(&self, text: &str) -> Result<Vec<u32>> {
        T5Tokenizer::ids(self, text)
    }

    fn start(&self) -> Option<u32> {
        None
    }

    fn end(&self) -> u32 {
        T5Tokenizer::end(self)
    }

    fn padding(&self) -> u32 {
        T5Tokenizer::padding(self)
    }

    fn length(&self) -> Option<usize> {
        None
    }

    fn least(&self) -> usize {
        T5_MIN_LENGTH
    }
}

impl T5Encoder {
    /// The vectors of one row of tokens, (n, width).
    fn vectors(&self, row: &[Token]) -> Result<Tensor> {
        let id = |token: &Token| match token {
            Token::Id(id) => *id,
            // Looked up like the others and replaced below.
            Token::Vector(_) => 0,
        };
        let known = self.embed(&row.iter().map(id).collect::<Vec<_>>())?;
        if row.iter().all(|token| matches!(token, Token::Id(_))) {
            return Ok(known);
        }
        let width = self.config().width;
        let each = row.iter().enumerate().map(|(i, token)| match token {
            Token::Id(_) => Ok(known.get(i)?),
            Token::Vector(vector) if vector.dims() == [width] => Ok(vector.clone()),
            Token::Vector(vector) => Err(Error::Tokens(format!(
                "expected an embedding of {width} numbers, found {:?}: it belongs to another text encoder",
                vector.dims()
            ))),
        });
        Ok(Tensor::stack(&each.collect::<Result<Vec<_>>>()?, 0)?)
    }
}

impl Encode for T5Encoder {
    fn tokens(&self) -> &dyn TokenCutter {
        self.tokenizer()
    }

    fn width(&self) -> usize {
        self.config().width
    }

    fn layers(&self) -> usize {
        self.config().layers
    }

    fn encode(&self, rows: &[Vec<Token>], skip: Option<usize>) -> Result<PartStates> {
        let vectors = rows.iter().map(|row| self.vectors(row)).collect::<Result<Vec<_>>>()?;
        let states = self.encode_vectors(&Tensor::stack(&vectors, 0)?, None, skip.unwrap_or(1))?;
        Ok(PartStates { states, pooled: None })
    }

    fn targets(&self, kohya: &str) -> Vec<Target> {
        debug_assert_eq!(kohya, KOHYA_PREFIX);
        T5Encoder::targets(self)
    }

    fn weight(&self, path: &str) -> Result<Tensor> {
        self.weight_of(path)
    }

    fn with_adapters(&self, adapters: &HashMap<String, Arc<dyn Adapter>>) -> Result<Arc<dyn Encode>> {
        Ok(Arc::new(T5Encoder::with_adapters(self, adapters)?))
    }

    fn norm_targets(&self, _: &str) -> Vec<NormTarget> {
        T5Encoder::norm_targets(self)
    }

    fn with_patches(&self, patches: &HashMap<String, Vec<Patched>>, how: How) -> Result<Arc<dyn Encode>> {
        Ok(Arc::new(T5Encoder::with_patches(self, patches, how)?))
    }

    fn t5(&self) -> Option<&T5Encoder> {
        Some(self)
    }
}
