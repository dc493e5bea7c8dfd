//! The ends of keys: which tensor of a module a key is, however the program that wrote it spells that.

use super::{Leaves, Stored};
use crate::error::Error;
use crate::weights::WeightFile;
use candle_core::{Device, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A tensor that a module can have.
pub(crate) struct Leaf {
    /// The name by which the kinds ask for it.
    pub(crate) name: &'static str,
    /// As kohya's programs, LyCORIS and ComfyUI write it.
    pub(crate) kohya: &'static str,
    /// As PEFT and diffusers write it.
    pub(crate) peft: &'static str,
    /// Other spellings that are read.
    pub(crate) others: &'static [&'static str],
}

const fn same(name: &'static str, end: &'static str) -> Leaf {
    Leaf { name, kohya: end, peft: end, others: &[] }
}

/// All leaves. `.weight` of IA3 is read only beside `.on_input`: alone it is a checkpoint's key.
pub(crate) const LEAVES: &[Leaf] = &[
    Leaf {
        name: "lora_down",
        kohya: ".lora_down.weight",
        peft: ".lora_A.weight",
        others: &[
            ".lora_A.default.weight",
            ".lora_A",
            ".lora.down.weight",
            ".lora_linear_layer.down.weight",
            "_lora.down.weight",
        ],
    },
    Leaf {
        name: "lora_up",
        kohya: ".lora_up.weight",
        peft: ".lora_B.weight",
        others: &[
            ".lora_B.default.weight",
            ".lora_B",
            ".lora.up.weight",
            ".lora_linear_layer.up.weight",
            "_lora.up.weight",
        ],
    },
    Leaf {
        name: "lora_up_bias",
        kohya: ".lora_up.bias",
        peft: ".lora_B.bias",
        others: &[".lora_B.default.bias", ".lora.up.bias"],
    },
    same("lora_mid", ".lora_mid.weight"),
    Leaf {
        name: "alpha",
        kohya: ".alpha",
        peft: ".alpha",
        others: &["_lora.alpha", ".lora.alpha", ".lora_linear_layer.alpha"],
    },
    Leaf {
        name: "dora_scale",
        kohya: ".dora_scale",
        peft: ".lora_magnitude_vector.weight",
        others: &[".lora_magnitude_vector", ".lora_magnitude_vector.default.weight"],
    },
    same("hada_w1_a", ".hada_w1_a"),
    same("hada_w1_b", ".hada_w1_b"),
    same("hada_w2_a", ".hada_w2_a"),
    same("hada_w2_b", ".hada_w2_b"),
    same("hada_t1", ".hada_t1"),
    same("hada_t2", ".hada_t2"),
    same("lokr_w1", ".lokr_w1"),
    same("lokr_w1_a", ".lokr_w1_a"),
    same("lokr_w1_b", ".lokr_w1_b"),
    same("lokr_w2", ".lokr_w2"),
    same("lokr_w2_a", ".lokr_w2_a"),
    same("lokr_w2_b", ".lokr_w2_b"),
    same("lokr_t2", ".lokr_t2"),
    same("a1", ".a1.weight"),
    same("a2", ".a2.weight"),
    same("b1", ".b1.weight"),
    same("b2", ".b2.weight"),
    same("bm", ".bm.weight"),
    same("oft_blocks", ".oft_blocks"),
    same("rescale", ".rescale"),
    same("on_input", ".on_input"),
    same("weight", ".weight"),
    same("diff", ".diff"),
    same("diff_b", ".diff_b"),
    // The networks for edges and depths of Flux.1 have the norms' weights as the model has them.
    Leaf { name: "set_weight", kohya: ".set_weight", peft: ".set_weight", others: &[".scale"] },
    same("w_norm", ".w_norm"),
    same("b_norm", ".b_norm"),
];

impl Leaf {
    fn ends(&self) -> impl Iterator<Item = &'static str> {
        [self.kohya, self.peft].into_iter().chain(self.others.iter().copied())
    }
}

/// The module's name and the leaf that a key is: by the longest end that fits.
pub(super) fn split<'a>(key: &'a str, has: &dyn Fn(&str) -> bool) -> Option<(&'a str, &'static Leaf)> {
    let ends = LEAVES.iter().flat_map(|leaf| leaf.ends().map(move |end| (end, leaf)));
    let (end, leaf) = ends.filter(|(end, _)| key.ends_with(end)).max_by_key(|(end, _)| end.len())?;
    let module = key.strip_suffix(end)?;
    let stands = leaf.name != "weight" || has(&format!("{module}.on_input"));
    (stands && !module.is_empty()).then_some((module, leaf))
}

/// A file's modules with their tensors, and the keys that are none.
pub(super) fn modules(file: &Arc<WeightFile>) -> (BTreeMap<String, Leaves>, Vec<String>) {
    let mut modules: BTreeMap<String, Leaves> = BTreeMap::new();
    let mut others = Vec::new();
    let has = |key: &str| file.entries.contains_key(key);
    for key in file.entries.keys() {
        match split(key, &has) {
            Some((module, leaf)) => {
                let leaves = modules.entry(module.to_owned()).or_insert_with(|| Leaves::new(file.clone(), module));
                if let Some(twice) = leaves.keys.insert(leaf.name, key.clone()) {
                    leaves.problems.push(format!("`{twice}` and `{key}` are the same tensor of one module"));
                }
            }
            None => others.push(key.clone()),
        }
    }
    (modules, others)
}

impl Leaves {
    fn new(file: Arc<WeightFile>, module: &str) -> Leaves {
        let module = module.to_owned();
        Leaves { file, module, keys: BTreeMap::new(), used: BTreeSet::new(), problems: Vec::new() }
    }

    /// Whether the module has this tensor.
    pub(crate) fn has(&self, leaf: &str) -> bool {
        self.keys.contains_key(leaf)
    }

    /// The tensor as f32, if the module has it. Refuses formats that are no floats, empty tensors, and values that are
    /// not finite: one NaN in a network file makes every picture black.
    pub(crate) fn get(&mut self, leaf: &'static str) -> Result<Option<Tensor>, String> {
        let Some(key) = self.keys.get(leaf) else { return Ok(None) };
        self.used.insert(leaf);
        read(&self.file, key).map(Some)
    }

    /// The shape of a tensor, if the module has it.
    pub(crate) fn shape(&self, leaf: &str) -> Option<&[usize]> {
        Some(&self.file.entries.get(self.keys.get(leaf)?)?.shape)
    }

    /// The number of dimensions of a tensor, 0 if the module has none of the name.
    pub(crate) fn rank(&self, leaf: &str) -> usize {
        self.shape(leaf).map_or(0, <[usize]>::len)
    }

    /// The tensor, to be read when it is used. Its values are checked now.
    pub(crate) fn stored(&mut self, leaf: &'static str) -> Result<Option<Stored>, String> {
        let Some(tensor) = self.get(leaf)? else { return Ok(None) };
        let key = self.keys.get(leaf).cloned().unwrap_or_default();
        Ok(Some(Stored { file: self.file.clone(), key, shape: tensor.dims().to_vec() }))
    }

    /// The tensor, which the kind cannot do without.
    pub(crate) fn need(&mut self, leaf: &'static str) -> Result<Tensor, String> {
        self.get(leaf)?.ok_or_else(|| {
            let end = LEAVES.iter().find(|row| row.name == leaf).map_or(leaf, |row| row.kohya);
            format!("`{}` has no `{end}`", self.module)
        })
    }

    /// A tensor of one element as a number.
    pub(crate) fn number(&mut self, leaf: &'static str) -> Result<Option<f64>, String> {
        let Some(tensor) = self.get(leaf)? else { return Ok(None) };
        match tensor.flatten_all().and_then(|values| values.to_vec1::<f32>()) {
            Ok(values) if values.len() == 1 => Ok(Some(f64::from(values[0]))),
            _ => Err(format!("`{}`: expected {leaf} to be one number, found {:?}", self.module, tensor.dims())),
        }
    }

    /// Keys that the kind did not ask for.
    pub(crate) fn unused(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter(|(leaf, _)| !self.used.contains(*leaf)).map(|(_, key)| key.as_str())
    }
}

impl Stored {
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values as f32.
    pub(crate) fn tensor(&self) -> candle_core::Result<Tensor> {
        read(&self.file, &self.key).map_err(candle_core::Error::msg)
    }
}

fn read(file: &WeightFile, key: &str) -> Result<Tensor, String> {
    let entry = file.entries.get(key).ok_or_else(|| format!("`{key}` is missing"))?;
    if entry.shape.contains(&0) {
        return Err(format!("`{key}` is empty: its shape is {:?}", entry.shape));
    }
    let values = match file.values(entry) {
        Some(values) => values,
        None => return Err(format!("`{key}`: expected floats, found {:?}", entry.dtype)),
    };
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(format!(
            "`{key}`: value {at} is {}; the training that made this file diverged, take an earlier epoch",
            values[at]
        ));
    }
    Tensor::from_vec(values, entry.shape.as_slice(), &Device::Cpu).map_err(|e| format!("`{key}`: {}", Error::from(e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_keys_are_known() {
        let name = |key: &'static str| {
            split(key, &|key| key == "lora_unet_ia3.on_input").map(|(module, leaf)| (module, leaf.name))
        };
        assert_eq!(name("lora_unet_x.lora_down.weight"), Some(("lora_unet_x", "lora_down")));
        assert_eq!(name("unet.a.b.lora_B.default.weight"), Some(("unet.a.b", "lora_up")));
        assert_eq!(name("a.processor.to_q_lora.up.weight"), Some(("a.processor.to_q", "lora_up")));
        assert_eq!(name("a.to_q.lora.up.weight"), Some(("a.to_q", "lora_up")));
        assert_eq!(name("a.to_q.lora_magnitude_vector"), Some(("a.to_q", "dora_scale")));
        assert_eq!(name("x.diff_b"), Some(("x", "diff_b")));
        assert_eq!(name("x.alpha"), Some(("x", "alpha")));
        assert_eq!(name("lora_unet_ia3.weight"), Some(("lora_unet_ia3", "weight")));
        assert_eq!(name("model.diffusion_model.out.0.weight"), None);
        assert_eq!(name(".alpha"), None);
    }

    #[test]
    fn leaves_are_spelled_once() {
        let mut ends: Vec<&str> = LEAVES.iter().flat_map(|leaf| BTreeSet::from_iter(leaf.ends())).collect();
        let count = ends.len();
        ends.sort();
        ends.dedup();
        assert_eq!(ends.len(), count);
    }
}
