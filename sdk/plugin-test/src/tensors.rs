//! Arrays of f32 with a nominal type.

use plugin_sdk::{Dtype, Error, Result};

/// A tensor of the pretend host: all types are kept as f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<u32>,
    pub data: Vec<f32>,
}

/// The same shape with a function applied to each value.
pub fn map(array: &Array, f: impl Fn(f32) -> f32) -> Array {
    Array { shape: array.shape.clone(), data: array.data.iter().map(|&v| f(v)).collect() }
}

impl Array {
    /// Values in a shape.
    ///
    /// # Errors
    /// The number of values is not that of the shape.
    pub fn new(shape: &[u32], data: Vec<f32>) -> Result<Self> {
        let count: usize = shape.iter().map(|&n| n as usize).product();
        if count != data.len() {
            let found = data.len();
            return Err(Error::invalid_input(format!("shape {shape:?}: expected {count} values, found {found}")));
        }
        Ok(Self { shape: shape.to_vec(), data })
    }

    pub(crate) fn decode(shape: &[u32], dtype: Dtype, bytes: &[u8]) -> Result<Self> {
        let word = |b: &[u8]| [b[0], b[1], b[2], b[3]];
        let data = match dtype {
            Dtype::Uint8 => bytes.iter().map(|&b| f32::from(b)).collect(),
            Dtype::Uint32 => bytes.chunks_exact(4).map(|b| u32::from_le_bytes(word(b)) as f32).collect(),
            Dtype::Float32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes(word(b))).collect(),
            other => return Err(Error::unsupported(format!("the pretend host reads no {other:?}"))),
        };
        Self::new(shape, data)
    }

    pub(crate) fn encode(&self, dtype: Dtype) -> Result<Vec<u8>> {
        let values = self.data.iter();
        Ok(match dtype {
            Dtype::Uint8 => values.map(|&v| v as u8).collect(),
            Dtype::Uint32 => values.flat_map(|&v| (v as u32).to_le_bytes()).collect(),
            Dtype::Float32 => values.flat_map(|v| v.to_le_bytes()).collect(),
            other => return Err(Error::unsupported(format!("the pretend host writes no {other:?}"))),
        })
    }

    /// Splits at a dimension: (before, size, after).
    fn around(&self, dim: u32) -> Result<(usize, usize, usize)> {
        let dim = dim as usize;
        let size = |part: &[u32]| part.iter().map(|&n| n as usize).product();
        let Some(&n) = self.shape.get(dim) else {
            let rank = self.shape.len();
            return Err(Error::invalid_input(format!("dimension {dim}: the tensor has {rank}")));
        };
        Ok((size(&self.shape[..dim]), n as usize, size(&self.shape[dim + 1..])))
    }

    pub(crate) fn narrow(&self, dim: u32, start: u32, length: u32) -> Result<Self> {
        let (before, size, after) = self.around(dim)?;
        let (start, length) = (start as usize, length as usize);
        if start + length > size {
            let end = start + length;
            return Err(Error::invalid_input(format!("narrow {start}..{end}: the dimension has {size}")));
        }
        let rows = (0..before).flat_map(|b| {
            let from = (b * size + start) * after;
            self.data[from..from + length * after].iter().copied()
        });
        let data = rows.collect();
        let mut shape = self.shape.clone();
        shape[dim as usize] = length as u32;
        Self::new(&shape, data)
    }

    pub(crate) fn softmax(&self, dim: u32) -> Result<Self> {
        let (before, size, after) = self.around(dim)?;
        let mut data = self.data.clone();
        for b in 0..before {
            for a in 0..after {
                let at = |i: usize| (b * size + i) * after + a;
                let max = (0..size).map(|i| data[at(i)]).fold(f32::NEG_INFINITY, f32::max);
                let sum: f32 = (0..size).map(|i| (data[at(i)] - max).exp()).sum();
                for i in 0..size {
                    data[at(i)] = (data[at(i)] - max).exp() / sum;
                }
            }
        }
        Self::new(&self.shape, data)
    }

    pub(crate) fn top_k(&self, k: u32) -> Vec<(u32, f32)> {
        let mut all = self.above(f32::NEG_INFINITY);
        // Stable: equal values stay in order of their index.
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(k as usize);
        all
    }

    pub(crate) fn above(&self, threshold: f32) -> Vec<(u32, f32)> {
        (0..).zip(self.data.iter().copied()).filter(|(_, v)| *v >= threshold).collect()
    }

    pub(crate) fn stack(items: &[&Self]) -> Result<Self> {
        let Some(first) = items.first() else { return Err(Error::invalid_input("stack of nothing")) };
        if let Some(other) = items.iter().find(|i| i.shape != first.shape) {
            let (a, b) = (&first.shape, &other.shape);
            return Err(Error::invalid_input(format!("stack: expected shape {a:?}, found {b:?}")));
        }
        let mut shape = vec![items.len() as u32];
        shape.extend(&first.shape);
        Self::new(&shape, items.iter().flat_map(|i| i.data.iter().copied()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array() -> Array {
        Array::new(&[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap()
    }

    #[test]
    fn narrows_any_dimension() {
        assert_eq!(array().narrow(0, 1, 1).unwrap().data, [4.0, 5.0, 6.0]);
        assert_eq!(array().narrow(1, 1, 2).unwrap().data, [2.0, 3.0, 5.0, 6.0]);
        assert!(array().narrow(1, 2, 2).is_err());
        assert!(array().narrow(2, 0, 1).is_err());
    }

    #[test]
    fn softmax_sums_to_one_along_its_dimension() {
        let s = array().softmax(0).unwrap();
        assert!((s.data[0] + s.data[3] - 1.0).abs() < 1e-6);
        let s = array().softmax(1).unwrap();
        assert!((s.data[..3].iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn shapes_must_fit() {
        assert!(Array::new(&[2, 2], vec![0.0; 3]).is_err());
        assert!(Array::stack(&[&array(), &Array::new(&[1], vec![0.0]).unwrap()]).is_err());
        assert_eq!(Array::stack(&[&array(), &array()]).unwrap().shape, [2, 2, 3]);
    }
}
