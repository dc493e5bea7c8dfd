//! The names of a UNet's layers in diffusers and in the original code (LDM, and SGM for SDXL), both ways.

use crate::family::Shapes;

/// Layers outside of the numbered blocks: original, diffusers.
const OUTER: &[(&str, &str)] = &[
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("label_emb.0.0", "add_embedding.linear_1"),
    ("label_emb.0.2", "add_embedding.linear_2"),
    ("input_blocks.0.0", "conv_in"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
    ("middle_block.1", "mid_block.attentions.0"),
];

/// Residual blocks in the middle: original, diffusers.
const MIDDLE: &[(&str, &str)] = &[("middle_block.0", "mid_block.resnets.0"), ("middle_block.2", "mid_block.resnets.1")];

/// Layers of a residual block: original, diffusers.
const RESNET: &[(&str, &str)] = &[
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
];

/// A name in the original code, or a layer's path there → diffusers'. `layers` are the residual blocks of a level.
pub(crate) fn diffusers(name: &str, layers: usize) -> Option<String> {
    let each = layers + 1;
    if let Some((new, rest)) = replaced(name, OUTER, false) {
        return Some(format!("{new}{rest}"));
    }
    if let Some((new, rest)) = replaced(name, MIDDLE, false) {
        return Some(format!("{new}.{}", resnet(rest.strip_prefix('.')?, false)?));
    }
    let (side, rest) = name.split_once('.')?;
    let (index, rest) = number(rest)?;
    let (position, rest) = number(rest)?;
    match side {
        "input_blocks" => {
            let (level, j) = (index.checked_sub(1)? / each, (index - 1) % each);
            Some(match position {
                0 if j == layers => format!("down_blocks.{level}.downsamplers.0.conv{}", rest.strip_prefix("op")?),
                0 => format!("down_blocks.{level}.resnets.{j}.{}", resnet(rest, false)?),
                1 => format!("down_blocks.{level}.attentions.{j}.{rest}"),
                _ => return None,
            })
        }
        "output_blocks" => {
            let (level, j) = (index / each, index % each);
            Some(match (position, rest.strip_prefix("conv")) {
                (0, _) => format!("up_blocks.{level}.resnets.{j}.{}", resnet(rest, false)?),
                (_, Some(rest)) => format!("up_blocks.{level}.upsamplers.0.conv{rest}"),
                _ => format!("up_blocks.{level}.attentions.{j}.{rest}"),
            })
        }
        _ => None,
    }
}

/// The way back. `attention` says which levels on the way up have attention: the enlargement stands behind it.
pub(super) fn original(path: &str, layers: usize, attention: &[bool]) -> Option<String> {
    let each = layers + 1;
    if let Some((old, rest)) = replaced(path, OUTER, true) {
        return Some(format!("{old}{rest}"));
    }
    if let Some((old, rest)) = replaced(path, MIDDLE, true) {
        return Some(format!("{old}.{}", resnet(rest.strip_prefix('.')?, true)?));
    }
    let (side, rest) = path.split_once('.')?;
    let (level, rest) = number(rest)?;
    let (kind, rest) = rest.split_once('.')?;
    let (j, rest) = number(rest)?;
    let block = level * each + j;
    Some(match (side, kind) {
        ("down_blocks", "resnets") => format!("input_blocks.{}.0.{}", block + 1, resnet(rest, true)?),
        ("down_blocks", "attentions") => format!("input_blocks.{}.1.{rest}", block + 1),
        ("down_blocks", "downsamplers") => {
            format!("input_blocks.{}.0.op{}", level * each + layers + 1, rest.strip_prefix("conv")?)
        }
        ("up_blocks", "resnets") => format!("output_blocks.{block}.0.{}", resnet(rest, true)?),
        ("up_blocks", "attentions") => format!("output_blocks.{block}.1.{rest}"),
        ("up_blocks", "upsamplers") => {
            let position = if *attention.get(level)? { 2 } else { 1 };
            format!("output_blocks.{}.{position}.{rest}", level * each + layers)
        }
        _ => return None,
    })
}

/// Residual blocks of each level, from the names in the original code: as many as stand in front of the first halving.
pub(crate) fn layers(shapes: &Shapes) -> usize {
    let halving = (1..64).find(|i| shapes.contains_key(&format!("input_blocks.{i}.0.op.weight")));
    match halving {
        Some(index) => index - 1,
        None => (1..64).take_while(|i| shapes.contains_key(&format!("input_blocks.{i}.0.in_layers.2.weight"))).count(),
    }
}

fn resnet(rest: &str, back: bool) -> Option<String> {
    replaced(rest, RESNET, back).map(|(new, rest)| format!("{new}{rest}"))
}

/// The other name of the first layer that `name` begins with, and the rest of it.
fn replaced<'a>(name: &'a str, table: &[(&'static str, &'static str)], back: bool) -> Option<(&'static str, &'a str)> {
    table.iter().find_map(|(old, new)| {
        let (from, to) = if back { (new, old) } else { (old, new) };
        let rest = name.strip_prefix(from)?;
        (rest.is_empty() || rest.starts_with('.')).then_some((*to, rest))
    })
}

/// The number that a name begins with, and what follows behind its dot.
pub(crate) fn number(rest: &str) -> Option<(usize, &str)> {
    let (number, rest) = rest.split_once('.')?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sd15_are_translated_both_ways() {
        let attention = [false, true, true, true];
        for (old, new) in [
            ("input_blocks.3.0.op.bias", "down_blocks.0.downsamplers.0.conv.bias"),
            ("input_blocks.5.1.proj_in.weight", "down_blocks.1.attentions.1.proj_in.weight"),
            ("input_blocks.11.0.emb_layers.1.bias", "down_blocks.3.resnets.1.time_emb_proj.bias"),
            ("output_blocks.2.1.conv.weight", "up_blocks.0.upsamplers.0.conv.weight"),
            ("output_blocks.5.2.conv.weight", "up_blocks.1.upsamplers.0.conv.weight"),
            ("output_blocks.11.1.norm.bias", "up_blocks.3.attentions.2.norm.bias"),
            ("middle_block.2.out_layers.3.weight", "mid_block.resnets.1.conv2.weight"),
            ("middle_block.1.proj_out", "mid_block.attentions.0.proj_out"),
            ("time_embed.2", "time_embedding.linear_2"),
            ("label_emb.0.0.weight", "add_embedding.linear_1.weight"),
            ("out.2", "conv_out"),
        ] {
            assert_eq!(diffusers(old, 2).as_deref(), Some(new));
            assert_eq!(original(new, 2, &attention).as_deref(), Some(old));
        }
        assert_eq!(diffusers("nobody.knows", 2), None);
    }
}
