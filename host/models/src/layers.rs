//! The linear and convolution layers of a network in one list, so that adapters and merged weights replace entries of
//! the list while the network's structure is shared.

use crate::adapter::{Adapter, Target, TargetKind};
use crate::error::{Error, Result};
use crate::ops::{self, Frozen, Window};
use candle_core::Tensor;
use std::collections::HashMap;
use std::sync::Arc;

/// An entry of [`Layers`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct LayerId(pub(crate) usize);

/// All layers of a network that have a weight matrix.
#[derive(Clone, Default)]
pub(crate) struct Layers(Vec<Layer>);

/// A linear layer or a convolution, with what has been added to it.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) path: Arc<str>,
    pub(crate) kind: TargetKind,
    pub(crate) window: Window,
    pub(crate) frozen: Arc<Frozen>,
    pub(crate) adapters: Vec<Arc<dyn Adapter>>,
}

impl Layer {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut adapters = self.adapters.iter();
        let mut y = match (self.adapters.first().and_then(|a| a.as_lora()), self.frozen.kernel()) {
            // A 1×1 kernel reads one pixel, so that the fused form holds for it.
            (Some(lora), (1, 1)) if self.window == Window::new(1, 0) => {
                adapters.next();
                ops::linear_lora(x, &self.frozen, lora.down, lora.up, lora.scale)?
            }
            _ => self.base(x)?,
        };
        for adapter in adapters {
            y = match adapter.as_lora() {
                Some(lora) => {
                    let through = match self.kind {
                        TargetKind::Linear { .. } => ops::linear(x, lora.down, None)?,
                        TargetKind::Conv { .. } => ops::conv2d(x, lora.down, None, self.window)?,
                    };
                    let up = if lora.up.rank() == 4 { lora.up.flatten_from(1)? } else { lora.up.clone() };
                    (y + (ops::linear(&through, &up, None)? * lora.scale)?)?
                }
                None => adapter.apply(x, y)?,
            };
        }
        Ok(y)
    }

    fn base(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match self.kind {
            TargetKind::Linear { .. } => ops::linear_frozen(x, &self.frozen)?,
            TargetKind::Conv { .. } => ops::conv2d_frozen(x, &self.frozen, self.window)?,
        })
    }
}

impl Layers {
    pub(crate) fn push(&mut self, layer: Layer) -> LayerId {
        self.0.push(layer);
        LayerId(self.0.len() - 1)
    }

    /// Runs one layer with its adapters.
    pub(crate) fn run(&self, id: LayerId, x: &Tensor) -> Result<Tensor> {
        self.0[id.0].forward(x)
    }

    /// The layers that can get an adapter, in the network's order. `prefix` is kohya's.
    pub(crate) fn targets(&self, prefix: &str) -> Vec<Target> {
        self.0
            .iter()
            .map(|layer| Target {
                path: layer.path.to_string(),
                kohya: format!("{prefix}{}", layer.path.replace('.', "_")),
                shape: layer.kind,
            })
            .collect()
    }

    /// The same layers, some with one more adapter.
    pub(crate) fn with_adapters(&self, adapters: &HashMap<String, Arc<dyn Adapter>>) -> Result<Layers> {
        self.replace(adapters, |layer, adapter| {
            layer.adapters.push(adapter.clone());
            Ok(())
        })
    }

    /// The same layers, some with a delta added to their weight.
    pub(crate) fn with_deltas(&self, deltas: &HashMap<String, Tensor>) -> Result<Layers> {
        self.replace(deltas, |layer, delta| {
            layer.frozen = Arc::new(layer.frozen.plus(delta)?);
            Ok(())
        })
    }

    fn replace<T>(&self, by: &HashMap<String, T>, f: impl Fn(&mut Layer, &T) -> Result<()>) -> Result<Layers> {
        let mut layers = self.clone();
        let mut found = 0;
        for layer in &mut layers.0 {
            if let Some(value) = by.get(&*layer.path) {
                f(layer, value)?;
                found += 1;
            }
        }
        if found == by.len() {
            return Ok(layers);
        }
        let mut unknown: Vec<String> =
            by.keys().filter(|path| !self.0.iter().any(|layer| *layer.path == ***path)).cloned().collect();
        unknown.sort();
        let what = "these module paths are no layers of this network".to_owned();
        let hint = self.0.first().map_or(String::new(), |l| format!("a path looks like `{}`", l.path));
        Err(Error::Targets { what, unknown, hint })
    }
}
