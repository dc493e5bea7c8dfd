//! A dense array that a plugin may hold a handle on.

use half::{bf16, f16};
use std::sync::Arc;

/// Element type of an [`Array`], as in `wit/types.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    U8,
    U32,
    I64,
    F16,
    Bf16,
    F32,
    F64,
}

impl Dtype {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }
}

/// The elements, row-major and shared.
#[derive(Clone, Debug, PartialEq)]
pub enum ArrayData {
    U8(Arc<[u8]>),
    U32(Arc<[u32]>),
    I64(Arc<[i64]>),
    F16(Arc<[f16]>),
    Bf16(Arc<[bf16]>),
    F32(Arc<[f32]>),
    F64(Arc<[f64]>),
}

/// A row-major array. Cloning shares the elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    pub data: ArrayData,
}

/// Runs `$body` with `$v` bound to the elements, whatever their type.
macro_rules! each {
    ($data:expr, $v:ident => $body:expr) => {
        match $data {
            ArrayData::U8($v) => $body,
            ArrayData::U32($v) => $body,
            ArrayData::I64($v) => $body,
            ArrayData::F16($v) => $body,
            ArrayData::Bf16($v) => $body,
            ArrayData::F32($v) => $body,
            ArrayData::F64($v) => $body,
        }
    };
}

impl ArrayData {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        each!(self, v => v.len())
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::U8(_) => Dtype::U8,
            Self::U32(_) => Dtype::U32,
            Self::I64(_) => Dtype::I64,
            Self::F16(_) => Dtype::F16,
            Self::Bf16(_) => Dtype::Bf16,
            Self::F32(_) => Dtype::F32,
            Self::F64(_) => Dtype::F64,
        }
    }
}

impl Array {
    /// An array of `shape` over `data`.
    ///
    /// # Errors
    /// The shape does not hold as many elements as there are.
    pub fn new(shape: Vec<usize>, data: ArrayData) -> Result<Self, String> {
        let expected = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        if expected != Some(data.len()) {
            return Err(format!("shape {shape:?} does not hold {} elements", data.len()));
        }
        Ok(Self { shape, data })
    }

    /// An f32 array.
    ///
    /// # Errors
    /// The shape does not hold as many elements as there are.
    pub fn from_f32(shape: Vec<usize>, data: Vec<f32>) -> Result<Self, String> {
        Self::new(shape, ArrayData::F32(data.into()))
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        self.data.dtype()
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Size of the elements in bytes.
    pub fn byte_len(&self) -> usize {
        self.len() * self.dtype().size()
    }

    /// The elements as f32. No copy if that is what they are.
    pub fn to_f32(&self) -> Arc<[f32]> {
        match &self.data {
            ArrayData::U8(v) => v.iter().map(|x| f32::from(*x)).collect(),
            ArrayData::U32(v) => v.iter().map(|x| *x as f32).collect(),
            ArrayData::I64(v) => v.iter().map(|x| *x as f32).collect(),
            ArrayData::F16(v) => v.iter().map(|x| x.to_f32()).collect(),
            ArrayData::Bf16(v) => v.iter().map(|x| x.to_f32()).collect(),
            ArrayData::F32(v) => v.clone(),
            ArrayData::F64(v) => v.iter().map(|x| *x as f32).collect(),
        }
    }

    /// The elements as little-endian bytes in the stored type.
    pub fn to_bytes(&self) -> Vec<u8> {
        each!(&self.data, v => v.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// An array from little-endian bytes.
    ///
    /// # Errors
    /// The bytes do not fill the shape exactly.
    pub fn from_bytes(shape: Vec<usize>, dtype: Dtype, bytes: &[u8]) -> Result<Self, String> {
        if !bytes.len().is_multiple_of(dtype.size()) {
            return Err(format!("{} bytes are no whole number of {}-byte elements", bytes.len(), dtype.size()));
        }
        macro_rules! parse {
            ($variant:ident, $t:ty) => {
                ArrayData::$variant(
                    bytes
                        .chunks_exact(size_of::<$t>())
                        .map(|c| {
                            let mut le = [0; size_of::<$t>()];
                            le.copy_from_slice(c);
                            <$t>::from_le_bytes(le)
                        })
                        .collect(),
                )
            };
        }
        let data = match dtype {
            Dtype::U8 => ArrayData::U8(bytes.into()),
            Dtype::U32 => parse!(U32, u32),
            Dtype::I64 => parse!(I64, i64),
            Dtype::F16 => parse!(F16, f16),
            Dtype::Bf16 => parse!(Bf16, bf16),
            Dtype::F32 => parse!(F32, f32),
            Dtype::F64 => parse!(F64, f64),
        };
        Self::new(shape, data)
    }

    /// The same values in another type. Floats become integers by truncation, limited to the type's range.
    pub fn cast(&self, to: Dtype) -> Self {
        if to == self.dtype() {
            return self.clone();
        }
        // f64 holds every value of the other types except large i64; those are converted directly.
        let data = match (&self.data, to) {
            (ArrayData::I64(v), Dtype::U32) => {
                ArrayData::U32(v.iter().map(|x| (*x).clamp(0, u32::MAX.into()) as u32).collect())
            }
            (ArrayData::I64(v), Dtype::U8) => ArrayData::U8(v.iter().map(|x| (*x).clamp(0, 255) as u8).collect()),
            _ => {
                let v = self.to_f64();
                match to {
                    Dtype::U8 => ArrayData::U8(v.iter().map(|x| *x as u8).collect()),
                    Dtype::U32 => ArrayData::U32(v.iter().map(|x| *x as u32).collect()),
                    Dtype::I64 => ArrayData::I64(v.iter().map(|x| *x as i64).collect()),
                    Dtype::F16 => ArrayData::F16(v.iter().map(|x| f16::from_f64(*x)).collect()),
                    Dtype::Bf16 => ArrayData::Bf16(v.iter().map(|x| bf16::from_f64(*x)).collect()),
                    Dtype::F32 => ArrayData::F32(v.iter().map(|x| *x as f32).collect()),
                    Dtype::F64 => ArrayData::F64(v.into()),
                }
            }
        };
        Self { shape: self.shape.clone(), data }
    }

    /// The arrays one behind the other along the first dimension.
    ///
    /// # Errors
    /// There are none, or they differ in their element types or in other dimensions than the first.
    pub fn stacked(parts: &[&Self]) -> Result<Self, String> {
        let Some(first) = parts.first().filter(|first| !first.shape.is_empty()) else {
            return Err("expected arrays with a first dimension, found none".to_owned());
        };
        if let Some(other) =
            parts.iter().find(|p| p.dtype() != first.dtype() || p.shape.get(1..) != first.shape.get(1..))
        {
            let (a, b) = ((first.dtype(), &first.shape), (other.dtype(), &other.shape));
            return Err(format!("arrays of {a:?} and {b:?} cannot lie one behind the other"));
        }
        macro_rules! stack {
            ($($variant:ident)*) => {
                match &first.data {
                    $(ArrayData::$variant(_) => {
                        let slices = parts.iter().filter_map(|p| match &p.data {
                            ArrayData::$variant(v) => Some(&v[..]),
                            _ => None,
                        });
                        ArrayData::$variant(slices.collect::<Vec<_>>().concat().into())
                    })*
                }
            };
        }
        let data = stack!(U8 U32 I64 F16 Bf16 F32 F64);
        let mut shape = first.shape.clone();
        shape[0] = parts.iter().map(|p| p.shape[0]).sum();
        Self::new(shape, data)
    }

    /// `count` rows of the first dimension, from `from` on; a copy.
    ///
    /// # Errors
    /// There are not so many.
    pub fn rows(&self, from: usize, count: usize) -> Result<Self, String> {
        let end = from.checked_add(count);
        let Some((rows, end)) = self.shape.first().zip(end).filter(|(rows, end)| end <= *rows) else {
            return Err(format!("expected {count} rows from {from} on, found an array of shape {:?}", self.shape));
        };
        let each = self.len().checked_div(*rows).unwrap_or(0);
        let part = from * each..end * each;
        macro_rules! cut {
            ($($variant:ident)*) => {
                match &self.data {
                    $(ArrayData::$variant(v) => ArrayData::$variant(v[part].into()),)*
                }
            };
        }
        let data = cut!(U8 U32 I64 F16 Bf16 F32 F64);
        let mut shape = self.shape.clone();
        shape[0] = count;
        Self::new(shape, data)
    }

    fn to_f64(&self) -> Vec<f64> {
        match &self.data {
            ArrayData::U8(v) => v.iter().map(|x| f64::from(*x)).collect(),
            ArrayData::U32(v) => v.iter().map(|x| f64::from(*x)).collect(),
            ArrayData::I64(v) => v.iter().map(|x| *x as f64).collect(),
            ArrayData::F16(v) => v.iter().map(|x| x.to_f64()).collect(),
            ArrayData::Bf16(v) => v.iter().map(|x| x.to_f64()).collect(),
            ArrayData::F32(v) => v.iter().map(|x| f64::from(*x)).collect(),
            ArrayData::F64(v) => v.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_shape_that_does_not_fit() {
        assert!(Array::from_f32(vec![2, 2], vec![0.0; 3]).is_err());
        assert!(Array::from_f32(vec![usize::MAX, 2], vec![0.0; 3]).is_err());
    }

    #[test]
    fn rows_are_stacked_and_taken_apart_again() {
        let a = Array::from_f32(vec![2, 3], (0..6).map(|v| v as f32).collect()).unwrap();
        let b = Array::from_f32(vec![1, 3], vec![7.0, 8.0, 9.0]).unwrap();
        for dtype in [Dtype::U8, Dtype::U32, Dtype::I64, Dtype::F16, Dtype::Bf16, Dtype::F32, Dtype::F64] {
            let (a, b) = (a.cast(dtype), b.cast(dtype));
            let both = Array::stacked(&[&a, &b]).unwrap();
            assert_eq!((both.dtype(), &both.shape[..]), (dtype, &[3, 3][..]));
            assert_eq!((both.rows(0, 2).unwrap(), both.rows(2, 1).unwrap()), (a, b));
            assert_eq!(both.rows(1, 0).unwrap().shape, [0, 3]);
            assert!(both.rows(2, 2).is_err() && both.rows(usize::MAX, 2).is_err());
        }
        assert!(Array::stacked(&[]).is_err());
        assert!(Array::stacked(&[&a, &b.cast(Dtype::F64)]).unwrap_err().contains("F64"));
        assert!(Array::stacked(&[&a, &Array::from_f32(vec![1, 2], vec![0.0; 2]).unwrap()]).is_err());
        let scalar = Array::from_f32(vec![], vec![1.0]).unwrap();
        assert!(Array::stacked(&[&scalar]).is_err() && scalar.rows(0, 0).is_err());
    }

    #[test]
    fn bytes_and_casts_round_trip() {
        let a = Array::from_f32(vec![3], vec![-1.5, 0.0, 3.25]).unwrap();
        for dtype in [Dtype::F16, Dtype::Bf16, Dtype::F32, Dtype::F64] {
            let b = a.cast(dtype);
            let c = Array::from_bytes(vec![3], dtype, &b.to_bytes()).unwrap();
            assert_eq!(c.to_f32(), a.to_f32(), "{dtype:?}");
        }
        assert_eq!(a.cast(Dtype::U8).to_f32().as_ref(), [0.0, 0.0, 3.0]);
    }
}
