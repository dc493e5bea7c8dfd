//! UNet2DConditionModel: the denoising network of SD 1.x (Rombach et al. 2022, arXiv:2112.10752), as in diffusers.

mod config;
mod transformer;

pub use config::UNetConfig;

use crate::adapter::{Adapter, NormTarget, Target};
use crate::error::{Error, Result};
use crate::layers::{LayerId, Layers, Norm, NormId};
use crate::ops::{self, Window};
use crate::patch::{How, Patched};
use crate::resnet::Resnet;
use crate::weights::{Build, Part};
use candle_core::{DType, Tensor};
use std::collections::HashMap;
use std::sync::Arc;
use transformer::Transformer;

/// The denoising network. Cheap to clone: structure and weights are shared.
#[derive(Clone)]
pub struct UNet {
    net: Arc<Net>,
    layers: Layers,
}

struct Net {
    config: UNetConfig,
    conv_in: LayerId,
    time: (LayerId, LayerId),
    down: Vec<Block>,
    middle: (Resnet, Transformer, Resnet),
    up: Vec<Block>,
    norm_out: NormId,
    conv_out: LayerId,
}

/// One level, on the way down or up.
struct Block {
    resnets: Vec<Resnet>,
    /// One behind each of the resnets, or none.
    attentions: Vec<Transformer>,
    /// The convolution that halves or, behind an enlargement, doubles the image.
    resize: Option<LayerId>,
}

/// Kohya's prefix of the UNet's layers.
pub(crate) const KOHYA_PREFIX: &str = "lora_unet_";

impl UNet {
    /// The shape of this network.
    pub fn config(&self) -> &UNetConfig {
        &self.net.config
    }

    /// The layers that can get an adapter, in the network's order.
    pub fn targets(&self) -> Vec<Target> {
        self.layers.targets(KOHYA_PREFIX)
    }

    /// The normalisations that a patch can change, in the network's order.
    pub fn norm_targets(&self) -> Vec<NormTarget> {
        self.layers.norm_targets(KOHYA_PREFIX)
    }

    /// The same network with an adapter at each of these module paths, behind those it has. A path without a layer is an
    /// error that lists all of them.
    pub fn with_adapters(&self, adapters: &HashMap<String, Arc<dyn Adapter>>) -> Result<UNet> {
        Ok(UNet { net: self.net.clone(), layers: self.layers.with_adapters(adapters)? })
    }

    /// The same network with patches at these module paths, of layers or norms, behind those it has.
    pub fn with_patches(&self, patches: &HashMap<String, Vec<Patched>>, how: How) -> Result<UNet> {
        Ok(UNet { net: self.net.clone(), layers: self.layers.with_patches(patches, how)? })
    }

    /// What the network predicts for noisy latents `x` (b, in, h, w) at `timesteps` (b,) in 0…999, or one for all (1,),
    /// and text states `context` (b, n, d): (b, out, h, w).
    pub fn forward(&self, x: &Tensor, timesteps: &Tensor, context: &Tensor) -> Result<Tensor> {
        self.forward_observed(x, timesteps, context, &mut |_, _| Ok(()))
    }

    /// The same, showing what each block gives, (b, h, w, c), under its module path.
    pub fn forward_observed(
        &self,
        x: &Tensor,
        timesteps: &Tensor,
        context: &Tensor,
        observe: &mut dyn FnMut(&str, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        let (net, layers) = (&*self.net, &self.layers);
        let (b, c, _, _) = x.dims4()?;
        let (cb, _, d) = context.dims3()?;
        let (want_c, want_d) = (net.config.in_channels, net.config.cross_attention_dim);
        if (c, d, cb) != (want_c, want_d, b) {
            return Err(Error::Unsupported(format!(
                "expected latents (b, {want_c}, h, w) and text states (b, n, {want_d}), found {:?} and {:?}",
                x.shape(),
                context.shape()
            )));
        }
        let time = self.time_embedding(timesteps, b)?;
        observe("time_embedding", &time)?;
        let time = ops::silu(&time)?;
        let mut x = layers.run(net.conv_in, &ops::channels_last(x)?)?;
        observe("conv_in", &x)?;
        let mut skips = vec![x.clone()];
        for (i, block) in net.down.iter().enumerate() {
            for (j, resnet) in block.resnets.iter().enumerate() {
                x = resnet.forward(layers, &x, Some(&time))?;
                observe(&format!("down_blocks.{i}.resnets.{j}"), &x)?;
                if let Some(attention) = block.attentions.get(j) {
                    x = attention.forward(layers, &x, context)?;
                    observe(&format!("down_blocks.{i}.attentions.{j}"), &x)?;
                }
                skips.push(x.clone());
            }
            if let Some(conv) = block.resize {
                x = layers.run(conv, &x)?;
                skips.push(x.clone());
            }
            observe(&format!("down_blocks.{i}"), &x)?;
        }
        x = net.middle.0.forward(layers, &x, Some(&time))?;
        x = net.middle.1.forward(layers, &x, context)?;
        x = net.middle.2.forward(layers, &x, Some(&time))?;
        observe("mid_block", &x)?;
        for (i, block) in net.up.iter().enumerate() {
            for (j, resnet) in block.resnets.iter().enumerate() {
                let skip = skips.pop().ok_or_else(|| Error::Unsupported("the levels do not fit".into()))?;
                x = resnet.forward(layers, &ops::concat_channels(&x, &skip)?, Some(&time))?;
                if let Some(attention) = block.attentions.get(j) {
                    x = attention.forward(layers, &x, context)?;
                }
            }
            if let (Some(conv), Some(skip)) = (block.resize, skips.last()) {
                // The size of the next skip rather than twice this one: they differ for odd sizes.
                let (_, h, w, _) = skip.dims4()?;
                x = layers.run(conv, &ops::upsample_nearest(&x, h, w)?)?;
            }
            observe(&format!("up_blocks.{i}"), &x)?;
        }
        let Norm { weight, bias, .. } = layers.norm(net.norm_out);
        x = ops::group_norm(&x, net.config.norm_num_groups, weight, bias, net.config.norm_eps, true)?;
        Ok(ops::channels_first(&layers.run(net.conv_out, &x)?)?)
    }

    /// (b, 4·c) from timesteps (b,): sines and cosines of growing periods, then two linear layers.
    fn time_embedding(&self, timesteps: &Tensor, b: usize) -> Result<Tensor> {
        let config = &self.net.config;
        let width = config.block_out_channels[0];
        let half = width / 2;
        let timesteps = timesteps.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        if timesteps.len() != b && timesteps.len() != 1 {
            return Err(Error::Unsupported(format!("expected {b} timesteps, found {}", timesteps.len())));
        }
        let mut values = Vec::with_capacity(b * width);
        for i in 0..b {
            let t = timesteps[i % timesteps.len()];
            // In f32 up to the angle, as torch has it, so that large timesteps give the same angle.
            let angle = |k: usize| {
                let exponent = -(10_000f32.ln()) * k as f32 / (half as f64 - config.freq_shift) as f32;
                f64::from(t * exponent.exp())
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
        let waves = Tensor::from_vec(values, (b, width), &candle_core::Device::Cpu)?;
        let hidden = ops::silu(&self.layers.run(self.net.time.0, &waves)?)?;
        self.layers.run(self.net.time.1, &hidden)
    }

    /// A network of this shape with random weights, for measuring speed.
    pub fn random(config: UNetConfig, seed: u64) -> Result<UNet> {
        config.check().map_err(Error::Unsupported)?;
        UNet::build(config, &mut Part::random(seed))
    }

    pub(crate) fn build(config: UNetConfig, part: &mut Part) -> Result<UNet> {
        let mut build = Build::new(part, "");
        let net = Net::build(config, &mut build)?;
        Ok(UNet { net: Arc::new(net), layers: build.layers })
    }
}

impl Net {
    fn build(config: UNetConfig, b: &mut Build<'_>) -> Result<Net> {
        let channels = config.block_out_channels.clone();
        let (levels, last) = (channels.len(), channels.len() - 1);
        let time = 4 * channels[0];
        let (groups, eps) = (config.norm_num_groups, config.norm_eps);
        let shape = |inp, out| crate::resnet::Shape { inp, out, time: Some(time), groups, eps };
        let conv_in = b.conv("conv_in", config.in_channels, channels[0], 3, Window::new(1, 1))?;
        let time_layers =
            (b.linear("time_embedding.linear_1", channels[0], time)?, b.linear("time_embedding.linear_2", time, time)?);
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
        for i in 0..levels {
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
        let norm_out = b.norm("conv_norm_out", channels[0])?;
        let conv_out = b.conv("conv_out", channels[0], config.out_channels, 3, Window::new(1, 1))?;
        Ok(Net { config, conv_in, time: time_layers, down, middle, up, norm_out, conv_out })
    }
}
