//! Encoders of pictures: CLIP's (Radford et al. 2021, arXiv:2103.00020) and SigLIP's (Zhai et al. 2023, arXiv:2303.15343),
//! as in transformers' CLIPVisionModelWithProjection and SiglipVisionModel; and what Flux.1 Redux makes of their states.

mod names;
mod redux;

pub use redux::{LoadedStyle, StyleModel, load_style_model};

use crate::error::{Error, Result};
use crate::interpolate::BICUBIC_SMOOTHED;
use crate::layers::{LayerId, Layers, Norm, NormId};
use crate::load::{below, open, shapes_of};
use crate::memory::Memory;
use crate::ops::{self, Mask, Window};
use crate::weights::Build;
use candle_core::Tensor;
use std::path::Path;
use std::sync::Arc;

/// An encoder of pictures. Cheap to clone.
#[derive(Clone)]
pub struct Vision(Arc<Net>);

/// A vision encoder, as its loader gives it.
pub struct LoadedVision {
    pub net: Vision,
    /// How it was read, for people.
    pub found: Vec<String>,
}

/// What an encoder makes of pictures.
#[derive(Clone, Debug)]
pub struct VisionOutput {
    /// The states of all patches behind the last layer, (b, n, d); SigLIP's behind the last norm.
    pub last_hidden: Tensor,
    /// The states behind the layer before it, (b, n, d).
    pub penultimate: Tensor,
    /// The picture in the space of texts, (b, e); SigLIP's are its states.
    pub embeds: Tensor,
}

impl VisionOutput {
    /// One vector for each picture, (b, e): its place in the space of texts. SigLIP has no state that stands for the
    /// picture; the mean of all does.
    ///
    /// # Errors
    /// The device has no memory left.
    pub fn vectors(&self) -> Result<Tensor> {
        Ok(if self.embeds.rank() == 3 { self.embeds.mean(1)? } else { self.embeds.clone() })
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Activation {
    QuickGelu,
    Gelu,
    GeluTanh,
}

/// The shape of an encoder.
#[derive(Clone, Debug, PartialEq)]
struct VisionConfig {
    hidden: usize,
    inside: usize,
    layers: usize,
    heads: usize,
    /// Pixels of a picture's side.
    side: usize,
    /// Pixels of a patch's side.
    patch: usize,
    activation: Activation,
    eps: f64,
    /// A state of its own stands for the picture (CLIP), or there is none (SigLIP).
    class: bool,
    /// Features of the space of texts.
    projection: Option<usize>,
}

struct Net {
    config: VisionConfig,
    patches: LayerId,
    class: Option<Tensor>,
    /// (n, d)
    positions: Tensor,
    before: Option<NormId>,
    blocks: Vec<Block>,
    after: NormId,
    projection: Option<LayerId>,
    layers: Layers,
}

struct Block {
    norms: [NormId; 2],
    q: LayerId,
    k: LayerId,
    v: LayerId,
    out: LayerId,
    feed: (LayerId, LayerId),
}

/// Mean and spread of the pictures that CLIP was trained on, red first; SigLIP's are 0.5.
pub(crate) const CLIP: ([f32; 3], [f32; 3]) =
    ([0.481_454_67, 0.457_827_5, 0.408_210_72], [0.268_629_55, 0.261_302_6, 0.275_777_1]);

/// Loads a vision encoder from a `.safetensors` file or a folder with its config, in the names of transformers, OpenAI or
/// OpenCLIP.
///
/// # Errors
/// Files that are none, and keys that are missing, misshapen or left over.
pub fn load_vision(path: &Path, memory: &Memory) -> Result<LoadedVision> {
    let (files, config, _) = open(path, "model")?;
    let mut source = below(path, &files, &[]);
    source.memory = memory.clone();
    let old = source.has("visual.transformer.resblocks.");
    let entries = source.entries(if old { names::open } else { names::transformers });
    let shapes = shapes_of(&entries);
    if !shapes.contains_key("embeddings.patch_embedding.weight") {
        return Err(source.wrong(
            "this is no vision encoder of CLIP or SigLIP: it has neither `vision_model.embeddings` nor \
             `visual.transformer`. Encoders of other kinds (DINOv2 …) are not read",
        ));
    }
    let config = match &config {
        Some(json) => names::from_json(json)?,
        None => names::inferred(&shapes).map_err(|what| source.wrong(what))?,
    };
    source.note(format!("a vision encoder of {} layers and {} features", config.layers, config.hidden));
    let net = source.build(entries, |part| Net::build(config, &mut Build::new(part, "")))?;
    Ok(LoadedVision { net: Vision(Arc::new(net)), found: source.notes() })
}

/// Pictures (b, 3, h, w) of 0…1 as an encoder of `side` pixels was trained on them (ComfyUI, `clip_preprocess`), by mean and
/// spread of each channel.
pub(crate) fn prepared(
    pictures: &Tensor,
    side: usize,
    crop: bool,
    (mean, spread): ([f32; 3], [f32; 3]),
) -> Result<Tensor> {
    let (_, c, h, w) = pictures.dims4()?;
    if c != 3 {
        return Err(Error::Unsupported(format!("expected pictures of 3 channels, found {c}")));
    }
    let mut x = pictures.clone();
    if (h, w) != (side, side) {
        let scale = side as f64 / h.min(w) as f64;
        let scaled = |n: usize| if crop { (scale * n as f64).round_ties_even() as usize } else { side };
        let (height, width) = (scaled(h).max(side), scaled(w).max(side));
        x = BICUBIC_SMOOTHED.resize(&x, height, width)?;
        x = x.narrow(2, (height - side) / 2, side)?.narrow(3, (width - side) / 2, side)?.contiguous()?;
    }
    let per_channel = |values: [f32; 3]| Tensor::new(&values, x.device())?.reshape((1, 3, 1, 1));
    let bytes = (x.clamp(0f32, 1f32)? * 255.0)?.round()?;
    Ok((bytes / 255.0)?.broadcast_sub(&per_channel(mean)?)?.broadcast_div(&per_channel(spread)?)?)
}

impl VisionConfig {
    fn check(&self) -> Result<(), String> {
        if self.heads == 0 || !self.hidden.is_multiple_of(self.heads) || self.layers < 2 {
            return Err(format!("{} features, {} heads and {} layers", self.hidden, self.heads, self.layers));
        }
        if self.patch == 0 || self.side < self.patch {
            return Err(format!("pictures of {} pixels in patches of {}", self.side, self.patch));
        }
        Ok(())
    }
}

impl Vision {
    /// Pixels of the square pictures that it sees.
    pub fn side(&self) -> usize {
        self.0.config.side
    }

    /// What it makes of pictures (b, 3, h, w), red first, 0…1. They are brought to its size: `crop` takes the middle square,
    /// else all is squeezed into one.
    ///
    /// # Errors
    /// Pictures of another number of channels.
    pub fn encode(&self, pictures: &Tensor, crop: bool) -> Result<VisionOutput> {
        let normal = if self.0.config.class { CLIP } else { ([0.5; 3], [0.5; 3]) };
        self.forward(&prepared(pictures, self.side(), crop, normal)?)
    }

    /// `x` (b, 3, side, side), normalised.
    fn forward(&self, x: &Tensor) -> Result<VisionOutput> {
        let net = &*self.0;
        let (layers, config, back) = (&net.layers, &net.config, x.device());
        let x = ops::channels_last(&x.to_device(layers.device())?)?;
        let patches = layers.run(net.patches, &x)?;
        let (b, rows, columns, d) = patches.dims4()?;
        let mut x = patches.reshape((b, rows * columns, d))?;
        if let Some(class) = &net.class {
            x = Tensor::cat(&[&class.reshape((1, 1, d))?.broadcast_as((b, 1, d))?.contiguous()?, &x], 1)?;
        }
        x = x.broadcast_add(&net.positions)?;
        if let Some(before) = net.before {
            x = self.norm(before, &x)?;
        }
        let mut penultimate = x.clone();
        for (i, block) in net.blocks.iter().enumerate() {
            if i + 1 == net.blocks.len() {
                penultimate = x.clone();
            }
            x = self.block(block, &x)?;
        }
        let pooled = match config.class {
            true => self.norm(net.after, &x.narrow(1, 0, 1)?.contiguous()?)?.squeeze(1)?,
            false => {
                x = self.norm(net.after, &x)?;
                x.clone()
            }
        };
        let embeds = match net.projection {
            Some(projection) => layers.run(projection, &pooled)?,
            None => pooled,
        };
        let back = |t: &Tensor| t.to_device(back);
        Ok(VisionOutput { last_hidden: back(&x)?, penultimate: back(&penultimate)?, embeds: back(&embeds)? })
    }

    fn norm(&self, id: NormId, x: &Tensor) -> Result<Tensor> {
        let Norm { weight, bias, .. } = self.0.layers.norm(id);
        Ok(ops::layer_norm(x, weight, bias, self.0.config.eps as f32)?)
    }

    fn block(&self, block: &Block, x: &Tensor) -> Result<Tensor> {
        let (layers, config) = (&self.0.layers, &self.0.config);
        let y = self.norm(block.norms[0], x)?;
        let (q, k, v) = (layers.run(block.q, &y)?, layers.run(block.k, &y)?, layers.run(block.v, &y)?);
        let y = ops::attention(&q, &k, &v, config.heads, Mask::None)?;
        let x = (layers.run(block.out, &y)? + x)?;
        let y = layers.run(block.feed.0, &self.norm(block.norms[1], &x)?)?;
        let y = match config.activation {
            Activation::QuickGelu => ops::quick_gelu(&y)?,
            Activation::Gelu => ops::gelu(&y)?,
            Activation::GeluTanh => ops::gelu_tanh(&y)?,
        };
        Ok((layers.run(block.feed.1, &y)? + x)?)
    }
}

impl Net {
    fn build(config: VisionConfig, b: &mut Build<'_>) -> Result<Net> {
        let (d, window) = (config.hidden, Window::new(config.patch, 0));
        let side = config.side / config.patch;
        let path = "embeddings.patch_embedding";
        let patches = match config.class {
            true => b.conv_no_bias(path, 3, d, config.patch, window)?,
            false => b.conv(path, 3, d, config.patch, window)?,
        };
        let class = config.class.then(|| b.tensor("embeddings.class_embedding", &[d])).transpose()?;
        let places = side * side + usize::from(config.class);
        let positions = b.tensor("embeddings.position_embedding.weight", &[places, d])?;
        let before = config.class.then(|| b.norm("pre_layrnorm", d)).transpose()?;
        let mut blocks = Vec::with_capacity(config.layers);
        for i in 0..config.layers {
            let path = format!("encoder.layers.{i}");
            blocks.push(Block {
                q: b.linear(&format!("{path}.self_attn.q_proj"), d, d)?,
                k: b.linear(&format!("{path}.self_attn.k_proj"), d, d)?,
                v: b.linear(&format!("{path}.self_attn.v_proj"), d, d)?,
                out: b.linear(&format!("{path}.self_attn.out_proj"), d, d)?,
                feed: (
                    b.linear(&format!("{path}.mlp.fc1"), d, config.inside)?,
                    b.linear(&format!("{path}.mlp.fc2"), config.inside, d)?,
                ),
                norms: [b.norm(&format!("{path}.layer_norm1"), d)?, b.norm(&format!("{path}.layer_norm2"), d)?],
            });
        }
        let after = b.norm("post_layernorm", d)?;
        let projection = config.projection.map(|out| b.matrix("visual_projection", d, out)).transpose()?;
        let layers = std::mem::take(&mut b.layers);
        Ok(Net { config, patches, class, positions, before, blocks, after, projection, layers })
    }
}
