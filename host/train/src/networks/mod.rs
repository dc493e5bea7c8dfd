//! Networks as rows: what is trained on top of a frozen base. To add one: a file with its row, and a line in
//! [`NETWORKS`].

mod attach;
mod chance;
mod dora;
mod loha;
mod lokr;
mod lora;
mod naming;
mod size;
mod start;
mod targets;
mod warm;

pub use attach::{Attached, attach};
pub use chance::{Chance, Rates};
pub use naming::Naming;
pub use size::{Sizes, predicted_size, sizes};
pub use targets::{Chosen, LayerRule, Targets};

use crate::config::NetworkOptions;
use crate::safetensors_file::{Entry, SaveDtype, serialize};
use anyhow::{Context, Result, bail};
use candle_core::{Tensor, Var};
use chance::{Drawn, Drops};
use models::{Adapter, TargetKind};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every network, in the order in which menus and help show them.
pub const NETWORKS: &[Network] = &[lora::LORA, loha::LOHA, lokr::LOKR, dora::DORA];

/// One kind of network.
pub struct Network {
    /// Name in a configuration.
    pub name: &'static str,
    /// One line for help and menus.
    pub summary: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// `ss_network_module` in a file's metadata. None: the one that sd-scripts has for LoRA on the family.
    pub module: Option<&'static str>,
    /// What `ss_network_args` has for this kind, for those of LyCORIS.
    pub arguments: &'static [(&'static str, &'static str)],
    /// Whether a file can have PEFT's names, which have no place for an alpha.
    pub peft: bool,
    /// Whether there are neurons that `dropout` can leave out.
    pub neurons: bool,
    /// Tensors whose learning rate LoRA+ raises.
    pub ups: &'static [&'static str],
    /// Whether `lokr_factor` means something.
    pub factored: bool,
    /// The tensors of one layer, in the order in which their values are drawn. With starting weights the change is zero.
    pub leaves: fn(&TargetKind, &Shape) -> Vec<Leaf>,
    /// The alpha that is saved.
    pub alpha: fn(&TargetKind, &Shape) -> f64,
    /// Puts the tensors, in the order of the leaves, to work at a layer.
    pub(crate) build: fn(Parts) -> Result<Built>,
}

/// What the model applies at a layer; it sees changes of the variables.
pub(crate) type Built = Arc<dyn Adapter>;

/// How large the network of a layer is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    pub rank: usize,
    /// What is added is scaled by alpha / rank.
    pub alpha: f64,
    /// LoKr's factor. None: the one that makes both matrices as small as can be.
    pub factor: Option<usize>,
}

/// A trained tensor of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// What stands behind the layer's name, such as `lora_down.weight`.
    pub name: &'static str,
    pub shape: Vec<usize>,
    pub start: Start,
}

/// What a tensor starts as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// Zeros; the change of the weight is linear in such a tensor.
    Zeros,
    /// torch's `kaiming_uniform_(a = √5)`.
    Kaiming,
    /// Normal with this spread.
    Normal(f32),
    /// The norm of each row of the layer's weight.
    RowNorms,
}

impl Leaf {
    pub(crate) fn new(name: &'static str, shape: Vec<usize>, start: Start) -> Self {
        Self { name, shape, start }
    }
}

/// What the network of one layer is made of.
pub(crate) struct Parts {
    pub(crate) kind: TargetKind,
    /// In the order of the row's leaves.
    pub(crate) vars: Vec<Var>,
    /// alpha / rank
    pub(crate) scale: f64,
    pub(crate) drops: Drops,
    /// Norms of the weight's rows (out,), if a leaf starts as them.
    pub(crate) row_norms: Option<Tensor>,
}

impl Parts {
    fn tensors<const N: usize>(&self) -> Result<[Var; N]> {
        let found = self.vars.len();
        self.vars.clone().try_into().ok().with_context(|| format!("expected {N} tensors, found {found}"))
    }

    /// What a change gives (…, out), with those of its rows left out that were drawn.
    fn without_rows(&self, drawn: Option<Drawn>, added: Tensor) -> candle_core::Result<Tensor> {
        let Some(mut drawn) = drawn else { return Ok(added) };
        match drawn.rows(rows(&self.kind)[0], added.device())? {
            Some(rows) => added.broadcast_mul(&rows),
            None => Ok(added),
        }
    }
}

/// The shape of a layer's weight.
fn dims(kind: &TargetKind) -> Vec<usize> {
    match *kind {
        TargetKind::Linear { inp, out } => vec![out, inp],
        TargetKind::Conv { inp, out, kernel } => vec![out, inp, kernel, kernel],
    }
}

/// A layer's weight as a matrix: outputs, and values for each.
fn rows(kind: &TargetKind) -> [usize; 2] {
    let dims = dims(kind);
    [dims[0], dims[1..].iter().product()]
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
    /// In kohya's naming: `lora_unet_….lora_down.weight`.
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
    /// How the saved file names them; none: as they are named here.
    pub(crate) names: Option<naming::Peft>,
}

impl Trained {
    /// What a file holds.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let tensors = self.params.iter().map(|p| Entry {
            name: p.name.clone(),
            shape: p.var.dims().to_vec(),
            values: p.values.clone(),
        });
        let scalar = |(name, v): &(String, f64)| Entry { name: name.clone(), shape: vec![], values: vec![*v as f32] };
        let entries = tensors.chain(self.constants.iter().map(scalar)).collect();
        match &self.names {
            None => entries,
            Some(names) => names.entries(entries),
        }
    }

    /// The bytes of a file that holds them, without metadata.
    pub fn file(&self, dtype: SaveDtype) -> Vec<u8> {
        serialize(&self.entries(), dtype, &BTreeMap::new())
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

/// `ss_network_args` of a file: what sd-scripts and LyCORIS would have been asked for, as their command lines write it.
pub(crate) fn arguments(options: &NetworkOptions) -> Result<Map<String, Value>> {
    let row = find(&options.kind)?;
    let mut all: Vec<(&str, String)> = row.arguments.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    if row.factored {
        all.push(("factor", options.lokr_factor.map_or("-1".into(), |factor| factor.to_string())));
    }
    if options.targets == Targets::LinearConv {
        let shape = options.shape(&TargetKind::Conv { inp: 1, out: 1, kernel: 3 });
        all.push(("conv_dim", shape.rank.to_string()));
        all.push(("conv_alpha", format!("{:?}", shape.alpha)));
    }
    let optional = [
        ("rank_dropout", options.rank_dropout),
        ("module_dropout", options.module_dropout),
        ("loraplus_lr_ratio", options.loraplus_lr_ratio.unwrap_or(0.0)),
    ];
    all.extend(optional.into_iter().filter(|(_, v)| *v != 0.0).map(|(key, v)| (key, format!("{v:?}"))));
    all.push(("targets", serde_json::to_value(options.targets)?.as_str().unwrap_or_default().to_owned()));
    let mut map: Map<String, Value> = all.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    if !options.layers.is_empty() {
        map.insert("layers".into(), serde_json::to_value(&options.layers)?);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_once_and_documented() {
        for (i, row) in NETWORKS.iter().enumerate() {
            assert!(NETWORKS[..i].iter().all(|r| r.name != row.name), "{}", row.name);
            assert!(!row.summary.is_empty() && !row.source.is_empty(), "{}", row.name);
            assert!(row.module.is_some() != row.arguments.is_empty(), "{}", row.name);
        }
        assert!(find("lorra").is_err_and(|e| e.to_string().contains("lora")));
    }

    #[test]
    fn leaves_are_those_that_are_read_and_the_change_starts_at_zero() {
        let shape = Shape { rank: 4, alpha: 2.0, factor: None };
        for row in NETWORKS {
            for kind in [TargetKind::Linear { inp: 60, out: 40 }, TargetKind::Conv { inp: 60, out: 40, kernel: 3 }] {
                let leaves = (row.leaves)(&kind, &shape);
                assert!(leaves.iter().any(|leaf| leaf.start == Start::Zeros), "{}", row.name);
                for up in row.ups {
                    assert!(leaves.iter().any(|leaf| leaf.name == *up), "{}: {up}", row.name);
                }
                for leaf in leaves {
                    let end = format!(".{}", leaf.name);
                    assert!(models::lora::peft_end(&end).is_some(), "{}: {end}", row.name);
                }
            }
        }
    }

    #[test]
    fn arguments_are_those_of_the_peers() {
        let options = |json| crate::Config::default().with(json).unwrap().network;
        let found = arguments(&options(serde_json::json!({"network": "lokr", "lokr_factor": 8, "rank": 4,
            "targets": "linear+conv", "conv_rank": 2, "module_dropout": 0.1})));
        let wanted = serde_json::json!({"algo": "lokr", "factor": "8", "conv_dim": "2", "conv_alpha": "2.0",
            "module_dropout": "0.1", "targets": "linear+conv"});
        assert_eq!(Value::Object(found.unwrap()), wanted);
    }
}
