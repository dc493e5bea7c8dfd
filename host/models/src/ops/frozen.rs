//! Weights that are not trained, stored as the matrix kernel reads them.

use super::gemm::Packed;
use candle_core::{Device, Result, Tensor, bail};
use std::sync::OnceLock;

/// The frozen weight and bias of a linear or convolution layer. Packed once for the forward pass and, when a gradient
/// first asks for it, once for the backward pass.
pub struct Frozen {
    out: usize,
    inp: usize,
    kernel: (usize, usize),
    linear: bool,
    forward: Packed,
    backward: OnceLock<Packed>,
    bias: Option<Vec<f32>>,
}

impl Frozen {
    /// Takes a weight (out, in) of a linear layer or (out, in, kh, kw) of a convolution, and a bias (out).
    pub fn new(weight: &Tensor, bias: Option<&Tensor>) -> Result<Frozen> {
        let weight = weight.contiguous()?;
        let (out, inp, kernel) = match *weight.dims() {
            [out, inp] => (out, inp, (1, 1)),
            [out, inp, kh, kw] => (out, inp, (kh, kw)),
            _ => bail!("expected a weight (out, in) or (out, in, kh, kw), found {:?}", weight.shape()),
        };
        let linear = weight.rank() == 2;
        let bias = bias.map(|bias| bias.to_vec1::<f32>()).transpose()?;
        if bias.as_ref().is_some_and(|bias| bias.len() != out) {
            bail!("expected a bias of {out} values for a weight of shape {:?}", weight.shape());
        }
        super::values::read!(weight as w);
        let taps = kernel.0 * kernel.1;
        // Row t·in + i, column o.
        let forward = Packed::new(taps * inp, out, |k, o| w[(o * inp + k % inp) * taps + k / inp]);
        Ok(Frozen { out, inp, kernel, linear, forward, backward: OnceLock::new(), bias })
    }

    /// Output features.
    pub fn out(&self) -> usize {
        self.out
    }

    /// Input features.
    pub fn inp(&self) -> usize {
        self.inp
    }

    /// Height and width of the kernel; (1, 1) for a linear layer.
    pub fn kernel(&self) -> (usize, usize) {
        self.kernel
    }

    /// The weight in its original shape.
    pub fn weight(&self) -> Result<Tensor> {
        let (out, inp, taps) = (self.out, self.inp, self.kernel.0 * self.kernel.1);
        let mut w = vec![0.0; out * inp * taps];
        super::values::in_chunks(&mut w, inp * taps, |first, w| {
            let o = first / (inp * taps);
            for (at, w) in w.iter_mut().enumerate() {
                *w = self.forward.get(at % taps * inp + at / taps, o);
            }
        });
        if self.linear {
            Tensor::from_vec(w, (out, inp), &Device::Cpu)
        } else {
            Tensor::from_vec(w, (out, inp, self.kernel.0, self.kernel.1), &Device::Cpu)
        }
    }

    /// The same layer with `delta`, of the weight's shape, added to its weight.
    pub fn plus(&self, delta: &Tensor) -> Result<Frozen> {
        let weight = self.weight()?;
        if weight.dims() != delta.dims() {
            bail!("expected a delta of shape {:?}, found {:?}", weight.shape(), delta.shape());
        }
        let bias = self.bias.as_ref().map(|b| Tensor::new(b.as_slice(), &Device::Cpu)).transpose()?;
        Frozen::new(&(weight + delta)?, bias.as_ref())
    }

    pub(super) fn bias(&self) -> Option<&[f32]> {
        self.bias.as_deref()
    }

    /// Row t·in + i, column o.
    pub(super) fn forward(&self) -> &Packed {
        &self.forward
    }

    /// Row t·out + o, column i.
    pub(super) fn backward(&self) -> &Packed {
        let (out, inp) = (self.out, self.inp);
        self.backward.get_or_init(|| {
            let taps = self.kernel.0 * self.kernel.1;
            Packed::new(taps * out, inp, |k, i| self.forward.get(k / out * inp + i, k % out))
        })
    }
}
