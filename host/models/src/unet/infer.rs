//! The shape of a UNet from the shapes of its tensors, for files without a config.

use super::config::{Addition, UNetConfig};
use crate::family::Shapes;

/// How many heads a UNet's attention has, which does not show in shapes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heads {
    /// So many at every level.
    Count(usize),
    /// As many as have so many features each.
    Size(usize),
}

impl Heads {
    fn of(self, channels: usize) -> usize {
        match self {
            // Fewer in a network that is narrower than any of full size.
            Heads::Count(count) => (1..=count).rev().find(|n| channels.is_multiple_of(*n)).unwrap_or(1),
            Heads::Size(size) => (channels / size).max(1),
        }
    }
}

/// Features of each of the picture's sizes, in every model that takes them.
const SIZE_FEATURES: usize = 256;

/// `shapes` under diffusers' names. What does not show in them is as in the full-size models.
pub(crate) fn config(shapes: &Shapes, heads: Heads) -> Result<UNetConfig, String> {
    let layers = count(shapes, "down_blocks.0.resnets.", ".conv1.weight");
    if layers == 0 {
        return Err(
            "expected a UNet, found no `down_blocks.0.resnets.0.conv1.weight` or `input_blocks.1.0.in_layers.2.weight`"
                .into(),
        );
    }
    let mut channels = Vec::new();
    let mut attention = Vec::new();
    let mut depth = Vec::new();
    for level in 0.. {
        let block = format!("down_blocks.{level}");
        let Some(shape) = shapes.get(&format!("{block}.resnets.0.conv1.weight")) else { break };
        channels.push(shape.first().copied().unwrap_or(0));
        attention.push(shapes.contains_key(&format!("{block}.attentions.0.proj_in.weight")));
        depth.push(count(shapes, &format!("{block}.attentions.0.transformer_blocks."), ".norm1.weight").max(1));
    }
    let levels = channels.len();
    let up_attention =
        (0..levels).map(|i| shapes.contains_key(&format!("up_blocks.{i}.attentions.0.proj_in.weight"))).collect();
    let middle = "mid_block.attentions.0.";
    if let Some(last) = depth.last_mut() {
        *last = (*last).max(count(shapes, &format!("{middle}transformer_blocks."), ".norm1.weight"));
    }
    let addition = match dim(shapes, "add_embedding.linear_1.weight", 1) {
        Err(_) => None,
        Ok(input) if input > 6 * SIZE_FEATURES => Some(Addition { size: SIZE_FEATURES, input }),
        Ok(input) => {
            return Err(format!(
                "the size condition has {input} features, fewer than 6 × {SIZE_FEATURES}: this is no full-size SDXL, \
                 and its shape cannot be told from the file alone; load it as a diffusers folder"
            ));
        }
    };
    let config = UNetConfig {
        in_channels: dim(shapes, "conv_in.weight", 1)?,
        out_channels: dim(shapes, "conv_out.weight", 0)?,
        layers_per_block: layers,
        down_attention: attention,
        up_attention,
        heads: channels.iter().map(|&c| heads.of(c)).collect(),
        transformer_layers: depth,
        cross_attention_dim: dim(shapes, &format!("{middle}transformer_blocks.0.attn2.to_k.weight"), 1)?,
        norm_num_groups: groups(&channels),
        norm_eps: 1e-5,
        use_linear_projection: shapes.get(&format!("{middle}proj_in.weight")).is_some_and(|s| s.len() == 2),
        flip_sin_to_cos: true,
        freq_shift: 0.0,
        sample_size: None,
        addition,
        block_out_channels: channels,
    };
    config.check()?;
    Ok(config)
}

/// Groups of the full-size networks, or those of a smaller network if 32 do not fit.
pub(crate) fn groups(channels: &[usize]) -> usize {
    [32, 16, 8, 4, 2].into_iter().find(|g| channels.iter().all(|c| c % g == 0 && c > g)).unwrap_or(1)
}

/// How many numbers follow each other from 0 as `{before}{n}{after}` among the keys.
pub(crate) fn count(shapes: &Shapes, before: &str, after: &str) -> usize {
    (0..).take_while(|n| shapes.contains_key(&format!("{before}{n}{after}"))).count()
}

/// One side of a tensor.
pub(crate) fn dim(shapes: &Shapes, key: &str, at: usize) -> Result<usize, String> {
    shapes.get(key).and_then(|s| s.get(at)).copied().ok_or_else(|| format!("`{key}` is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::TargetKind;
    use crate::unet::{Naming, full_size};
    use crate::weights::Part;

    #[test]
    fn shapes_of_full_size_networks_give_their_configs() {
        for (wanted, heads) in [
            (UNetConfig::sd15(), Heads::Count(8)),
            (UNetConfig::sd21(), Heads::Size(64)),
            (UNetConfig::sdxl(), Heads::Size(64)),
        ] {
            let network = full_size(wanted.clone(), &mut Part::random(1), Naming::Diffusers).unwrap();
            let layers = network.targets().into_iter().map(|target| {
                let shape = match target.shape {
                    TargetKind::Linear { inp, out } => vec![out, inp],
                    TargetKind::Conv { inp, out, kernel } => vec![out, inp, kernel, kernel],
                };
                (format!("{}.weight", target.path), shape)
            });
            let norms =
                network.norm_targets().into_iter().map(|norm| (format!("{}.weight", norm.path), vec![norm.width]));
            let found = config(&layers.chain(norms).collect(), heads).unwrap();
            assert_eq!(found, UNetConfig { sample_size: None, ..wanted });
        }
    }

    #[test]
    fn a_size_condition_that_cannot_be_told_is_an_error() {
        let network = UNetConfig { addition: Some(Addition { size: 16, input: 120 }), ..UNetConfig::sdxl() };
        let network = full_size(network, &mut Part::random(1), Naming::Original).unwrap();
        let shape = |target: crate::Target| match target.shape {
            TargetKind::Linear { inp, out } => (format!("{}.weight", target.path), vec![out, inp]),
            TargetKind::Conv { inp, out, kernel } => {
                (format!("{}.weight", target.path), vec![out, inp, kernel, kernel])
            }
        };
        let shapes = network.targets().into_iter().map(shape).collect();
        assert!(config(&shapes, Heads::Size(64)).unwrap_err().contains("diffusers folder"));
    }
}
