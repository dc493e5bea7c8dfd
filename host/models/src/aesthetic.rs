//! Heads that judge a picture by its embedding, as LAION's aesthetic predictors do: linear layers behind each other, and no
//! activation between them.

use crate::error::{Error, Result};
use crate::load::{below, open};
use crate::memory::Memory;
use candle_core::Tensor;
use std::path::Path;
use std::sync::Arc;

/// A head. Cheap to clone.
#[derive(Clone)]
pub struct Aesthetic(Arc<Vec<Linear>>);

struct Linear {
    /// (out, in)
    weight: Tensor,
    /// (out,)
    bias: Tensor,
}

/// Loads a head from a `.safetensors` file or a folder with one: `weight` and `bias`, or `layers.0.weight` … in the order of
/// their numbers.
///
/// # Errors
/// Files that are none, and matrices that do not follow each other.
pub fn load_aesthetic(path: &Path, memory: &Memory) -> Result<Aesthetic> {
    let (files, _, _) = open(path, "model")?;
    let mut source = below(path, &files, &["module.", "model."]);
    source.memory = memory.clone();
    let shapes = source.shapes();
    let mut layers: Vec<(usize, String)> = Vec::new();
    for (key, shape) in shapes.iter().filter(|(_, shape)| shape.len() == 2) {
        let Some(path) = key.strip_suffix("weight") else {
            return Err(
                source.wrong(format!("`{key}` {shape:?} belongs to no linear layer: this is no aesthetic head"))
            );
        };
        let number = path.trim_end_matches('.').rsplit('.').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        layers.push((number, path.to_owned()));
    }
    layers.sort();
    let mut made: Vec<Linear> = Vec::new();
    for (_, path) in &layers {
        let (key, bias) = (format!("{path}weight"), format!("{path}bias"));
        let read = |key: &str| source.values(key).ok_or_else(|| source.wrong(format!("`{key}` is missing")));
        let (out, inp) = (shapes[&key][0], shapes[&key][1]);
        let weight = Tensor::from_vec(read(&key)?, (out, inp), &candle_core::Device::Cpu)?;
        let bias = read(&bias)?;
        let before = made.last().map(|l| l.bias.elem_count());
        if bias.len() != out || before.is_some_and(|n| n != inp) {
            return Err(source.wrong(format!("`{key}` ({out}, {inp}) does not follow a layer of {before:?} features")));
        }
        made.push(Linear { weight, bias: Tensor::from_vec(bias, out, &candle_core::Device::Cpu)? });
    }
    match made.last().map(|l| l.bias.elem_count()) {
        Some(1) if shapes.len() == 2 * made.len() => Ok(Aesthetic(Arc::new(made))),
        _ => {
            let known: Vec<&str> = shapes.keys().take(8).map(String::as_str).collect();
            Err(source.wrong(format!(
                "this is no aesthetic head: expected linear layers that end in one number, found {}",
                known.join(", ")
            )))
        }
    }
}

impl Aesthetic {
    /// Features of an embedding.
    pub fn features(&self) -> usize {
        self.0.first().and_then(|l| l.weight.dim(1).ok()).unwrap_or(0)
    }

    /// Scores (b, 1) of embeddings (b, e), which are brought to length 1 first.
    ///
    /// # Errors
    /// Embeddings of another encoder.
    pub fn scores(&self, embeds: &Tensor) -> Result<Tensor> {
        let (_, e) = embeds.dims2()?;
        if e != self.features() {
            let what = format!(
                "this head judges embeddings of {} features, found {e}: that of another encoder",
                self.features()
            );
            return Err(Error::Unsupported(what));
        }
        let mut x = normalised(embeds)?;
        for layer in self.0.iter() {
            x = x.matmul(&layer.weight.t()?)?.broadcast_add(&layer.bias)?;
        }
        Ok(x)
    }
}

/// Rows (b, e) of length 1.
pub(crate) fn normalised(x: &Tensor) -> Result<Tensor> {
    let length = x.sqr()?.sum_keepdim(1)?.sqrt()?;
    Ok(x.broadcast_div(&length.clamp(1e-12f32, f32::MAX)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use std::collections::HashMap;

    fn save(tensors: &[(&str, Tensor)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let tensors: HashMap<String, Tensor> = tensors.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        candle_core::safetensors::save(&tensors, dir.path().join("model.safetensors")).unwrap();
        dir
    }

    fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
        Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn layers_follow_each_other_by_number() {
        let dir = save(&[
            ("layers.10.weight", tensor(&[1.0, 2.0, 3.0], &[1, 3])),
            ("layers.10.bias", tensor(&[0.5], &[1])),
            ("layers.2.weight", tensor(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0], &[3, 2])),
            ("layers.2.bias", tensor(&[0.0, 0.0, 1.0], &[3])),
        ]);
        let head = load_aesthetic(dir.path(), &Memory::unlimited()).unwrap();
        // (3, 4) is (0.6, 0.8) at length 1, then (0.6, 0.8, 2.4).
        let found = head.scores(&tensor(&[3.0, 4.0], &[1, 2])).unwrap().to_vec2::<f32>().unwrap();
        assert!((found[0][0] - (0.6 + 1.6 + 7.2 + 0.5)).abs() < 1e-5, "{found:?}");
        assert!(head.scores(&tensor(&[1.0], &[1, 1])).unwrap_err().to_string().contains("2 features, found 1"));
        let linear = save(&[("weight", tensor(&[1.0, 1.0], &[1, 2])), ("bias", tensor(&[1.0], &[1]))]);
        assert_eq!(load_aesthetic(linear.path(), &Memory::unlimited()).unwrap().features(), 2);
    }

    #[test]
    fn other_files_say_that_they_are_no_head() {
        let wide = tensor(&[1.0; 4], &[2, 2]);
        for (tensors, says) in [
            (vec![("embed", wide.clone())], "belongs to no linear layer"),
            (vec![("layers.0.weight", wide.clone())], "`layers.0.bias` is missing"),
            (vec![("weight", wide.clone()), ("bias", tensor(&[0.0; 2], &[2]))], "end in one number"),
            (
                vec![
                    ("0.weight", wide.clone()),
                    ("0.bias", tensor(&[0.0; 2], &[2])),
                    ("1.weight", tensor(&[0.0; 3], &[1, 3])),
                    ("1.bias", tensor(&[0.0], &[1])),
                ],
                "does not follow",
            ),
        ] {
            let e = load_aesthetic(save(&tensors).path(), &Memory::unlimited()).err().unwrap().to_string();
            assert!(e.contains(says), "{says}: {e}");
        }
    }
}
