//! Transformer2DModel: self-attention, attention to the text and a gated feed-forward over the pixels of an image.

use super::UNetConfig;
use crate::error::Result;
use crate::layers::{LayerId, Layers, NormId};
use crate::ops::{self, Mask, Window};
use crate::segments::{Tape, Value};
use crate::weights::Build;
use candle_core::Tensor;
use std::sync::Arc;

#[derive(Clone)]
pub(super) struct Transformer {
    norm: NormId,
    groups: usize,
    proj_in: LayerId,
    blocks: Vec<Block>,
    proj_out: LayerId,
}

#[derive(Clone, Copy)]
struct Block {
    norms: [NormId; 3],
    own: Attention,
    text: Attention,
    feed: (LayerId, LayerId),
}

#[derive(Clone, Copy)]
struct Attention {
    heads: usize,
    q: LayerId,
    k: LayerId,
    v: LayerId,
    out: LayerId,
}

/// Of the transformer's own group norm, whatever the UNet's `norm_eps` (diffusers `Transformer2DModel`).
const GROUP_EPS: f64 = 1e-6;
const LAYER_EPS: f32 = 1e-5;

impl Transformer {
    pub(super) fn build(b: &mut Build<'_>, path: &str, config: &UNetConfig, level: usize) -> Result<Transformer> {
        let c = config.block_out_channels[level];
        let heads = config.heads[level];
        let project = |b: &mut Build<'_>, name: &str| {
            let path = format!("{path}.{name}");
            if config.use_linear_projection { b.linear(&path, c, c) } else { b.conv(&path, c, c, 1, Window::new(1, 0)) }
        };
        let norm = b.norm(&format!("{path}.norm"), c)?;
        let proj_in = project(b, "proj_in")?;
        let mut blocks = Vec::new();
        for i in 0..config.transformer_layers[level] {
            let path = format!("{path}.transformer_blocks.{i}");
            let attention = |b: &mut Build<'_>, name: &str, text: usize| -> Result<Attention> {
                let path = format!("{path}.{name}");
                Ok(Attention {
                    heads,
                    q: b.matrix(&format!("{path}.to_q"), c, c)?,
                    k: b.matrix(&format!("{path}.to_k"), text, c)?,
                    v: b.matrix(&format!("{path}.to_v"), text, c)?,
                    out: b.linear(&format!("{path}.to_out.0"), c, c)?,
                })
            };
            blocks.push(Block {
                own: attention(b, "attn1", c)?,
                text: attention(b, "attn2", config.cross_attention_dim)?,
                feed: (
                    b.linear(&format!("{path}.ff.net.0.proj"), c, 8 * c)?,
                    b.linear(&format!("{path}.ff.net.2"), 4 * c, c)?,
                ),
                norms: [
                    b.norm(&format!("{path}.norm1"), c)?,
                    b.norm(&format!("{path}.norm2"), c)?,
                    b.norm(&format!("{path}.norm3"), c)?,
                ],
            });
        }
        let proj_out = project(b, "proj_out")?;
        Ok(Transformer { norm, groups: config.norm_num_groups, proj_in, blocks, proj_out })
    }

    /// `x` (b, h, w, c), `context` (b, n, d) → (b, h, w, c).
    pub(super) fn forward(&self, layers: &Arc<Layers>, tape: &mut Tape, x: &Value, context: &Value) -> Result<Value> {
        let (b, h, w, c) = x.dims4()?;
        let (norm, groups, proj_in, proj_out) = (self.norm, self.groups, self.proj_in, self.proj_out);
        let with = layers.clone();
        let mut y = tape.single(&[x], move |inputs| {
            let norm = with.norm(norm);
            let y = ops::group_norm(&inputs[0], groups, &norm.weight, &norm.bias, GROUP_EPS, false)?;
            // (b, h·w, c)
            Ok(with.run(proj_in, &y)?.reshape((b, h * w, c))?)
        })?;
        for &block in &self.blocks {
            let with = layers.clone();
            y = tape.single(&[&y, context], move |inputs| block.forward(&with, &inputs[0], &inputs[1]))?;
        }
        let with = layers.clone();
        tape.single(&[&y, x], move |inputs| {
            let y = with.run(proj_out, &inputs[0].reshape((b, h, w, c))?)?;
            Ok((y + &inputs[1])?)
        })
    }
}

impl Block {
    fn forward(&self, layers: &Layers, x: &Tensor, context: &Tensor) -> Result<Tensor> {
        let norm = |i: usize, x: &Tensor| {
            let norm = layers.norm(self.norms[i]);
            ops::layer_norm(x, &norm.weight, &norm.bias, LAYER_EPS)
        };
        let y = norm(0, x)?;
        let x = (self.own.forward(layers, &y, &y)? + x)?;
        let x = (self.text.forward(layers, &norm(1, &x)?, context)? + x)?;
        let y = ops::geglu(&layers.run(self.feed.0, &norm(2, &x)?)?)?;
        Ok((layers.run(self.feed.1, &y)? + x)?)
    }
}

impl Attention {
    fn forward(&self, layers: &Layers, x: &Tensor, context: &Tensor) -> Result<Tensor> {
        let (q, k, v) = (layers.run(self.q, x)?, layers.run(self.k, context)?, layers.run(self.v, context)?);
        layers.run(self.out, &ops::attention(&q, &k, &v, self.heads, Mask::None)?)
    }
}
