//! 16-bit normals of torch's CPU generator.

use super::TorchCpu;
use half::{bf16, f16};

impl TorchCpu {
    /// `torch.randn(n, dtype=float16)`: float32 values, rounded. Measured with torch 2.15.
    pub fn randn_f16(&mut self, n: usize) -> Vec<f16> {
        self.randn_for_16(n).into_iter().map(f16::from_f32).collect()
    }

    /// `torch.randn(n, dtype=bfloat16)`: float32 values, rounded.
    pub fn randn_bf16(&mut self, n: usize) -> Vec<bf16> {
        self.randn_for_16(n).into_iter().map(bf16::from_f32).collect()
    }

    /// Block by block, unlike float32: what does not fill a block is drawn after the whole ones, not after all.
    fn randn_for_16(&mut self, n: usize) -> Vec<f32> {
        if n < 16 {
            return self.randn(n);
        }
        let mut data = self.randn(n / 16 * 16);
        if !n.is_multiple_of(16) {
            data.resize(n, 0.0);
            data[n - 16..].copy_from_slice(&self.randn(16));
        }
        data
    }
}
