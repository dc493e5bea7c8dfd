//! Small decoders for previews: TAESD and its relatives for SDXL and Flux.1, a few convolutions in a row. Source:
//! madebyollin/taesd, taesd.py (MIT licence); diffusers, AutoencoderTiny.

use crate::error::{Error, Result};
use crate::family::Shapes;
use crate::layers::{LayerId, Layers};
use crate::load::Source;
use crate::ops::{self, Window};
use crate::weights::{Build, WeightFile};
use candle_core::Tensor;
use std::path::Path;
use std::sync::Arc;

/// A small decoder from latents to pictures. Cheap to clone.
#[derive(Clone)]
pub struct Preview(Arc<Net>);

struct Net {
    channels: usize,
    stages: Vec<Stage>,
    layers: Layers,
}

enum Stage {
    /// The first convolution, behind which negative values are cut off.
    First(LayerId),
    /// Three convolutions beside the input.
    Block {
        convs: [LayerId; 3],
        skip: Option<LayerId>,
    },
    /// A convolution of the image at twice its size.
    Double(LayerId),
    Last(LayerId),
}

impl Preview {
    /// Reads a decoder from a `.safetensors` file in the names of the original code (`1.weight`, with or without
    /// `decoder.`) or of diffusers (`decoder.layers.0.weight`). An encoder in the same file is left out.
    pub fn load(path: &Path) -> Result<Preview> {
        let files = [Arc::new(WeightFile::open(path)?)];
        let prefixes = ["decoder.layers.", "taesd_decoder.", "decoder."];
        let source = Source::below(path, &files, &prefixes).unwrap_or_else(|| Source::new(path, files.to_vec(), ""));
        let shapes = source.shapes();
        let plan = plan(&shapes).map_err(|what| Error::file(path, what))?;
        let entries = source.entries(|key, piece| crate::load::whole(key.to_owned(), piece));
        source.build(entries, |part| {
            let mut b = Build::new(part, "");
            let stages = plan.iter().map(|step| step.build(&mut b)).collect::<Result<Vec<_>>>()?;
            let channels = plan.first().map_or(0, |step| step.inp);
            Ok(Preview(Arc::new(Net { channels, stages, layers: b.layers })))
        })
    }

    /// Channels of the latents that it decodes.
    pub fn channels(&self) -> usize {
        self.0.channels
    }

    /// Scaled latents, as networks and samplers have them, (b, c, h, w) → pictures (b, 3, 8h, 8w) in about -1…1.
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let layers = &self.0.layers;
        if latents.rank() != 4 || latents.dim(1)? != self.0.channels {
            let (want, found) = (self.0.channels, latents.shape());
            return Err(Error::Unsupported(format!("expected latents (b, {want}, h, w), found {found:?}")));
        }
        // Values far out are bent towards ±3.
        let mut x = ops::channels_last(&((latents / 3.0)?.tanh()? * 3.0)?)?;
        for stage in &self.0.stages {
            x = match stage {
                Stage::First(conv) => layers.run(*conv, &x)?.relu()?,
                Stage::Block { convs: [a, b, c], skip } => {
                    let y = layers.run(*a, &x)?.relu()?;
                    let y = layers.run(*b, &y)?.relu()?;
                    let y = layers.run(*c, &y)?;
                    let x = match skip {
                        Some(skip) => layers.run(*skip, &x)?,
                        None => x,
                    };
                    (y + x)?.relu()?
                }
                Stage::Double(conv) => {
                    let (_, h, w, _) = x.dims4()?;
                    layers.run(*conv, &ops::upsample_nearest(&x, 2 * h, 2 * w)?)?
                }
                Stage::Last(conv) => layers.run(*conv, &x)?,
            };
        }
        // The network gives 0…1.
        Ok(ops::channels_first(&((x * 2.0)? - 1.0)?)?)
    }
}

/// What stands at one number of the file's list of layers.
struct Step {
    number: usize,
    kind: Kind,
    inp: usize,
    out: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    First,
    Block,
    Double,
    Last,
}

/// The layers that have weights; what stands between them follows: convolutions without a bias are those behind an
/// enlargement.
fn plan(shapes: &Shapes) -> Result<Vec<Step>, String> {
    let mut numbers: Vec<usize> = shapes.keys().filter_map(|key| key.split('.').next()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let last = numbers.len().saturating_sub(1);
    let mut steps = Vec::new();
    for (i, &number) in numbers.iter().enumerate() {
        let block = shapes.get(&format!("{number}.conv.0.weight"));
        let plain = shapes.get(&format!("{number}.weight"));
        let bias = shapes.contains_key(&format!("{number}.bias"));
        let (kind, shape) = match (block, plain) {
            (Some(shape), _) => (Kind::Block, shape),
            (None, Some(shape)) if i == 0 => (Kind::First, shape),
            (None, Some(shape)) if i == last => (Kind::Last, shape),
            (None, Some(shape)) if !bias => (Kind::Double, shape),
            _ => return Err(format!("layer {number} is no layer of a small decoder (TAESD)")),
        };
        let [out, inp, 3, 3] = shape[..] else {
            return Err(format!("layer {number}: expected a kernel (out, in, 3, 3), found {shape:?}"));
        };
        steps.push(Step { number, kind, inp, out });
    }
    match (steps.first(), steps.last()) {
        (Some(Step { kind: Kind::First, .. }), Some(Step { kind: Kind::Last, out: 3, .. })) => Ok(steps),
        _ => Err("expected a small decoder (TAESD): convolutions numbered from latents to a picture".into()),
    }
}

impl Step {
    fn build(&self, b: &mut Build<'_>) -> Result<Stage> {
        let Step { number, kind, inp, out } = *self;
        let (same, path) = (Window::new(1, 1), number.to_string());
        Ok(match kind {
            Kind::First => Stage::First(b.conv(&path, inp, out, 3, same)?),
            Kind::Last => Stage::Last(b.conv(&path, inp, out, 3, same)?),
            Kind::Double => Stage::Double(b.conv_no_bias(&path, inp, out, 3, same)?),
            Kind::Block => Stage::Block {
                convs: [
                    b.conv(&format!("{path}.conv.0"), inp, out, 3, same)?,
                    b.conv(&format!("{path}.conv.2"), out, out, 3, same)?,
                    b.conv(&format!("{path}.conv.4"), out, out, 3, same)?,
                ],
                skip: (inp != out)
                    .then(|| b.conv_no_bias(&format!("{path}.skip"), inp, out, 1, Window::new(1, 0)))
                    .transpose()?,
            },
        })
    }
}
