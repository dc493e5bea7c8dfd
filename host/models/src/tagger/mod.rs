//! Networks that score labels of pictures, from safetensors in timm's names: vision transformers (Dosovitskiy et al. 2020,
//! arXiv:2010.11929) and EVA-02 (Fang et al. 2023, arXiv:2303.11331), as timm's `VisionTransformer` and `Eva` are computed.

mod config;

use crate::error::{Error, Result};
use crate::layers::{LayerId, Layers, Norm, NormId};
use crate::load::{below, open, shapes_of, whole};
use crate::memory::Memory;
use crate::ops::{self, Mask, Rotation, Window};
use crate::weights::Build;
use candle_core::Tensor;
use config::{Feed, TaggerConfig};
use std::path::Path;
use std::sync::Arc;

/// A network that scores labels of pictures. Cheap to clone.
#[derive(Clone)]
pub struct Tagger(Arc<Net>);

/// A tagger, as its loader gives it.
pub struct LoadedTagger {
    pub net: Tagger,
    /// How it was read, for people.
    pub found: Vec<String>,
}

struct Net {
    config: TaggerConfig,
    patches: LayerId,
    /// (1, 1, d)
    class: Option<Tensor>,
    /// (1, n, d), the class first
    positions: Tensor,
    rotation: Option<Rotation>,
    blocks: Vec<Block>,
    /// Of all states.
    norm: Option<NormId>,
    /// Of their mean.
    pooled_norm: Option<NormId>,
    head: LayerId,
    layers: Layers,
}

struct Block {
    norms: [NormId; 2],
    attention: Attention,
    out: LayerId,
    feed: FeedForward,
}

enum Attention {
    /// One layer for queries, keys and values.
    Joined(LayerId),
    Apart([LayerId; 3]),
}

enum FeedForward {
    Plain([LayerId; 2]),
    /// Gate, value, norm, out.
    Gated(LayerId, LayerId, NormId, LayerId),
}

/// timm's LayerNorm.
const EPS: f32 = 1e-6;

/// Loads a tagger from a folder with `config.json` and `model.safetensors` as timm writes them. What the config does not say is
/// as in timm's models of that size.
///
/// # Errors
/// Files that are none, architectures other than ViT and EVA-02, and keys that are missing, misshapen or left over.
pub fn load_tagger(path: &Path, memory: &Memory) -> Result<LoadedTagger> {
    let (files, config, _) = open(path, "model")?;
    let mut source = below(path, &files, &[]);
    source.memory = memory.clone();
    let entries = source.entries(|key, piece| whole(key.to_owned(), piece));
    let config = TaggerConfig::of(config.as_ref(), &shapes_of(&entries)).map_err(|what| source.wrong(what))?;
    source.note(format!("{config}"));
    let net = source.build(entries, |part| Net::build(config, &mut Build::new(part, "")))?;
    Ok(LoadedTagger { net: Tagger(Arc::new(net)), found: source.notes() })
}

impl Tagger {
    /// Pixels of the square pictures that it sees.
    pub fn side(&self) -> usize {
        self.0.config.side
    }

    /// How many labels it scores.
    pub fn labels(&self) -> usize {
        self.0.config.labels
    }

    /// Scores in 0…1 of pictures (b, side, side, 3), blue first, 0…255: what the ONNX files of these taggers take and give.
    ///
    /// # Errors
    /// Pictures of another size.
    pub fn scores(&self, pictures: &Tensor) -> Result<Tensor> {
        let (side, dims) = (self.side(), pictures.dims4()?);
        if (dims.1, dims.2, dims.3) != (side, side, 3) {
            return Err(Error::Unsupported(format!("expected pictures (b, {side}, {side}, 3), found {dims:?}")));
        }
        let x = ((pictures.to_device(self.0.layers.device())? / 127.5)? - 1.0)?;
        let logits = self.0.forward(&x)?;
        Ok((logits.neg()?.exp()? + 1.0)?.recip()?.to_device(pictures.device())?)
    }
}

impl Net {
    /// `x` (b, side, side, 3), −1…1.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (layers, config) = (&self.layers, &self.config);
        let patches = layers.run(self.patches, x)?;
        let (b, rows, columns, d) = patches.dims4()?;
        let mut x = patches.reshape((b, rows * columns, d))?;
        if let Some(class) = &self.class {
            x = Tensor::cat(&[&class.broadcast_as((b, 1, d))?.contiguous()?, &x], 1)?;
        }
        x = x.broadcast_add(&self.positions)?;
        for block in &self.blocks {
            x = self.block(block, &x)?;
        }
        if let Some(norm) = self.norm {
            x = self.normed(norm, &x)?;
        }
        let first = usize::from(self.class.is_some());
        let mut pooled = match config.pools {
            true => x.narrow(1, first, rows * columns)?.mean(1)?,
            false => x.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?,
        };
        if let Some(norm) = self.pooled_norm {
            pooled = self.normed(norm, &pooled)?;
        }
        layers.run(self.head, &pooled)
    }

    fn normed(&self, id: NormId, x: &Tensor) -> Result<Tensor> {
        let Norm { weight, bias, .. } = self.layers.norm(id);
        Ok(ops::layer_norm(x, weight, bias, EPS)?)
    }

    fn block(&self, block: &Block, x: &Tensor) -> Result<Tensor> {
        let layers = &self.layers;
        let y = self.normed(block.norms[0], x)?;
        let (q, k, v) = match &block.attention {
            Attention::Joined(all) => {
                let all = layers.run(*all, &y)?;
                let part = |i: usize| all.narrow(2, i * self.config.hidden, self.config.hidden);
                (part(0)?, part(1)?, part(2)?)
            }
            Attention::Apart([q, k, v]) => (layers.run(*q, &y)?, layers.run(*k, &y)?, layers.run(*v, &y)?),
        };
        let (q, k) = (self.turned(q)?, self.turned(k)?);
        let y = ops::attention(&q, &k, &v, self.config.heads, Mask::None)?;
        let x = ops::add_over(layers.run(block.out, &y)?, x)?;
        let y = self.normed(block.norms[1], &x)?;
        let y = match &block.feed {
            FeedForward::Plain([first, second]) => {
                let y = layers.run(*first, &y)?;
                let y = if self.config.feed == Feed::GeluTanh { ops::gelu_tanh_over(y)? } else { ops::gelu_over(y)? };
                layers.run(*second, &y)?
            }
            FeedForward::Gated(gate, value, norm, out) => {
                let y = ops::swiglu_over(layers.run(*gate, &y)?, &layers.run(*value, &y)?)?;
                let Norm { weight, bias, .. } = layers.norm(*norm);
                layers.run(*out, &ops::layer_norm_over(y, weight, bias, EPS)?)?
            }
        };
        Ok(ops::add_over(y, &x)?)
    }

    /// States (b, n, d) with each head turned by its position.
    fn turned(&self, x: Tensor) -> Result<Tensor> {
        let Some(rotation) = &self.rotation else { return Ok(x) };
        let (b, n, d) = x.dims3()?;
        let heads = self.config.heads;
        Ok(ops::rope_over(x.reshape((b, n, heads, d / heads))?, rotation)?.reshape((b, n, d))?)
    }

    fn build(config: TaggerConfig, b: &mut Build<'_>) -> Result<Net> {
        let (d, row) = (config.hidden, config.side / config.patch);
        let patches = b.conv("patch_embed.proj", 3, d, config.patch, Window::new(config.patch, 0))?;
        let class = config.class.then(|| b.tensor("cls_token", &[1, 1, d])).transpose()?;
        let positions = b.tensor("pos_embed", &[1, row * row + usize::from(config.class), d])?;
        let mut blocks = Vec::with_capacity(config.layers);
        for i in 0..config.layers {
            let at = |name: &str| format!("blocks.{i}.{name}");
            let attention = match config.joined {
                true => Attention::Joined(b.linear(&at("attn.qkv"), d, 3 * d)?),
                // Keys have no bias: softmax would not notice.
                false => Attention::Apart([
                    b.linear(&at("attn.q_proj"), d, d)?,
                    b.matrix(&at("attn.k_proj"), d, d)?,
                    b.linear(&at("attn.v_proj"), d, d)?,
                ]),
            };
            let inside = config.inside;
            let feed = match config.feed {
                Feed::Gated => FeedForward::Gated(
                    b.linear(&at("mlp.fc1_g"), d, inside)?,
                    b.linear(&at("mlp.fc1_x"), d, inside)?,
                    b.norm(&at("mlp.norm"), inside)?,
                    b.linear(&at("mlp.fc2"), inside, d)?,
                ),
                _ => FeedForward::Plain([b.linear(&at("mlp.fc1"), d, inside)?, b.linear(&at("mlp.fc2"), inside, d)?]),
            };
            let norms = [b.norm(&at("norm1"), d)?, b.norm(&at("norm2"), d)?];
            blocks.push(Block { norms, attention, out: b.linear(&at("attn.proj"), d, d)?, feed });
        }
        let norm = config.norm.then(|| b.norm("norm", d)).transpose()?;
        let pooled_norm = config.pooled_norm.then(|| b.norm("fc_norm", d)).transpose()?;
        let head = b.linear("head", d, config.labels)?;
        let rotation = config.reference.map(|reference| rotation(&config, row, reference));
        let layers = std::mem::take(&mut b.layers);
        Ok(Net { config, patches, class, positions, rotation, blocks, norm, pooled_norm, head, layers })
    }
}

/// The angles of the patches: half of a head's pairs turn with the row, half with the column, both as if the picture had
/// `reference` patches a side. The class is not turned.
fn rotation(config: &TaggerConfig, row: usize, reference: usize) -> Rotation {
    let bands = config.hidden / config.heads / 4;
    let speed = |band: usize| 10_000f64.powf(-(band as f64) / bands as f64);
    let place = |at: usize| at as f64 / row as f64 * reference as f64;
    let mut angles = vec![0.0; if config.class { 2 * bands } else { 0 }];
    for patch in 0..row * row {
        for at in [place(patch / row), place(patch % row)] {
            angles.extend((0..bands).map(|band| at * speed(band)));
        }
    }
    Rotation::new(&angles, 2 * bands)
}
