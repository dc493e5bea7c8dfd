//! Tensor operations of the networks, each with its backward pass, on f32 tensors: kernels on the CPU, compositions of
//! candle's operations elsewhere.
//!
//! Images are channels-last here, (b, h, w, c), and tokens (b, n, c): a 1×1 convolution is then a [`linear`] layer, and
//! every matrix product reads its inputs where they lie. Weights in a [`Frozen`] get no gradient.

mod activation;
mod attention;
mod conv;
mod frozen;
mod gemm;
mod given;
mod group_norm;
mod kept;
mod kernel;
mod layer_norm;
mod layout;
mod linear;
mod math;
mod modulate;
mod over;
mod portable;
mod resample;
mod rms_norm;
mod rope;
mod simd;
mod source;
#[cfg(test)]
pub(crate) mod testing;
mod values;
mod winograd;

pub use activation::{geglu, gelu, gelu_tanh, quick_gelu, silu};
pub use attention::{Mask, attention};
pub use conv::{Window, conv2d, conv2d_frozen};
pub use frozen::Frozen;
pub(crate) use given::{given, given2, given3};
pub use group_norm::group_norm;
pub(crate) use kept::F8E4M3;
pub use kept::Width;
pub use layer_norm::{layer_norm, layer_norm_over};
pub(crate) use layout::folded;
pub use layout::{add_channels, channels_first, channels_last, concat_channels};
pub use linear::{linear, linear_frozen, linear_lora};
pub use modulate::{add_gated, modulate};
pub use over::{add_over, gelu_over, gelu_tanh_over, swiglu_over};
pub use resample::upsample_nearest;
pub use rms_norm::rms_norm;
pub use rope::{Rotation, rope, rope_over};
pub(crate) use source::{Joined, Owned, Random, Shaped, Slice, Transposed, Wider, fill, width};
pub use source::{Source, Stored};
