//! The names of an autoencoder's layers in the original code (LDM), and the shape of an autoencoder without a config.

use super::VaeConfig;
use crate::family::Shapes;
use crate::unet::infer::{count, dim, groups};
use crate::unet::names::number;

/// A key in the original naming → the module's name in diffusers. `levels` are those of the decoder.
pub(super) fn diffusers(key: &str, levels: usize) -> Option<String> {
    if key.starts_with("quant_conv.") || key.starts_with("post_quant_conv.") {
        return Some(key.to_owned());
    }
    let (half, rest) = key.split_once('.')?;
    if half != "encoder" && half != "decoder" {
        return None;
    }
    for (old, new) in [
        ("conv_in.", "conv_in."),
        ("conv_out.", "conv_out."),
        ("norm_out.", "conv_norm_out."),
        ("mid.block_1.", "mid_block.resnets.0."),
        ("mid.block_2.", "mid_block.resnets.1."),
        ("mid.attn_1.norm.", "mid_block.attentions.0.group_norm."),
        ("mid.attn_1.q.", "mid_block.attentions.0.to_q."),
        ("mid.attn_1.k.", "mid_block.attentions.0.to_k."),
        ("mid.attn_1.v.", "mid_block.attentions.0.to_v."),
        ("mid.attn_1.proj_out.", "mid_block.attentions.0.to_out.0."),
    ] {
        if let Some(rest) = rest.strip_prefix(old) {
            return Some(format!("{half}.{new}{rest}"));
        }
    }
    let (side, rest) = rest.split_once('.')?;
    let (index, rest) = number(rest)?;
    // The original code counts the decoder's levels from the largest image, diffusers in the order they run.
    let (level, resize) = match side {
        "down" => (format!("{half}.down_blocks.{index}"), "downsamplers.0"),
        "up" => (format!("{half}.up_blocks.{}", levels.checked_sub(index + 1)?), "upsamplers.0"),
        _ => return None,
    };
    if let Some(rest) = rest.strip_prefix("downsample.").or_else(|| rest.strip_prefix("upsample.")) {
        return Some(format!("{level}.{resize}.{rest}"));
    }
    let (j, rest) = number(rest.strip_prefix("block.")?)?;
    Some(format!("{level}.resnets.{j}.{}", rest.replace("nin_shortcut.", "conv_shortcut.")))
}

/// Older diffusers had other names for the attention.
pub(super) fn modern(key: &str) -> String {
    let mut name = key.to_owned();
    if key.contains(".mid_block.attentions.0.") {
        for (old, new) in
            [(".query.", ".to_q."), (".key.", ".to_k."), (".value.", ".to_v."), (".proj_attn.", ".to_out.0.")]
        {
            name = name.replace(old, new);
        }
    }
    name
}

/// Levels of an autoencoder in the original naming.
pub(super) fn levels(shapes: &Shapes) -> usize {
    count(shapes, "decoder.up.", ".block.0.conv1.weight")
}

/// The shape of an autoencoder from its tensors' shapes under diffusers' names. Its scale does not show in them.
pub(super) fn config(shapes: &Shapes) -> Result<VaeConfig, String> {
    let levels = count(shapes, "encoder.down_blocks.", ".resnets.0.conv1.weight");
    let channels = (0..levels)
        .map(|level| dim(shapes, &format!("encoder.down_blocks.{level}.resnets.0.conv1.weight"), 0))
        .collect::<Result<Vec<_>, _>>()?;
    let config = VaeConfig {
        in_channels: dim(shapes, "encoder.conv_in.weight", 1)?,
        out_channels: dim(shapes, "decoder.conv_out.weight", 0)?,
        latent_channels: dim(shapes, "decoder.conv_in.weight", 1)?,
        layers_per_block: count(shapes, "encoder.down_blocks.0.resnets.", ".conv1.weight"),
        norm_num_groups: groups(&channels),
        scaling_factor: None,
        shift_factor: None,
        use_quant_conv: shapes.contains_key("quant_conv.weight"),
        use_post_quant_conv: shapes.contains_key("post_quant_conv.weight"),
        block_out_channels: channels,
    };
    config.check()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_original_code_are_translated() {
        let vae = |key| diffusers(key, 4).unwrap_or_default();
        assert_eq!(vae("decoder.up.3.block.2.nin_shortcut.bias"), "decoder.up_blocks.0.resnets.2.conv_shortcut.bias");
        assert_eq!(vae("decoder.up.1.upsample.conv.bias"), "decoder.up_blocks.2.upsamplers.0.conv.bias");
        assert_eq!(vae("encoder.mid.attn_1.proj_out.bias"), "encoder.mid_block.attentions.0.to_out.0.bias");
        assert_eq!(vae("loss.logvar"), "");
    }

    #[test]
    fn names_of_older_diffusers_are_understood() {
        let old = "encoder.mid_block.attentions.0.proj_attn.weight";
        assert_eq!(modern(old), "encoder.mid_block.attentions.0.to_out.0.weight");
    }
}
