//! Optimizer state in bytes: each block of numbers has a scale, and each number is the nearest of 256 codes, which lie
//! close together near zero.
//!
//! Source: Dettmers et al. 2022 (arXiv:2110.02861), dynamic tree quantisation; the codes and the rounding are those of
//! bitsandbytes 0.50 (`create_dynamic_map`, `quantize_cpu`). Its processor kernel finds a code through a table of 65536
//! steps over −1..1, so that small numbers of either sign fall on the code of the nearest step; its CUDA kernels search
//! all codes, and may differ in these.

use super::running::fma;
use std::sync::LazyLock;

/// Numbers that share a scale.
pub const BLOCK: usize = 256;

/// Tensors with fewer numbers keep their state in f32: what bytes would save is less than what they cost.
pub(super) const SMALLEST: usize = 4096;

/// Codes for numbers of either sign.
pub static SIGNED: LazyLock<Codes> = LazyLock::new(|| Codes::new(true));

/// Codes for numbers that are never negative.
pub static UNSIGNED: LazyLock<Codes> = LazyLock::new(|| Codes::new(false));

/// The values of the 256 codes, and the way back.
pub struct Codes {
    /// Ascending.
    pub values: [f32; 256],
    /// The code of each step from −1 to 1.
    nearest: Box<[u8]>,
}

/// Steps from −1 to 1 in the table of nearest codes.
const STEPS: usize = 1 << 16;

impl Codes {
    fn new(signed: bool) -> Self {
        let mut all = vec![0.0f32, 1.0];
        for exponent in 0..7 {
            // In each power of ten twice as many codes as in the one below.
            let count = (1usize << exponent) * if signed { 1 } else { 2 };
            let power = 10f64.powi(exponent - 6) as f32;
            let edges = linspace(0.1, 1.0, count + 1);
            for pair in edges.windows(2) {
                let mean = power * ((pair[0] + pair[1]) / 2.0);
                all.push(mean);
                if signed {
                    all.push(-mean);
                }
            }
        }
        all.sort_by(f32::total_cmp);
        let mut values = [0.0; 256];
        values.copy_from_slice(&all);
        let mut code = 0;
        let step = |i: usize| {
            let value = -1.0 + (2.0 * i as f32) / (STEPS - 1) as f32;
            while code < 255 && 0.5 * (values[code] + values[code + 1]) < value {
                code += 1;
            }
            code as u8
        };
        let nearest = (0..STEPS).map(step).collect();
        Self { values, nearest }
    }

    /// One block into bytes; gives its scale, the largest absolute value.
    pub fn quantise(&self, numbers: &[f32], codes: &mut [u8]) -> f32 {
        let scale = numbers.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        if scale == 0.0 {
            // As the source: the code of 0 with a scale of 0 is worth 0, whichever code it is.
            codes.fill(0);
            return 0.0;
        }
        let inverse = 1.0 / scale;
        for (code, &v) in codes.iter_mut().zip(numbers) {
            let place = ((v * inverse).clamp(-1.0, 1.0) + 1.0) * 0.5 * (STEPS - 1) as f32 + 0.5;
            *code = self.nearest[(place as usize).min(STEPS - 1)];
        }
        scale
    }

    /// What the bytes of one block with this scale are worth.
    pub fn widen(&self, codes: &[u8], scale: f32, numbers: &mut [f32]) {
        for (number, &code) in numbers.iter_mut().zip(codes) {
            *number = self.values[usize::from(code)] * scale;
        }
    }
}

/// `torch.linspace` in f32: from the start in the first half, back from the end in the second.
fn linspace(start: f32, end: f32, count: usize) -> Vec<f32> {
    let step = (end - start) / (count - 1) as f32;
    let at =
        |i: usize| if i < count / 2 { fma(step, i as f32, start) } else { fma(-step, (count - 1 - i) as f32, end) };
    (0..count).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_come_back() {
        for codes in [&*SIGNED, &*UNSIGNED] {
            assert!(codes.values.windows(2).all(|w| w[0] < w[1]));
            // Large codes are found again exactly; the table's steps are too wide for the smallest.
            let large: Vec<f32> = codes.values.iter().copied().filter(|v| v.abs() > 1e-3).collect();
            let mut bytes = vec![0; large.len()];
            assert_eq!(codes.quantise(&large, &mut bytes), 1.0);
            let mut back = vec![0.0; large.len()];
            codes.widen(&bytes, 1.0, &mut back);
            assert_eq!(back, large);
        }
    }

    #[test]
    fn a_block_of_zeros_stays_zero() {
        let (mut bytes, mut back) = ([7u8; 4], [1.0f32; 4]);
        assert_eq!(SIGNED.quantise(&[0.0; 4], &mut bytes), 0.0);
        SIGNED.widen(&bytes, 0.0, &mut back);
        assert_eq!(back.map(f32::abs), [0.0; 4]);
    }
}
