//! The names of a ControlNet's layers in the original code → diffusers'.

use crate::unet::names::{self, number};

/// `layers` are the residual blocks of a level.
pub(super) fn diffusers(name: &str, layers: usize) -> Option<String> {
    if let Some(rest) = name.strip_prefix("input_hint_block.") {
        // A SiLU stands behind every convolution but the last.
        let (index, rest) = number(rest)?;
        return Some(match index / 2 {
            0 => format!("controlnet_cond_embedding.conv_in.{rest}"),
            7 => format!("controlnet_cond_embedding.conv_out.{rest}"),
            n => format!("controlnet_cond_embedding.blocks.{}.{rest}", n - 1),
        });
    }
    if let Some(rest) = name.strip_prefix("zero_convs.") {
        let (index, rest) = number(rest)?;
        return Some(format!("controlnet_down_blocks.{index}.{}", rest.strip_prefix("0.")?));
    }
    match name.strip_prefix("middle_block_out.0.") {
        Some(rest) => Some(format!("controlnet_mid_block.{rest}")),
        None => names::diffusers(name, layers),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_of_the_original_code_are_translated() {
        for (old, new) in [
            ("input_hint_block.0.weight", "controlnet_cond_embedding.conv_in.weight"),
            ("input_hint_block.2.bias", "controlnet_cond_embedding.blocks.0.bias"),
            ("input_hint_block.12.weight", "controlnet_cond_embedding.blocks.5.weight"),
            ("input_hint_block.14.bias", "controlnet_cond_embedding.conv_out.bias"),
            ("zero_convs.11.0.weight", "controlnet_down_blocks.11.weight"),
            ("middle_block_out.0.bias", "controlnet_mid_block.bias"),
            ("input_blocks.1.0.in_layers.2.weight", "down_blocks.0.resnets.0.conv1.weight"),
            ("middle_block.1.proj_in.weight", "mid_block.attentions.0.proj_in.weight"),
        ] {
            assert_eq!(super::diffusers(old, 2).as_deref(), Some(new));
        }
        assert_eq!(super::diffusers("output_hint_block.0.weight", 2), None);
    }
}
