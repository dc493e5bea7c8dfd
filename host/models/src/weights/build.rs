//! Makes the layers of a network from its tensors.

use super::Part;
use super::part::Table;
use crate::adapter::TargetKind;
use crate::error::Result;
use crate::layers::{Layer, LayerId, Layers, Norm, NormId};
use crate::ops::{Frozen, Window};
use candle_core::Tensor;
use std::sync::Arc;

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

    /// A square convolution without a bias.
    #[allow(dead_code)] // The families decide.
    pub(crate) fn conv_no_bias(
        &mut self,
        path: &str,
        inp: usize,
        out: usize,
        kernel: usize,
        window: Window,
    ) -> Result<LayerId> {
        self.layer(path, TargetKind::Conv { inp, out, kernel }, window, false)
    }

    /// Weight and bias of a normalisation over `channels`.
    pub(crate) fn norm(&mut self, path: &str, channels: usize) -> Result<NormId> {
        let weight = self.part.values(&format!("{path}.weight"), &[channels])?;
        let bias = self.part.values(&format!("{path}.bias"), &[channels])?;
        Ok(self.layers.push_norm(Norm { path: self.adapted(path), weight, bias }))
    }

    /// The weight of a normalisation without a bias.
    #[allow(dead_code)] // The families decide.
    pub(crate) fn rms_norm(&mut self, path: &str, channels: usize) -> Result<NormId> {
        self.rms_norm_named(path, &format!("{path}.weight"), channels)
    }

    /// The same where the tensor is not called `weight`.
    #[allow(dead_code)] // The families decide.
    pub(crate) fn rms_norm_named(&mut self, path: &str, name: &str, channels: usize) -> Result<NormId> {
        let weight = self.part.values(name, &[channels])?;
        Ok(self.layers.push_norm(Norm { path: self.adapted(path), weight, bias: Arc::new([]) }))
    }

    /// A tensor as it is, in memory.
    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.part.tensor(name, shape)
    }

    /// A table of which rows are read when they are needed.
    #[allow(dead_code)] // The text encoders decide.
    pub(crate) fn table(&mut self, name: &str, rows: usize, width: usize) -> Table {
        Table::new(self.part.source(name, &[rows, width]), self.part.memory.device().clone())
    }

    fn layer(&mut self, path: &str, kind: TargetKind, window: Window, bias: bool) -> Result<LayerId> {
        let (out, shape) = match kind {
            TargetKind::Linear { inp, out } => (out, vec![out, inp]),
            TargetKind::Conv { inp, out, kernel } => (out, vec![out, inp, kernel, kernel]),
        };
        let weight = self.part.source(&format!("{path}.weight"), &shape);
        let bias = if bias { Some(self.part.values(&format!("{path}.bias"), &[out])?) } else { None };
        let frozen = Frozen::from_source(weight, bias, &self.part.memory)?;
        Ok(self.layers.push(Layer::new(self.adapted(path), kind, window, frozen)))
    }

    fn adapted(&self, path: &str) -> Arc<str> {
        format!("{}{path}", self.prefix).into()
    }
}
