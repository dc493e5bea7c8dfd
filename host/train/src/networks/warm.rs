//! Starting from a file of an earlier training instead of from zero.

use super::{Chosen, Network, Shape, Start, Trained, naming};
use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// Names in a message at most.
const SHOWN: usize = 8;

/// Gives all trained tensors the values of a file. Its strength stays: what its alpha makes of its weights is worked into
/// ours, whose alpha is the configuration's.
///
/// # Errors
/// Lists the keys of the file that are no tensor of this network, the tensors that it lacks, and those of other sizes.
pub(super) fn start(
    path: &Path,
    chosen: &[Chosen],
    row: &Network,
    names: &naming::Peft,
    trained: &mut Trained,
) -> Result<()> {
    let file = candle_core::safetensors::load(path, &Device::Cpu)
        .with_context(|| format!("`start_from`: cannot read {}", path.display()))?;
    let mut file = File { left: file.keys().cloned().collect(), file, missing: Vec::new(), sizes: Vec::new() };
    let mut values = HashMap::new();
    for layer in chosen {
        file.layer(layer, row, names, &mut values)?;
    }
    let left: Vec<String> = file.left.into_iter().collect();
    let problems: Vec<String> = [
        ("keys of the file are no tensors of this network", left),
        ("tensors of this network are not in the file", file.missing),
        ("tensors have other sizes", file.sizes),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(what, names)| {
        let more = if names.len() > SHOWN { ", …" } else { "" };
        format!("{} {what}: {}{more}", names.len(), names[..names.len().min(SHOWN)].join(", "))
    })
    .collect();
    ensure!(
        problems.is_empty(),
        "`start_from`: {} does not fit the network that is asked for (`network`, `rank`, `targets`, trained parts): {}",
        path.display(),
        problems.join("; ")
    );
    for param in &mut trained.params {
        let Some(new) = values.remove(&param.name) else { bail!("`start_from`: no values for `{}`", param.name) };
        param.values = new;
        param.publish()?;
    }
    Ok(())
}

struct File {
    file: HashMap<String, Tensor>,
    /// Keys that nothing has asked for.
    left: BTreeSet<String>,
    missing: Vec<String>,
    sizes: Vec<String>,
}

impl File {
    /// A tensor as f32.
    fn take(&mut self, key: &str) -> Result<Option<Tensor>> {
        self.left.remove(key);
        let Some(tensor) = self.file.get(key) else { return Ok(None) };
        let tensor = tensor.to_dtype(DType::F32)?;
        let sum = tensor.sum_all()?.to_scalar::<f32>()?;
        ensure!(sum.is_finite(), "`start_from`: `{key}` has values that are not finite; take an earlier epoch");
        Ok(Some(tensor))
    }

    /// alpha / rank of a module of the file, as the kind defines it.
    fn scale(&mut self, module: &str, layer: &Chosen, row: &Network) -> Result<f64> {
        let rank = layer.shape.rank as f64;
        let alpha = match self.take(&format!("{module}.alpha"))? {
            Some(alpha) => f64::from(alpha.flatten_all()?.to_vec1::<f32>()?.first().copied().unwrap_or(0.0)),
            None => rank,
        };
        Ok((row.alpha)(&layer.target.shape, &Shape { alpha, ..layer.shape }) / rank)
    }

    fn layer(
        &mut self,
        layer: &Chosen,
        row: &Network,
        names: &naming::Peft,
        values: &mut HashMap<String, Vec<f32>>,
    ) -> Result<()> {
        let own = (row.alpha)(&layer.target.shape, &layer.shape) / layer.shape.rank as f64;
        let kohya = &layer.target.kohya;
        let leaves = (row.leaves)(&layer.target.shape, &layer.shape);
        let whole = leaves.iter().any(|leaf| self.file.contains_key(&format!("{kohya}.{}", leaf.name)));
        let pieces = names.module(kohya).filter(|_| !whole && row.peft);
        // Modules of the file that this layer is, the rows they have of it, and their scales.
        let mut modules = Vec::new();
        match pieces {
            None => modules.push((kohya.clone(), None, self.scale(kohya, layer, row)? / own)),
            Some(module) => {
                for piece in &module.pieces {
                    modules.push((piece.name.clone(), Some(piece), self.scale(&piece.name, layer, row)? / own));
                }
            }
        }
        for leaf in leaves {
            let ours = format!("{kohya}.{}", leaf.name);
            let mut all = vec![f32::NAN; leaf.shape.iter().product()];
            let width = all.len() / leaf.shape[0].max(1);
            for (module, piece, scale) in &modules {
                let key = match piece {
                    Some(_) => format!("{module}{}", naming::end(&leaf)),
                    None => format!("{module}.{}", leaf.name),
                };
                let Some(tensor) = self.take(&key)? else {
                    self.missing.push(if whole { ours.clone() } else { key });
                    continue;
                };
                let rows = match piece.and_then(|piece| leaf.rows(piece)) {
                    Some(rows) => rows.to_vec(),
                    None => vec![(0, leaf.shape[0])],
                };
                let mut shape = leaf.shape.clone();
                shape[0] = rows.iter().map(|(_, count)| count).sum();
                // 1×1 kernels and matrices stand for each other.
                let plain = |shape: &[usize]| -> Vec<usize> { shape.iter().copied().filter(|&n| n != 1).collect() };
                if plain(tensor.dims()) != plain(&shape) {
                    self.sizes.push(format!("{key} (expected {shape:?}, found {:?})", tensor.dims()));
                    continue;
                }
                let factor = if leaf.start == Start::Zeros { *scale as f32 } else { 1.0 };
                let found: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
                let mut at = 0;
                for (from, count) in rows {
                    let place = &mut all[from * width..(from + count) * width];
                    for (new, value) in place.iter_mut().zip(&found[at..]) {
                        // A tensor that several pieces share must be the same in all of them.
                        ensure!(
                            new.is_nan() || *new == value * factor,
                            "`start_from`: `{key}` differs from that of another piece of `{}`, which is one matrix here",
                            layer.target.path
                        );
                        *new = value * factor;
                    }
                    at += count * width;
                }
            }
            values.insert(ours, all);
        }
        Ok(())
    }
}
