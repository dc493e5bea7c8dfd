//! T2I-Adapters (Mou et al. 2023, arXiv:2302.08453): features of a picture, once for all steps, that are added on a UNet's
//! way down.

use crate::error::{Error, Result};
use crate::family::Shapes;
use crate::layers::{LayerId, Layers};
use crate::load::{Named, whole};
use crate::network::Residuals;
use crate::ops::{self, Window};
use crate::unet::infer::{count, dim};
use crate::unet::names::number;
use crate::weights::{Build, Part, Piece};
use candle_core::Tensor;
use std::sync::Arc;

/// A network of convolutions over a folded picture. Cheap to clone.
#[derive(Clone)]
pub(super) struct Adapter(Arc<Net>);

struct Net {
    /// Pixels of a side that become channels of one: 8 for SD 1.x, 16 for SDXL.
    fold: usize,
    /// Channels of the picture; of one, it is grey.
    channels: usize,
    first: Option<LayerId>,
    levels: Vec<Level>,
    layers: Layers,
}

struct Level {
    shrink: Option<Shrink>,
    inp: Option<LayerId>,
    blocks: Vec<[LayerId; 2]>,
    /// Of the light kind, which computes on a quarter of the channels.
    out: Option<LayerId>,
}

enum Shrink {
    /// The mean of 2×2.
    Mean,
    Conv(LayerId),
}

/// Is it one, seen from its keys without a prefix?
pub(super) fn is_adapter(shapes: &Shapes) -> bool {
    let has = |keys: &[&str]| keys.iter().any(|key| shapes.contains_key(*key));
    let full = has(&["conv_in.weight"]) && has(&["body.0.block1.weight", "body.0.resnets.0.block1.weight"]);
    full || (has(&["body.0.in_conv.weight"]) && has(&["body.0.out_conv.weight"]))
}

/// A tensor of the original code, which counts the blocks of all levels of the full kind through, under the name of diffusers
/// without `adapter.`.
pub(super) fn name(light: bool, key: &str, piece: Piece) -> Vec<Named> {
    whole(renamed(light, key).unwrap_or_else(|| key.to_owned()), piece)
}

fn renamed(light: bool, key: &str) -> Option<String> {
    let (index, rest) = number(key.strip_prefix("body.")?)?;
    if light {
        return Some(format!("body.{index}.resnets.{}", rest.strip_prefix("body.")?));
    }
    let (level, block) = (index / BLOCKS, index % BLOCKS);
    let own = rest.starts_with("block1.") || rest.starts_with("block2.");
    let path = if own { format!("body.{level}.resnets.{block}") } else { format!("body.{level}") };
    Some(format!("{path}.{rest}"))
}

/// Blocks of a level of the full kind.
const BLOCKS: usize = 2;

impl Adapter {
    /// `shapes` under the names that [`name`] gives.
    pub(super) fn build(shapes: &Shapes, part: &mut Part) -> Result<Adapter> {
        let b = &mut Build::new(part, "");
        let light = !shapes.contains_key("conv_in.weight");
        let key = if light { "body.0.in_conv.weight" } else { "conv_in.weight" };
        let wrong = |what: String| Error::Unsupported(format!("a T2I-Adapter of an unknown shape: {what}"));
        let inp = dim(shapes, key, 1).map_err(wrong)?;
        // ComfyUI tells the kind for SDXL by this, too.
        let fold = if matches!(inp, 256 | 768) { 16 } else { 8 };
        if !inp.is_multiple_of(fold * fold) {
            return Err(wrong(format!("`{key}` takes {inp} channels, which is no picture in squares of {fold}")));
        }
        let first = if light { None } else { Some(conv(shapes, b, "conv_in")?) };
        let mut levels = Vec::new();
        for i in 0..count(shapes, "body.", ".resnets.0.block1.weight") {
            let path = format!("body.{i}");
            let there = |name: &str| shapes.contains_key(&format!("{path}.{name}.weight"));
            let maybe = |b: &mut Build<'_>, name: &str| -> Result<Option<LayerId>> {
                there(name).then(|| conv(shapes, b, &format!("{path}.{name}"))).transpose()
            };
            let shrinks = if fold == 16 { i == 2 } else { i > 0 };
            let shrink = match maybe(b, "down_opt.op")? {
                Some(layer) => Some(Shrink::Conv(layer)),
                None => shrinks.then_some(Shrink::Mean),
            };
            let inp = maybe(b, "in_conv")?;
            let mut blocks = Vec::new();
            for j in 0..count(shapes, &format!("{path}.resnets."), ".block1.weight") {
                let block = format!("{path}.resnets.{j}");
                blocks
                    .push([conv(shapes, b, &format!("{block}.block1"))?, conv(shapes, b, &format!("{block}.block2"))?]);
            }
            let out = maybe(b, "out_conv")?;
            levels.push(Level { shrink, inp, blocks, out });
        }
        if levels.len() != 4 {
            return Err(wrong(format!("it has {} levels, expected 4", levels.len())));
        }
        let layers = std::mem::take(&mut b.layers);
        Ok(Adapter(Arc::new(Net { fold, channels: inp / (fold * fold), first, levels, layers })))
    }

    pub(super) fn is(&self, other: &Adapter) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Height and width of the picture for a latent's, a pixel of which are 8 by 8 of the picture's.
    pub(super) fn size(&self, h: usize, w: usize) -> (usize, usize) {
        ((8 * h).next_multiple_of(self.0.fold), (8 * w).next_multiple_of(self.0.fold))
    }

    /// What it adds for a picture (b, 3, H, W), red first, 0…1.
    pub(super) fn forward(&self, picture: &Tensor) -> Result<Residuals> {
        let net = &*self.0;
        let picture = picture.to_device(net.layers.device())?;
        let picture = if net.channels == 1 { picture.mean_keepdim(1)? } else { picture };
        let mut x = ops::channels_last(&ops::folded(&picture, net.fold)?)?;
        if let Some(first) = net.first {
            x = net.layers.run(first, &x)?;
        }
        let mut features = Vec::with_capacity(net.levels.len());
        for level in &net.levels {
            x = level.forward(&net.layers, &x)?;
            features.push(x.clone());
        }
        // Places among what is kept for the way up: behind the last block of each level; in SDXL's, which has three levels,
        // the first behind the first shrinking, and the last on the middle.
        let places: &[usize] = if net.fold == 16 { &[3, 5, 8] } else { &[2, 5, 8, 11] };
        let middle = if net.fold == 16 { features.pop() } else { None };
        let mut inside = vec![None; places.last().map_or(0, |last| last + 1)];
        for (&place, feature) in places.iter().zip(features) {
            inside[place] = Some(feature);
        }
        Ok(Residuals { inside, skips: Vec::new(), middle })
    }
}

impl Level {
    fn forward(&self, layers: &Layers, x: &Tensor) -> Result<Tensor> {
        let mut x = match &self.shrink {
            None => x.clone(),
            Some(Shrink::Mean) => halved(x)?,
            Some(Shrink::Conv(layer)) => layers.run(*layer, x)?,
        };
        if let Some(inp) = self.inp {
            x = layers.run(inp, &x)?;
        }
        for [first, second] in &self.blocks {
            x = (layers.run(*second, &layers.run(*first, &x)?.relu()?)? + x)?;
        }
        match self.out {
            Some(out) => layers.run(out, &x),
            None => Ok(x),
        }
    }
}

/// A convolution of the file's size that keeps an image's, or halves it.
fn conv(shapes: &Shapes, b: &mut Build<'_>, path: &str) -> Result<LayerId> {
    let side = |at: usize| dim(shapes, &format!("{path}.weight"), at).unwrap_or(1);
    let kernel = side(2);
    let stride = if path.ends_with("down_opt.op") { 2 } else { 1 };
    b.conv(path, side(1), side(0), kernel, Window::new(stride, kernel / 2))
}

/// (b, h, w, c) → (b, h/2, w/2, c): means of 2×2. An odd side gets zeros before and behind it (ComfyUI, `Downsample`).
fn halved(x: &Tensor) -> Result<Tensor> {
    let (_, h, w, _) = x.dims4()?;
    let x = ops::channels_first(x)?.pad_with_zeros(2, h % 2, h % 2)?.pad_with_zeros(3, w % 2, w % 2)?;
    Ok(ops::channels_last(&x.avg_pool2d(2)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn names_of_the_original_code_are_translated() {
        for (light, old, new) in [
            (false, "body.5.block2.bias", "body.2.resnets.1.block2.bias"),
            (false, "body.2.in_conv.weight", "body.1.in_conv.weight"),
            (false, "body.6.down_opt.op.weight", "body.3.down_opt.op.weight"),
            (true, "body.1.body.3.block1.weight", "body.1.resnets.3.block1.weight"),
        ] {
            assert_eq!(renamed(light, old).as_deref(), Some(new));
        }
        assert_eq!(renamed(true, "body.1.out_conv.weight"), None);
    }

    #[test]
    fn odd_sides_are_halved_with_zeros_around_them() {
        let x = Tensor::new(&[[[[4f32], [8.0], [2.0]], [[4.0], [8.0], [2.0]]]], &Device::Cpu).unwrap();
        assert_eq!(halved(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(), [2.0, 5.0]);
    }
}
