//! The denoising network of any family, and what it is led by.

use crate::adapter::{Adapter, NormTarget, Target};
use crate::error::{Error, Result};
use crate::layers::Layers;
use crate::memory::Memory;
use crate::patch::{How, Patched};
use crate::segments::{Footprint, Mode};
use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A denoising network: a UNet or a transformer. Cheap to clone.
#[derive(Clone)]
pub struct Network(Arc<dyn Denoise>);

/// What a network takes beside noisy latents.
#[derive(Clone, Debug, PartialEq)]
pub struct Takes {
    /// Channels of its input; more than the latent has for an inpainting network.
    pub channels: usize,
    /// Channels of what it predicts.
    pub out_channels: usize,
    /// Features of the text states.
    pub context: usize,
    /// Features of the pooled text, if it takes that.
    pub pooled: Option<usize>,
    /// Whether it takes the picture's size and crop.
    pub size: bool,
    /// Whether it takes a guidance of its own.
    pub guidance: bool,
    /// Whether it can read pictures beside the noisy one.
    pub references: bool,
    /// Latent sides must be multiples of this for all parts of the network to line up.
    pub multiple: usize,
    /// Side of the square latents that it was trained on, if its config says so.
    pub side: Option<usize>,
}

/// What a network's prediction is led by, for a batch.
#[derive(Clone, Debug)]
pub struct Cond {
    /// Text states, (b, n, d).
    pub context: Tensor,
    /// Pooled text, (b, d).
    pub pooled: Option<Tensor>,
    /// Original height and width, top and left of the crop, target height and width, in pixels: (b, 6).
    pub size: Option<Tensor>,
    /// Guidance of a network that was distilled with one, (b,).
    pub guidance: Option<Tensor>,
}

impl Cond {
    /// Text states (b, n, d) alone.
    pub fn text(context: Tensor) -> Cond {
        Cond { context, pooled: None, size: None, guidance: None }
    }
}

/// What ControlNets and adapters add to a network's features, images as (b, h, w, c).
#[derive(Clone, Debug, Default)]
pub struct Residuals {
    /// To what is kept for the way up, by its place there, before the rest of the way down sees it.
    pub inside: Vec<Option<Tensor>>,
    /// To what is kept for the way up, in the order of the way down, for the way up alone; may be empty.
    pub skips: Vec<Tensor>,
    /// To what the middle gives.
    pub middle: Option<Tensor>,
}

impl Residuals {
    /// Both together.
    pub fn plus(&self, other: &Residuals) -> Result<Residuals> {
        let sum = |a: Option<&Tensor>, b: Option<&Tensor>| -> Result<Option<Tensor>> {
            Ok(match (a, b) {
                (Some(a), Some(b)) => Some(a.broadcast_add(b)?),
                (one, other) => one.or(other).cloned(),
            })
        };
        let inside = |of: &Residuals, i: usize| of.inside.get(i).cloned().flatten();
        let places = 0..self.inside.len().max(other.inside.len());
        let kept = 0..self.skips.len().max(other.skips.len());
        Ok(Residuals {
            inside: places.map(|i| sum(inside(self, i).as_ref(), inside(other, i).as_ref())).collect::<Result<_>>()?,
            skips: kept
                .filter_map(|i| sum(self.skips.get(i), other.skips.get(i)).transpose())
                .collect::<Result<_>>()?,
            middle: sum(self.middle.as_ref(), other.middle.as_ref())?,
        })
    }

    /// All of it times a number.
    pub fn times(&self, factor: f64) -> Result<Residuals> {
        self.each(|t| Ok((t * factor)?))
    }

    fn on(&self, device: &Device) -> Result<Residuals> {
        self.each(|t| Ok(t.to_device(device)?))
    }

    fn each(&self, change: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Residuals> {
        Ok(Residuals {
            inside: self.inside.iter().map(|t| t.as_ref().map(&change).transpose()).collect::<Result<_>>()?,
            skips: self.skips.iter().map(&change).collect::<Result<_>>()?,
            middle: self.middle.as_ref().map(&change).transpose()?,
        })
    }

    /// Are they of the shapes of what they are added to?
    pub(crate) fn check<T: std::ops::Deref<Target = Tensor>>(&self, skips: &[T], middle: &T) -> Result<()> {
        let fits = |(found, wanted): (&Tensor, &T)| found.dims()[1..] == wanted.dims()[1..];
        let many = self.skips.is_empty() || self.skips.len() == skips.len();
        if many && self.skips.iter().zip(skips).all(fits) && self.middle.iter().zip([middle]).all(fits) {
            return Ok(());
        }
        Err(Residuals::misfit())
    }

    pub(crate) fn misfit() -> Error {
        Error::Unsupported("the ControlNet or adapter was made for networks of another family".into())
    }
}

/// Shows what parts of a network give, under their module paths.
pub type Observe<'a> = dyn FnMut(&str, &Tensor) -> Result<()> + 'a;

/// An architecture of denoising networks. Implementations share structure and weights when they are cloned.
pub(crate) trait Denoise: Send + Sync {
    fn takes(&self) -> &Takes;

    /// The device that its weights are on.
    fn device(&self) -> &Device {
        &Device::Cpu
    }

    /// `x` (b, c, h, w), `times` (b,), and conditions that have been checked against [`Self::takes`].
    fn forward(&self, x: &Tensor, times: &Tensor, cond: &Cond, observe: &mut Observe<'_>) -> Result<Tensor>;

    /// The same with what a ControlNet adds.
    fn forward_controlled(&self, x: &Tensor, times: &Tensor, cond: &Cond, control: &Residuals) -> Result<Tensor> {
        let _ = (x, times, cond, control);
        Err(Error::Unsupported(
            "ControlNets work with the UNets of SD 1.x, 2.x and SDXL; this is another network".into(),
        ))
    }

    /// The same with pictures beside the noisy one, latents (b, c, h', w') each.
    fn forward_beside(&self, x: &Tensor, times: &Tensor, cond: &Cond, references: &[Tensor]) -> Result<Tensor> {
        let _ = (x, times, cond, references);
        Err(Error::Unsupported("only networks of Flux.1 read reference pictures; this is another network".into()))
    }

    fn targets(&self) -> Vec<Target>;

    /// As [`Network::weight`].
    fn weight(&self, path: &str) -> Result<Tensor>;

    fn with_adapters(&self, adapters: &HashMap<String, Arc<dyn Adapter>>) -> Result<Network>;

    /// The same network, of which a pass keeps something else.
    fn with_mode(&self, mode: Mode) -> Network;

    /// All layers, for what is the same in every network.
    fn layers(&self) -> &Layers;

    /// The same network with other layers in the same places.
    fn with_layers(&self, layers: Layers) -> Network;

    /// As [`Network::with_channels`].
    fn with_channels(&self, channels: usize) -> Result<Network> {
        Err(Error::Unsupported(format!("only networks of Flux.1 can be made to see more, here {channels} channels")))
    }

    fn norm_targets(&self) -> Vec<NormTarget>;

    fn with_patches(&self, patches: &HashMap<String, Vec<Patched>>, how: How) -> Result<Network>;
}

impl Network {
    pub(crate) fn new(network: impl Denoise + 'static) -> Network {
        Network(Arc::new(network))
    }

    /// What it is to be given.
    pub fn takes(&self) -> &Takes {
        self.0.takes()
    }

    /// The device that it computes on.
    pub fn device(&self) -> &Device {
        self.0.device()
    }

    /// What the network predicts, (b, c, h, w), for noisy latents `x` (b, c, h, w) at `times` (b,), or one for all (1,):
    /// timesteps in 0…999, for flow matching sigmas in 0…1. Conditions that it does not take are not looked at. Tensors
    /// of another device are moved to the network's, and the result to that of `x`.
    pub fn forward(&self, x: &Tensor, times: &Tensor, cond: &Cond) -> Result<Tensor> {
        self.forward_observed(x, times, cond, &mut |_, _| Ok(()))
    }

    /// The same with what ControlNets add to its features.
    pub fn forward_controlled(&self, x: &Tensor, times: &Tensor, cond: &Cond, control: &Residuals) -> Result<Tensor> {
        let (x, times, cond, back) = self.checked(x, times, cond)?;
        Ok(self.0.forward_controlled(&x, &times, &cond, &control.on(self.0.device())?)?.to_device(&back)?)
    }

    /// The same as [`Network::forward`] with pictures that it reads beside the noisy one: scaled latents (b, c, h', w') of
    /// any size. For networks whose [`Takes::references`] says so.
    pub fn forward_beside(&self, x: &Tensor, times: &Tensor, cond: &Cond, references: &[Tensor]) -> Result<Tensor> {
        let (x, times, cond, back) = self.checked(x, times, cond)?;
        let there = references.iter().map(|picture| Ok(picture.to_device(self.0.device())?));
        let references = there.collect::<Result<Vec<_>>>()?;
        Ok(self.0.forward_beside(&x, &times, &cond, &references)?.to_device(&back)?)
    }

    /// The same as [`Network::forward`], showing what each block gives, images as (b, h, w, c), under its module path.
    pub fn forward_observed(
        &self,
        x: &Tensor,
        times: &Tensor,
        cond: &Cond,
        observe: &mut Observe<'_>,
    ) -> Result<Tensor> {
        let (x, times, cond, back) = self.checked(x, times, cond)?;
        Ok(self.0.forward(&x, &times, &cond, observe)?.to_device(&back)?)
    }

    /// What it is asked, on its device; and the device to go back to.
    fn checked(&self, x: &Tensor, times: &Tensor, cond: &Cond) -> Result<(Tensor, Tensor, Cond, Device)> {
        let takes = self.0.takes();
        let (b, c, ..) = x.dims4()?;
        let (cb, _, d) = cond.context.dims3()?;
        if takes.channels > takes.out_channels && c == takes.out_channels {
            return Err(Error::Unsupported(format!(
                "this network takes {} channels, found {c}: it also wants a picture, and perhaps a mask, beside the noisy \
                 latent, as samplers give it and training does not; use a plain base here",
                takes.channels
            )));
        }
        if (c, d, cb) != (takes.channels, takes.context, b) {
            return Err(Error::Unsupported(format!(
                "expected latents (b, {}, h, w) and text states (b, n, {}), found {:?} and {:?}; were they made for a \
                 model of another family?",
                takes.channels,
                takes.context,
                x.shape(),
                cond.context.shape()
            )));
        }
        let times = times.flatten_all()?;
        if times.dim(0)? != b && times.dim(0)? != 1 {
            return Err(Error::Unsupported(format!("expected {b} timesteps, found {}", times.dim(0)?)));
        }
        check("pooled text", cond.pooled.as_ref(), takes.pooled.map(|d| vec![b, d]))?;
        check("the picture's size", cond.size.as_ref(), takes.size.then(|| vec![b, 6]))?;
        check("a guidance", cond.guidance.as_ref(), takes.guidance.then(|| vec![b]))?;
        let device = self.0.device();
        let there = |tensor: &Option<Tensor>| tensor.as_ref().map(|tensor| tensor.to_device(device)).transpose();
        let cond = Cond {
            context: cond.context.to_device(device)?,
            pooled: there(&cond.pooled)?,
            size: there(&cond.size)?,
            guidance: there(&cond.guidance)?,
        };
        Ok((x.to_device(device)?, times.to_device(device)?, cond, x.device().clone()))
    }

    /// The same network with an input of so many channels; weights of those behind its own are zero.
    pub(crate) fn with_channels(&self, channels: usize) -> Result<Network> {
        self.0.with_channels(channels)
    }

    /// The layers that can get an adapter, in the network's order.
    pub fn targets(&self) -> Vec<Target> {
        self.0.targets()
    }

    /// The weight of one of [`Network::targets`] by its path, with the patches it has: f32 on the CPU, (out, in) or
    /// (out, in, k, k).
    pub fn weight(&self, path: &str) -> Result<Tensor> {
        self.0.weight(path)
    }

    /// The same network with an adapter at each of these module paths, behind those it has. A path without a layer is an
    /// error that lists all of them.
    pub fn with_adapters(&self, adapters: &HashMap<String, Arc<dyn Adapter>>) -> Result<Network> {
        self.0.with_adapters(adapters)
    }

    /// The same network with gradient checkpointing: a pass keeps the inputs of the network's blocks only, and the way
    /// back runs each block again. Gradients come from [`crate::backward`].
    pub fn with_checkpointing(&self, on: bool) -> Network {
        self.0.with_mode(Mode::checkpointing(on))
    }

    /// What each segment of a pass keeps for the way back, from running it. See [`Network::forward`].
    pub fn footprint(&self, x: &Tensor, times: &Tensor, cond: &Cond) -> Result<Vec<Footprint>> {
        let found = Arc::new(Mutex::new(Vec::new()));
        self.0.with_mode(Mode::Measured(found.clone())).forward(x, times, cond)?;
        let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(found)
    }

    /// The budget and width of the working copies of its weights.
    pub fn memory(&self) -> Memory {
        self.0.layers().memory()
    }

    /// Bytes of the working copies of all its weights, if they all fit.
    pub fn weight_bytes(&self) -> usize {
        self.0.layers().bytes()
    }

    /// The same network with another budget and width of its working copies. Its device stays.
    pub fn within(&self, memory: &Memory) -> Result<Network> {
        Ok(self.0.with_layers(self.0.layers().within(memory)?))
    }

    /// The normalisations that a patch can change, in the network's order.
    pub fn norm_targets(&self) -> Vec<NormTarget> {
        self.0.norm_targets()
    }

    /// The same network with patches at these module paths, of layers or norms, behind those it has.
    pub fn with_patches(&self, patches: &HashMap<String, Vec<Patched>>, how: How) -> Result<Network> {
        self.0.with_patches(patches, how)
    }
}

/// Is a condition of the shape that the network takes?
fn check(what: &str, found: Option<&Tensor>, expected: Option<Vec<usize>>) -> Result<()> {
    let Some(expected) = expected else { return Ok(()) };
    match found {
        None => Err(Error::Unsupported(format!("this network takes {what} {expected:?} too, found none"))),
        Some(found) if found.dims() == expected => Ok(()),
        Some(found) => Err(Error::Unsupported(format!("{what}: expected {expected:?}, found {:?}", found.dims()))),
    }
}
