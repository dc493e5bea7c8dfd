//! Checkpoints in one file, in the layout of the original code (LDM): their keys in diffusers' names, and the networks'
//! shapes, which such a file does not state.

use crate::clip::{Activation, TextConfig};
use crate::family::Shapes;
use crate::unet::UNetConfig;
use crate::vae::VaeConfig;

pub(crate) const UNET: &str = "model.diffusion_model.";
pub(crate) const VAE: &str = "first_stage_model.";
pub(crate) const TEXT: &str = "cond_stage_model.transformer.";

/// A UNet key without its prefix → the module's name in diffusers. `layers` are those of a block.
pub(crate) fn unet_name(key: &str, layers: usize) -> Option<String> {
    let each = layers + 1;
    for (old, new) in [
        ("time_embed.0.", "time_embedding.linear_1."),
        ("time_embed.2.", "time_embedding.linear_2."),
        ("input_blocks.0.0.", "conv_in."),
        ("out.0.", "conv_norm_out."),
        ("out.2.", "conv_out."),
        ("middle_block.1.", "mid_block.attentions.0."),
    ] {
        if let Some(rest) = key.strip_prefix(old) {
            return Some(format!("{new}{rest}"));
        }
    }
    for (old, new) in [("middle_block.0.", "mid_block.resnets.0"), ("middle_block.2.", "mid_block.resnets.1")] {
        if let Some(rest) = key.strip_prefix(old) {
            return Some(format!("{new}.{}", resnet_name(rest)?));
        }
    }
    let (side, rest) = key.split_once('.')?;
    let (index, rest) = number(rest)?;
    let (position, rest) = number(rest)?;
    match side {
        "input_blocks" => {
            let (level, j) = (index.checked_sub(1)? / each, (index - 1) % each);
            Some(match position {
                0 if j == layers => format!("down_blocks.{level}.downsamplers.0.conv.{}", rest.strip_prefix("op.")?),
                0 => format!("down_blocks.{level}.resnets.{j}.{}", resnet_name(rest)?),
                1 => format!("down_blocks.{level}.attentions.{j}.{rest}"),
                _ => return None,
            })
        }
        "output_blocks" => {
            let (level, j) = (index / each, index % each);
            Some(match (position, rest.strip_prefix("conv.")) {
                (0, _) => format!("up_blocks.{level}.resnets.{j}.{}", resnet_name(rest)?),
                (_, Some(rest)) => format!("up_blocks.{level}.upsamplers.0.conv.{rest}"),
                _ => format!("up_blocks.{level}.attentions.{j}.{rest}"),
            })
        }
        _ => None,
    }
}

fn resnet_name(rest: &str) -> Option<String> {
    [
        ("in_layers.0.", "norm1."),
        ("in_layers.2.", "conv1."),
        ("emb_layers.1.", "time_emb_proj."),
        ("out_layers.0.", "norm2."),
        ("out_layers.3.", "conv2."),
        ("skip_connection.", "conv_shortcut."),
    ]
    .iter()
    .find_map(|(old, new)| Some(format!("{new}{}", rest.strip_prefix(old)?)))
}

/// A VAE key without its prefix → the module's name in diffusers. `levels` are those of the decoder.
pub(crate) fn vae_name(key: &str, levels: usize) -> Option<String> {
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

fn number(rest: &str) -> Option<(usize, &str)> {
    let (number, rest) = rest.split_once('.')?;
    Some((number.parse().ok()?, rest))
}

/// How many numbers follow each other from 0 as `{before}{n}{after}` among the keys.
fn count(shapes: &Shapes, before: &str, after: &str) -> usize {
    (0..).take_while(|n| shapes.contains_key(&format!("{before}{n}{after}"))).count()
}

fn dim(shapes: &Shapes, key: &str, at: usize) -> Result<usize, String> {
    shapes.get(key).and_then(|s| s.get(at)).copied().ok_or_else(|| format!("`{key}` is missing"))
}

/// Residual blocks of each level of a UNet: as many as stand in front of the first halving.
pub(crate) fn unet_layers(shapes: &Shapes) -> usize {
    let halving = (1..64).find(|i| shapes.contains_key(&format!("{UNET}input_blocks.{i}.0.op.weight")));
    match halving {
        Some(index) => index - 1,
        None => {
            (1..64).take_while(|i| shapes.contains_key(&format!("{UNET}input_blocks.{i}.0.in_layers.2.weight"))).count()
        }
    }
}

/// Groups that SD 1.x uses, or those of a smaller network if 32 do not fit.
fn groups(channels: &[usize]) -> usize {
    [32, 16, 8, 4, 2].into_iter().find(|g| channels.iter().all(|c| c % g == 0 && c > g)).unwrap_or(1)
}

/// The UNet's shape from its tensors' shapes. Heads and groups do not show in them: SD 1.x has 8 and 32.
pub(crate) fn unet_config(shapes: &Shapes) -> Result<UNetConfig, String> {
    let layers = unet_layers(shapes);
    if layers == 0 {
        return Err(format!("`{UNET}input_blocks.1.0.in_layers.2.weight` is missing"));
    }
    let mut channels = Vec::new();
    let mut attention = Vec::new();
    let mut depth = Vec::new();
    for level in 0..64 {
        let block = format!("{UNET}input_blocks.{}", level * (layers + 1) + 1);
        let Some(shape) = shapes.get(&format!("{block}.0.in_layers.2.weight")) else { break };
        channels.push(shape.first().copied().unwrap_or(0));
        attention.push(shapes.contains_key(&format!("{block}.1.proj_in.weight")));
        depth.push(count(shapes, &format!("{block}.1.transformer_blocks."), ".norm1.weight").max(1));
    }
    let levels = channels.len();
    let up_attention = (0..levels)
        .map(|i| shapes.contains_key(&format!("{UNET}output_blocks.{}.1.proj_in.weight", i * (layers + 1))))
        .collect();
    let middle = format!("{UNET}middle_block.1.");
    if let Some(last) = depth.last_mut() {
        *last = (*last).max(count(shapes, &format!("{middle}transformer_blocks."), ".norm1.weight"));
    }
    let config = UNetConfig {
        in_channels: dim(shapes, &format!("{UNET}input_blocks.0.0.weight"), 1)?,
        out_channels: dim(shapes, &format!("{UNET}out.2.weight"), 0)?,
        layers_per_block: layers,
        down_attention: attention,
        up_attention,
        heads: vec![8; levels],
        transformer_layers: depth,
        cross_attention_dim: dim(shapes, &format!("{middle}transformer_blocks.0.attn2.to_k.weight"), 1)?,
        norm_num_groups: groups(&channels),
        norm_eps: 1e-5,
        use_linear_projection: shapes.get(&format!("{middle}proj_in.weight")).is_some_and(|s| s.len() == 2),
        flip_sin_to_cos: true,
        freq_shift: 0.0,
        sample_size: None,
        block_out_channels: channels,
    };
    config.check()?;
    Ok(config)
}

/// The VAE's shape from its tensors' shapes.
pub(crate) fn vae_config(shapes: &Shapes) -> Result<VaeConfig, String> {
    let levels = vae_levels(shapes);
    let channels = (0..levels)
        .map(|level| dim(shapes, &format!("{VAE}encoder.down.{level}.block.0.conv1.weight"), 0))
        .collect::<Result<Vec<_>, _>>()?;
    let config = VaeConfig {
        in_channels: dim(shapes, &format!("{VAE}encoder.conv_in.weight"), 1)?,
        out_channels: dim(shapes, &format!("{VAE}decoder.conv_out.weight"), 0)?,
        latent_channels: dim(shapes, &format!("{VAE}decoder.conv_in.weight"), 1)?,
        layers_per_block: count(shapes, &format!("{VAE}encoder.down.0.block."), ".conv1.weight"),
        norm_num_groups: groups(&channels),
        scaling_factor: crate::family::SD1.latent.scaling,
        shift_factor: crate::family::SD1.latent.shift,
        use_quant_conv: shapes.contains_key(&format!("{VAE}quant_conv.weight")),
        use_post_quant_conv: shapes.contains_key(&format!("{VAE}post_quant_conv.weight")),
        block_out_channels: channels,
    };
    config.check()?;
    Ok(config)
}

pub(crate) fn vae_levels(shapes: &Shapes) -> usize {
    count(shapes, &format!("{VAE}encoder.down."), ".block.0.conv1.weight")
}

/// The text encoder's shape from its tensors' shapes; `prefix` stands in front of `embeddings.`. CLIP has heads of 64.
pub(crate) fn text_config(shapes: &Shapes, prefix: &str) -> Result<TextConfig, String> {
    let tokens = format!("{prefix}embeddings.token_embedding.weight");
    let hidden = dim(shapes, &tokens, 1)?;
    let layers = format!("{prefix}encoder.layers.");
    let config = TextConfig {
        vocab_size: dim(shapes, &tokens, 0)?,
        hidden_size: hidden,
        intermediate_size: dim(shapes, &format!("{layers}0.mlp.fc1.weight"), 0)?,
        num_hidden_layers: count(shapes, &layers, ".mlp.fc1.weight"),
        num_attention_heads: (hidden / 64).max(1),
        max_position_embeddings: dim(shapes, &format!("{prefix}embeddings.position_embedding.weight"), 0)?,
        hidden_act: Activation::QuickGelu,
        layer_norm_eps: 1e-5,
        eos_token_id: 2,
    };
    config.check()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sd15_are_translated() {
        let unet = |key| unet_name(key, 2).unwrap_or_default();
        assert_eq!(unet("input_blocks.3.0.op.bias"), "down_blocks.0.downsamplers.0.conv.bias");
        assert_eq!(unet("input_blocks.5.1.proj_in.weight"), "down_blocks.1.attentions.1.proj_in.weight");
        assert_eq!(unet("input_blocks.11.0.emb_layers.1.bias"), "down_blocks.3.resnets.1.time_emb_proj.bias");
        assert_eq!(unet("output_blocks.2.1.conv.weight"), "up_blocks.0.upsamplers.0.conv.weight");
        assert_eq!(unet("output_blocks.5.2.conv.weight"), "up_blocks.1.upsamplers.0.conv.weight");
        assert_eq!(unet("output_blocks.11.1.norm.bias"), "up_blocks.3.attentions.2.norm.bias");
        assert_eq!(unet("middle_block.2.out_layers.3.weight"), "mid_block.resnets.1.conv2.weight");
        assert_eq!(unet("label_emb.0.0.weight"), "");
        let vae = |key| vae_name(key, 4).unwrap_or_default();
        assert_eq!(vae("decoder.up.3.block.2.nin_shortcut.bias"), "decoder.up_blocks.0.resnets.2.conv_shortcut.bias");
        assert_eq!(vae("decoder.up.1.upsample.conv.bias"), "decoder.up_blocks.2.upsamplers.0.conv.bias");
        assert_eq!(vae("encoder.mid.attn_1.proj_out.bias"), "encoder.mid_block.attentions.0.to_out.0.bias");
        assert_eq!(vae("loss.logvar"), "");
    }
}
