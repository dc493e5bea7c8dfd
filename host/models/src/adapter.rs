//! What training and LoRA files add to a network's layers.

use crate::error::{Error, Result};
use crate::layers::Beneath;
use candle_core::Tensor;

/// Something added to one layer of a network.
pub trait Adapter: Send + Sync {
    /// The layer's new output. Not called while [`Adapter::as_lora`] gives something.
    fn apply(&self, layer: &Beneath<'_>) -> Result<Tensor> {
        let _ = layer;
        Err(Error::Unsupported("this adapter defines neither `apply` nor `as_lora`".into()))
    }

    /// The adapter as two matrices, if that is all it is: then layer and adapter are computed in one operation.
    fn as_lora(&self) -> Option<LoraRef<'_>> {
        None
    }
}

/// `scale · up · down` beside a layer.
#[derive(Clone, Copy)]
pub struct LoraRef<'a> {
    /// (r, in) of a linear layer, (r, in, k, k) of a convolution
    pub down: &'a Tensor,
    /// (out, r) of a linear layer, (out, r, 1, 1) of a convolution
    pub up: &'a Tensor,
    /// Factor: alpha / rank, times the strength a user asks for.
    pub scale: f64,
}

/// A layer that can get an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The module path in diffusers (UNet) or transformers (text encoder), for example
    /// `down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q`.
    pub path: String,
    /// The name in kohya's LoRA files, for example
    /// `lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q`.
    pub kohya: String,
    /// The module path in the code that the network was first written in, which ComfyUI keeps, for example
    /// `input_blocks.1.1.transformer_blocks.0.attn1.to_q`.
    pub original: String,
    /// What the layer is.
    pub shape: TargetKind,
}

/// A normalisation whose weight and bias a patch can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormTarget {
    /// The module path, as in [`Target::path`].
    pub path: String,
    /// The name in kohya's LoRA files.
    pub kohya: String,
    /// The module path in the code that the network was first written in.
    pub original: String,
    /// Values of its weight.
    pub width: usize,
    /// Whether it has a bias too.
    pub bias: bool,
}

/// The shape of a layer that can get an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A weight (out, in).
    Linear {
        /// Input features.
        inp: usize,
        /// Output features.
        out: usize,
    },
    /// A weight (out, in, kernel, kernel).
    Conv {
        /// Input channels.
        inp: usize,
        /// Output channels.
        out: usize,
        /// Height and width of the kernel.
        kernel: usize,
    },
}
