//! The shape of an autoencoder, from its `config.json`.

use crate::config::Json;
use crate::error::Result;
use crate::resnet::Shape;

/// The shape of an AutoencoderKL. Field names follow diffusers' `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct VaeConfig {
    /// Channels of an image.
    pub in_channels: usize,
    /// Channels of the decoded image.
    pub out_channels: usize,
    /// Channels of a latent.
    pub latent_channels: usize,
    /// Channels of each level, from the largest image to the smallest.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks of each level of the encoder; one more in the decoder.
    pub layers_per_block: usize,
    /// Groups of the group norms.
    pub norm_num_groups: usize,
    /// Factor that gives latents a variance near one; none if no config says it.
    pub scaling_factor: Option<f64>,
    /// Subtracted from a latent before the factor; none if no config says it.
    pub shift_factor: Option<f64>,
    /// Whether a 1×1 convolution stands behind the encoder.
    pub use_quant_conv: bool,
    /// Whether a 1×1 convolution stands before the decoder.
    pub use_post_quant_conv: bool,
}

impl VaeConfig {
    pub(crate) fn from_json(json: &Json) -> Result<VaeConfig> {
        json.expect_values(&[
            ("act_fn", &["null", "\"silu\""]),
            ("mid_block_add_attention", &["null", "true"]),
            ("latents_mean", &["null"]),
            ("latents_std", &["null"]),
        ])?;
        let config = VaeConfig {
            in_channels: json.optional("in_channels")?.unwrap_or(3),
            out_channels: json.optional("out_channels")?.unwrap_or(3),
            latent_channels: json.optional("latent_channels")?.unwrap_or(4),
            block_out_channels: json.required("block_out_channels")?,
            layers_per_block: json.optional("layers_per_block")?.unwrap_or(1),
            norm_num_groups: json.optional("norm_num_groups")?.unwrap_or(32),
            scaling_factor: json.optional("scaling_factor")?,
            shift_factor: json.optional("shift_factor")?,
            use_quant_conv: json.optional("use_quant_conv")?.unwrap_or(true),
            use_post_quant_conv: json.optional("use_post_quant_conv")?.unwrap_or(true),
        };
        config.check().map_err(|what| json.wrong(what))?;
        Ok(config)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.block_out_channels.is_empty() || self.layers_per_block == 0 {
            return Err("an autoencoder needs at least one level and one layer".into());
        }
        match self.block_out_channels.iter().find(|&c| self.norm_num_groups == 0 || c % self.norm_num_groups != 0) {
            Some(c) => Err(format!("{c} channels do not divide into {} norm groups", self.norm_num_groups)),
            None => Ok(()),
        }
    }

    /// Pixels of an image for each pixel of a latent, both ways.
    pub fn factor(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }

    pub(super) fn shape(&self, inp: usize, out: usize) -> Shape {
        Shape { inp, out, time: None, groups: self.norm_num_groups, eps: super::EPS }
    }
}
