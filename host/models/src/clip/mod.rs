//! CLIP's text encoder (Radford et al. 2021, arXiv:2103.00020), as in transformers' CLIPTextModel.

mod tokenizer;

pub use tokenizer::{Tokenizer, Tokens};

use crate::adapter::{Adapter, NormTarget, Target};
use crate::config::Json;
use crate::error::{Error, Result};
use crate::layers::{LayerId, Layers, Norm, NormId};
use crate::ops::{self, Mask};
use crate::patch::{How, Patched};
use crate::weights::{Build, Part};
use candle_core::{DType, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

/// The shape of a CLIPTextModel. Field names follow transformers' `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Features of each state.
    pub hidden_size: usize,
    /// Features inside the feed-forward.
    pub intermediate_size: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Longest text in tokens, start and end included.
    pub max_position_embeddings: usize,
    /// The feed-forward's activation.
    pub hidden_act: Activation,
    /// Added to the variance in layer norms.
    pub layer_norm_eps: f64,
    /// The end token, whose state is the pooled output. 2, as in the first CLIP configs, means the highest id.
    pub eos_token_id: u32,
}

/// What the feed-forward applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x·sigmoid(1.702 x)
    QuickGelu,
    /// x·Φ(x)
    Gelu,
}

impl TextConfig {
    pub(crate) fn from_json(json: &Json) -> Result<TextConfig> {
        let config = TextConfig {
            vocab_size: json.required("vocab_size")?,
            hidden_size: json.required("hidden_size")?,
            intermediate_size: json.required("intermediate_size")?,
            num_hidden_layers: json.required("num_hidden_layers")?,
            num_attention_heads: json.required("num_attention_heads")?,
            max_position_embeddings: json.optional("max_position_embeddings")?.unwrap_or(77),
            hidden_act: json.optional("hidden_act")?.unwrap_or(Activation::QuickGelu),
            layer_norm_eps: json.optional("layer_norm_eps")?.unwrap_or(1e-5),
            eos_token_id: json.optional("eos_token_id")?.unwrap_or(2),
        };
        config.check().map_err(|what| json.wrong(what))?;
        Ok(config)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(format!("{} features do not divide into {} heads", self.hidden_size, self.num_attention_heads));
        }
        if self.num_hidden_layers == 0 || self.vocab_size == 0 || self.max_position_embeddings == 0 {
            return Err("a text encoder needs at least one layer, token and position".into());
        }
        Ok(())
    }
}

/// Tokenizer and text encoder. Cheap to clone.
#[derive(Clone)]
pub struct TextEncoder {
    net: Arc<Net>,
    layers: Layers,
    tokenizer: Arc<Tokenizer>,
}

struct Net {
    config: TextConfig,
    /// (vocabulary, d)
    tokens: Tensor,
    /// (positions, d)
    positions: Tensor,
    blocks: Vec<Block>,
    norm: NormId,
}

struct Block {
    norms: [NormId; 2],
    q: LayerId,
    k: LayerId,
    v: LayerId,
    out: LayerId,
    feed: (LayerId, LayerId),
}

/// What the text encoder gives for token ids (b, n).
#[derive(Clone, Debug)]
pub struct TextOutput {
    /// The last layer's states behind the final layer norm, (b, n, d).
    pub last_hidden: Tensor,
    /// The states before the first layer and behind each, without the final layer norm: layers + 1 of (b, n, d).
    pub hidden_states: Vec<Tensor>,
    /// The normed last state of each text's first end token, (b, d).
    pub pooled: Tensor,
}

/// Kohya's prefix of the text encoder's layers.
pub(crate) const KOHYA_PREFIX: &str = "lora_te_";

impl TextEncoder {
    /// The shape of this network.
    pub fn config(&self) -> &TextConfig {
        &self.net.config
    }

    /// What cuts texts into this encoder's tokens.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// A text's token ids with start and end, cut or filled to the encoder's length.
    pub fn tokenize(&self, text: &str) -> Result<Tokens> {
        self.tokenizer.tokenize(text)
    }

    /// Token ids of several texts, (texts, length) u32.
    pub fn tokenize_batch<T: AsRef<str>>(&self, texts: &[T]) -> Result<Tensor> {
        let mut ids = Vec::new();
        for text in texts {
            ids.extend(self.tokenize(text.as_ref())?.ids);
        }
        let length = self.tokenizer.length();
        Ok(Tensor::from_vec(ids, (texts.len(), length), self.net.tokens.device())?)
    }

    /// The layers that can get an adapter, in the network's order.
    pub fn targets(&self) -> Vec<Target> {
        self.layers.targets(KOHYA_PREFIX)
    }

    /// As [`crate::UNet::with_adapters`].
    pub fn with_adapters(&self, adapters: &HashMap<String, Arc<dyn Adapter>>) -> Result<TextEncoder> {
        Ok(TextEncoder { layers: self.layers.with_adapters(adapters)?, ..self.clone() })
    }

    /// The normalisations that a patch can change, in the network's order.
    pub fn norm_targets(&self) -> Vec<NormTarget> {
        self.layers.norm_targets(KOHYA_PREFIX)
    }

    /// As [`crate::UNet::with_patches`].
    pub fn with_patches(&self, patches: &HashMap<String, Vec<Patched>>, how: How) -> Result<TextEncoder> {
        Ok(TextEncoder { layers: self.layers.with_patches(patches, how)?, ..self.clone() })
    }

    /// The states of token ids (b, n), n up to the encoder's length.
    pub fn encode(&self, ids: &Tensor) -> Result<TextOutput> {
        let config = &self.net.config;
        let (b, n) = ids.dims2()?;
        if n == 0 || n > config.max_position_embeddings {
            return Err(Error::Tokens(format!("expected 1 to {} tokens, found {n}", config.max_position_embeddings)));
        }
        let ids = ids.to_dtype(DType::U32)?.flatten_all()?;
        let list = ids.to_vec1::<u32>()?;
        if let Some(id) = list.iter().find(|&&id| id as usize >= config.vocab_size) {
            return Err(Error::Tokens(format!("token {id} is outside of the vocabulary of {}", config.vocab_size)));
        }
        // (b, n, d)
        let tokens = self.net.tokens.index_select(&ids, 0)?.reshape((b, n, config.hidden_size))?;
        let mut x = tokens.broadcast_add(&self.net.positions.narrow(0, 0, n)?)?;
        let mut hidden_states = vec![x.clone()];
        for block in &self.net.blocks {
            x = block.forward(&self.layers, &x, config)?;
            hidden_states.push(x.clone());
        }
        let last_hidden = self.final_norm(&x)?;
        let pooled = list
            .chunks_exact(n)
            .enumerate()
            .map(|(i, ids)| last_hidden.get(i)?.get(config.end(ids)))
            .collect::<candle_core::Result<Vec<_>>>()?;
        Ok(TextOutput { pooled: Tensor::stack(&pooled, 0)?, last_hidden, hidden_states })
    }

    /// The states that condition an SD 1.x network: those `skip` layers before the end (1: the last), behind the final
    /// layer norm, as with «clip skip» in the web UI.
    pub fn encode_skipping(&self, ids: &Tensor, skip: usize) -> Result<Tensor> {
        let output = self.encode(ids)?;
        let layers = self.net.blocks.len();
        match skip {
            0 | 1 => Ok(output.last_hidden),
            _ if skip <= layers => self.final_norm(&output.hidden_states[layers + 1 - skip]),
            _ => Err(Error::Unsupported(format!("clip skip {skip} is more than the encoder's {layers} layers"))),
        }
    }

    /// The final layer norm, for states of earlier layers.
    pub fn final_norm(&self, states: &Tensor) -> Result<Tensor> {
        let Norm { weight, bias, .. } = self.layers.norm(self.net.norm);
        Ok(ops::layer_norm(states, weight, bias, self.net.config.layer_norm_eps as f32)?)
    }

    pub(crate) fn build(config: TextConfig, part: &mut Part, tokenizer: Tokenizer) -> Result<TextEncoder> {
        // Newer transformers store tensors without `text_model.`; paths of adapters have it always.
        let mut b = Build::new(part, "text_model.");
        let d = config.hidden_size;
        let tokens = b.tensor("embeddings.token_embedding.weight", &[config.vocab_size, d])?;
        let positions = b.tensor("embeddings.position_embedding.weight", &[config.max_position_embeddings, d])?;
        let mut blocks = Vec::new();
        for i in 0..config.num_hidden_layers {
            let path = format!("encoder.layers.{i}");
            blocks.push(Block {
                k: b.linear(&format!("{path}.self_attn.k_proj"), d, d)?,
                v: b.linear(&format!("{path}.self_attn.v_proj"), d, d)?,
                q: b.linear(&format!("{path}.self_attn.q_proj"), d, d)?,
                out: b.linear(&format!("{path}.self_attn.out_proj"), d, d)?,
                feed: (
                    b.linear(&format!("{path}.mlp.fc1"), d, config.intermediate_size)?,
                    b.linear(&format!("{path}.mlp.fc2"), config.intermediate_size, d)?,
                ),
                norms: [b.norm(&format!("{path}.layer_norm1"), d)?, b.norm(&format!("{path}.layer_norm2"), d)?],
            });
        }
        let norm = b.norm("final_layer_norm", d)?;
        let layers = b.layers;
        let net = Arc::new(Net { config, tokens, positions, blocks, norm });
        Ok(TextEncoder { net, layers, tokenizer: Arc::new(tokenizer) })
    }
}

impl TextConfig {
    /// Where the end token stands: transformers takes the highest id if the config is of the first kind.
    fn end(&self, ids: &[u32]) -> usize {
        let wanted = if self.eos_token_id == 2 { ids.iter().max().copied() } else { Some(self.eos_token_id) };
        ids.iter().position(|id| Some(*id) == wanted).unwrap_or(0)
    }
}

impl Block {
    fn forward(&self, layers: &Layers, x: &Tensor, config: &TextConfig) -> Result<Tensor> {
        let norm = |i: usize, x: &Tensor| {
            let norm = layers.norm(self.norms[i]);
            ops::layer_norm(x, &norm.weight, &norm.bias, config.layer_norm_eps as f32)
        };
        let y = norm(0, x)?;
        let (q, k, v) = (layers.run(self.q, &y)?, layers.run(self.k, &y)?, layers.run(self.v, &y)?);
        let y = ops::attention(&q, &k, &v, config.num_attention_heads, Mask::Causal)?;
        let x = (layers.run(self.out, &y)? + x)?;
        let y = layers.run(self.feed.0, &norm(1, &x)?)?;
        let y = match config.hidden_act {
            Activation::QuickGelu => ops::quick_gelu(&y)?,
            Activation::Gelu => ops::gelu(&y)?,
        };
        Ok((layers.run(self.feed.1, &y)? + x)?)
    }
}
