//! Makes the layers of a network from its tensors.

use super::Part;
use crate::adapter::TargetKind;
use crate::error::Result;
use crate::layers::{Layer, LayerId, Layers};
use crate::ops::{Frozen, Window};
use candle_core::Tensor;
use std::sync::Arc;

/// Weight and bias of a normalisation.
#[derive(Clone)]
pub(crate) struct Norm {
    pub(crate) weight: Arc<[f32]>,
    pub(crate) bias: Arc<[f32]>,
}

/// Reads a network's tensors and collects its layers.
pub(crate) struct Build<'a> {
    pub(crate) part: &'a mut Part,
    pub(crate) layers: Layers,
    /// In front of every path that an adapter sees, but not of the tensors' names.
    pub(crate) prefix: &'static str,
}

impl<'a> Build<'a> {
    pub(crate) fn new(part: &'a mut Part, prefix: &'static str) -> Build<'a> {
        Build { part, layers: Layers::default(), prefix }
    }

    /// A linear layer with a bias.
    pub(crate) fn linear(&mut self, path: &str, inp: usize, out: usize) -> Result<LayerId> {
        self.layer(path, TargetKind::Linear { inp, out }, Window::new(1, 0), true)
    }

    /// A linear layer without a bias.
    pub(crate) fn matrix(&mut self, path: &str, inp: usize, out: usize) -> Result<LayerId> {
        self.layer(path, TargetKind::Linear { inp, out }, Window::new(1, 0), false)
    }

    /// A square convolution with a bias.
    pub(crate) fn conv(
        &mut self,
        path: &str,
        inp: usize,
        out: usize,
        kernel: usize,
        window: Window,
    ) -> Result<LayerId> {
        self.layer(path, TargetKind::Conv { inp, out, kernel }, window, true)
    }

    /// Weight and bias of a normalisation over `channels`.
    pub(crate) fn norm(&mut self, path: &str, channels: usize) -> Result<Norm> {
        let weight = self.part.tensor(&format!("{path}.weight"), &[channels])?.to_vec1::<f32>()?;
        let bias = self.part.tensor(&format!("{path}.bias"), &[channels])?.to_vec1::<f32>()?;
        Ok(Norm { weight: weight.into(), bias: bias.into() })
    }

    /// A tensor as it is.
    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.part.tensor(name, shape)
    }

    fn layer(&mut self, path: &str, kind: TargetKind, window: Window, bias: bool) -> Result<LayerId> {
        let (out, shape) = match kind {
            TargetKind::Linear { inp, out } => (out, vec![out, inp]),
            TargetKind::Conv { inp, out, kernel } => (out, vec![out, inp, kernel, kernel]),
        };
        let weight = self.part.tensor(&format!("{path}.weight"), &shape)?;
        let bias = if bias { Some(self.part.tensor(&format!("{path}.bias"), &[out])?) } else { None };
        let frozen = Arc::new(Frozen::new(&weight, bias.as_ref())?);
        let path = format!("{}{path}", self.prefix).into();
        Ok(self.layers.push(Layer { path, kind, window, frozen, adapters: Vec::new() }))
    }
}
