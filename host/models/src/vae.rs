//! AutoencoderKL: images to latents and back (Rombach et al. 2022, arXiv:2112.10752), as in diffusers.

mod config;
mod names;

pub use config::VaeConfig;

use crate::error::{Error, Result};
use crate::family::Shapes;
use crate::layers::{LayerId, Layers, Norm, NormId};
use crate::load::Source;
use crate::ops::{self, Mask, Window};
use crate::resnet::Resnet;
use crate::weights::{Build, Part};
use candle_core::Tensor;
use std::sync::Arc;

/// The autoencoder. Cheap to clone.
#[derive(Clone)]
pub struct Vae {
    net: Arc<Net>,
}

struct Net {
    config: VaeConfig,
    layers: Layers,
    encoder: Half,
    quant: Option<LayerId>,
    post_quant: Option<LayerId>,
    decoder: Half,
}

/// Encoder or decoder.
struct Half {
    conv_in: LayerId,
    levels: Vec<Level>,
    middle: (Resnet, Attention, Resnet),
    norm_out: NormId,
    conv_out: LayerId,
}

/// Residual blocks, and the convolution that changes the size behind them.
type Level = (Vec<Resnet>, Option<LayerId>);

struct Attention {
    norm: NormId,
    q: LayerId,
    k: LayerId,
    v: LayerId,
    out: LayerId,
}

/// In front of its keys in checkpoints of one file.
pub(crate) const PREFIXES: &[&str] = &["first_stage_model.", "vae."];

/// Whether these keys, without a prefix, are those of an autoencoder.
pub(crate) fn is_vae(shapes: &Shapes) -> bool {
    ["decoder.up_blocks.0.resnets.0.conv1.weight", "decoder.up.0.block.0.conv1.weight"]
        .iter()
        .any(|key| shapes.contains_key(*key))
}

/// Reads an autoencoder in diffusers' names or in those of the original code. Without a config its shape is inferred.
pub(crate) fn load(source: &Source) -> Result<Vae> {
    let shapes = source.shapes();
    let levels = names::levels(&shapes);
    let entries = source.entries(|key, piece| {
        // The discriminator and the averaged copy of the VAE's own training.
        if ["loss.", "model_ema."].iter().any(|prefix| key.starts_with(prefix)) {
            return vec![];
        }
        // A key without a translation keeps its own name, so that it is told as surplus.
        let name = if levels > 0 { names::diffusers(key, levels) } else { Some(names::modern(key)) };
        crate::load::whole(name.unwrap_or_else(|| key.to_owned()), piece)
    });
    let config = match &source.config {
        Some(json) => VaeConfig::from_json(json)?,
        None => names::config(&crate::load::shapes_of(&entries)).map_err(|what| source.wrong(what))?,
    };
    source.build(entries, |part| Vae::build(config, part))
}

/// The layers and norms of the full-size autoencoder of Stable Diffusion and SDXL.
#[cfg(test)]
pub(crate) fn full_size_targets() -> (Vec<crate::Target>, Vec<crate::NormTarget>) {
    let config = VaeConfig {
        in_channels: 3,
        out_channels: 3,
        latent_channels: 4,
        block_out_channels: vec![128, 256, 512, 512],
        layers_per_block: 2,
        norm_num_groups: 32,
        scaling_factor: None,
        shift_factor: None,
        use_quant_conv: true,
        use_post_quant_conv: true,
    };
    let vae = Vae::build(config, &mut Part::random(1)).unwrap();
    (vae.net.layers.targets(""), vae.net.layers.norm_targets(""))
}

/// Of all norms of the autoencoder (diffusers).
const EPS: f64 = 1e-6;

impl Vae {
    /// The shape of this network.
    pub fn config(&self) -> &VaeConfig {
        &self.net.config
    }

    /// Images (b, 3, h, w) in -1…1 → mean and log variance of their latents, each (b, 4, h/8, w/8), not scaled.
    pub fn encode(&self, images: &Tensor) -> Result<(Tensor, Tensor)> {
        let net = &*self.net;
        let (_, c, h, w) = images.dims4()?;
        let factor = net.config.factor();
        if c != net.config.in_channels || h % factor != 0 || w % factor != 0 || h == 0 || w == 0 {
            return Err(Error::Unsupported(format!(
                "expected images (b, {}, h, w) with sides that {factor} divides, found {:?}",
                net.config.in_channels,
                images.shape()
            )));
        }
        let here = images.device();
        let images = images.to_device(net.layers.device())?;
        let mut x = net.layers.run(net.encoder.conv_in, &ops::channels_last(&images)?)?;
        for (resnets, resize) in &net.encoder.levels {
            for resnet in resnets {
                x = resnet.forward(&net.layers, &x, None)?;
            }
            if let Some(conv) = resize {
                x = net.layers.run(*conv, &x)?;
            }
        }
        x = net.finish(&net.encoder, net.middle(&net.encoder, &x)?)?;
        if let Some(quant) = net.quant {
            x = net.layers.run(quant, &x)?;
        }
        let moments = ops::channels_first(&x)?.to_device(here)?;
        let latent = net.config.latent_channels;
        let mean = moments.narrow(1, 0, latent)?.contiguous()?;
        let logvar = moments.narrow(1, latent, latent)?.contiguous()?.clamp(-30.0, 20.0)?;
        Ok((mean, logvar))
    }

    /// Latents as the encoder gives them, not scaled, (b, 4, h, w) → images (b, 3, 8h, 8w) in about -1…1, not clamped.
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let net = &*self.net;
        let latent_channels = net.config.latent_channels;
        if latents.rank() != 4 || latents.dim(1)? != latent_channels {
            return Err(Error::Unsupported(format!(
                "expected latents (b, {latent_channels}, h, w), found {:?}; were they made by a model of another family \
                 than this VAE?",
                latents.shape()
            )));
        }
        let mut x = ops::channels_last(&latents.to_device(net.layers.device())?)?;
        if let Some(quant) = net.post_quant {
            x = net.layers.run(quant, &x)?;
        }
        x = net.layers.run(net.decoder.conv_in, &x)?;
        x = net.middle(&net.decoder, &x)?;
        for (resnets, resize) in &net.decoder.levels {
            for resnet in resnets {
                x = resnet.forward(&net.layers, &x, None)?;
            }
            if let Some(conv) = resize {
                let (_, h, w, _) = x.dims4()?;
                x = net.layers.run(*conv, &ops::upsample_nearest(&x, 2 * h, 2 * w)?)?;
            }
        }
        Ok(ops::channels_first(&net.finish(&net.decoder, x)?)?.to_device(latents.device())?)
    }

    fn build(config: VaeConfig, part: &mut Part) -> Result<Vae> {
        let mut b = Build::new(part, "");
        let encoder = Half::encoder(&mut b, &config)?;
        let latent = config.latent_channels;
        let plain = Window::new(1, 0);
        let quant =
            config.use_quant_conv.then(|| b.conv("quant_conv", 2 * latent, 2 * latent, 1, plain)).transpose()?;
        let post_quant =
            config.use_post_quant_conv.then(|| b.conv("post_quant_conv", latent, latent, 1, plain)).transpose()?;
        let decoder = Half::decoder(&mut b, &config)?;
        Ok(Vae { net: Arc::new(Net { config, encoder, quant, post_quant, decoder, layers: b.layers }) })
    }
}

impl Net {
    fn middle(&self, half: &Half, x: &Tensor) -> Result<Tensor> {
        let x = half.middle.0.forward(&self.layers, x, None)?;
        let x = self.attend(&half.middle.1, &x)?;
        half.middle.2.forward(&self.layers, &x, None)
    }

    fn attend(&self, attention: &Attention, x: &Tensor) -> Result<Tensor> {
        let (b, h, w, c) = x.dims4()?;
        let Norm { weight, bias, .. } = self.layers.norm(attention.norm);
        let y = ops::group_norm(x, self.config.norm_num_groups, weight, bias, EPS, false)?;
        let y = y.reshape((b, h * w, c))?;
        let run = |id| self.layers.run(id, &y);
        let y = ops::attention(&run(attention.q)?, &run(attention.k)?, &run(attention.v)?, 1, Mask::None)?;
        Ok((self.layers.run(attention.out, &y)?.reshape((b, h, w, c))? + x)?)
    }

    fn finish(&self, half: &Half, x: Tensor) -> Result<Tensor> {
        let Norm { weight, bias, .. } = self.layers.norm(half.norm_out);
        let x = ops::group_norm(&x, self.config.norm_num_groups, weight, bias, EPS, true)?;
        self.layers.run(half.conv_out, &x)
    }
}

impl Half {
    fn encoder(b: &mut Build<'_>, config: &VaeConfig) -> Result<Half> {
        let channels = &config.block_out_channels;
        let last = channels.len() - 1;
        let conv_in = b.conv("encoder.conv_in", config.in_channels, channels[0], 3, Window::new(1, 1))?;
        let mut levels = Vec::new();
        for (level, &out) in channels.iter().enumerate() {
            let path = format!("encoder.down_blocks.{level}");
            let mut resnets = Vec::new();
            for j in 0..config.layers_per_block {
                let inp = if j == 0 { channels[level.saturating_sub(1)] } else { out };
                resnets.push(Resnet::build(b, &format!("{path}.resnets.{j}"), config.shape(inp, out))?);
            }
            // Padded on one side only, as the original code did.
            let window = Window { stride: 2, before: 0, after: 1 };
            let resize = (level < last)
                .then(|| b.conv(&format!("{path}.downsamplers.0.conv"), out, out, 3, window))
                .transpose()?;
            levels.push((resnets, resize));
        }
        Half::rest(b, "encoder", config, (conv_in, levels), channels[last], 2 * config.latent_channels)
    }

    fn decoder(b: &mut Build<'_>, config: &VaeConfig) -> Result<Half> {
        let channels: Vec<usize> = config.block_out_channels.iter().rev().copied().collect();
        let last = channels.len() - 1;
        let conv_in = b.conv("decoder.conv_in", config.latent_channels, channels[0], 3, Window::new(1, 1))?;
        let mut levels = Vec::new();
        for (level, &out) in channels.iter().enumerate() {
            let path = format!("decoder.up_blocks.{level}");
            let mut resnets = Vec::new();
            for j in 0..=config.layers_per_block {
                let inp = if j == 0 { channels[level.saturating_sub(1)] } else { out };
                resnets.push(Resnet::build(b, &format!("{path}.resnets.{j}"), config.shape(inp, out))?);
            }
            let resize = (level < last)
                .then(|| b.conv(&format!("{path}.upsamplers.0.conv"), out, out, 3, Window::new(1, 1)))
                .transpose()?;
            levels.push((resnets, resize));
        }
        Half::rest(b, "decoder", config, (conv_in, levels), channels[0], config.out_channels)
    }

    /// Middle and output; `deep` channels in the middle.
    fn rest(
        b: &mut Build<'_>,
        path: &str,
        config: &VaeConfig,
        (conv_in, levels): (LayerId, Vec<Level>),
        deep: usize,
        out: usize,
    ) -> Result<Half> {
        let middle = format!("{path}.mid_block");
        let attention = format!("{middle}.attentions.0");
        let shape = config.shape(deep, deep);
        let middle = (
            Resnet::build(b, &format!("{middle}.resnets.0"), shape)?,
            Attention {
                norm: b.norm(&format!("{attention}.group_norm"), deep)?,
                q: b.linear(&format!("{attention}.to_q"), deep, deep)?,
                k: b.linear(&format!("{attention}.to_k"), deep, deep)?,
                v: b.linear(&format!("{attention}.to_v"), deep, deep)?,
                out: b.linear(&format!("{attention}.to_out.0"), deep, deep)?,
            },
            Resnet::build(b, &format!("{middle}.resnets.1"), shape)?,
        );
        // The encoder ends with its deepest level, the decoder with its widest image.
        let before = if path == "encoder" { deep } else { config.block_out_channels[0] };
        let norm_out = b.norm(&format!("{path}.conv_norm_out"), before)?;
        let conv_out = b.conv(&format!("{path}.conv_out"), before, out, 3, Window::new(1, 1))?;
        Ok(Half { conv_in, levels, middle, norm_out, conv_out })
    }
}
