//! A tensor of a mapped file as a source of weights.

use super::file::{Dtype, Entry, WeightFile};
use crate::ops::{Source, Stored, width};
use candle_core::{DType, Device, Result, Tensor};
use std::sync::Arc;

pub(super) struct Mapped {
    file: Arc<WeightFile>,
    entry: Entry,
    /// One factor, or one for each row.
    scale: Option<Vec<f32>>,
}

impl Mapped {
    /// The tensor is one of floats.
    pub(super) fn new(file: Arc<WeightFile>, entry: Entry, scale: Option<Vec<f32>>) -> Mapped {
        Mapped { file, entry, scale }
    }
}

impl Source for Mapped {
    fn shape(&self) -> &[usize] {
        &self.entry.shape
    }

    fn rows(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let width = width(&self.entry.shape);
        self.file.read(&self.entry, first * width, out);
        match self.scale.as_deref() {
            None => {}
            Some([one]) => out.iter_mut().for_each(|value| *value *= one),
            Some(each) => {
                for (row, scale) in out.chunks_exact_mut(width.max(1)).zip(&each[first..]) {
                    row.iter_mut().for_each(|value| *value *= scale);
                }
            }
        }
        Ok(())
    }

    fn value_bytes(&self) -> usize {
        match self.entry.dtype {
            Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::F8E4M3 => 1,
            _ => 4,
        }
    }

    fn stored(&self, device: &Device) -> Result<Stored> {
        let dtype = match self.entry.dtype {
            Dtype::F16 => Some(DType::F16),
            Dtype::Bf16 => Some(DType::BF16),
            Dtype::F8E4M3 => Some(DType::F8E4M3),
            // The rest is as wide as f32, or unknown to the device.
            _ => None,
        };
        let shape = self.entry.shape.as_slice();
        match (dtype, self.file.bytes_of(&self.entry)) {
            (Some(dtype), Some(bytes)) => {
                let scale = self.scale.as_ref().map(|scale| {
                    let mut dims = vec![1; shape.len()];
                    if let Some(first) = dims.first_mut() {
                        *first = scale.len();
                    }
                    Tensor::from_slice(scale, dims, device)
                });
                Ok(Stored { values: Tensor::from_raw_buffer(bytes, dtype, shape, device)?, scale: scale.transpose()? })
            }
            _ => Ok(Stored { values: self.tensor()?.to_device(device)?, scale: None }),
        }
    }
}
