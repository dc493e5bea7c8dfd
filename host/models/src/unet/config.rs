//! The shape of a UNet, from its `config.json` or from the shapes of its tensors.

use crate::config::{Json, OneOrMany};
use crate::error::Result;

/// The shape of a UNet2DConditionModel. Field names follow diffusers' `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UNetConfig {
    /// Channels of the input; 4 for a latent, 9 for an inpainting model.
    pub(crate) in_channels: usize,
    /// Channels of the output.
    pub(crate) out_channels: usize,
    /// Channels of each level, from the largest image to the smallest.
    pub(crate) block_out_channels: Vec<usize>,
    /// Residual blocks of each level on the way down; one more on the way up.
    pub(crate) layers_per_block: usize,
    /// Whether each level on the way down has attention.
    pub(crate) down_attention: Vec<bool>,
    /// Whether each level on the way up has attention.
    pub(crate) up_attention: Vec<bool>,
    /// Attention heads of each level.
    pub(crate) heads: Vec<usize>,
    /// Transformer blocks in each attention of each level.
    pub(crate) transformer_layers: Vec<usize>,
    /// Features of the text states.
    pub(crate) cross_attention_dim: usize,
    /// Groups of the group norms.
    pub(crate) norm_num_groups: usize,
    /// Added to the variance in residual blocks.
    pub(crate) norm_eps: f64,
    /// Whether the transformers' projections are linear layers instead of 1×1 convolutions.
    pub(crate) use_linear_projection: bool,
    /// Whether the timestep's cosines come before its sines.
    pub(crate) flip_sin_to_cos: bool,
    /// Shift of the timestep's frequencies.
    pub(crate) freq_shift: f64,
    /// Side of the square latents that it was trained on, if the config says so.
    pub(crate) sample_size: Option<usize>,
    /// The condition on pooled text and the picture's size, if there is one (`text_time`).
    pub(crate) addition: Option<Addition>,
}

/// A condition that is added to the timestep's embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addition {
    /// Features of each of the six sizes.
    pub(crate) size: usize,
    /// Features of the pooled text and of all sizes together.
    pub(crate) input: usize,
}

impl Addition {
    /// Features of the pooled text.
    pub(super) fn pooled(self) -> usize {
        self.input.saturating_sub(6 * self.size)
    }
}

/// Settings that this UNet does not have, with the value that means «not used».
const UNUSED: &[(&str, &[&str])] = &[
    ("addition_embed_type", &["null", "\"text_time\""]),
    ("class_embed_type", &["null"]),
    ("encoder_hid_dim_type", &["null"]),
    ("time_cond_proj_dim", &["null"]),
    ("cross_attention_norm", &["null"]),
    ("reverse_transformer_layers_per_block", &["null"]),
    ("time_embedding_type", &["null", "\"positional\""]),
    ("resnet_time_scale_shift", &["null", "\"default\""]),
    ("dual_cross_attention", &["null", "false"]),
    ("only_cross_attention", &["null", "false"]),
    ("center_input_sample", &["null", "false"]),
    ("act_fn", &["null", "\"silu\""]),
    ("mid_block_type", &["null", "\"UNetMidBlock2DCrossAttn\""]),
    ("conv_in_kernel", &["null", "3"]),
    ("conv_out_kernel", &["null", "3"]),
];

impl UNetConfig {
    pub(crate) fn from_json(json: &Json) -> Result<UNetConfig> {
        json.expect_values(UNUSED)?;
        let block_out_channels: Vec<usize> = json.required("block_out_channels")?;
        let levels = block_out_channels.len();
        let heads: OneOrMany = match json.optional("num_attention_heads")? {
            Some(heads) => heads,
            // diffusers named the number of heads `attention_head_dim` in the first UNets and kept it.
            None => json.optional("attention_head_dim")?.unwrap_or(OneOrMany::One(8)),
        };
        let blocks = |key: &str, known: [&str; 2]| -> Result<Vec<bool>> {
            let types: Vec<String> = json.required(key)?;
            if types.len() != levels {
                return Err(json.wrong(format!("`{key}`: expected {levels} blocks, found {}", types.len())));
            }
            types
                .iter()
                .map(|t| match known.iter().position(|k| k == t) {
                    Some(i) => Ok(i == 0),
                    None => Err(json.wrong(format!("`{key}`: expected {} or {}, found {t}", known[0], known[1]))),
                })
                .collect()
        };
        let addition = match json.optional::<String>("addition_embed_type")? {
            Some(_) => Some(Addition {
                size: json.required("addition_time_embed_dim")?,
                input: json.required("projection_class_embeddings_input_dim")?,
            }),
            None => None,
        };
        let config = UNetConfig {
            addition,
            in_channels: json.optional("in_channels")?.unwrap_or(4),
            out_channels: json.optional("out_channels")?.unwrap_or(4),
            layers_per_block: json.optional("layers_per_block")?.unwrap_or(2),
            down_attention: blocks("down_block_types", ["CrossAttnDownBlock2D", "DownBlock2D"])?,
            up_attention: blocks("up_block_types", ["CrossAttnUpBlock2D", "UpBlock2D"])?,
            heads: json.per_level("heads", heads, levels)?,
            transformer_layers: json.per_level(
                "transformer_layers_per_block",
                json.optional("transformer_layers_per_block")?.unwrap_or(OneOrMany::One(1)),
                levels,
            )?,
            cross_attention_dim: json.required("cross_attention_dim")?,
            norm_num_groups: json.optional("norm_num_groups")?.unwrap_or(32),
            norm_eps: json.optional("norm_eps")?.unwrap_or(1e-5),
            use_linear_projection: json.optional("use_linear_projection")?.unwrap_or(false),
            flip_sin_to_cos: json.optional("flip_sin_to_cos")?.unwrap_or(true),
            freq_shift: json.optional("freq_shift")?.unwrap_or(0.0),
            sample_size: json.optional::<serde_json::Value>("sample_size")?.and_then(|n| Some(n.as_u64()? as usize)),
            block_out_channels,
        };
        config.check().map_err(|what| json.wrong(what))?;
        Ok(config)
    }

    /// The UNet of Stable Diffusion 1.5: 860 million weights.
    pub(crate) fn sd15() -> UNetConfig {
        UNetConfig {
            in_channels: 4,
            out_channels: 4,
            block_out_channels: vec![320, 640, 1280, 1280],
            layers_per_block: 2,
            down_attention: vec![true, true, true, false],
            up_attention: vec![false, true, true, true],
            heads: vec![8; 4],
            transformer_layers: vec![1; 4],
            cross_attention_dim: 768,
            norm_num_groups: 32,
            norm_eps: 1e-5,
            use_linear_projection: false,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            sample_size: Some(64),
            addition: None,
        }
    }

    /// The UNet of Stable Diffusion 2.1: 866 million weights.
    pub(crate) fn sd21() -> UNetConfig {
        UNetConfig {
            heads: vec![5, 10, 20, 20],
            cross_attention_dim: 1024,
            use_linear_projection: true,
            sample_size: Some(96),
            ..UNetConfig::sd15()
        }
    }

    /// The UNet of SDXL base: 2.6 thousand million weights.
    pub(crate) fn sdxl() -> UNetConfig {
        UNetConfig {
            block_out_channels: vec![320, 640, 1280],
            down_attention: vec![false, true, true],
            up_attention: vec![true, true, false],
            heads: vec![5, 10, 20],
            transformer_layers: vec![1, 2, 10],
            cross_attention_dim: 2048,
            use_linear_projection: true,
            sample_size: Some(128),
            addition: Some(Addition { size: 256, input: 2816 }),
            ..UNetConfig::sd15()
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let channels = &self.block_out_channels;
        if channels.is_empty() || self.layers_per_block == 0 {
            return Err("a UNet needs at least one level and one layer".into());
        }
        for (level, &c) in channels.iter().enumerate() {
            if self.norm_num_groups == 0 || c % self.norm_num_groups != 0 {
                return Err(format!("{c} channels do not divide into {} norm groups", self.norm_num_groups));
            }
            if self.heads[level] == 0 || c % self.heads[level] != 0 {
                return Err(format!("{c} channels do not divide into {} heads", self.heads[level]));
            }
        }
        match self.addition {
            Some(addition) if addition.input <= 6 * addition.size => {
                Err(format!("{} features leave none for the pooled text beside 6 × {}", addition.input, addition.size))
            }
            _ => Ok(()),
        }
    }
}
