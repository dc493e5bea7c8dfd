//! The two kinds of blocks of a Flux transformer (`DoubleStreamBlock` and `SingleStreamBlock` of the original code).

use super::FluxConfig;
use crate::error::Result;
use crate::layers::{LayerId, Layers, NormId};
use crate::ops::{self, Mask, Rotation};
use crate::weights::Build;
use candle_core::Tensor;
use std::sync::Arc;

/// Added to the variance in all norms.
pub(super) const EPS: f32 = 1e-6;

/// What normalises queries and keys, a head at a time.
#[derive(Clone, Copy)]
struct QueryKeyNorm {
    query: NormId,
    key: NormId,
}

/// The layers of one stream of a double block.
#[derive(Clone, Copy)]
struct Stream {
    modulation: LayerId,
    qkv: LayerId,
    norm: QueryKeyNorm,
    proj: LayerId,
    mlp: (LayerId, LayerId),
}

/// Image and text attend to one another but have layers of their own.
#[derive(Clone, Copy)]
pub(super) struct DoubleBlock {
    image: Stream,
    text: Stream,
}

/// One stream of text and image; attention and feed-forward side by side.
#[derive(Clone, Copy)]
pub(super) struct SingleBlock {
    modulation: LayerId,
    linear1: LayerId,
    norm: QueryKeyNorm,
    linear2: LayerId,
}

/// What all blocks share during one pass.
pub(super) struct Pass<'a> {
    pub(super) layers: &'a Layers,
    pub(super) config: &'a FluxConfig,
    /// silu of the condition, (b, hidden).
    pub(super) condition: &'a Tensor,
    pub(super) rotation: &'a Rotation,
    /// Weight one and bias zero, for layer norms without parameters.
    pub(super) plain: (&'a Arc<[f32]>, &'a Arc<[f32]>),
}

impl Pass<'_> {
    /// `n` parts of a modulation, each (b, hidden).
    pub(super) fn modulation(&self, layer: LayerId, n: usize) -> Result<Vec<Tensor>> {
        let all = self.layers.run(layer, self.condition)?;
        (0..n).map(|i| Ok(all.narrow(1, i * self.config.hidden, self.config.hidden)?)).collect()
    }

    /// A layer norm without parameters, then scale and shift.
    pub(super) fn modulated(&self, x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
        let y = ops::layer_norm(x, self.plain.0, self.plain.1, EPS)?;
        Ok(ops::modulate(&y, scale, shift)?)
    }

    /// `qkv` (b, n, 3·hidden or more) → q and k, normed, and v, each (b, n, heads, d).
    fn split(&self, qkv: &Tensor, norm: &QueryKeyNorm) -> Result<[Tensor; 3]> {
        let (b, n, _) = qkv.dims3()?;
        let FluxConfig { hidden, heads, .. } = *self.config;
        let part = |i: usize| qkv.narrow(2, i * hidden, hidden)?.contiguous()?.reshape((b, n, heads, hidden / heads));
        let q = ops::rms_norm(&part(0)?, &self.layers.norm(norm.query).weight, EPS)?;
        let k = ops::rms_norm(&part(1)?, &self.layers.norm(norm.key).weight, EPS)?;
        Ok([q, k, part(2)?])
    }

    /// Attention of (b, n, heads, d) with positions → (b, n, hidden).
    fn attention(&self, [q, k, v]: [Tensor; 3]) -> Result<Tensor> {
        let (b, n, _, _) = q.dims4()?;
        let FluxConfig { hidden, heads, .. } = *self.config;
        let flat = |x: Tensor| x.reshape((b, n, hidden));
        let (q, k) = (ops::rope(&q, self.rotation)?, ops::rope(&k, self.rotation)?);
        Ok(ops::attention(&flat(q)?, &flat(k)?, &flat(v)?, heads, Mask::None)?)
    }
}

impl QueryKeyNorm {
    fn build(b: &mut Build<'_>, path: &str, config: &FluxConfig) -> Result<QueryKeyNorm> {
        let mut norm = |name: &str| {
            let path = format!("{path}.{name}");
            b.rms_norm_named(&path, &format!("{path}.scale"), config.hidden / config.heads)
        };
        Ok(QueryKeyNorm { query: norm("query_norm")?, key: norm("key_norm")? })
    }
}

impl Stream {
    fn build(b: &mut Build<'_>, path: &str, name: &str, config: &FluxConfig) -> Result<Stream> {
        let h = config.hidden;
        Ok(Stream {
            modulation: b.linear(&format!("{path}.{name}_mod.lin"), h, 6 * h)?,
            qkv: b.linear(&format!("{path}.{name}_attn.qkv"), h, 3 * h)?,
            norm: QueryKeyNorm::build(b, &format!("{path}.{name}_attn.norm"), config)?,
            proj: b.linear(&format!("{path}.{name}_attn.proj"), h, h)?,
            mlp: (
                b.linear(&format!("{path}.{name}_mlp.0"), h, config.mlp)?,
                b.linear(&format!("{path}.{name}_mlp.2"), config.mlp, h)?,
            ),
        })
    }

    /// What follows attention, whose output for this stream is `attended`. `m` are the six parts of the modulation.
    fn finish(&self, pass: &Pass<'_>, x: &Tensor, attended: &Tensor, m: &[Tensor]) -> Result<Tensor> {
        let x = ops::add_gated(x, &pass.layers.run(self.proj, attended)?, &m[2])?;
        let y = pass.layers.run(self.mlp.0, &pass.modulated(&x, &m[4], &m[3])?)?;
        let y = pass.layers.run(self.mlp.1, &ops::gelu_tanh(&y)?)?;
        Ok(ops::add_gated(&x, &y, &m[5])?)
    }
}

impl DoubleBlock {
    pub(super) fn build(b: &mut Build<'_>, path: &str, config: &FluxConfig) -> Result<DoubleBlock> {
        let image = Stream::build(b, path, "img", config)?;
        Ok(DoubleBlock { image, text: Stream::build(b, path, "txt", config)? })
    }

    /// `image` (b, n, hidden) and `text` (b, m, hidden) → the same.
    pub(super) fn forward(&self, pass: &Pass<'_>, image: &Tensor, text: &Tensor) -> Result<(Tensor, Tensor)> {
        // Shift, scale and gate of attention, then those of the feed-forward.
        let image_mod = pass.modulation(self.image.modulation, 6)?;
        let text_mod = pass.modulation(self.text.modulation, 6)?;
        let qkv = |stream: &Stream, x: &Tensor, m: &[Tensor]| {
            pass.split(&pass.layers.run(stream.qkv, &pass.modulated(x, &m[1], &m[0])?)?, &stream.norm)
        };
        let of_text = qkv(&self.text, text, &text_mod)?;
        let of_image = qkv(&self.image, image, &image_mod)?;
        let (n, m) = (image.dim(1)?, text.dim(1)?);
        // (b, m + n, heads, d), text first
        let join = |i: usize| Tensor::cat(&[&of_text[i], &of_image[i]], 1);
        let attended = pass.attention([join(0)?, join(1)?, join(2)?])?;
        let text = self.text.finish(pass, text, &attended.narrow(1, 0, m)?, &text_mod)?;
        let image = self.image.finish(pass, image, &attended.narrow(1, m, n)?, &image_mod)?;
        Ok((image, text))
    }
}

impl SingleBlock {
    pub(super) fn build(b: &mut Build<'_>, path: &str, config: &FluxConfig) -> Result<SingleBlock> {
        let (h, mlp) = (config.hidden, config.mlp);
        Ok(SingleBlock {
            modulation: b.linear(&format!("{path}.modulation.lin"), h, 3 * h)?,
            linear1: b.linear(&format!("{path}.linear1"), h, 3 * h + mlp)?,
            norm: QueryKeyNorm::build(b, &format!("{path}.norm"), config)?,
            linear2: b.linear(&format!("{path}.linear2"), h + mlp, h)?,
        })
    }

    /// `x` (b, n, hidden), text first → the same.
    pub(super) fn forward(&self, pass: &Pass<'_>, x: &Tensor) -> Result<Tensor> {
        let m = pass.modulation(self.modulation, 3)?;
        let all = pass.layers.run(self.linear1, &pass.modulated(x, &m[1], &m[0])?)?;
        let attended = pass.attention(pass.split(&all, &self.norm)?)?;
        let mlp = ops::gelu_tanh(&all.narrow(2, 3 * pass.config.hidden, pass.config.mlp)?)?;
        let y = pass.layers.run(self.linear2, &ops::concat_channels(&attended, &mlp)?)?;
        Ok(ops::add_gated(x, &y, &m[2])?)
    }
}
