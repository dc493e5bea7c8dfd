//! The number formats of weight files, widened to f32.

use super::file::Dtype;
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

static F8E4M3: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut bits = 0;
    while bits < 256 {
        table[bits] = f8e4m3(bits as u8);
        bits += 1;
    }
    table
};

/// An 8-bit float: sign, 4 bits of exponent with bias 7, 3 of mantissa; all ones is not a number.
const fn f8e4m3(bits: u8) -> f32 {
    let (sign, exponent, mantissa) = (bits >> 7, (bits >> 3) & 15, bits & 7);
    let size = if bits & 0x7f == 0x7f {
        f32::NAN
    } else if exponent == 0 {
        mantissa as f32 / 512.0
    } else {
        f32::from_bits(((exponent as u32 + 120) << 23) | ((mantissa as u32) << 20))
    };
    if sign == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_8_bit_values_are_those_of_the_float8_crate_that_candle_uses() {
        use candle_core::{DType, Device, Tensor};
        let bytes: Vec<u8> = (0..=255).collect();
        let tensor = Tensor::from_raw_buffer(&bytes, DType::F8E4M3, &[256], &Device::Cpu).unwrap();
        let want = tensor.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
        for (bits, want) in want.into_iter().enumerate() {
            let got = F8E4M3[bits];
            assert!(got == want || (got.is_nan() && want.is_nan()), "{bits:#x}: {got}, expected {want}");
        }
    }

    #[test]
    fn parts_of_a_tensor_begin_where_they_should() {
        let bytes: Vec<u8> = [1.0f32, 2.0, 3.0].iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
        let mut out = [0.0; 2];
        assert!(widen(Dtype::Bf16, &bytes, 1, &mut out));
        assert_eq!(out, [2.0, 3.0]);
        assert!(!widen(Dtype::Other("I8", 1), &[1, 2], 0, &mut out));
    }
}
