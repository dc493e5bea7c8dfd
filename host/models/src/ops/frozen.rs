//! Weights that are not trained: read from their source when first used, and then kept as the matrix kernel reads them
//! for as long as the memory budget allows.

use super::kept::{Kept, Width};
use super::source::{Owned, Source, Stored};
use crate::memory::{Memory, weight_id};
use candle_core::{Device, Result, Tensor, bail};
use std::sync::{Arc, OnceLock};

/// The frozen weight and bias of a linear or convolution layer.
pub struct Frozen {
    weight: Arc<Weight>,
    bias: Option<Arc<[f32]>>,
    /// The bias where the layer computes, if that is not the CPU.
    bias_there: OnceLock<Tensor>,
}

/// A weight without its bias, shared by layers that differ in the bias only.
struct Weight {
    out: usize,
    inp: usize,
    kernel: (usize, usize),
    source: Arc<dyn Source>,
    memory: Memory,
    id: u64,
}

/// The working copies of a weight.
const KERNEL: u8 = 0;
const DEVICE: u8 = 1;

impl Drop for Weight {
    fn drop(&mut self) {
        self.memory.forget(self.id, [KERNEL, DEVICE]);
    }
}

impl Frozen {
    /// Takes a weight (out, in) of a linear layer or (out, in, kh, kw) of a convolution, and a bias (out).
    pub fn new(weight: &Tensor, bias: Option<&Tensor>) -> Result<Frozen> {
        let bias = bias.map(|bias| bias.to_vec1::<f32>()).transpose()?;
        let source = Arc::new(Owned::new(weight)?);
        Frozen::from_source(source, bias.map(Arc::from), &Memory::unlimited())
    }

    /// The same of a weight that is read when it is needed, with the device and budget of its working copies.
    pub fn from_source(source: Arc<dyn Source>, bias: Option<Arc<[f32]>>, memory: &Memory) -> Result<Frozen> {
        let (out, inp, kernel) = match *source.shape() {
            [out, inp] => (out, inp, (1, 1)),
            [out, inp, kh, kw] => (out, inp, (kh, kw)),
            _ => bail!("expected a weight (out, in) or (out, in, kh, kw), found {:?}", source.shape()),
        };
        if bias.as_ref().is_some_and(|bias| bias.len() != out) {
            bail!("expected a bias of {out} values for a weight of shape {:?}", source.shape());
        }
        let weight = Weight { out, inp, kernel, source, memory: memory.clone(), id: weight_id() };
        Ok(Frozen { weight: Arc::new(weight), bias, bias_there: OnceLock::new() })
    }

    /// Output features.
    pub fn out(&self) -> usize {
        self.weight.out
    }

    /// Input features.
    pub fn inp(&self) -> usize {
        self.weight.inp
    }

    /// Height and width of the kernel; (1, 1) for a linear layer.
    pub fn kernel(&self) -> (usize, usize) {
        self.weight.kernel
    }

    /// The device that computes with it.
    pub fn device(&self) -> &Device {
        self.weight.memory.device()
    }

    /// The weight in its original shape, f32 on the CPU.
    pub fn weight(&self) -> Result<Tensor> {
        self.weight.source.tensor()
    }

    /// Where the weight comes from.
    pub(crate) fn source(&self) -> &Arc<dyn Source> {
        &self.weight.source
    }

    /// The same layer with another weight of the same shape; budget, device and bias stay.
    pub(crate) fn with_source(&self, source: Arc<dyn Source>) -> Result<Frozen> {
        if source.shape() != self.weight.source.shape() {
            bail!("expected a weight of shape {:?}, found {:?}", self.weight.source.shape(), source.shape());
        }
        Frozen::from_source(source, self.bias.clone(), &self.weight.memory)
    }

    /// The budget of its working copies.
    pub(crate) fn memory(&self) -> &Memory {
        &self.weight.memory
    }

    /// Bytes that its working copy takes.
    pub(crate) fn bytes(&self) -> usize {
        let weight = &*self.weight;
        let count: usize = weight.source.shape().iter().product();
        count * weight.memory.width().bytes(weight.source.value_bytes())
    }

    /// The same layer with another budget and width of its working copies.
    pub(crate) fn within(&self, memory: &Memory) -> Result<Frozen> {
        Frozen::from_source(self.weight.source.clone(), self.bias.clone(), &memory.on(self.device()))
    }

    /// The same layer with another bias; the weight and its working copies are shared.
    pub(crate) fn with_bias(&self, bias: Option<Arc<[f32]>>) -> Result<Frozen> {
        if bias.as_ref().is_some_and(|bias| bias.len() != self.out()) {
            bail!("expected a bias of {} values", self.out());
        }
        Ok(Frozen { weight: self.weight.clone(), bias, bias_there: OnceLock::new() })
    }

    /// The bias, if the layer has one.
    pub(crate) fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// The weight as the matrix kernel reads it, in both directions.
    pub(super) fn kept(&self) -> Result<Arc<Kept>> {
        let weight = &*self.weight;
        weight.memory.get((weight.id, KERNEL), || {
            let (taps, width) = (weight.kernel.0 * weight.kernel.1, weight.memory.width());
            let kept = Kept::new(&*weight.source, width, taps, weight.inp, weight.out)?;
            let bytes = kept.bytes();
            Ok((kept, bytes))
        })
    }

    /// The weight in its shape and in f32 on the layer's device. There it is kept in the width it is stored in, and widened
    /// for each use.
    pub(super) fn widened(&self) -> Result<Tensor> {
        let weight = &*self.weight;
        let stored = weight.memory.get((weight.id, DEVICE), || {
            let mut stored: Stored = weight.source.stored(weight.memory.device())?;
            if weight.memory.width() != Width::Wide {
                stored = weight.memory.width().of(stored)?;
            }
            let bytes = stored.values.elem_count() * stored.values.dtype().size_in_bytes();
            Ok((stored, bytes))
        })?;
        stored.widened()
    }

    /// The bias on the layer's device.
    pub(super) fn bias_on_device(&self) -> Result<Option<&Tensor>> {
        let Some(bias) = &self.bias else { return Ok(None) };
        if self.bias_there.get().is_none() {
            let _ = self.bias_there.set(Tensor::new(&**bias, self.weight.memory.device())?);
        }
        Ok(self.bias_there.get())
    }
}
