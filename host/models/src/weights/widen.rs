//! The number formats of weight files, widened to f32.

use super::file::Dtype;
use crate::ops::F8E4M3;
use half::{bf16, f16};

/// Values `first..` of little-endian `bytes`, as many as `out` takes. False for formats that are no weights.
pub(super) fn widen(dtype: Dtype, bytes: &[u8], first: usize, out: &mut [f32]) -> bool {
    match dtype {
        Dtype::F32 => each(bytes, first, out, f32::from_le_bytes),
        Dtype::F16 => each(bytes, first, out, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::Bf16 => each(bytes, first, out, |b| bf16::from_le_bytes(b).to_f32()),
        Dtype::F64 => each(bytes, first, out, |b| f64::from_le_bytes(b) as f32),
        Dtype::F8E4M3 => each(bytes, first, out, |[b]: [u8; 1]| F8E4M3[b as usize]),
        Dtype::F8E5M2 => each(bytes, first, out, |[b]: [u8; 1]| f16::from_bits(u16::from(b) << 8).to_f32()),
        Dtype::Block(block) => return block.widen(bytes, first, out).is_ok(),
        Dtype::Other(..) => return false,
    }
    true
}

fn each<const N: usize>(bytes: &[u8], first: usize, out: &mut [f32], f: impl Fn([u8; N]) -> f32) {
    let bytes = &bytes[first * N..(first + out.len()) * N];
    for (out, bytes) in out.iter_mut().zip(bytes.chunks_exact(N)) {
        let mut raw = [0; N];
        raw.copy_from_slice(bytes);
        *out = f(raw);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_tensor_begin_where_they_should() {
        let bytes: Vec<u8> = [1.0f32, 2.0, 3.0].iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
        let mut out = [0.0; 2];
        assert!(widen(Dtype::Bf16, &bytes, 1, &mut out));
        assert_eq!(out, [2.0, 3.0]);
        assert!(!widen(Dtype::Other("I8", 1), &[1, 2], 0, &mut out));
    }
}
