//! ESRGAN (Wang et al. 2018, arXiv:1809.00219) and Real-ESRGAN (Wang et al. 2021, arXiv:2107.10833): networks of residual
//! dense blocks that enlarge pictures.

mod names;

use crate::error::{Error, Result};
use crate::family::Shapes;
use crate::layers::{LayerId, Layers};
use crate::load::{below, open, shapes_of};
use crate::memory::Memory;
use crate::ops::{self, Window};
use crate::tiled::Tiling;
use crate::unet::infer::{count, dim};
use crate::weights::Build;
use candle_core::{Device, Tensor};
use names::Form;
use std::path::Path;
use std::sync::Arc;

/// A network that enlarges pictures. Cheap to clone.
#[derive(Clone)]
pub struct Upscaler(Arc<Net>);

/// An upscaler, as its loader gives it.
pub struct LoadedUpscaler {
    pub net: Upscaler,
    /// How it was read, for people.
    pub found: Vec<String>,
}

struct Net {
    shape: Shape,
    first: LayerId,
    blocks: Vec<[Dense; 3]>,
    body: LayerId,
    /// Each behind an enlargement to twice the size.
    ups: Vec<LayerId>,
    high: LayerId,
    last: LayerId,
    layers: Layers,
}

/// Five convolutions, each of which sees what all before it gave.
type Dense = [LayerId; 5];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    /// Channels of the first convolution's input.
    inp: usize,
    out: usize,
    features: usize,
    /// Channels that each convolution of a dense block adds.
    growth: usize,
    blocks: usize,
    ups: usize,
    /// Pixels of a side of the input that become channels of one.
    fold: usize,
}

/// What stands before the keys of files that were turned from training states.
const PREFIXES: &[&str] = &["params_ema.", "params.", "module."];
/// Slope of the activation below zero.
const SLOPE: f64 = 0.2;
/// Share of a block beside its input.
const SHARE: f64 = 0.2;

/// Loads an ESRGAN from a `.safetensors` file in the names of BasicSR, of the first published code or of its predecessor.
///
/// # Errors
/// Files that are none, and keys that are missing, misshapen or left over.
pub fn load_upscaler(path: &Path, memory: &Memory) -> Result<LoadedUpscaler> {
    let (files, ..) = open(path, "model")?;
    let mut source = below(path, &files, PREFIXES);
    source.memory = memory.clone();
    let own = source.shapes();
    let form = Form::of(&own);
    let entries = source.entries(|key, piece| form.name(key, piece));
    let shapes = shapes_of(&entries);
    if !shapes.contains_key("conv_first.weight") || !shapes.contains_key("body.0.rdb1.conv1.weight") {
        return Err(source.wrong(
            "this is no ESRGAN: it has neither `conv_first` nor `model.0` and no residual dense blocks. Other kinds of \
             upscale models (SwinIR, DAT, HAT, SPAN, compact ones …) are not read",
        ));
    }
    let shape = Shape::of(&shapes).map_err(|what| source.wrong(what))?;
    source.note(format!("ESRGAN of {} blocks, {} features, {}×", shape.blocks, shape.features, shape.times()));
    let net = source.build(entries, |part| Net::build(shape, &mut Build::new(part, "")))?;
    Ok(LoadedUpscaler { net: Upscaler(Arc::new(net)), found: source.notes() })
}

impl Upscaler {
    /// How many times as large its pictures are.
    pub fn scale(&self) -> usize {
        self.0.shape.times()
    }

    /// How it is run: tiles of 512 pixels with 32 shared (ComfyUI, `ImageUpscaleWithModel`).
    pub fn tiling(&self) -> Tiling {
        Tiling { tile: (512, 512), overlap: 32, scale: (self.scale(), 1) }
    }

    /// Pictures (b, 3, h, w) of 0…1 → (b, 3, h·scale, w·scale) of 0…1.
    ///
    /// # Errors
    /// Another number of channels.
    pub fn upscale(&self, pictures: &Tensor) -> Result<Tensor> {
        let net = &*self.0;
        let (_, c, h, w) = pictures.dims4()?;
        let (fold, back) = (net.shape.fold, pictures.device());
        if c * fold * fold != net.shape.inp || net.shape.out != c {
            return Err(Error::Unsupported(format!(
                "this upscale model turns {} channels into {}, found pictures of {c}",
                net.shape.inp / (fold * fold),
                net.shape.out
            )));
        }
        let x = folded(&pictures.to_device(net.layers.device())?, fold)?;
        let y = ops::channels_first(&net.forward(&ops::channels_last(&x)?)?)?;
        let times = self.scale();
        let y = y.narrow(2, 0, h * times)?.narrow(3, 0, w * times)?;
        Ok(y.clamp(0f32, 1f32)?.contiguous()?.to_device(back)?)
    }
}

impl Shape {
    fn of(shapes: &Shapes) -> Result<Shape, String> {
        let (inp, out) = (dim(shapes, "conv_first.weight", 1)?, dim(shapes, "conv_last.weight", 0)?);
        let ups = (1..).take_while(|n| shapes.contains_key(&format!("conv_up{n}.weight"))).count();
        let fold = [1, 2, 4].into_iter().find(|f| out * f * f == inp);
        let Some(fold) = fold.filter(|fold| (1 << ups) % fold == 0) else {
            return Err(format!("an ESRGAN of {inp} channels that enlarges {ups} times to {out} channels is unknown"));
        };
        Ok(Shape {
            inp,
            out,
            features: dim(shapes, "conv_first.weight", 0)?,
            growth: dim(shapes, "body.0.rdb1.conv1.weight", 0)?,
            blocks: count(shapes, "body.", ".rdb1.conv1.weight"),
            ups,
            fold,
        })
    }

    fn times(self) -> usize {
        (1 << self.ups) / self.fold
    }
}

impl Net {
    fn build(shape: Shape, b: &mut Build<'_>) -> Result<Net> {
        let (same, f) = (Window::new(1, 1), shape.features);
        let first = b.conv("conv_first", shape.inp, f, 3, same)?;
        let mut blocks = Vec::with_capacity(shape.blocks);
        for i in 0..shape.blocks {
            let mut dense = |n: usize| dense(b, &format!("body.{i}.rdb{n}"), f, shape.growth);
            blocks.push([dense(1)?, dense(2)?, dense(3)?]);
        }
        Ok(Net {
            shape,
            first,
            blocks,
            body: b.conv("conv_body", f, f, 3, same)?,
            ups: (1..=shape.ups).map(|n| b.conv(&format!("conv_up{n}"), f, f, 3, same)).collect::<Result<_>>()?,
            high: b.conv("conv_hr", f, f, 3, same)?,
            last: b.conv("conv_last", f, shape.out, 3, same)?,
            layers: std::mem::take(&mut b.layers),
        })
    }

    /// (b, h, w, in) → (b, h·2^ups, w·2^ups, out)
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let layers = &self.layers;
        let first = layers.run(self.first, x)?;
        let mut x = first.clone();
        for block in &self.blocks {
            let mut y = x.clone();
            for dense in block {
                y = self.dense(dense, &y)?;
            }
            x = ((y * SHARE)? + x)?;
        }
        x = (layers.run(self.body, &x)? + first)?;
        for up in &self.ups {
            let (_, h, w, _) = x.dims4()?;
            x = leaky(&layers.run(*up, &ops::upsample_nearest(&x, 2 * h, 2 * w)?)?)?;
        }
        layers.run(self.last, &leaky(&layers.run(self.high, &x)?)?)
    }

    fn dense(&self, [before @ .., last]: &Dense, x: &Tensor) -> Result<Tensor> {
        let mut seen = x.clone();
        for conv in before {
            seen = ops::concat_channels(&seen, &leaky(&self.layers.run(*conv, &seen)?)?)?;
        }
        Ok(((self.layers.run(*last, &seen)? * SHARE)? + x)?)
    }
}

fn dense(b: &mut Build<'_>, path: &str, features: usize, growth: usize) -> Result<Dense> {
    let mut conv = |n: usize| {
        let out = if n == 5 { features } else { growth };
        b.conv(&format!("{path}.conv{n}"), features + (n - 1) * growth, out, 3, Window::new(1, 1))
    };
    Ok([conv(1)?, conv(2)?, conv(3)?, conv(4)?, conv(5)?])
}

fn leaky(x: &Tensor) -> Result<Tensor> {
    Ok(x.maximum(&(x * SLOPE)?)?)
}

/// (b, c, h, w) → (b, c·f², h/f, w/f): f×f pixels are channels of one. Sides that f does not divide are mirrored.
fn folded(x: &Tensor, f: usize) -> Result<Tensor> {
    Ok(ops::folded(&mirrored(&mirrored(x, 2, f)?, 3, f)?, f)?)
}

fn mirrored(x: &Tensor, axis: usize, f: usize) -> Result<Tensor> {
    let side = x.dim(axis)?;
    if side % f == 0 {
        return Ok(x.clone());
    }
    let at = |i: usize| if i < side { i } else { (2 * (side - 1)).saturating_sub(i) };
    let places: Vec<u32> = (0..side.next_multiple_of(f)).map(|i| at(i) as u32).collect();
    let count = places.len();
    Ok(x.index_select(&Tensor::from_vec(places, count, &Device::Cpu)?.to_device(x.device())?, axis)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_become_channels_and_edges_are_mirrored() {
        let x = Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap().reshape((1, 1, 2, 3)).unwrap();
        let folded = folded(&x, 2).unwrap();
        assert_eq!(folded.dims(), [1, 4, 1, 2]);
        // The fourth column is the second one again.
        let values = folded.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values, [0.0, 2.0, 1.0, 1.0, 3.0, 5.0, 4.0, 4.0]);
    }

    #[test]
    fn shapes_tell_the_scale() {
        let shape = |inp: usize, ups: usize| {
            let mut shapes = Shapes::from([
                ("conv_first.weight".to_owned(), vec![64, inp, 3, 3]),
                ("conv_last.weight".to_owned(), vec![3, 64, 3, 3]),
                ("body.0.rdb1.conv1.weight".to_owned(), vec![32, 64, 3, 3]),
            ]);
            shapes.extend((1..=ups).map(|n| (format!("conv_up{n}.weight"), vec![64, 64, 3, 3])));
            Shape::of(&shapes).map(Shape::times)
        };
        assert_eq!([(3, 2), (12, 2), (48, 2), (3, 3), (3, 0)].map(|(c, n)| shape(c, n)), [4, 2, 1, 8, 1].map(Ok));
        assert!(shape(5, 2).unwrap_err().contains("5 channels"));
    }
}
