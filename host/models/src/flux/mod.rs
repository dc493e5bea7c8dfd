//! The transformer of Flux.1 (Black Forest Labs 2024), with the layers and names of the original code (`flux/model.py`):
//! queries, keys and values of a block are one layer. Files in diffusers' layout are joined when they are read.

mod block;
mod config;
mod family;
pub(crate) mod names;
mod position;

pub use config::FluxConfig;
pub(crate) use family::{FLUX, SCHNELL};

use crate::adapter::{Adapter, NormTarget, Target};
use crate::error::{Error, Result};
use crate::layers::{LayerId, Layers};
use crate::network::{Cond, Denoise, Network, Observe, Takes};
use crate::ops::{self, Rotation};
use crate::patch::{How, Patched};
use crate::segments::{Mode, Tape};
use crate::weights::{Build, Part};
use block::{DoubleBlock, Pass, SingleBlock};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

/// The denoising transformer. Cheap to clone: structure and weights are shared.
#[derive(Clone)]
pub struct Flux {
    net: Arc<Net>,
    layers: Arc<Layers>,
    mode: Mode,
}

#[derive(Clone)]
struct Net {
    config: FluxConfig,
    takes: Takes,
    img_in: LayerId,
    txt_in: LayerId,
    time_in: Embedder,
    vector_in: Embedder,
    guidance_in: Option<Embedder>,
    double: Vec<DoubleBlock>,
    single: Vec<SingleBlock>,
    final_modulation: LayerId,
    final_linear: LayerId,
    /// Weight one and bias zero, for layer norms without parameters.
    plain: (Arc<[f32]>, Arc<[f32]>),
}

/// What the blocks of a pass share, however often they run.
#[derive(Clone)]
struct Parts {
    net: Arc<Net>,
    layers: Arc<Layers>,
    rotation: Arc<Rotation>,
}

impl Parts {
    /// `condition` is the silu of what a pass is conditioned on, (b, hidden).
    fn pass<'a>(&'a self, condition: &'a Tensor) -> Pass<'a> {
        let plain = (&self.net.plain.0, &self.net.plain.1);
        Pass { layers: &self.layers, config: &self.net.config, condition, rotation: &self.rotation, plain }
    }
}

/// Two linear layers with a silu between.
#[derive(Clone, Copy)]
struct Embedder(LayerId, LayerId);

/// What a pass is conditioned on.
#[derive(Clone, Copy)]
pub struct FluxCondition<'a> {
    /// T5's states, (b, n, context).
    pub context: &'a Tensor,
    /// CLIP's pooled text, (b, pooled). Zeros if absent, as in ComfyUI.
    pub pooled: Option<&'a Tensor>,
    /// Strength of the distilled guidance, (b,) or (1,). [`DEFAULT_GUIDANCE`] if absent; networks without this input
    /// (schnell) ignore it.
    pub guidance: Option<&'a Tensor>,
    /// Pictures that are read beside the noisy one (Flux.1 Kontext), latents (b, c, h', w') of any size each.
    pub references: &'a [Tensor],
}

/// The guidance that ComfyUI takes where a workflow names none.
pub const DEFAULT_GUIDANCE: f64 = 3.5;

/// Kohya's prefix of the transformer's layers.
pub(crate) const KOHYA_PREFIX: &str = "lora_unet_";

/// Sines and cosines of a time or guidance embedding.
const WAVES: usize = 256;
/// Sigma 0…1 and guidance are multiplied by this before the waves.
const TIME_FACTOR: f32 = 1000.0;

impl Flux {
    /// The shape of this network.
    pub fn config(&self) -> &FluxConfig {
        &self.net.config
    }

    /// The layers that can get an adapter, in the network's order.
    pub fn targets(&self) -> Vec<Target> {
        self.layers.targets(KOHYA_PREFIX)
    }

    /// As [`crate::UNet::with_adapters`].
    pub fn with_adapters(&self, adapters: &HashMap<String, Arc<dyn Adapter>>) -> Result<Flux> {
        Ok(Flux { layers: Arc::new(self.layers.with_adapters(adapters)?), ..self.clone() })
    }

    /// As [`Network::with_checkpointing`].
    pub fn with_checkpointing(&self, on: bool) -> Flux {
        Flux { mode: Mode::checkpointing(on), ..self.clone() }
    }

    /// The normalisations that a patch can change, in the network's order.
    pub fn norm_targets(&self) -> Vec<NormTarget> {
        self.layers.norm_targets(KOHYA_PREFIX)
    }

    /// As [`crate::UNet::with_patches`].
    pub fn with_patches(&self, patches: &HashMap<String, Vec<Patched>>, how: How) -> Result<Flux> {
        Ok(Flux { layers: Arc::new(self.layers.with_patches(patches, how)?), ..self.clone() })
    }

    /// The velocity (noise − image) of noisy latents `x` (b, 16, h, w) at `sigma` in 0…1, (b,) or one for all (1,):
    /// (b, 16, h, w).
    pub fn forward(&self, x: &Tensor, sigma: &Tensor, condition: FluxCondition<'_>) -> Result<Tensor> {
        self.forward_observed(x, sigma, condition, &mut |_, _| Ok(()))
    }

    /// The same, showing what each block gives, (b, tokens, hidden), under its path; double blocks with `.img` and `.txt`.
    pub fn forward_observed(
        &self,
        x: &Tensor,
        sigma: &Tensor,
        condition: FluxCondition<'_>,
        observe: &mut dyn FnMut(&str, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        let net = &*self.net;
        let (b, c, h, w) = x.dims4()?;
        let (cb, text, d) = condition.context.dims3()?;
        let (want_c, want_d) = (net.config.channels(), net.config.context);
        let beside = condition.references;
        if (c, cb, d) != (want_c, b, want_d) || h == 0 || w == 0 {
            return Err(Error::Unsupported(format!(
                "expected latents (b, {want_c}, h, w) and text states (b, n, {want_d}), found {:?} and {:?}",
                x.shape(),
                condition.context.shape()
            )));
        }
        let mut tape = Tape::new(&self.mode);
        let (x, context) = (tape.input(x), tape.input(condition.context));
        let pooled = condition.pooled.map(|pooled| tape.input(pooled));
        let inputs: Vec<_> = pooled.iter().collect();
        let (this, sigma, guidance) = (self.clone(), sigma.clone(), condition.guidance.cloned());
        let mut made = tape.segment(&inputs, move |of| {
            let vector = this.vector(&sigma, of.first(), guidance.as_ref(), b)?;
            Ok(vec![ops::silu(&vector)?, vector])
        })?;
        let (Some(vector), Some(condition)) = (made.pop(), made.pop()) else {
            return Err(Error::Unsupported("a pass without a condition".into()));
        };
        observe("vec", &vector)?;
        let (layers, img_in) = (self.layers.clone(), net.img_in);
        let own = h.div_ceil(2) * w.div_ceil(2);
        let references = check_references(beside, b, want_c)?;
        let mut img = tape.single(&[&x], move |of| {
            // (b, tokens of the picture and of those beside it, 4c)
            let mut tokens = vec![position::pack(&of[0])?];
            for picture in &references {
                tokens.push(position::pack(picture)?);
            }
            layers.run(img_in, &Tensor::cat(&tokens, 1)?)
        })?;
        observe("img_in", &img)?;
        let (layers, txt_in) = (self.layers.clone(), net.txt_in);
        let mut txt = tape.single(&[&context], move |of| layers.run(txt_in, &of[0]))?;
        observe("txt_in", &txt)?;
        let mut places =
            vec![position::Place { axis: 0, top: 0, left: 0, rows: h.div_ceil(2), columns: w.div_ceil(2) }];
        places.extend(position::beside(beside));
        let rotation = position::rotation(&net.config, text, &places);
        let parts = Parts { net: self.net.clone(), layers: self.layers.clone(), rotation: Arc::new(rotation) };
        for (i, &block) in net.double.iter().enumerate() {
            let parts = parts.clone();
            let mut made = tape.segment(&[&img, &txt, &condition], move |of| {
                let (img, txt) = block.forward(&parts.pass(&of[2]), &of[0], &of[1])?;
                Ok(vec![img, txt])
            })?;
            (txt, img) = match (made.pop(), made.pop()) {
                (Some(txt), Some(img)) => (txt, img),
                _ => return Err(Error::Unsupported("a double block gave nothing".into())),
            };
            observe(&format!("double_blocks.{i}.img"), &img)?;
            observe(&format!("double_blocks.{i}.txt"), &txt)?;
        }
        // (b, text + image tokens, hidden)
        let mut all = tape.single(&[&txt, &img], |of| Ok(Tensor::cat(&[&of[0], &of[1]], 1)?))?;
        for (i, &block) in net.single.iter().enumerate() {
            let parts = parts.clone();
            all = tape.single(&[&all, &condition], move |of| block.forward(&parts.pass(&of[1]), &of[0]))?;
            observe(&format!("single_blocks.{i}"), &all)?;
        }
        let with = parts.clone();
        let img = tape.single(&[&all, &condition], move |of| {
            let pass = with.pass(&of[1]);
            let img = of[0].narrow(1, text, own)?;
            let m = pass.modulation(with.net.final_modulation, 2)?;
            pass.modulated(&img, &m[1], &m[0])
        })?;
        observe("final_layer.norm", &img)?;
        let y =
            tape.single(&[&img], move |of| position::unpack(&parts.layers.run(parts.net.final_linear, &of[0])?, h, w))?;
        tape.finish(y)
    }

    /// Time, guidance and pooled text in one, (b, hidden).
    fn vector(&self, sigma: &Tensor, pooled: Option<&Tensor>, guidance: Option<&Tensor>, b: usize) -> Result<Tensor> {
        let (net, device) = (&*self.net, sigma.device());
        let mut vector = self.embed(&net.time_in, &waves(sigma, b, "sigmas")?)?;
        if let Some(embedder) = &net.guidance_in {
            let default = Tensor::full(DEFAULT_GUIDANCE as f32, 1, device)?;
            let guidance = waves(guidance.unwrap_or(&default), b, "guidance strengths")?;
            vector = (vector + self.embed(embedder, &guidance)?)?;
        }
        let zeros = Tensor::zeros((b, net.config.pooled), DType::F32, device)?;
        let pooled = pooled.unwrap_or(&zeros);
        if pooled.dims() != zeros.dims() {
            return Err(Error::Unsupported(format!(
                "expected the pooled text of CLIP-L {:?}, found {:?}",
                zeros.shape(),
                pooled.shape()
            )));
        }
        Ok((vector + self.embed(&net.vector_in, pooled)?)?)
    }

    fn embed(&self, embedder: &Embedder, x: &Tensor) -> Result<Tensor> {
        let hidden = ops::silu(&self.layers.run(embedder.0, x)?)?;
        self.layers.run(embedder.1, &hidden)
    }

    /// A network of this shape with random weights, for measuring speed.
    pub fn random(config: FluxConfig, seed: u64) -> Result<Flux> {
        config.check().map_err(Error::Unsupported)?;
        Flux::build(config, &mut Part::random(seed))
    }

    pub(crate) fn build(config: FluxConfig, part: &mut Part) -> Result<Flux> {
        let mut build = Build::new(part, "");
        let net = Net::build(config, &mut build)?;
        Ok(Flux { net: Arc::new(net), layers: Arc::new(build.layers), mode: Mode::default() })
    }
}

impl Denoise for Flux {
    fn takes(&self) -> &Takes {
        &self.net.takes
    }

    fn device(&self) -> &Device {
        self.layers.device()
    }

    fn forward(&self, x: &Tensor, times: &Tensor, cond: &Cond, observe: &mut Observe<'_>) -> Result<Tensor> {
        self.forward_observed(x, times, condition(cond, &[]), observe)
    }

    fn forward_beside(&self, x: &Tensor, times: &Tensor, cond: &Cond, references: &[Tensor]) -> Result<Tensor> {
        Flux::forward(self, x, times, condition(cond, references))
    }

    fn targets(&self) -> Vec<Target> {
        Flux::targets(self)
    }

    fn weight(&self, path: &str) -> Result<Tensor> {
        self.layers.weight(path)
    }

    fn with_adapters(&self, adapters: &HashMap<String, Arc<dyn Adapter>>) -> Result<Network> {
        Flux::with_adapters(self, adapters).map(Network::new)
    }

    fn with_mode(&self, mode: Mode) -> Network {
        Network::new(Flux { mode, ..self.clone() })
    }

    fn layers(&self) -> &Layers {
        &self.layers
    }

    fn with_channels(&self, channels: usize) -> Result<Network> {
        // A token is 2×2 pixels.
        let layers = self.layers.with_inputs(self.net.img_in, 4 * channels)?;
        let config = FluxConfig { packed_in: 4 * channels, ..self.net.config.clone() };
        let takes = Takes { channels, ..self.net.takes.clone() };
        let net = Net { config, takes, ..Net::clone(&self.net) };
        Ok(Network::new(Flux { net: Arc::new(net), layers: Arc::new(layers), mode: self.mode.clone() }))
    }

    fn with_layers(&self, layers: Layers) -> Network {
        Network::new(Flux { layers: Arc::new(layers), ..self.clone() })
    }

    fn norm_targets(&self) -> Vec<NormTarget> {
        Flux::norm_targets(self)
    }

    fn with_patches(&self, patches: &HashMap<String, Vec<Patched>>, how: How) -> Result<Network> {
        Flux::with_patches(self, patches, how).map(Network::new)
    }
}

fn condition<'a>(cond: &'a Cond, references: &'a [Tensor]) -> FluxCondition<'a> {
    let (pooled, guidance) = (cond.pooled.as_ref(), cond.guidance.as_ref());
    FluxCondition { context: &cond.context, pooled, guidance, references }
}

/// Pictures beside the noisy one have its batch and its channels.
fn check_references(references: &[Tensor], b: usize, c: usize) -> Result<Vec<Tensor>> {
    if let Some(other) = references.iter().find(|r| r.rank() != 4 || r.dims()[..2] != [b, c]) {
        return Err(Error::Unsupported(format!(
            "expected reference pictures ({b}, {c}, h, w), found {:?}; were they encoded with another model's VAE?",
            other.shape()
        )));
    }
    Ok(references.to_vec())
}

/// (b, 256): cosines, then sines, of growing periods (`timestep_embedding` of the original code).
fn waves(values: &Tensor, b: usize, what: &str) -> Result<Tensor> {
    let device = values.device().clone();
    let values = values.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    if values.len() != b && values.len() != 1 {
        return Err(Error::Unsupported(format!("expected {b} {what}, found {}", values.len())));
    }
    let half = WAVES / 2;
    let mut out = Vec::with_capacity(b * WAVES);
    for i in 0..b {
        let t = TIME_FACTOR * values[i % values.len()];
        // In f32 up to the angle, as torch has it, so that large times give the same angle.
        let angle = |k: usize| f64::from(t * (-(10_000f32.ln()) * k as f32 / half as f32).exp());
        out.extend((0..half).map(|k| angle(k).cos() as f32));
        out.extend((0..half).map(|k| angle(k).sin() as f32));
    }
    Ok(Tensor::from_vec(out, (b, WAVES), &Device::Cpu)?.to_device(&device)?)
}

impl Net {
    fn build(config: FluxConfig, b: &mut Build<'_>) -> Result<Net> {
        let h = config.hidden;
        let embedder = |b: &mut Build<'_>, name: &str, inp: usize| -> Result<Embedder> {
            Ok(Embedder(b.linear(&format!("{name}.in_layer"), inp, h)?, b.linear(&format!("{name}.out_layer"), h, h)?))
        };
        Ok(Net {
            img_in: b.linear("img_in", config.packed_in, h)?,
            txt_in: b.linear("txt_in", config.context, h)?,
            time_in: embedder(b, "time_in", WAVES)?,
            vector_in: embedder(b, "vector_in", config.pooled)?,
            guidance_in: config.guidance.then(|| embedder(b, "guidance_in", WAVES)).transpose()?,
            double: (0..config.double_blocks)
                .map(|i| DoubleBlock::build(b, &format!("double_blocks.{i}"), &config))
                .collect::<Result<_>>()?,
            single: (0..config.single_blocks)
                .map(|i| SingleBlock::build(b, &format!("single_blocks.{i}"), &config))
                .collect::<Result<_>>()?,
            final_modulation: b.linear("final_layer.adaLN_modulation.1", h, 2 * h)?,
            final_linear: b.linear("final_layer.linear", h, config.packed_out)?,
            plain: (vec![1.0; h].into(), vec![0.0; h].into()),
            takes: Takes {
                channels: config.channels(),
                out_channels: config.packed_out / 4,
                context: config.context,
                pooled: Some(config.pooled),
                size: false,
                guidance: config.guidance,
                references: true,
                multiple: 1,
                side: None,
            },
            config,
        })
    }
}
