//! Small array operations, so that a plugin need not copy ten thousand scores to keep twenty.

use super::{Held, Services, refuse};
use data::{Array, ArrayData, Dtype};
use spec::{ErrorKind, PluginError};

/// Most dimensions of a tensor.
const MAX_DIMS: usize = 8;

impl Services {
    pub(crate) fn tensor(&self, array: Array) -> Result<Held<Array>, PluginError> {
        Held::make(&self.budget, array.byte_len() as u64, || Ok(array))
    }

    pub(crate) fn tensor_from_f32(&self, shape: &[u32], data: Vec<f32>) -> Result<Held<Array>, PluginError> {
        let shape = checked_shape(shape)?;
        Held::make(&self.budget, (data.len() * 4) as u64, || Array::from_f32(shape, data).map_err(invalid))
    }

    pub(crate) fn tensor_from_bytes(
        &self,
        shape: &[u32],
        dtype: Dtype,
        bytes: &[u8],
    ) -> Result<Held<Array>, PluginError> {
        let shape = checked_shape(shape)?;
        Held::make(&self.budget, bytes.len() as u64, || Array::from_bytes(shape, dtype, bytes).map_err(invalid))
    }

    pub(crate) fn cast(&self, array: &Array, to: Dtype) -> Result<Held<Array>, PluginError> {
        Held::make(&self.budget, (array.len() * to.size()) as u64, || Ok(array.cast(to)))
    }

    pub(crate) fn reshape(&self, array: &Held<Array>, shape: &[u32]) -> Result<Held<Array>, PluginError> {
        let reshaped = Array::new(checked_shape(shape)?, array.value.data.clone()).map_err(invalid)?;
        array.share(reshaped)
    }

    pub(crate) fn narrow(&self, array: &Array, dim: u32, start: u32, length: u32) -> Result<Held<Array>, PluginError> {
        let (outer, size, inner) = split(array, dim)?;
        let (start, length) = (start as usize, length as usize);
        if start + length > size {
            return refuse(
                ErrorKind::InvalidInput,
                format!("dimension {dim} has {size} elements, found start {start} and length {length}"),
            );
        }
        let bytes = outer * length * inner * array.dtype().size();
        Held::make(&self.budget, bytes as u64, || {
            let all = array.to_bytes();
            let (row, item) = (size * inner * array.dtype().size(), inner * array.dtype().size());
            let mut out = Vec::with_capacity(bytes);
            for o in 0..outer {
                out.extend_from_slice(&all[o * row + start * item..o * row + (start + length) * item]);
            }
            let mut shape = array.shape.clone();
            shape[dim as usize] = length;
            Array::from_bytes(shape, array.dtype(), &out).map_err(invalid)
        })
    }

    /// 1 / (1 + e^-x), as f32.
    pub(crate) fn sigmoid(&self, array: &Array) -> Result<Held<Array>, PluginError> {
        Held::make(&self.budget, (array.len() * 4) as u64, || {
            let values = array.to_f32().iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
            Array::from_f32(array.shape.clone(), values).map_err(invalid)
        })
    }

    /// Softmax along `dim`, as f32.
    pub(crate) fn softmax(&self, array: &Array, dim: u32) -> Result<Held<Array>, PluginError> {
        let (outer, size, inner) = split(array, dim)?;
        Held::make(&self.budget, (array.len() * 4) as u64, || {
            let mut values = array.to_f32().to_vec();
            for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
                let at = |k: usize| (o * size + k) * inner + i;
                let top = (0..size).map(|k| values[at(k)]).fold(f32::NEG_INFINITY, f32::max);
                let mut sum = 0.0;
                for k in 0..size {
                    values[at(k)] = (values[at(k)] - top).exp();
                    sum += values[at(k)];
                }
                for k in 0..size {
                    values[at(k)] /= sum;
                }
            }
            Array::from_f32(array.shape.clone(), values).map_err(invalid)
        })
    }

    /// Arrays of one shape and type, joined along a new first dimension.
    pub(crate) fn stack(&self, arrays: &[&Array]) -> Result<Held<Array>, PluginError> {
        let Some(first) = arrays.first() else {
            return refuse(ErrorKind::InvalidInput, "stack: expected at least one tensor, found none");
        };
        if let Some(other) = arrays.iter().find(|a| a.shape != first.shape || a.dtype() != first.dtype()) {
            return refuse(
                ErrorKind::InvalidInput,
                format!(
                    "stack: expected {:?} {:?} throughout, found {:?} {:?}",
                    first.dtype(),
                    first.shape,
                    other.dtype(),
                    other.shape
                ),
            );
        }
        if first.shape.len() == MAX_DIMS {
            return refuse(ErrorKind::TooLarge, format!("stack: more than {MAX_DIMS} dimensions"));
        }
        let bytes = first.byte_len() as u64 * arrays.len() as u64;
        Held::make(&self.budget, bytes, || {
            let mut shape = vec![arrays.len()];
            shape.extend_from_slice(&first.shape);
            if first.dtype() == Dtype::F32 {
                let joined = arrays.iter().flat_map(|a| a.to_f32().to_vec()).collect();
                return Array::from_f32(shape, joined).map_err(invalid);
            }
            let joined: Vec<u8> = arrays.iter().flat_map(|a| a.to_bytes()).collect();
            Array::from_bytes(shape, first.dtype(), &joined).map_err(invalid)
        })
    }
}

/// The k largest elements as (index, value), largest first; equal values in order of their index.
pub(crate) fn top_k(array: &Array, k: u32) -> Vec<(u32, f32)> {
    let mut pairs = pairs(array);
    pairs.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    pairs.truncate(k as usize);
    pairs
}

/// (index, value) of all elements at or above a threshold, by index.
pub(crate) fn above(array: &Array, threshold: f32) -> Vec<(u32, f32)> {
    let mut pairs = pairs(array);
    pairs.retain(|(_, v)| *v >= threshold);
    pairs
}

fn pairs(array: &Array) -> Vec<(u32, f32)> {
    array.to_f32().iter().enumerate().map(|(i, v)| (i as u32, *v)).collect()
}

/// Elements before, in and after a dimension.
fn split(array: &Array, dim: u32) -> Result<(usize, usize, usize), PluginError> {
    let dim = dim as usize;
    let Some(size) = array.shape.get(dim) else {
        return refuse(
            ErrorKind::InvalidInput,
            format!("expected a dimension below {}, found {dim}", array.shape.len()),
        );
    };
    Ok((array.shape[..dim].iter().product(), *size, array.shape[dim + 1..].iter().product()))
}

fn checked_shape(shape: &[u32]) -> Result<Vec<usize>, PluginError> {
    if shape.len() > MAX_DIMS {
        return refuse(ErrorKind::TooLarge, format!("expected at most {MAX_DIMS} dimensions, found {}", shape.len()));
    }
    Ok(shape.iter().map(|d| *d as usize).collect())
}

fn invalid(message: String) -> PluginError {
    PluginError::new(ErrorKind::InvalidInput, message)
}

/// The elements' bytes in the machine's order, without a copy. Lent to native libraries, which run on this machine.
pub(crate) fn view(array: &Array) -> &[u8] {
    match &array.data {
        ArrayData::U8(v) => v,
        ArrayData::U32(v) => bytemuck::cast_slice(v),
        ArrayData::I64(v) => bytemuck::cast_slice(v),
        ArrayData::F16(v) => bytemuck::cast_slice(v),
        ArrayData::Bf16(v) => bytemuck::cast_slice(v),
        ArrayData::F32(v) => bytemuck::cast_slice(v),
        ArrayData::F64(v) => bytemuck::cast_slice(v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::tests::services;

    fn with<T>(f: impl FnOnce(&Services) -> T) -> T {
        let dir = tempfile::tempdir().unwrap();
        f(&services(&Default::default(), &Default::default(), Default::default(), dir.path()))
    }

    fn array(shape: &[usize], data: &[f32]) -> Array {
        Array::from_f32(shape.to_vec(), data.to_vec()).unwrap()
    }

    #[test]
    fn narrow_takes_a_slice_of_any_dimension() {
        with(|s| {
            let a = array(&[2, 3], &[0., 1., 2., 3., 4., 5.]);
            let b = s.narrow(&a, 1, 1, 2).unwrap().value;
            assert_eq!((b.shape.as_slice(), b.to_f32().as_ref()), ([2, 2].as_slice(), [1., 2., 4., 5.].as_slice()));
            let b = s.narrow(&a, 0, 1, 1).unwrap().value;
            assert_eq!(b.to_f32().as_ref(), [3., 4., 5.]);
            assert!(s.narrow(&a, 1, 2, u32::MAX).is_err() && s.narrow(&a, 2, 0, 1).is_err());
        });
    }

    #[test]
    fn softmax_sums_to_one_along_its_dimension() {
        with(|s| {
            let a = array(&[2, 2], &[0., 1000., 0., 1000.]);
            assert_eq!(s.softmax(&a, 0).unwrap().value.to_f32().as_ref(), [0.5; 4]);
            assert_eq!(s.softmax(&a, 1).unwrap().value.to_f32().as_ref(), [0., 1., 0., 1.]);
            assert_eq!(s.sigmoid(&array(&[1], &[0.])).unwrap().value.to_f32()[0], 0.5);
        });
    }

    #[test]
    fn stack_and_reshape_check_their_shapes() {
        with(|s| {
            let (a, b) = (array(&[2], &[1., 2.]), array(&[2], &[3., 4.]));
            assert_eq!(s.stack(&[&a, &b]).unwrap().value.shape, [2, 2]);
            assert!(s.stack(&[&a, &array(&[1], &[0.])]).is_err() && s.stack(&[]).is_err());
            let a = s.tensor(a).unwrap();
            assert!(s.reshape(&a, &[2, 1]).is_ok() && s.reshape(&a, &[3]).is_err());
            assert!(s.reshape(&a, &[1; 9]).is_err());
            assert!(s.tensor_from_f32(&[u32::MAX; 8], vec![]).is_err());
        });
    }

    #[test]
    fn picks_the_largest_elements() {
        let a = array(&[5], &[0.1, 0.9, 0.5, 0.9, f32::NAN]);
        assert_eq!(top_k(&array(&[4], &[0.1, 0.9, 0.5, 0.9]), 3), [(1, 0.9), (3, 0.9), (2, 0.5)]);
        assert_eq!(above(&a, 0.5), [(1, 0.9), (2, 0.5), (3, 0.9)]);
    }
}
