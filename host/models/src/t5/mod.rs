//! T5's encoder (Raffel et al. 2020, arXiv:1910.10683, version 1.1), as in transformers' T5EncoderModel.

mod part;
mod tokenizer;

pub(crate) use part::{full_size, is_t5, load};
pub use tokenizer::{T5_MIN_LENGTH, T5Tokenizer};

use crate::adapter::{Adapter, NormTarget, Target};
use crate::config::Json;
use crate::error::{Error, Result};
use crate::family::Shapes;
use crate::layers::{LayerId, Layers, NormId};
use crate::ops;
use crate::patch::{How, Patched};
use crate::weights::{Build, Part, Table};
use candle_core::{D, DType, Device, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

/// The shape of a T5 encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct T5Config {
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Features of each state.
    pub width: usize,
    /// Features of a head.
    pub head: usize,
    /// Attention heads; head · heads need not be the width.
    pub heads: usize,
    /// Features inside the feed-forward.
    pub mlp: usize,
    /// Transformer layers.
    pub layers: usize,
    /// Buckets of distances, half of them for each direction.
    pub buckets: usize,
    /// Distances from this on share the last bucket.
    pub max_distance: usize,
    /// Added to the mean square in norms.
    pub eps: f64,
}

impl T5Config {
    /// T5 v1.1 XXL, whose encoder Flux.1 uses.
    pub fn xxl() -> T5Config {
        T5Config {
            vocabulary: 32128,
            width: 4096,
            head: 64,
            heads: 64,
            mlp: 10240,
            layers: 24,
            buckets: 32,
            max_distance: 128,
            eps: 1e-6,
        }
    }

    pub(crate) fn from_json(json: &Json) -> Result<T5Config> {
        json.expect_values(&[("feed_forward_proj", &["\"gated-gelu\""])])?;
        let config = T5Config {
            vocabulary: json.required("vocab_size")?,
            width: json.required("d_model")?,
            head: json.required("d_kv")?,
            heads: json.required("num_heads")?,
            mlp: json.required("d_ff")?,
            layers: json.required("num_layers")?,
            buckets: json.optional("relative_attention_num_buckets")?.unwrap_or(32),
            max_distance: json.optional("relative_attention_max_distance")?.unwrap_or(128),
            eps: json.optional("layer_norm_epsilon")?.unwrap_or(1e-6),
        };
        config.check().map_err(|what| json.wrong(what))?;
        Ok(config)
    }

    /// From the shapes of an encoder's tensors, which show all but two numbers that every T5 shares.
    pub(crate) fn from_shapes(shapes: &Shapes) -> Result<T5Config, String> {
        let dims = |name: &str| match shapes.get(name).map(Vec::as_slice) {
            Some(&[a, b]) => Ok((a, b)),
            Some(found) => Err(format!("`{name}`: expected a matrix, found shape {found:?}")),
            None => Err(format!("`{name}` is missing, which tells the network's shape")),
        };
        let (vocabulary, width) = dims("shared.weight")?;
        let (buckets, heads) = dims(&format!("{}.weight", bias_path()))?;
        let config = T5Config {
            vocabulary,
            width,
            head: dims("encoder.block.0.layer.0.SelfAttention.q.weight")?.0 / heads.max(1),
            heads,
            mlp: dims("encoder.block.0.layer.1.DenseReluDense.wi_0.weight")?.0,
            layers: (0..)
                .take_while(|i| shapes.contains_key(&format!("encoder.block.{i}.layer.0.SelfAttention.q.weight")))
                .count(),
            buckets,
            ..T5Config::xxl()
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if [self.vocabulary, self.width, self.head, self.heads, self.mlp, self.layers].contains(&0) {
            return Err("a text encoder needs at least one token, feature, head and layer".into());
        }
        if self.buckets < 4 || !self.buckets.is_multiple_of(4) || self.max_distance <= self.buckets / 4 {
            return Err(format!("{} buckets up to a distance of {} do not fit", self.buckets, self.max_distance));
        }
        Ok(())
    }
}

/// Tokenizer and encoder. Cheap to clone.
#[derive(Clone)]
pub struct T5Encoder {
    net: Arc<Net>,
    layers: Layers,
    tokenizer: Arc<T5Tokenizer>,
}

struct Net {
    config: T5Config,
    /// (vocabulary, width)
    tokens: Table,
    /// (buckets, heads)
    distances: Tensor,
    blocks: Vec<Block>,
    norm: NormId,
}

struct Block {
    norms: [NormId; 2],
    q: LayerId,
    k: LayerId,
    v: LayerId,
    out: LayerId,
    gate: LayerId,
    value: LayerId,
    down: LayerId,
}

/// Kohya's prefix of this encoder's layers in Flux LoRA files.
pub(crate) const KOHYA_PREFIX: &str = "lora_te3_";

/// Where the table of all layers' distances is.
fn bias_path() -> &'static str {
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias"
}

impl T5Encoder {
    /// The shape of this network.
    pub fn config(&self) -> &T5Config {
        &self.net.config
    }

    /// What cuts texts into this encoder's tokens.
    pub fn tokenizer(&self) -> &T5Tokenizer {
        &self.tokenizer
    }

    /// The layers that can get an adapter, in the network's order.
    pub fn targets(&self) -> Vec<Target> {
        self.layers.targets(KOHYA_PREFIX)
    }

    /// As [`crate::Network::weight`].
    pub(crate) fn weight_of(&self, path: &str) -> Result<Tensor> {
        self.layers.weight(path)
    }

    /// As [`crate::UNet::with_adapters`].
    pub fn with_adapters(&self, adapters: &HashMap<String, Arc<dyn Adapter>>) -> Result<T5Encoder> {
        Ok(T5Encoder { layers: self.layers.with_adapters(adapters)?, ..self.clone() })
    }

    /// The normalisations that a patch can change, in the network's order.
    pub fn norm_targets(&self) -> Vec<NormTarget> {
        self.layers.norm_targets(KOHYA_PREFIX)
    }

    /// As [`crate::UNet::with_patches`].
    pub fn with_patches(&self, patches: &HashMap<String, Vec<Patched>>, how: How) -> Result<T5Encoder> {
        Ok(T5Encoder { layers: self.layers.with_patches(patches, how)?, ..self.clone() })
    }

    /// The token vectors of ids, (n, width).
    pub fn embed(&self, ids: &[u32]) -> Result<Tensor> {
        let vocabulary = self.net.config.vocabulary;
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocabulary) {
            return Err(Error::Tokens(format!("token {id} is outside of the vocabulary of {vocabulary}")));
        }
        self.net.tokens.take(ids)
    }

    /// The states of token ids (b, n), behind the final norm: (b, n, width). Padding is seen like any other token, as in
    /// diffusers and ComfyUI; with a `mask` (b, n) of ones and zeros, tokens that have a zero are not.
    pub fn encode(&self, ids: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let (b, n) = ids.dims2()?;
        let list = ids.to_dtype(DType::U32)?.flatten_all()?.to_vec1::<u32>()?;
        self.encode_vectors(&self.embed(&list)?.reshape((b, n, ()))?, mask, 1)
    }

    /// The same of token vectors (b, n, width), for the states `skip` layers before the end (1: the last).
    pub fn encode_vectors(&self, vectors: &Tensor, mask: Option<&Tensor>, skip: usize) -> Result<Tensor> {
        let config = &self.net.config;
        let (b, n, width) = vectors.dims3()?;
        if n == 0 || width != config.width {
            return Err(Error::Tokens(format!(
                "expected at least one token of {} features, found {:?}",
                config.width,
                vectors.shape()
            )));
        }
        if skip == 0 || skip > config.layers {
            let what = format!("states of layer {skip} before the end: the encoder has {}", config.layers);
            return Err(Error::Unsupported(what));
        }
        let mut bias = self.bias(n)?;
        if let Some(mask) = mask {
            if mask.dims() != [b, n] {
                return Err(Error::Tokens(format!("expected a mask ({b}, {n}), found {:?}", mask.shape())));
            }
            // Zero where the mask is one, far below every score where it is zero.
            let hidden = ((mask.to_dtype(DType::F32)? - 1.0)? * 1e30)?.reshape((b, 1, 1, n))?;
            bias = bias.broadcast_add(&hidden)?;
        }
        let mut x = vectors.clone();
        for block in &self.net.blocks[..=config.layers - skip] {
            x = block.forward(&self.layers, &x, &bias, config)?;
        }
        Ok(ops::rms_norm(&x, &self.layers.norm(self.net.norm).weight, config.eps as f32)?)
    }

    /// What is added to the scores for the distance between query and key, (1, heads, n, n).
    fn bias(&self, n: usize) -> Result<Tensor> {
        let config = &self.net.config;
        let buckets: Vec<u32> = (0..n * n).map(|i| config.bucket(i / n, i % n) as u32).collect();
        let buckets = Tensor::from_vec(buckets, n * n, self.net.distances.device())?;
        let rows = self.net.distances.index_select(&buckets, 0)?; // (n·n, heads)
        Ok(rows.t()?.contiguous()?.reshape((1, config.heads, n, n))?)
    }

    /// An encoder of this shape with random weights, for measuring speed.
    pub fn random(config: T5Config, seed: u64) -> Result<T5Encoder> {
        config.check().map_err(Error::Unsupported)?;
        T5Encoder::build(config, &mut Part::random(seed), T5Tokenizer::t5()?)
    }

    pub(crate) fn build(config: T5Config, part: &mut Part, tokenizer: T5Tokenizer) -> Result<T5Encoder> {
        if tokenizer.vocabulary() > config.vocabulary {
            return Err(Error::Tokens(format!(
                "the tokenizer has {} tokens, the text encoder {}: they belong to different models",
                tokenizer.vocabulary(),
                config.vocabulary
            )));
        }
        let mut b = Build::new(part, "");
        let (d, inner) = (config.width, config.head * config.heads);
        let tokens = b.table("shared.weight", config.vocabulary, d);
        let distances = b.tensor(&format!("{}.weight", bias_path()), &[config.buckets, config.heads])?;
        let mut blocks = Vec::new();
        for i in 0..config.layers {
            let (own, feed) = (format!("encoder.block.{i}.layer.0"), format!("encoder.block.{i}.layer.1"));
            blocks.push(Block {
                q: b.matrix(&format!("{own}.SelfAttention.q"), d, inner)?,
                k: b.matrix(&format!("{own}.SelfAttention.k"), d, inner)?,
                v: b.matrix(&format!("{own}.SelfAttention.v"), d, inner)?,
                out: b.matrix(&format!("{own}.SelfAttention.o"), inner, d)?,
                gate: b.matrix(&format!("{feed}.DenseReluDense.wi_0"), d, config.mlp)?,
                value: b.matrix(&format!("{feed}.DenseReluDense.wi_1"), d, config.mlp)?,
                down: b.matrix(&format!("{feed}.DenseReluDense.wo"), config.mlp, d)?,
                norms: [b.rms_norm(&format!("{own}.layer_norm"), d)?, b.rms_norm(&format!("{feed}.layer_norm"), d)?],
            });
        }
        let norm = b.rms_norm("encoder.final_layer_norm", d)?;
        let layers = b.layers;
        let net = Arc::new(Net { config, tokens, distances, blocks, norm });
        Ok(T5Encoder { net, layers, tokenizer: Arc::new(tokenizer) })
    }
}

impl T5Config {
    /// The bucket of a key's distance from a query (`_relative_position_bucket` of transformers, in both directions).
    fn bucket(&self, query: usize, key: usize) -> usize {
        let half = self.buckets / 2;
        let later = if key > query { half } else { 0 };
        let (distance, exact) = (key.abs_diff(query), half / 2);
        if distance < exact {
            return later + distance;
        }
        // In f32, as torch has it.
        let span = ((self.max_distance as f64 / exact as f64).ln()) as f32;
        let far = (distance as f32 / exact as f32).ln() / span * (half - exact) as f32;
        later + (exact + far as usize).min(half - 1)
    }
}

impl Block {
    fn forward(&self, layers: &Layers, x: &Tensor, bias: &Tensor, config: &T5Config) -> Result<Tensor> {
        let norm = |i: usize, x: &Tensor| ops::rms_norm(x, &layers.norm(self.norms[i]).weight, config.eps as f32);
        let (b, n, _) = x.dims3()?;
        let y = norm(0, x)?;
        // (b, heads, n, head)
        let heads = |layer: LayerId| -> Result<Tensor> {
            let y = layers.run(layer, &y)?.reshape((b, n, config.heads, config.head))?;
            Ok(y.transpose(1, 2)?.contiguous()?)
        };
        let (q, k, v) = (heads(self.q)?, heads(self.k)?, heads(self.v)?);
        // T5 does not divide by √head.
        let scores = q.matmul(&k.t()?)?.broadcast_add(bias)?;
        let y = softmax(&scores)?.matmul(&v)?.transpose(1, 2)?.contiguous()?;
        let x = (layers.run(self.out, &y.reshape((b, n, config.heads * config.head))?)? + x)?;
        let y = norm(1, &x)?;
        let gated = (ops::gelu_tanh(&layers.run(self.gate, &y)?)? * layers.run(self.value, &y)?)?;
        Ok((layers.run(self.down, &gated)? + x)?)
    }
}

/// Over the last dimension, of candle's own operations, so that a gradient finds its way.
fn softmax(x: &Tensor) -> Result<Tensor> {
    let top = x.max_keepdim(D::Minus1)?.detach();
    let e = x.broadcast_sub(&top)?.exp()?;
    Ok(e.broadcast_div(&e.sum_keepdim(D::Minus1)?)?)
}

impl T5Encoder {
    /// Token ids of several texts for Flux, filled to the longest and at least [`T5_MIN_LENGTH`]: (texts, n) u32.
    pub fn tokenize_batch<T: AsRef<str>>(&self, texts: &[T]) -> Result<Tensor> {
        let mut rows = texts
            .iter()
            .map(|text| self.tokenizer.tokenize(text.as_ref(), T5_MIN_LENGTH))
            .collect::<Result<Vec<_>>>()?;
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        for row in &mut rows {
            row.resize(longest, self.tokenizer.padding());
        }
        Ok(Tensor::from_vec(rows.concat(), (texts.len(), longest), &Device::Cpu)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_exact_nearby_and_logarithmic_far_away() {
        let config = T5Config::xxl();
        let of = |distance: i64| config.bucket(500, (500 + distance) as usize);
        // `_relative_position_bucket` of transformers for these distances.
        let want = [(0, 0), (-1, 1), (-7, 7), (-8, 8), (-11, 8), (-12, 9), (-16, 10), (-32, 12), (-64, 14), (-91, 15)];
        for (distance, bucket) in want {
            assert_eq!(of(distance), bucket, "distance {distance}");
            if distance != 0 {
                assert_eq!(of(-distance), bucket + 16, "distance {}", -distance);
            }
        }
        assert_eq!((of(-128), of(400), of(-90)), (15, 31, 14));
    }
}
