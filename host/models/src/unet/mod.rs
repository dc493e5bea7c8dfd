//! UNet2DConditionModel: the denoising network of Stable Diffusion (Rombach et al. 2022, arXiv:2112.10752) and SDXL
//! (Podell et al. 2023, arXiv:2307.01952), as in diffusers.

mod config;
pub(crate) mod infer;
pub(crate) mod names;
mod transformer;

pub(crate) use config::UNetConfig;
pub(crate) use infer::Heads;

use crate::adapter::{Adapter, NormTarget, Target};
use crate::error::{Error, Result};
use crate::layers::{LayerId, Layers, Norm, NormId};
use crate::load::Source;
use crate::network::{Cond, Denoise, Network, Observe, Residuals, Takes};
use crate::ops::{self, Window};
use crate::patch::{How, Patched};
use crate::resnet::Resnet;
use crate::segments::{Mode, Tape, Value};
use crate::weights::{Build, Part};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::sync::Arc;
use transformer::Transformer;

/// The denoising network. Cheap to clone: structure and weights are shared.
#[derive(Clone)]
pub(crate) struct UNet {
    net: Arc<Net>,
    layers: Arc<Layers>,
    mode: Mode,
}

struct Net {
    config: UNetConfig,
    naming: Naming,
    takes: Takes,
    conv_in: LayerId,
    time: (LayerId, LayerId),
    addition: Option<(LayerId, LayerId)>,
    down: Vec<Block>,
    middle: (Resnet, Transformer, Resnet),
    up: Vec<Block>,
    /// The last norm and convolution; none of the half that a ControlNet has, whose way up is empty.
    tail: Option<(NormId, LayerId)>,
}

/// Whose names the layers have in kohya's LoRA files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// `down_blocks_0_attentions_0_…`
    Diffusers,
    /// `input_blocks_1_1_…`
    Original,
}

/// One level, on the way down or up.
struct Block {
    resnets: Vec<Resnet>,
    /// One behind each of the resnets, or none.
    attentions: Vec<Transformer>,
    /// The convolution that halves or, behind an enlargement, doubles the image.
    resize: Option<LayerId>,
}

/// Reads a UNet in diffusers' names or in those of the original code. Without a config its shape is inferred.
pub(crate) fn load(source: &Source, heads: Heads, naming: Naming) -> Result<Network> {
    let layers = names::layers(&source.shapes());
    let old = source.has("input_blocks.");
    let entries = source.entries(|key, piece| {
        // A key without a translation keeps its own name, so that it is told as surplus.
        let name = if old { names::diffusers(key, layers) } else { None };
        crate::load::whole(name.unwrap_or_else(|| key.to_owned()), piece)
    });
    let config = match &source.config {
        Some(json) => UNetConfig::from_json(json)?,
        None => {
            let config = infer::config(&crate::load::shapes_of(&entries), heads).map_err(|what| source.wrong(what))?;
            let (heads, groups) = (&config.heads, config.norm_num_groups);
            source.note(format!("its shape is inferred; {heads:?} heads and {groups} norm groups are assumed"));
            config
        }
    };
    source.build(entries, |part| UNet::build(config, part, naming)).map(Network::new)
}

/// A UNet of a known shape.
pub(crate) fn full_size(config: UNetConfig, part: &mut Part, naming: Naming) -> Result<Network> {
    UNet::build(config, part, naming).map(Network::new)
}

/// Kohya's prefix of the layers of denoising networks.
pub(crate) const KOHYA: &str = "lora_unet_";

impl Denoise for UNet {
    fn takes(&self) -> &Takes {
        &self.net.takes
    }

    fn device(&self) -> &Device {
        self.layers.device()
    }

    fn targets(&self) -> Vec<Target> {
        let mut targets = self.layers.targets(KOHYA);
        for target in &mut targets {
            (target.original, target.kohya) = self.names(&target.path);
        }
        targets
    }

    fn weight(&self, path: &str) -> Result<Tensor> {
        self.layers.weight(path)
    }

    fn with_adapters(&self, adapters: &HashMap<String, Arc<dyn Adapter>>) -> Result<Network> {
        Ok(self.with_layers(self.layers.with_adapters(adapters)?))
    }

    fn with_mode(&self, mode: Mode) -> Network {
        Network::new(UNet { mode, ..self.clone() })
    }

    fn layers(&self) -> &Layers {
        &self.layers
    }

    fn with_layers(&self, layers: Layers) -> Network {
        Network::new(UNet { layers: Arc::new(layers), ..self.clone() })
    }

    fn norm_targets(&self) -> Vec<NormTarget> {
        let mut targets = self.layers.norm_targets(KOHYA);
        for target in &mut targets {
            (target.original, target.kohya) = self.names(&target.path);
        }
        targets
    }

    fn with_patches(&self, patches: &HashMap<String, Vec<Patched>>, how: How) -> Result<Network> {
        Ok(self.with_layers(self.layers.with_patches(patches, how)?))
    }

    fn forward(&self, x: &Tensor, times: &Tensor, cond: &Cond, observe: &mut Observe<'_>) -> Result<Tensor> {
        self.pass(x, times, cond, None, observe)
    }

    fn forward_controlled(&self, x: &Tensor, times: &Tensor, cond: &Cond, control: &Residuals) -> Result<Tensor> {
        self.pass(x, times, cond, Some(control), &mut |_, _| Ok(()))
    }
}

impl UNet {
    fn pass(
        &self,
        x: &Tensor,
        times: &Tensor,
        cond: &Cond,
        control: Option<&Residuals>,
        observe: &mut Observe<'_>,
    ) -> Result<Tensor> {
        let net = &*self.net;
        let mut tape = Tape::new(&self.mode);
        let inside = control.map_or(&[][..], |control| control.inside.as_slice());
        let (mut x, mut skips, time, context) = self.down(&mut tape, x, times, cond, (None, inside), observe)?;
        if let Some(control) = control {
            control.check(&skips, &x)?;
            let middle = control.middle.as_ref().map(|middle| (&mut x, middle));
            for (value, residual) in skips.iter_mut().zip(&control.skips).chain(middle) {
                let residual = tape.input(residual);
                *value = tape.single(&[&*value, &residual], |of| Ok(of[0].broadcast_add(&of[1])?))?;
            }
        }
        for (i, block) in net.up.iter().enumerate() {
            for (j, &resnet) in block.resnets.iter().enumerate() {
                let skip = skips.pop().ok_or_else(|| Error::Unsupported("the levels do not fit".into()))?;
                let layers = self.layers.clone();
                x = tape.single(&[&x, &skip, &time], move |of| {
                    resnet.forward(&layers, &ops::concat_channels(&of[0], &of[1])?, Some(&of[2]))
                })?;
                if let Some(attention) = block.attentions.get(j) {
                    x = attention.forward(&self.layers, &mut tape, &x, &context)?;
                }
            }
            if let (Some(conv), Some(skip)) = (block.resize, skips.last()) {
                // The size of the next skip rather than twice this one: they differ for odd sizes.
                let (_, h, w, _) = skip.dims4()?;
                let layers = self.layers.clone();
                x = tape.single(&[&x], move |of| layers.run(conv, &ops::upsample_nearest(&of[0], h, w)?))?;
            }
            observe(&format!("up_blocks.{i}"), &x)?;
        }
        let Some((norm, conv_out)) = net.tail else {
            return Err(Error::Unsupported("a ControlNet's half predicts nothing by itself".into()));
        };
        let layers = self.layers.clone();
        let (groups, eps) = (net.config.norm_num_groups, net.config.norm_eps);
        let y = tape.single(&[&x], move |of| {
            let Norm { weight, bias, .. } = layers.norm(norm);
            let x = ops::group_norm(&of[0], groups, weight, bias, eps, true)?;
            Ok(ops::channels_first(&layers.run(conv_out, &x)?)?)
        })?;
        tape.finish(y)
    }

    /// The way down and the middle: what the middle gives, what is kept for the way up, and the embedded conditions.
    /// `hint` (b or 1, h, w, c) is added to what the first convolution gives, and `inside` as [`Residuals::inside`] says.
    pub(crate) fn down(
        &self,
        tape: &mut Tape,
        x: &Tensor,
        times: &Tensor,
        cond: &Cond,
        (hint, inside): (Option<&Tensor>, &[Option<Tensor>]),
        observe: &mut Observe<'_>,
    ) -> Result<(Value, Vec<Value>, Value, Value)> {
        let net = &*self.net;
        let (x, context) = (tape.input(x), tape.input(&cond.context));
        let time = self.time(tape, &x, times, cond, observe)?;
        let (layers, conv_in) = (self.layers.clone(), net.conv_in);
        let mut x = tape.single(&[&x], move |of| layers.run(conv_in, &ops::channels_last(&of[0])?))?;
        observe("conv_in", &x)?;
        if let Some(hint) = hint {
            let hint = tape.input(hint);
            x = tape.single(&[&x, &hint], |of| Ok(of[0].broadcast_add(&of[1])?))?;
        }
        x = with_inside(tape, x, inside, 0)?;
        let mut skips = vec![x.clone()];
        for (i, block) in net.down.iter().enumerate() {
            for (j, resnet) in block.resnets.iter().enumerate() {
                x = self.resnet(tape, resnet, &x, &time)?;
                observe(&format!("down_blocks.{i}.resnets.{j}"), &x)?;
                if let Some(attention) = block.attentions.get(j) {
                    x = attention.forward(&self.layers, tape, &x, &context)?;
                    observe(&format!("down_blocks.{i}.attentions.{j}"), &x)?;
                }
                x = with_inside(tape, x, inside, skips.len())?;
                skips.push(x.clone());
            }
            if let Some(conv) = block.resize {
                let layers = self.layers.clone();
                x = tape.single(&[&x], move |of| layers.run(conv, &of[0]))?;
                x = with_inside(tape, x, inside, skips.len())?;
                skips.push(x.clone());
            }
            observe(&format!("down_blocks.{i}"), &x)?;
        }
        x = self.resnet(tape, &net.middle.0, &x, &time)?;
        x = net.middle.1.forward(&self.layers, tape, &x, &context)?;
        x = self.resnet(tape, &net.middle.2, &x, &time)?;
        observe("mid_block", &x)?;
        Ok((x, skips, time, context))
    }

    /// The half of a UNet that a ControlNet has, and the layers that it has beside.
    pub(crate) fn half<T>(
        config: UNetConfig,
        part: &mut Part,
        more: impl FnOnce(&mut Build<'_>, &[usize]) -> Result<T>,
    ) -> Result<(UNet, T)> {
        let mut build = Build::new(part, "");
        let widths = config.skips();
        let net = Net::build(config, Naming::Diffusers, &mut build, false)?;
        let more = more(&mut build, &widths)?;
        let unet = UNet { net: Arc::new(net), layers: Arc::new(build.layers), mode: Mode::default() };
        Ok((unet, more))
    }

    pub(crate) fn shared_layers(&self) -> &Arc<Layers> {
        &self.layers
    }

    pub(crate) fn wanted(&self) -> &Takes {
        &self.net.takes
    }
}

impl UNet {
    /// A layer's path in the original code, and its name in kohya's files.
    fn names(&self, path: &str) -> (String, String) {
        let config = &self.net.config;
        let original = names::original(path, config.layers_per_block, &config.up_attention).unwrap_or_default();
        let own = if self.net.naming == Naming::Original { &original } else { path };
        let kohya = format!("{KOHYA}{}", own.replace('.', "_"));
        (original, kohya)
    }

    /// The SiLU of what the timesteps and the other conditions are embedded as, (b, 4·c).
    fn time(
        &self,
        tape: &mut Tape,
        x: &Value,
        times: &Tensor,
        cond: &Cond,
        observe: &mut Observe<'_>,
    ) -> Result<Value> {
        let (b, device) = (x.dim(0)?, x.device().clone());
        let pooled = cond.pooled.as_ref().map(|pooled| tape.input(pooled));
        let inputs: Vec<&Value> = pooled.iter().collect();
        let (this, times, size) = (self.clone(), times.clone(), cond.size.clone());
        let mut made = tape.segment(&inputs, move |of| {
            let time = this.time_embedding(&times, b, &device)?;
            Ok(match this.added_embedding(of.first(), size.as_ref())? {
                Some(added) => vec![time.clone(), added.clone(), ops::silu(&(time + added)?)?],
                None => vec![time.clone(), ops::silu(&time)?],
            })
        })?;
        for (name, shown) in ["time_embedding", "add_embedding"].into_iter().zip(&made[..made.len() - 1]) {
            observe(name, shown)?;
        }
        made.pop().ok_or_else(|| Error::Unsupported("a timestep without an embedding".into()))
    }

    fn resnet(&self, tape: &mut Tape, resnet: &Resnet, x: &Value, time: &Value) -> Result<Value> {
        let (layers, resnet) = (self.layers.clone(), *resnet);
        tape.single(&[x, time], move |of| resnet.forward(&layers, &of[0], Some(&of[1])))
    }

    /// (b, 4·c) from timesteps (b,) or (1,): sines and cosines of growing periods, then two linear layers.
    fn time_embedding(&self, timesteps: &Tensor, b: usize, device: &Device) -> Result<Tensor> {
        let times = timesteps.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        let times: Vec<f32> = (0..b).map(|i| times[i % times.len()]).collect();
        let waves = self.waves(&times, self.net.config.block_out_channels[0], device)?;
        let hidden = ops::silu(&self.layers.run(self.net.time.0, &waves)?)?;
        self.layers.run(self.net.time.1, &hidden)
    }

    /// (b, 4·c) from pooled text (b, d) and the picture's sizes (b, 6), for networks that take them.
    fn added_embedding(&self, pooled: Option<&Tensor>, size: Option<&Tensor>) -> Result<Option<Tensor>> {
        let (net, layers) = (&*self.net, &self.layers);
        let (Some(addition), Some(ids), Some(pooled), Some(size)) = (net.config.addition, net.addition, pooled, size)
        else {
            return Ok(None);
        };
        let (b, n) = size.dims2()?;
        let sizes = size.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        // (b·6, e) → (b, 6·e)
        let waves = self.waves(&sizes, addition.size, pooled.device())?.reshape((b, n * addition.size))?;
        let hidden = ops::silu(&layers.run(ids.0, &Tensor::cat(&[pooled, &waves], 1)?)?)?;
        layers.run(ids.1, &hidden).map(Some)
    }

    /// (n, width): sines and cosines of growing periods for each of n numbers (Vaswani et al. 2017, arXiv:1706.03762).
    fn waves(&self, numbers: &[f32], width: usize, device: &Device) -> Result<Tensor> {
        let config = &self.net.config;
        let half = width / 2;
        let mut values = Vec::with_capacity(numbers.len() * width);
        for (i, &number) in numbers.iter().enumerate() {
            // In f32 up to the angle, as torch has it, so that large timesteps give the same angle.
            let angle = |k: usize| {
                let exponent = -(10_000f32.ln()) * k as f32 / (half as f64 - config.freq_shift) as f32;
                f64::from(number * exponent.exp())
            };
            let sines = (0..half).map(|k| angle(k).sin() as f32);
            let cosines = (0..half).map(|k| angle(k).cos() as f32);
            if config.flip_sin_to_cos {
                values.extend(cosines.chain(sines));
            } else {
                values.extend(sines.chain(cosines));
            }
            values.resize((i + 1) * width, 0.0);
        }
        Ok(Tensor::from_vec(values, (numbers.len(), width), device)?)
    }

    fn build(config: UNetConfig, part: &mut Part, naming: Naming) -> Result<UNet> {
        let mut build = Build::new(part, "");
        let net = Net::build(config, naming, &mut build, true)?;
        Ok(UNet { net: Arc::new(net), layers: Arc::new(build.layers), mode: Mode::default() })
    }
}

impl Net {
    /// `whole`: with the way up.
    fn build(config: UNetConfig, naming: Naming, b: &mut Build<'_>, whole: bool) -> Result<Net> {
        let channels = config.block_out_channels.clone();
        let (levels, last) = (channels.len(), channels.len() - 1);
        let time = 4 * channels[0];
        let (groups, eps) = (config.norm_num_groups, config.norm_eps);
        let shape = |inp, out| crate::resnet::Shape { inp, out, time: Some(time), groups, eps };
        let conv_in = b.conv("conv_in", config.in_channels, channels[0], 3, Window::new(1, 1))?;
        let time_layers =
            (b.linear("time_embedding.linear_1", channels[0], time)?, b.linear("time_embedding.linear_2", time, time)?);
        let addition = match config.addition {
            Some(a) => Some((
                b.linear("add_embedding.linear_1", a.input, time)?,
                b.linear("add_embedding.linear_2", time, time)?,
            )),
            None => None,
        };
        let mut down = Vec::new();
        for (level, &out) in channels.iter().enumerate() {
            let path = format!("down_blocks.{level}");
            let first = channels[level.saturating_sub(1)];
            let mut block = Block { resnets: vec![], attentions: vec![], resize: None };
            for j in 0..config.layers_per_block {
                let inp = if j == 0 { first } else { out };
                block.resnets.push(Resnet::build(b, &format!("{path}.resnets.{j}"), shape(inp, out))?);
                if config.down_attention[level] {
                    block.attentions.push(Transformer::build(b, &format!("{path}.attentions.{j}"), &config, level)?);
                }
            }
            if level < last {
                block.resize = Some(b.conv(&format!("{path}.downsamplers.0.conv"), out, out, 3, Window::new(2, 1))?);
            }
            down.push(block);
        }
        let deep = channels[last];
        let middle = (
            Resnet::build(b, "mid_block.resnets.0", shape(deep, deep))?,
            Transformer::build(b, "mid_block.attentions.0", &config, last)?,
            Resnet::build(b, "mid_block.resnets.1", shape(deep, deep))?,
        );
        let mut up = Vec::new();
        for i in 0..if whole { levels } else { 0 } {
            let (path, level) = (format!("up_blocks.{i}"), last - i);
            let (out, below) = (channels[level], channels[(level + 1).min(last)]);
            let above = channels[level.saturating_sub(1)];
            let mut block = Block { resnets: vec![], attentions: vec![], resize: None };
            for j in 0..=config.layers_per_block {
                let skip = if j == config.layers_per_block { above } else { out };
                let inp = if j == 0 { below } else { out };
                block.resnets.push(Resnet::build(b, &format!("{path}.resnets.{j}"), shape(inp + skip, out))?);
                if config.up_attention[i] {
                    block.attentions.push(Transformer::build(b, &format!("{path}.attentions.{j}"), &config, level)?);
                }
            }
            if level > 0 {
                block.resize = Some(b.conv(&format!("{path}.upsamplers.0.conv"), out, out, 3, Window::new(1, 1))?);
            }
            up.push(block);
        }
        let tail = if whole {
            let norm = b.norm("conv_norm_out", channels[0])?;
            Some((norm, b.conv("conv_out", channels[0], config.out_channels, 3, Window::new(1, 1))?))
        } else {
            None
        };
        let takes = config.takes();
        Ok(Net { config, naming, takes, conv_in, time: time_layers, addition, down, middle, up, tail })
    }
}

/// With what an adapter adds at this place of the way down.
fn with_inside(tape: &mut Tape, x: Value, inside: &[Option<Tensor>], at: usize) -> Result<Value> {
    let Some(Some(feature)) = inside.get(at) else { return Ok(x) };
    if feature.dims()[1..] != x.dims()[1..] {
        return Err(Residuals::misfit());
    }
    let feature = tape.input(feature);
    tape.single(&[&x, &feature], |of| Ok(of[0].broadcast_add(&of[1])?))
}

impl UNetConfig {
    /// Channels of what is kept for the way up, and last of what the middle gives.
    fn skips(&self) -> Vec<usize> {
        let mut widths = vec![self.block_out_channels[0]];
        for (level, &c) in self.block_out_channels.iter().enumerate() {
            let halved = usize::from(level + 1 < self.block_out_channels.len());
            widths.extend(std::iter::repeat_n(c, self.layers_per_block + halved));
        }
        widths.extend(self.block_out_channels.last());
        widths
    }

    fn takes(&self) -> Takes {
        Takes {
            channels: self.in_channels,
            out_channels: self.out_channels,
            context: self.cross_attention_dim,
            pooled: self.addition.map(|a| a.pooled()),
            size: self.addition.is_some(),
            guidance: false,
            references: false,
            // Each level but the last halves the latent.
            multiple: 1 << (self.block_out_channels.len() - 1),
            side: self.sample_size,
        }
    }
}
