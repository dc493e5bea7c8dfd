//! CLIP's text encoder (Radford et al. 2021, arXiv:2103.00020), as in transformers' CLIPTextModel and
//! CLIPTextModelWithProjection: OpenAI's ViT-L, OpenCLIP's ViT-H and ViT-bigG (Cherti et al. 2022, arXiv:2212.07143).

mod alone;
mod config;
mod load;
mod names;
mod tokenizer;

pub use alone::{ClipText, LoadedClipText, load_clip_text};
pub use config::{Activation, TextConfig};
pub(crate) use load::{G, H, Kind, L, Reading, full_size, load};
pub(crate) use names::{is_g, is_h, is_l, open as open_name};
pub use tokenizer::{Tokenizer, Tokens};

use crate::adapter::{Adapter, NormTarget, Target};
use crate::error::{Error, Result};
use crate::layers::{LayerId, Layers, Norm, NormId};
use crate::ops::{self, Mask};
use crate::patch::{How, Patched};
use crate::text::{Encode, PartStates, Token, TokenCutter};
use crate::weights::{Build, Part, Table};
use candle_core::{DType, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

/// Tokenizer and text encoder. Cheap to clone.
#[derive(Clone)]
pub struct TextEncoder {
    net: Arc<Net>,
    layers: Layers,
    tokenizer: Arc<Tokenizer>,
    reading: Reading,
    /// Layers of the whole model that are missing at the end.
    cut: usize,
}

struct Net {
    config: TextConfig,
    /// (vocabulary, d)
    tokens: Table,
    /// (positions, d)
    positions: Tensor,
    blocks: Vec<Block>,
    norm: NormId,
    projection: Option<LayerId>,
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
        Ok(Tensor::from_vec(ids, (texts.len(), length), self.net.positions.device())?)
    }

    /// The states of token ids (b, n), n up to the encoder's length.
    pub fn encode(&self, ids: &Tensor) -> Result<TextOutput> {
        let rows = ids.to_dtype(DType::U32)?.to_vec2::<u32>()?;
        let rows: Vec<Vec<Token>> = rows.into_iter().map(|row| row.into_iter().map(Token::Id).collect()).collect();
        self.run(&rows)
    }

    /// The states of rows of tokens, all of one length.
    fn run(&self, rows: &[Vec<Token>]) -> Result<TextOutput> {
        let config = &self.net.config;
        let (b, n) = (rows.len(), rows.first().map_or(0, Vec::len));
        if n == 0 || n > config.max_position_embeddings {
            return Err(Error::Tokens(format!("expected 1 to {} tokens, found {n}", config.max_position_embeddings)));
        }
        let embedded = rows.iter().map(|row| self.embed(row)).collect::<Result<Vec<_>>>()?;
        // (b, n, d)
        let tokens = Tensor::stack(&embedded, 0)?;
        let mut x = tokens.broadcast_add(&self.net.positions.narrow(0, 0, n)?)?;
        let mut hidden_states = vec![x.clone()];
        for block in &self.net.blocks {
            x = block.forward(&self.layers, &x, config)?;
            hidden_states.push(x.clone());
        }
        let last_hidden = self.final_norm(&x)?;
        let pooled = rows
            .iter()
            .enumerate()
            .map(|(i, row)| last_hidden.get(i)?.get(config.end(row)))
            .collect::<candle_core::Result<Vec<_>>>()?;
        debug_assert_eq!(pooled.len(), b);
        Ok(TextOutput { pooled: Tensor::stack(&pooled, 0)?, last_hidden, hidden_states })
    }

    /// The embeddings of one row, (n, d).
    fn embed(&self, row: &[Token]) -> Result<Tensor> {
        let config = &self.net.config;
        let id = |token: &Token| match token {
            Token::Id(id) if (*id as usize) < config.vocab_size => Ok(*id),
            Token::Id(id) => {
                Err(Error::Tokens(format!("token {id} is outside of the vocabulary of {}", config.vocab_size)))
            }
            // Looked up like the others and replaced below.
            Token::Vector(_) => Ok(0),
        };
        let ids = row.iter().map(id).collect::<Result<Vec<u32>>>()?;
        let embedded = self.net.tokens.take(&ids)?;
        if row.iter().all(|token| matches!(token, Token::Id(_))) {
            return Ok(embedded);
        }
        let each = row.iter().enumerate().map(|(i, token)| match token {
            Token::Id(_) => Ok(embedded.get(i)?),
            Token::Vector(vector) if vector.dims() == [config.hidden_size] => Ok(vector.to_device(embedded.device())?),
            Token::Vector(vector) => Err(Error::Tokens(format!(
                "expected an embedding of {} numbers, found {:?}: it belongs to another family",
                config.hidden_size,
                vector.dims()
            ))),
        });
        Ok(Tensor::stack(&each.collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// The states `skip` layers before the end of the whole model (1: the last).
    fn states(&self, output: &TextOutput, skip: usize) -> Result<Tensor> {
        let layers = self.net.blocks.len();
        let skip = match skip.checked_sub(self.cut) {
            Some(skip @ 1..) if skip <= layers => skip,
            Some(1..) => {
                let all = layers + self.cut;
                return Err(Error::Unsupported(format!("clip skip {skip} is more than the encoder's {all} layers")));
            }
            _ => {
                let what =
                    format!("clip skip {skip}: the file leaves out the last layer; the least is {}", self.cut + 1);
                return Err(Error::Unsupported(what));
            }
        };
        match (skip, self.reading.norm) {
            (1, true) => Ok(output.last_hidden.clone()),
            (_, true) => self.final_norm(&output.hidden_states[layers + 1 - skip]),
            (_, false) => Ok(output.hidden_states[layers + 1 - skip].clone()),
        }
    }

    /// The final layer norm, for states of earlier layers.
    pub fn final_norm(&self, states: &Tensor) -> Result<Tensor> {
        let Norm { weight, bias, .. } = self.layers.norm(self.net.norm);
        Ok(ops::layer_norm(states, weight, bias, self.net.config.layer_norm_eps as f32)?)
    }

    fn build(config: TextConfig, part: &mut Part, mut tokenizer: Tokenizer, reading: Reading) -> Result<TextEncoder> {
        if tokenizer.vocabulary() > config.vocab_size {
            return Err(Error::Tokens(format!(
                "the tokenizer has {} tokens, the text encoder {}: they belong to different models",
                tokenizer.vocabulary(),
                config.vocab_size
            )));
        }
        tokenizer.set_length(config.max_position_embeddings);
        // Newer transformers store tensors without `text_model.`; paths of adapters have it always.
        let mut b = Build::new(part, "text_model.");
        let d = config.hidden_size;
        let tokens = b.table("embeddings.token_embedding.weight", config.vocab_size, d);
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
        // It stands outside of `text_model` in transformers.
        b.prefix = "";
        let projection = match reading.projects {
            true => Some(b.matrix("text_projection", d, config.projection_dim)?),
            false => None,
        };
        let layers = b.layers;
        let net = Arc::new(Net { config, tokens, positions, blocks, norm, projection });
        Ok(TextEncoder { net, layers, tokenizer: Arc::new(tokenizer), reading, cut: 0 })
    }
}

impl Encode for TextEncoder {
    fn tokens(&self) -> &dyn TokenCutter {
        &*self.tokenizer
    }

    fn width(&self) -> usize {
        self.net.config.hidden_size
    }

    fn layers(&self) -> usize {
        self.net.blocks.len()
    }

    fn layers_used(&self, skip: Option<usize>) -> usize {
        if self.reading.pooled {
            return self.layers();
        }
        let behind = skip.unwrap_or(self.reading.skip).saturating_sub(1 + self.cut);
        self.layers().saturating_sub(behind)
    }

    fn encode(&self, rows: &[Vec<Token>], skip: Option<usize>) -> Result<PartStates> {
        let output = self.run(rows)?;
        let pooled = match self.net.projection {
            Some(projection) => self.layers.run(projection, &output.pooled)?,
            None => output.pooled.clone(),
        };
        Ok(PartStates { states: self.states(&output, skip.unwrap_or(self.reading.skip))?, pooled: Some(pooled) })
    }

    fn targets(&self, kohya: &str) -> Vec<Target> {
        self.layers.targets(kohya)
    }

    fn weight(&self, path: &str) -> Result<Tensor> {
        self.layers.weight(path)
    }

    fn with_adapters(&self, adapters: &HashMap<String, Arc<dyn Adapter>>) -> Result<Arc<dyn Encode>> {
        Ok(Arc::new(TextEncoder { layers: self.layers.with_adapters(adapters)?, ..self.clone() }))
    }

    fn norm_targets(&self, kohya: &str) -> Vec<NormTarget> {
        self.layers.norm_targets(kohya)
    }

    fn with_patches(&self, patches: &HashMap<String, Vec<Patched>>, how: How) -> Result<Arc<dyn Encode>> {
        Ok(Arc::new(TextEncoder { layers: self.layers.with_patches(patches, how)?, ..self.clone() }))
    }

    fn clip(&self) -> Option<&TextEncoder> {
        Some(self)
    }
}

impl TextConfig {
    /// Where the end token stands: transformers takes the highest id if the config is of the first kind.
    fn end(&self, row: &[Token]) -> usize {
        let ids = row.iter().map(|token| match token {
            Token::Id(id) => Some(*id),
            Token::Vector(_) => None,
        });
        let wanted = if self.eos_token_id == 2 { ids.clone().flatten().max() } else { Some(self.eos_token_id) };
        ids.into_iter().position(|id| id.is_some() && id == wanted).unwrap_or(0)
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
