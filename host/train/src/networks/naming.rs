//! How saved files name their tensors.

use super::{Chosen, Leaf, Network, Part, Start};
use crate::safetensors_file::Entry;
use anyhow::{Context, Result};
use models::Texts;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// How saved files name their tensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Naming {
    /// `lora_unet_….lora_down.weight` with an alpha: sd-scripts' and LyCORIS' names.
    #[default]
    Kohya,
    /// `transformer.….lora_A.weight` without an alpha, the scale being part of the weights: diffusers' and ai-toolkit's
    /// names. Matrices that diffusers has in pieces are saved in pieces.
    Peft,
}

/// The layers of a network under the names of diffusers and PEFT.
pub(crate) struct Peft(HashMap<String, Module>);

/// A layer's network there.
pub(super) struct Module {
    leaves: Vec<Leaf>,
    /// alpha / rank
    scale: f64,
    pub(super) pieces: Vec<Piece>,
}

/// One of diffusers' modules.
pub(super) struct Piece {
    /// With the folder of the part in front.
    pub(super) name: String,
    /// Our rows that it has, in its order: from, count.
    pub(super) rows: Vec<(usize, usize)>,
}

impl Peft {
    /// For the chosen layers; layers are found by their names in kohya's files.
    pub(super) fn new(chosen: &[Chosen], row: &Network, text: &Texts) -> Result<Self> {
        let module = |layer: &Chosen| -> Result<(String, Module)> {
            let kind = &layer.target.shape;
            let out = super::dims(kind)[0];
            let pieces = match layer.part {
                Part::Network => models::lora::diffusers_modules(text.family(), &layer.target)
                    .into_iter()
                    .map(|module| Piece { name: module.name, rows: module.rows })
                    .collect(),
                Part::Text(i) => {
                    let part = text.parts().get(i).context("a text encoder is missing")?;
                    let name = format!("{}.{}", part.row().folder, layer.target.path);
                    vec![Piece { name, rows: vec![(0, out)] }]
                }
            };
            let scale = (row.alpha)(kind, &layer.shape) / layer.shape.rank as f64;
            let leaves = (row.leaves)(kind, &layer.shape);
            Ok((layer.target.kohya.clone(), Module { leaves, scale, pieces }))
        };
        Ok(Self(chosen.iter().map(module).collect::<Result<_>>()?))
    }

    pub(super) fn module(&self, kohya: &str) -> Option<&Module> {
        self.0.get(kohya)
    }

    /// A file's tensors from those under kohya's names.
    pub(super) fn entries(&self, kohya: Vec<Entry>) -> Vec<Entry> {
        kohya.iter().flat_map(|entry| self.split(entry)).collect()
    }

    fn split(&self, entry: &Entry) -> Vec<Entry> {
        let parts = entry.name.split_once('.').and_then(|(module, end)| Some((self.0.get(module)?, end)));
        // What is no tensor of a layer is its alpha, which these names have no place for.
        let Some((module, leaf)) = parts.and_then(|(m, end)| Some((m, m.leaves.iter().find(|l| l.name == end)?)))
        else {
            return Vec::new();
        };
        let end = end(leaf);
        let named = |piece: &Piece| {
            let name = format!("{}{end}", piece.name);
            let Some(rows) = leaf.rows(piece) else { return Entry { name, ..entry.clone() } };
            let width: usize = entry.shape[1..].iter().product();
            let factor = if leaf.start == Start::Zeros { module.scale as f32 } else { 1.0 };
            // An entry without values asks for shapes only.
            let taken = rows.iter().filter_map(|(from, count)| entry.values.get(from * width..(from + count) * width));
            let values: Vec<f32> = taken.flatten().map(|v| v * factor).collect();
            let mut shape = entry.shape.clone();
            shape[0] = rows.iter().map(|(_, count)| count).sum();
            Entry { name, shape, values }
        };
        module.pieces.iter().map(named).collect()
    }
}

/// What stands behind a module's name there.
pub(super) fn end(leaf: &Leaf) -> String {
    let kohya = format!(".{}", leaf.name);
    models::lora::peft_end(&kohya).map_or(kohya, str::to_owned)
}

impl Leaf {
    /// The rows of this tensor that belong to a piece; none for a tensor that belongs to all of them.
    pub(super) fn rows<'a>(&self, piece: &'a Piece) -> Option<&'a [(usize, usize)]> {
        matches!(self.start, Start::Zeros | Start::RowNorms).then_some(&*piece.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::{Shape, find};
    use models::TargetKind;

    #[test]
    fn joined_matrices_are_saved_in_pieces_with_the_scale_in_the_second_matrix() {
        let shape = Shape { rank: 1, alpha: 0.5, factor: None };
        let leaves = (find("lora").unwrap().leaves)(&TargetKind::Linear { inp: 2, out: 3 }, &shape);
        let piece = |name: &str, rows| Piece { name: name.into(), rows };
        let pieces = vec![piece("transformer.q", vec![(1, 2)]), piece("transformer.k", vec![(2, 1), (0, 1)])];
        let peft = Peft(HashMap::from([("lora_unet_qk".to_owned(), Module { leaves, scale: 0.5, pieces })]));
        let entry = |name: &str, shape: &[usize], values: &[f32]| Entry {
            name: name.into(),
            shape: shape.to_vec(),
            values: values.to_vec(),
        };
        let found = peft.entries(vec![
            entry("lora_unet_qk.lora_down.weight", &[1, 2], &[5.0, 6.0]),
            entry("lora_unet_qk.lora_up.weight", &[3, 1], &[2.0, 4.0, 8.0]),
            entry("lora_unet_qk.alpha", &[], &[0.5]),
        ]);
        let wanted = [
            entry("transformer.q.lora_A.weight", &[1, 2], &[5.0, 6.0]),
            entry("transformer.k.lora_A.weight", &[1, 2], &[5.0, 6.0]),
            entry("transformer.q.lora_B.weight", &[2, 1], &[2.0, 4.0]),
            entry("transformer.k.lora_B.weight", &[2, 1], &[4.0, 1.0]),
        ];
        assert_eq!(found, wanted);
    }
}
