//! Weights that are not trained: read from their source when first used, and then kept as the matrix kernel reads them
//! for as long as the memory budget allows.

use super::gemm::Packed;
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
const FORWARD: u8 = 0;
const BACKWARD: u8 = 1;
const DEVICE: u8 = 2;

impl Drop for Weight {
    fn drop(&mut self) {
        self.memory.forget(self.id, [FORWARD, BACKWARD, DEVICE]);
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

    /// Row t·in + i, column o.
    pub(super) fn forward(&self) -> Result<Arc<Packed>> {
        let weight = &*self.weight;
        weight.memory.get((weight.id, FORWARD), || {
            let taps = weight.kernel.0 * weight.kernel.1;
            let packed = Packed::weight(&*weight.source, taps, weight.inp, weight.out)?;
            let bytes = packed.bytes();
            Ok((packed, bytes))
        })
    }

    /// Row t·out + o, column i.
    pub(super) fn backward(&self) -> Result<Arc<Packed>> {
        let weight = &*self.weight;
        weight.memory.get((weight.id, BACKWARD), || {
            let taps = weight.kernel.0 * weight.kernel.1;
            let packed = self.forward()?.flipped(taps, weight.inp, weight.out);
            let bytes = packed.bytes();
            Ok((packed, bytes))
        })
    }

    /// The weight in its shape and in f32 on the layer's device. There it is kept in the width it is stored in, and widened
    /// for each use.
    pub(super) fn widened(&self) -> Result<Tensor> {
        let weight = &*self.weight;
        let stored = weight.memory.get((weight.id, DEVICE), || {
            let stored: Stored = weight.source.stored(weight.memory.device())?;
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
