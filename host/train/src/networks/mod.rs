//! Networks as rows: what is trained on top of a frozen base. To add one: a file with its row, and a line in
//! [`NETWORKS`].

mod lora;

use crate::safetensors_file::Entry;
use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor, Var};
use models::{Adapter, Target};
use sample::rng::TorchCpu;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Every network, in the order in which menus and help show them.
pub const NETWORKS: &[Network] = &[lora::LORA];

/// One kind of network.
pub struct Network {
    /// Name in a configuration.
    pub name: &'static str,
    /// One line for help and menus.
    pub summary: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// `ss_network_module` in a file's metadata.
    pub module: &'static str,
    /// Makes the network of one layer, with its starting weights.
    pub build: fn(&Target, &Shape, &mut TorchCpu, &Device) -> Result<Built>,
}

/// How large a network is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    pub rank: usize,
    /// What is added is scaled by alpha / rank.
    pub alpha: f64,
}

/// The network of one layer.
pub struct Built {
    /// What the model applies at the layer; it sees changes of the variables.
    pub adapter: Arc<dyn Adapter>,
    /// Trained tensors with their names behind the layer's, such as `lora_down.weight`.
    pub tensors: Vec<(&'static str, Var)>,
    /// Constants that are saved with them.
    pub constants: Vec<(&'static str, f64)>,
}

/// Which layers get a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Targets {
    /// Queries, keys, values and outputs of attention.
    #[serde(rename = "attention")]
    Attention,
    /// Those and everything else in the transformer blocks: feed-forward layers, projections in and out. What
    /// sd-scripts trains by default.
    #[default]
    #[serde(rename = "attention+feed-forward")]
    AttentionFeedForward,
}

impl Targets {
    /// Is a layer of the UNet with this diffusers path among them?
    pub fn unet(self, path: &str) -> bool {
        let attention = [".attn1.", ".attn2.", "_attn.", ".linear1"].iter().any(|part| path.contains(part));
        match self {
            Self::Attention => attention,
            Self::AttentionFeedForward => {
                ["attentions.", "double_blocks.", "single_blocks."].iter().any(|part| path.contains(part))
            }
        }
    }

    /// Is a layer of the text encoder with this path among them?
    pub fn text(self, path: &str) -> bool {
        match self {
            Self::Attention => path.contains(".self_attn."),
            Self::AttentionFeedForward => path.contains(".self_attn.") || path.contains(".mlp."),
        }
    }
}

/// Which part of the base a trained tensor belongs to; parts have learning rates of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A text encoder, by its place in the family's order.
    Text(usize),
    /// The denoising network.
    Network,
}

/// One trained tensor.
pub struct Param {
    /// As in the saved file: `lora_unet_….lora_down.weight`.
    pub name: String,
    pub part: Part,
    /// What the model computes with.
    pub var: Var,
    /// The same values in host memory, which the optimizer works on.
    pub values: Vec<f32>,
    /// Multiplies the learning rate of its part.
    pub rate: f64,
}

impl Param {
    /// Copies the values to where the model computes.
    pub fn publish(&self) -> Result<()> {
        let tensor = Tensor::from_slice(&self.values, self.var.shape(), self.var.device())?;
        self.var.set(&tensor).with_context(|| format!("tensor `{}`", self.name))
    }
}

/// All tensors that are trained, and constants that are saved with them.
#[derive(Default)]
pub struct Trained {
    pub params: Vec<Param>,
    pub constants: Vec<(String, f64)>,
}

impl Trained {
    /// Adds the network of one layer.
    pub fn add(&mut self, target: &Target, part: Part, built: &Built) -> Result<()> {
        for (leaf, var) in &built.tensors {
            let values = var.flatten_all()?.to_vec1()?;
            self.params.push(Param {
                name: format!("{}.{leaf}", target.kohya),
                part,
                var: var.clone(),
                values,
                rate: 1.0,
            });
        }
        let constants = built.constants.iter().map(|(leaf, v)| (format!("{}.{leaf}", target.kohya), *v));
        self.constants.extend(constants);
        Ok(())
    }

    /// What a file holds.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let tensors = self.params.iter().map(|p| Entry {
            name: p.name.clone(),
            shape: p.var.dims().to_vec(),
            values: p.values.clone(),
        });
        let scalar = |(name, v): &(String, f64)| Entry { name: name.clone(), shape: vec![], values: vec![*v as f32] };
        tensors.chain(self.constants.iter().map(scalar)).collect()
    }

    /// Shapes of the trained tensors.
    pub fn shapes(&self) -> Vec<Vec<usize>> {
        self.params.iter().map(|p| p.var.dims().to_vec()).collect()
    }

    /// How many numbers are trained.
    pub fn size(&self) -> usize {
        self.params.iter().map(|p| p.values.len()).sum()
    }
}

/// The row with this name.
pub fn find(name: &str) -> Result<&'static Network> {
    match NETWORKS.iter().find(|n| n.name == name) {
        Some(row) => Ok(row),
        None => {
            let known: Vec<_> = NETWORKS.iter().map(|n| n.name).collect();
            bail!("unknown network `{name}`; known: {}", known.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_once_and_documented() {
        for (i, row) in NETWORKS.iter().enumerate() {
            assert!(NETWORKS[..i].iter().all(|r| r.name != row.name), "{}", row.name);
            assert!(!row.summary.is_empty() && !row.source.is_empty() && !row.module.is_empty(), "{}", row.name);
        }
        assert!(find("lorra").is_err_and(|e| e.to_string().contains("lora")));
    }

    #[test]
    fn presets_choose_layers_by_path() {
        let attn = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
        let ff = "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2";
        let conv = "down_blocks.0.resnets.0.conv1";
        assert!(Targets::Attention.unet(attn) && !Targets::Attention.unet(ff));
        assert!(Targets::AttentionFeedForward.unet(ff) && !Targets::AttentionFeedForward.unet(conv));
        assert!(Targets::AttentionFeedForward.unet("mid_block.attentions.0.proj_in"));
        assert!(!Targets::Attention.unet("mid_block.attentions.0.proj_in"));
        assert!(!Targets::Attention.text("text_model.encoder.layers.0.mlp.fc1"));
        let parsed: Targets = serde_json::from_str("\"attention+feed-forward\"").unwrap();
        assert_eq!(parsed, Targets::AttentionFeedForward);
    }
}
