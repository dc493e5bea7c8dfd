//! ResnetBlock2D: two convolutions with group norm and SiLU in front, the timestep added between them. Shared by UNet
//! and autoencoder.

use crate::error::Result;
use crate::layers::{LayerId, Layers, NormId};
use crate::ops::{self, Window};
use crate::weights::Build;
use candle_core::Tensor;

#[derive(Clone, Copy)]
pub(crate) struct Resnet {
    shape: Shape,
    norm1: NormId,
    conv1: LayerId,
    time: Option<LayerId>,
    norm2: NormId,
    conv2: LayerId,
    /// Where input and output have different channels.
    shortcut: Option<LayerId>,
}

#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) inp: usize,
    pub(crate) out: usize,
    /// Features of the timestep's embedding, if it is added.
    pub(crate) time: Option<usize>,
    pub(crate) groups: usize,
    pub(crate) eps: f64,
}

impl Resnet {
    pub(crate) fn build(b: &mut Build<'_>, path: &str, shape: Shape) -> Result<Resnet> {
        let Shape { inp, out, .. } = shape;
        let same = Window::new(1, 1);
        Ok(Resnet {
            norm1: b.norm(&format!("{path}.norm1"), inp)?,
            conv1: b.conv(&format!("{path}.conv1"), inp, out, 3, same)?,
            time: shape.time.map(|time| b.linear(&format!("{path}.time_emb_proj"), time, out)).transpose()?,
            norm2: b.norm(&format!("{path}.norm2"), out)?,
            conv2: b.conv(&format!("{path}.conv2"), out, out, 3, same)?,
            shortcut: (inp != out)
                .then(|| b.conv(&format!("{path}.conv_shortcut"), inp, out, 1, Window::new(1, 0)))
                .transpose()?,
            shape,
        })
    }

    /// `x` (b, h, w, in) and the SiLU of the timestep's embedding (b, time) → (b, h, w, out).
    pub(crate) fn forward(&self, layers: &Layers, x: &Tensor, time: Option<&Tensor>) -> Result<Tensor> {
        let norm = |id: NormId, x: &Tensor| {
            let norm = layers.norm(id);
            ops::group_norm(x, self.shape.groups, &norm.weight, &norm.bias, self.shape.eps, true)
        };
        let mut y = layers.run(self.conv1, &norm(self.norm1, x)?)?;
        if let (Some(layer), Some(time)) = (self.time, time) {
            y = ops::add_channels(&y, &layers.run(layer, time)?)?;
        }
        let y = layers.run(self.conv2, &norm(self.norm2, &y)?)?;
        let x = match self.shortcut {
            Some(layer) => layers.run(layer, x)?,
            None => x.clone(),
        };
        Ok((y + x)?)
    }
}
