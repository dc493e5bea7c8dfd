//! Arrays that the host owns, on its device; a plugin holds a handle and copies only when it reads.

use crate::Result;
use crate::host::with_host;
use serde::{Deserialize, Serialize};
use spec::ObjectType;

coded_enum! {
    /// The type of a tensor's elements.
    Dtype { Uint8, Uint32, Int64, Float16, Bfloat16, Float32, Float64 }
}

/// An array in the host.
///
/// ```
/// use plugin_sdk::Tensor;
///
/// let _host = plugin_test::FakeHost::new().install();
/// let t = Tensor::from_f32(&[2, 2], &[0.0, 3.0, 1.0, 2.0])?;
/// assert_eq!(t.top_k(2)?, [(1, 3.0), (3, 2.0)]);
/// assert_eq!(t.narrow(0, 1, 1)?.read_f32()?, [1.0, 2.0]);
/// assert_eq!(t.sigmoid()?.above(0.9)?[0].0, 1);
/// # Ok::<(), plugin_sdk::Error>(())
/// ```
#[derive(Debug)]
pub struct Tensor(u64);

#[allow(clippy::missing_errors_doc)] // each says so: shapes that do not fit, or the host's memory limit
impl Tensor {
    /// Copies f32 values into a new tensor.
    pub fn from_f32(shape: &[u32], data: &[f32]) -> Result<Self> {
        with_host(|h| h.tensor_from_f32(shape, data)).map(Self)
    }

    /// Copies little-endian bytes into a new tensor.
    pub fn from_bytes(shape: &[u32], dtype: Dtype, bytes: &[u8]) -> Result<Self> {
        with_host(|h| h.tensor_from_bytes(shape, dtype, bytes)).map(Self)
    }

    /// Joins equal shapes along a new first dimension.
    pub fn stack(items: &[&Tensor]) -> Result<Self> {
        let items: Vec<u64> = items.iter().map(|t| t.0).collect();
        with_host(|h| h.tensor_stack(&items)).map(Self)
    }

    /// Sizes, slowest dimension first.
    pub fn shape(&self) -> Vec<u32> {
        with_host(|h| h.tensor_shape(self.0))
    }

    /// The stored type.
    pub fn dtype(&self) -> Dtype {
        with_host(|h| h.tensor_dtype(self.0))
    }

    /// Copies the values out as f32, whatever the stored type is.
    pub fn read_f32(&self) -> Result<Vec<f32>> {
        with_host(|h| h.tensor_read_f32(self.0))
    }

    /// Copies little-endian bytes of the stored type out.
    pub fn read_bytes(&self) -> Result<Vec<u8>> {
        with_host(|h| h.tensor_read_bytes(self.0))
    }

    /// The same values as another type.
    pub fn cast(&self, to: Dtype) -> Result<Self> {
        with_host(|h| h.tensor_cast(self.0, to)).map(Self)
    }

    /// The same values in another shape.
    pub fn reshape(&self, shape: &[u32]) -> Result<Self> {
        with_host(|h| h.tensor_reshape(self.0, shape)).map(Self)
    }

    /// A part of one dimension.
    pub fn narrow(&self, dim: u32, start: u32, length: u32) -> Result<Self> {
        with_host(|h| h.tensor_narrow(self.0, dim, start, length)).map(Self)
    }

    /// 1 / (1 + e⁻ˣ) of each element.
    pub fn sigmoid(&self) -> Result<Self> {
        with_host(|h| h.tensor_sigmoid(self.0)).map(Self)
    }

    /// Softmax along one dimension.
    pub fn softmax(&self, dim: u32) -> Result<Self> {
        with_host(|h| h.tensor_softmax(self.0, dim)).map(Self)
    }

    /// The `k` largest values of the flattened tensor as (index, value), largest first; equal values by index.
    pub fn top_k(&self, k: u32) -> Result<Vec<(u32, f32)>> {
        with_host(|h| h.tensor_top_k(self.0, k))
    }

    /// (index, value) of all elements of the flattened tensor at or above a threshold, by index.
    pub fn above(&self, threshold: f32) -> Result<Vec<(u32, f32)>> {
        with_host(|h| h.tensor_above(self.0, threshold))
    }

    /// A second handle on the same storage.
    pub fn share(&self) -> Result<Self> {
        with_host(|h| h.tensor_share(self.0)).map(Self)
    }
}

owned_handle!(Tensor, tensor_drop);

impl ObjectType for Tensor {
    const SOCKET: &'static str = "TENSOR";
}
