//! Which layers get a network, and of which size: presets by what a layer is, and rules by its name.

use super::{Part, Shape};
use crate::config::NetworkOptions;
use anyhow::{Context, Result, bail};
use models::{Target, TargetKind};
use regex::Regex;
use serde::{Deserialize, Serialize};

/// Which layers get a network. Each set but the last holds the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Targets {
    /// Queries, keys, values and outputs of attention. Flux's single blocks have them in one matrix with their
    /// feed-forward layers, which counts as attention.
    #[serde(rename = "attention")]
    Attention,
    /// Those and everything else in the transformer blocks: feed-forward layers, projections in and out, Flux's
    /// modulations. What sd-scripts trains by default.
    #[default]
    #[serde(rename = "attention+feed-forward")]
    AttentionFeedForward,
    /// All linear layers and 1×1 convolutions of all blocks: in UNets also the residual blocks' time projections and
    /// shortcuts.
    #[serde(rename = "linear")]
    Linear,
    /// All layers of all blocks, with the 3×3 convolutions of residual blocks, down- and upsamplers: what sd-scripts
    /// trains with `conv_dim`, called LoCon.
    #[serde(rename = "linear+conv")]
    LinearConv,
    /// Only what `layers` names.
    #[serde(rename = "layers")]
    Layers,
}

/// Parts of the paths of layers that are attention: UNets, CLIP, T5, Flux' double and single blocks.
const ATTENTION: &[&str] =
    &[".attn1.", ".attn2.", ".self_attn.", ".SelfAttention.", ".img_attn.", ".txt_attn.", ".linear1", ".linear2"];
/// Of layers of transformer blocks, with those around them in UNets.
const TRANSFORMERS: &[&str] =
    &["attentions.", ".self_attn.", ".mlp.", ".SelfAttention.", ".DenseReluDense.", "double_blocks.", "single_blocks."];
/// Of other blocks.
const BLOCKS: &[&str] = &["resnets.", "downsamplers.", "upsamplers."];

impl Targets {
    /// Is this layer among them?
    pub fn covers(self, target: &Target) -> bool {
        let any = |parts: &[&str]| parts.iter().any(|part| target.path.contains(part));
        let wide = matches!(target.shape, TargetKind::Conv { kernel, .. } if kernel > 1);
        match self {
            Self::Attention => any(ATTENTION) && !wide,
            Self::AttentionFeedForward => any(TRANSFORMERS) && !wide,
            Self::Linear => (any(TRANSFORMERS) || any(BLOCKS)) && !wide,
            Self::LinearConv => any(TRANSFORMERS) || any(BLOCKS),
            Self::Layers => false,
        }
    }
}

/// Layers with a rank of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerRule {
    /// A regular expression that is looked for in the layer's path in diffusers, in the original code, and in its name in
    /// kohya's files. The first rule that fits a layer holds.
    pub pattern: String,
    /// Rank of these layers, whether `targets` has them or not; 0 leaves them out.
    pub rank: usize,
    /// Default: the same scale as the other layers'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
}

impl LayerRule {
    pub(crate) fn regex(&self) -> Result<Regex> {
        Regex::new(&self.pattern).with_context(|| format!("`layers`: {:?} is no regular expression", self.pattern))
    }
}

/// A layer that gets a network.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub part: Part,
    pub target: Target,
    pub shape: Shape,
}

/// Those of `layers` that get a network, in their order.
///
/// # Errors
/// A rule fits none of them.
pub(super) fn choose(options: &NetworkOptions, layers: Vec<(Part, Target)>) -> Result<Vec<Chosen>> {
    let rules = options.layers.iter().map(LayerRule::regex).collect::<Result<Vec<_>>>()?;
    let mut used = vec![false; rules.len()];
    let mut chosen = Vec::new();
    for (part, target) in &layers {
        let names = [&target.path, &target.original, &target.kohya];
        let fits = |rule: &Regex| names.iter().any(|name| rule.is_match(name));
        // A rule behind another that takes all of its layers is not useless: it may hold for another base.
        rules.iter().zip(&mut used).filter(|(rule, _)| fits(rule)).for_each(|(_, used)| *used = true);
        let shape = match rules.iter().position(fits) {
            Some(i) => options.ruled(&options.layers[i]),
            None if options.targets.covers(target) => options.shape(&target.shape),
            None => continue,
        };
        if shape.rank > 0 {
            chosen.push(Chosen { part: *part, target: target.clone(), shape });
        }
    }
    if let Some(i) = used.iter().position(|used| !used) {
        let step = (layers.len() / 6).max(1);
        let some: Vec<&str> = layers.iter().step_by(step).map(|(_, target)| target.path.as_str()).collect();
        bail!(
            "`layers`: {:?} fits none of the {} layers that can be trained, which are for example {}",
            options.layers[i].pattern,
            layers.len(),
            some.join(", ")
        );
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use serde_json::json;

    fn layer(path: &str, kernel: usize) -> Target {
        let shape = match kernel {
            0 => TargetKind::Linear { inp: 8, out: 8 },
            kernel => TargetKind::Conv { inp: 8, out: 8, kernel },
        };
        let kohya = format!("lora_unet_{}", path.replace('.', "_"));
        Target { path: path.into(), kohya, original: path.into(), shape }
    }

    const LAYERS: &[(&str, usize, usize)] = &[
        // Path, kernel, how many of the four sets do without it.
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", 0, 0),
        ("mid_block.attentions.0.transformer_blocks.0.ff.net.2", 0, 1),
        ("mid_block.attentions.0.proj_in", 1, 1),
        ("down_blocks.0.resnets.0.time_emb_proj", 0, 2),
        ("down_blocks.1.resnets.0.conv_shortcut", 1, 2),
        ("down_blocks.0.resnets.0.conv1", 3, 3),
        ("down_blocks.0.downsamplers.0.conv", 3, 3),
        ("conv_in", 3, 4),
        ("time_embedding.linear_1", 0, 4),
        ("text_model.encoder.layers.0.self_attn.q_proj", 0, 0),
        ("text_model.encoder.layers.0.mlp.fc1", 0, 1),
        ("text_projection", 0, 4),
        ("double_blocks.3.img_attn.qkv", 0, 0),
        ("double_blocks.3.txt_mod.lin", 0, 1),
        ("single_blocks.3.linear2", 0, 0),
        ("single_blocks.3.modulation.lin", 0, 1),
        ("img_in", 0, 4),
        ("final_layer.linear", 0, 4),
    ];

    #[test]
    fn presets_choose_layers_by_path() {
        let sets = [Targets::Attention, Targets::AttentionFeedForward, Targets::Linear, Targets::LinearConv];
        for (path, kernel, without) in LAYERS {
            for (i, set) in sets.iter().enumerate() {
                assert_eq!(set.covers(&layer(path, *kernel)), i >= *without, "{path} in {set:?}");
            }
            assert!(!Targets::Layers.covers(&layer(path, *kernel)));
        }
        let parsed: Targets = serde_json::from_str("\"attention+feed-forward\"").unwrap();
        assert_eq!(parsed, Targets::default());
    }

    fn chosen(changes: serde_json::Value) -> Result<Vec<(String, usize, f64)>> {
        let options = Config::default().with(changes)?.network;
        let layers = LAYERS.iter().map(|(path, kernel, _)| (Part::Network, layer(path, *kernel))).collect();
        let chosen = choose(&options, layers)?;
        Ok(chosen.into_iter().map(|c| (c.target.path, c.shape.rank, c.shape.alpha)).collect())
    }

    #[test]
    fn rules_have_ranks_of_their_own() {
        let found = chosen(json!({"targets": "layers", "rank": 8, "alpha": 4.0, "layers": [
            {"pattern": r"\.mlp\.", "rank": 0},
            {"pattern": "lora_unet_text_model", "rank": 2},
            {"pattern": "^(img_in|conv_in)$", "rank": 6, "alpha": 1.5},
        ]}));
        let wanted =
            [("conv_in", 6, 1.5), ("text_model.encoder.layers.0.self_attn.q_proj", 2, 1.0), ("img_in", 6, 1.5)];
        assert_eq!(found.unwrap(), wanted.map(|(path, rank, alpha)| (path.to_owned(), rank, alpha)));
        let found = chosen(json!({"targets": "linear+conv", "rank": 8, "alpha": 4.0, "conv_rank": 2})).unwrap();
        let of = |path: &str| found.iter().find(|f| f.0 == path).map(|f| (f.1, f.2));
        assert_eq!(of("down_blocks.0.resnets.0.conv1"), Some((2, 1.0)));
        assert_eq!(of("down_blocks.1.resnets.0.conv_shortcut"), Some((8, 4.0)));
    }

    #[test]
    fn a_rule_that_fits_nothing_is_an_error_with_examples() {
        let error = chosen(json!({"layers": [{"pattern": "atn1", "rank": 4}]})).unwrap_err().to_string();
        assert!(error.contains("atn1") && error.contains("attn1.to_q"), "{error}");
        let error = chosen(json!({"layers": [{"pattern": "(", "rank": 4}]})).unwrap_err().to_string();
        assert!(error.contains("regular expression"), "{error}");
    }
}
