//! Where a file's module lies in one of our parameters, and patches that change only those rows.

use super::layouts::Parameter;
use crate::Result;
use crate::adapter::LoraRef;
use crate::patch::Patch;
use candle_core::Tensor;
use std::sync::Arc;

/// Rows of a weight and its bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// All, as they are.
    All,
    /// From the first number, as many as the second.
    Part(usize, usize),
    /// All, but the second half before the first.
    Turned,
}

/// A module of a file within our network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: String,
    /// Shape of the whole weight there.
    pub(crate) whole: Vec<usize>,
    /// Whether a bias there can be changed.
    pub(crate) bias: bool,
    pub(crate) rows: Rows,
}

impl Place {
    pub(crate) fn of(parameter: &Parameter, rows: Rows) -> Place {
        Place { path: parameter.path.clone(), whole: parameter.shape.clone(), bias: parameter.bias, rows }
    }

    /// Shape of the weight that the file's module has.
    pub(crate) fn shape(&self) -> Vec<usize> {
        let mut shape = self.whole.clone();
        if let (Rows::Part(_, count), Some(out)) = (self.rows, shape.first_mut()) {
            *out = count;
        }
        shape
    }
}

impl Rows {
    /// Pieces of our rows in the order of the file's: (from, count).
    pub(super) fn pieces(self, out: usize) -> Vec<(usize, usize)> {
        match self {
            Rows::All => vec![(0, out)],
            Rows::Part(from, count) => vec![(from, count)],
            Rows::Turned => vec![(out / 2, out - out / 2), (0, out / 2)],
        }
    }

    /// The numbers of our rows in the order of the file's.
    #[cfg(test)]
    pub(super) fn numbers(self, out: usize) -> Vec<usize> {
        self.pieces(out).into_iter().flat_map(|(from, count)| from..from + count).collect()
    }

    /// The file's rows out of all of ours.
    pub(super) fn take(self, whole: &Tensor) -> candle_core::Result<Tensor> {
        if self == Rows::All {
            return Ok(whole.clone());
        }
        let pieces: candle_core::Result<Vec<Tensor>> =
            self.pieces(whole.dim(0)?).into_iter().map(|(from, count)| whole.narrow(0, from, count)).collect();
        Tensor::cat(&pieces?, 0)
    }
}

/// The patches that one file has for pieces of one of our parameters, as one patch of the whole.
pub(super) struct Pieces {
    parts: Vec<(Rows, Arc<dyn Patch>)>,
    bias: Option<Tensor>,
    /// (sum of r, in), (out, sum of r), where all parts are of low rank.
    lora: Option<(Tensor, Tensor)>,
}

impl Pieces {
    /// `out` are the rows of the whole.
    pub(super) fn new(parts: Vec<(Rows, Arc<dyn Patch>)>, out: usize) -> Result<Pieces> {
        let mut bias = None;
        for (rows, patch) in &parts {
            if let Some(part) = patch.bias() {
                let part = spread(part, *rows, out)?;
                bias = Some(match bias {
                    Some(bias) => (bias + part)?,
                    None => part,
                });
            }
        }
        let mut matrices = Vec::new();
        for (rows, patch) in &parts {
            if let Some(lora) = patch.as_lora() {
                matrices.push((lora.down.clone(), spread(&(lora.up * lora.scale)?, *rows, out)?));
            }
        }
        let lora = if matrices.len() == parts.len() && !parts.is_empty() {
            let (downs, ups): (Vec<_>, Vec<_>) = matrices.into_iter().unzip();
            Some((Tensor::cat(&downs, 0)?, Tensor::cat(&ups, 1)?))
        } else {
            None
        };
        Ok(Pieces { parts, bias, lora })
    }
}

/// A tensor of a file's rows among zeros for all other rows.
fn spread(part: &Tensor, rows: Rows, out: usize) -> candle_core::Result<Tensor> {
    let mut sorted = Vec::new();
    let mut at = 0;
    for (from, count) in rows.pieces(out) {
        sorted.push((from, part.narrow(0, at, count)?));
        at += count;
    }
    sorted.sort_by_key(|(from, _)| *from);
    let zeros = |count: usize| {
        let mut shape = part.dims().to_vec();
        shape[0] = count;
        Tensor::zeros(shape, part.dtype(), part.device())
    };
    let (mut all, mut at) = (Vec::new(), 0);
    for (from, piece) in sorted {
        if from > at {
            all.push(zeros(from - at)?);
        }
        at = from + piece.dim(0)?;
        all.push(piece);
    }
    if at < out {
        all.push(zeros(out - at)?);
    }
    Tensor::cat(&all, 0)
}

impl Patch for Pieces {
    fn weight(&self, weight: &Tensor) -> Result<Option<Tensor>> {
        let out = weight.dim(0)?;
        let mut sum: Option<Tensor> = None;
        for (rows, patch) in &self.parts {
            let Some(delta) = patch.weight(&rows.take(weight)?)? else { continue };
            let delta = spread(&delta, *rows, out)?;
            sum = Some(match sum {
                Some(sum) => (sum + delta)?,
                None => delta,
            });
        }
        Ok(sum)
    }

    fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    fn changes_weight(&self) -> bool {
        self.parts.iter().any(|(_, patch)| patch.changes_weight())
    }

    fn as_lora(&self) -> Option<LoraRef<'_>> {
        self.lora.as_ref().map(|(down, up)| LoraRef { down, up, scale: 1.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn matrix(column: &[f32]) -> Tensor {
        Tensor::from_slice(column, (column.len(), 1), &Device::Cpu).unwrap()
    }

    #[test]
    fn rows_are_taken_and_put_back() {
        let whole = matrix(&[1.0, 2.0, 3.0, 4.0]);
        for (rows, taken, back) in [
            (Rows::All, vec![1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]),
            (Rows::Part(1, 2), vec![2.0, 3.0], [0.0, 2.0, 3.0, 0.0]),
            (Rows::Part(3, 1), vec![4.0], [0.0, 0.0, 0.0, 4.0]),
            (Rows::Turned, vec![3.0, 4.0, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0]),
        ] {
            let part = rows.take(&whole).unwrap();
            assert_eq!(part.flatten_all().unwrap().to_vec1::<f32>().unwrap(), taken);
            assert_eq!(spread(&part, rows, 4).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(), back);
        }
    }

    struct Low(Tensor, Tensor);

    impl Patch for Low {
        fn weight(&self, _: &Tensor) -> Result<Option<Tensor>> {
            Ok(Some((self.1.matmul(&self.0)? * 0.5)?))
        }
        fn as_lora(&self) -> Option<LoraRef<'_>> {
            Some(LoraRef { down: &self.0, up: &self.1, scale: 0.5 })
        }
    }

    #[test]
    fn pieces_are_one_low_rank_patch_of_the_whole() {
        let low = |x: f32| {
            let down = Tensor::new(&[[x, 1.0, 2.0]], &Device::Cpu).unwrap();
            Arc::new(Low(down, matrix(&[x, 3.0]))) as Arc<dyn Patch>
        };
        let pieces = Pieces::new(vec![(Rows::Part(2, 2), low(5.0)), (Rows::Part(0, 2), low(7.0))], 5).unwrap();
        let weight = Tensor::zeros((5, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        let delta = pieces.weight(&weight).unwrap().unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(delta[0], [24.5, 3.5, 7.0]);
        assert_eq!(delta[2], [12.5, 2.5, 5.0]);
        assert_eq!(delta[4], [0.0, 0.0, 0.0]);
        let lora = pieces.as_lora().unwrap();
        assert_eq!(lora.up.matmul(lora.down).unwrap().to_vec2::<f32>().unwrap(), delta);
    }
}
