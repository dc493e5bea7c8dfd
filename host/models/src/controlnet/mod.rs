//! ControlNet (Zhang et al. 2023, arXiv:2302.05543) for the UNets of SD 1.x, 2.x and SDXL, as in diffusers: the way down
//! of a UNet with a picture's features added at its start, whose outputs pass through convolutions that began as zeros. And
//! T2I-Adapters, which do the same with a small network.

mod adapter;
mod load;
mod names;

pub use load::{LoadedControlNet, load_controlnet};

use adapter::Adapter;

use crate::error::{Error, Result};
use crate::layers::LayerId;
use crate::network::{Cond, Residuals, Takes};
use crate::ops::{self, Window};
use crate::segments::{Mode, Tape};
use crate::unet::{UNet, UNetConfig};
use crate::weights::{Build, Part};
use candle_core::Tensor;

/// A network that shows a denoising network what a picture is to follow. Cheap to clone.
#[derive(Clone)]
pub struct ControlNet(Kind);

#[derive(Clone)]
enum Kind {
    Half(Half),
    Adapter(Adapter),
}

/// Half a UNet.
#[derive(Clone)]
struct Half {
    unet: UNet,
    /// From the picture to features of the latent's size.
    hint: Vec<LayerId>,
    skips: Vec<LayerId>,
    middle: LayerId,
}

/// Channels of the picture's convolutions, and how far each goes: three of them halve the picture.
const HINT: [(usize, usize); 7] = [(16, 1), (16, 1), (32, 2), (32, 1), (96, 2), (96, 1), (256, 2)];

/// Pixels of the picture for one of the latent.
const FACTOR: usize = 8;

impl ControlNet {
    /// Is it the same network?
    pub fn is(&self, other: &ControlNet) -> bool {
        match (&self.0, &other.0) {
            (Kind::Half(a), Kind::Half(b)) => std::sync::Arc::ptr_eq(a.unet.shared_layers(), b.unet.shared_layers()),
            (Kind::Adapter(a), Kind::Adapter(b)) => a.is(b),
            _ => false,
        }
    }

    /// Height and width of the picture that it is shown for a latent's.
    pub fn picture_size(&self, h: usize, w: usize) -> (usize, usize) {
        match &self.0 {
            Kind::Half(_) => (FACTOR * h, FACTOR * w),
            Kind::Adapter(adapter) => adapter.size(h, w),
        }
    }

    /// What it adds for the noisy latents `x` (b, c, h, w) at `times` (b,) or (1,). `picture` (b or 1, 3, H, W), red first,
    /// 0…1, of [`ControlNet::picture_size`]. Adapters look at the picture alone.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(&self, x: &Tensor, times: &Tensor, cond: &Cond, picture: &Tensor) -> Result<Residuals> {
        let (_, _, h, w) = x.dims4()?;
        let (h, w) = self.picture_size(h, w);
        if picture.dims()[1..] != [3, h, w] {
            return Err(Error::Unsupported(format!("expected a picture (3, {h}, {w}), found {:?}", picture.shape())));
        }
        match &self.0 {
            Kind::Half(half) => half.forward(x, times, cond, picture),
            Kind::Adapter(adapter) => adapter.forward(picture),
        }
    }
}

impl Half {
    fn build(config: UNetConfig, widths: &[usize], part: &mut Part) -> Result<Half> {
        let first = config.block_out_channels[0];
        let (unet, (hint, mut zeros)) =
            UNet::half(config, part, |b, skips| Ok((hint(b, widths, first)?, zeros(b, skips)?)))?;
        let middle = zeros.pop().ok_or_else(|| Error::Unsupported("a ControlNet without outputs".into()))?;
        Ok(Half { unet, hint, skips: zeros, middle })
    }

    fn takes(&self) -> &Takes {
        self.unet.wanted()
    }

    fn forward(&self, x: &Tensor, times: &Tensor, cond: &Cond, picture: &Tensor) -> Result<Residuals> {
        let (takes, (_, c, ..)) = (self.takes(), x.dims4()?);
        let width = cond.context.dim(2)?;
        if (c, width) != (takes.channels, takes.context) {
            return Err(Error::Unsupported(format!(
                "the ControlNet takes latents of {} channels and text of {} features, found {c} and {width}; it was made \
                 for another family",
                takes.channels, takes.context
            )));
        }
        let device = self.unet.shared_layers().device();
        let there = |tensor: &Option<Tensor>| tensor.as_ref().map(|tensor| tensor.to_device(device)).transpose();
        let cond = Cond {
            context: cond.context.to_device(device)?,
            pooled: there(&cond.pooled)?,
            size: there(&cond.size)?,
            guidance: None,
        };
        let (x, times) = (x.to_device(device)?, times.flatten_all()?.to_device(device)?);
        let hint = self.features(&picture.to_device(device)?)?;
        let mut tape = Tape::new(&Mode::default());
        let (middle, skips, ..) =
            self.unet.down(&mut tape, &x, &times, &cond, (Some(&hint), &[][..]), &mut |_, _| Ok(()))?;
        let layers = self.unet.shared_layers();
        let skips = self.skips.iter().zip(&skips).map(|(zero, skip)| layers.run(*zero, skip));
        let middle = Some(layers.run(self.middle, &middle)?);
        Ok(Residuals { inside: Vec::new(), skips: skips.collect::<Result<_>>()?, middle })
    }

    /// (b, 3, 8·h, 8·w) → (b, h, w, c)
    fn features(&self, picture: &Tensor) -> Result<Tensor> {
        let layers = self.unet.shared_layers();
        let mut x = ops::channels_last(picture)?;
        for (i, conv) in self.hint.iter().enumerate() {
            x = layers.run(*conv, &x)?;
            if i + 1 < self.hint.len() {
                x = ops::silu(&x)?;
            }
        }
        Ok(x)
    }
}

/// `widths`: channels of its convolutions, if they are others than those of the full-size networks.
fn hint(b: &mut Build<'_>, widths: &[usize], out: usize) -> Result<Vec<LayerId>> {
    let path = |i: usize| match i {
        0 => "controlnet_cond_embedding.conv_in".to_owned(),
        n => format!("controlnet_cond_embedding.blocks.{}", n - 1),
    };
    let (mut layers, mut inp) = (Vec::new(), 3);
    for (i, (usual, stride)) in HINT.into_iter().enumerate() {
        let width = widths.get(i).copied().unwrap_or(usual);
        layers.push(b.conv(&path(i), inp, width, 3, Window::new(stride, 1))?);
        inp = width;
    }
    layers.push(b.conv("controlnet_cond_embedding.conv_out", inp, out, 3, Window::new(1, 1))?);
    Ok(layers)
}

/// One for each of the UNet's skips, and one for its middle.
fn zeros(b: &mut Build<'_>, widths: &[usize]) -> Result<Vec<LayerId>> {
    let path = |i: usize| match i + 1 == widths.len() {
        true => "controlnet_mid_block".to_owned(),
        false => format!("controlnet_down_blocks.{i}"),
    };
    widths.iter().enumerate().map(|(i, &c)| b.conv(&path(i), c, c, 1, Window::new(1, 0))).collect()
}
