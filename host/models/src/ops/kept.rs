//! Working copies of weights, packed for the matrix kernel in as many bits as their file has or the user allows. What is
//! not f32 is widened a panel at a time, inside of the product that uses it, and the backward pass turns the same copy
//! a panel at a time: there is one copy of a weight, and the kernel always computes with f32.

use super::gemm::{Packed, Panels, Right};
use super::kernel::{LANES, PANEL};
use super::simd::simd;
use super::source::{Source, Stored};
use candle_core::{CpuStorage, D, DType, Device, Result, Storage, bail};
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

/// How wide the working copies of weights are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Width {
    /// f32, whatever the file has: the fastest.
    #[default]
    Wide,
    /// As the file has it: f32, f16, bf16, or 8 bits with their scales.
    Stored,
    /// At most 16 bits: f32 is rounded to bf16.
    Sixteen,
    /// 8 bits (e4m3) with a scale for each row, to which wider weights are rounded.
    Eight,
}

/// Largest value of the 8-bit format.
const F8_MAX: f64 = 448.0;

impl Width {
    /// Bytes of a value that is stored in so many.
    pub(super) fn bytes(self, stored: usize) -> usize {
        match self {
            Width::Wide => 4,
            Width::Stored => stored,
            Width::Sixteen => stored.min(2),
            Width::Eight => 1,
        }
    }

    /// The values in no more bits than this width has.
    pub(super) fn of(self, stored: Stored) -> Result<Stored> {
        let bytes = stored.values.dtype().size_in_bytes();
        match self {
            Width::Wide if bytes < 4 => Ok(Stored { values: stored.widened()?, scale: None }),
            Width::Sixteen if bytes > 2 => {
                Ok(Stored { values: stored.values.to_dtype(DType::BF16)?, scale: stored.scale })
            }
            Width::Eight if bytes > 1 => {
                let wide = stored.widened()?;
                let rows = wide.flatten_from(1)?;
                let scale = (rows.abs()?.max_keepdim(D::Minus1)? / F8_MAX)?;
                // A row of zeros is one with any scale.
                let scale = scale.eq(0.0)?.where_cond(&scale.ones_like()?, &scale)?;
                let values = rows.broadcast_div(&scale)?.to_dtype(DType::F8E4M3)?.reshape(wide.shape())?;
                let mut dims = vec![1; wide.rank()];
                dims[0] = wide.dim(0)?;
                Ok(Stored { values, scale: Some(scale.reshape(dims)?) })
            }
            _ => Ok(stored),
        }
    }
}

/// The working copy of a weight (out, in, taps): a right side of row t·in + i, column o, and one of row t·out + o, column i.
pub(crate) struct Kept {
    codes: Codes,
    taps: usize,
    inp: usize,
    out: usize,
    /// A factor for each column and zeros up to a whole vector; none for 1.
    scale: Option<Vec<f32>>,
}

/// Values in the places that [`Packed`] gives them.
enum Codes {
    Wide(Packed),
    Bf16(Vec<u16>),
    F16(Vec<half::f16>),
    F8(Vec<u8>),
}

impl Kept {
    pub(super) fn new(source: &dyn Source, width: Width, taps: usize, inp: usize, out: usize) -> Result<Kept> {
        let kept = |codes, scale| Kept { codes, taps, inp, out, scale };
        if width == Width::Wide || width == Width::Stored && source.value_bytes() == 4 {
            return Ok(kept(Codes::Wide(Packed::weight(source, taps, inp, out)?), None));
        }
        let Stored { values, scale } = width.of(source.stored(&Device::Cpu)?)?;
        let values = values.contiguous()?;
        let codes = {
            let (storage, layout) = values.storage_and_layout();
            let (Storage::Cpu(storage), Some((from, to))) = (&*storage, layout.contiguous_offsets()) else {
                bail!("expected a weight on the cpu");
            };
            match storage {
                CpuStorage::BF16(values) => Codes::Bf16(pack(&values[from..to], taps, inp, out, |v| v.to_bits())),
                CpuStorage::F16(values) => Codes::F16(pack(&values[from..to], taps, inp, out, |v| v)),
                CpuStorage::F8E4M3(values) => Codes::F8(pack(&values[from..to], taps, inp, out, |v| v.to_bits())),
                _ => Codes::Wide(Packed::weight(source, taps, inp, out)?),
            }
        };
        let scale = match (&codes, scale) {
            (Codes::Wide(_), _) | (_, None) => None,
            (_, Some(scale)) => {
                let mut scale = scale.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
                if scale.len() == 1 {
                    scale = vec![scale[0]; out];
                }
                scale.resize(out.next_multiple_of(LANES), 0.0);
                Some(scale)
            }
        };
        Ok(kept(codes, scale))
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        let codes = match &self.codes {
            Codes::Wide(packed) => packed.bytes(),
            Codes::Bf16(codes) => 2 * codes.len(),
            Codes::F16(codes) => 2 * codes.len(),
            Codes::F8(codes) => codes.len(),
        };
        codes + self.scale.as_ref().map_or(0, |scale| 4 * scale.len())
    }

    /// The right side of the forward pass, from a row on.
    pub(super) fn right(&self, from: usize) -> Right<'_> {
        match &self.codes {
            Codes::Wide(packed) => Right::Packed(packed, from),
            _ => Right::Made(self, from),
        }
    }

    /// The same weight for the backward pass.
    pub(super) fn flipped(&self) -> Flipped<'_> {
        Flipped(self)
    }

    /// Widens `out.len()` values from a line on, the first of them of column `column`, in rows of `lanes` values.
    fn widen(&self, line: usize, column: usize, lanes: usize, out: &mut [f32]) {
        let at = line * LANES..line * LANES + out.len();
        match &self.codes {
            Codes::Wide(packed) => out.copy_from_slice(&packed.floats()[at]),
            Codes::Bf16(codes) => widen_bf16(out, &codes[at]),
            Codes::F16(codes) => codes[at].convert_to_f32_slice(out),
            Codes::F8(codes) => widen_f8(out, &codes[at]),
        }
        if let Some(scale) = &self.scale {
            scale_rows(out, &scale[column..column + lanes]);
        }
    }
}

/// In panels, rows and columns as [`Packed`] has them.
fn pack<T: Copy + Sync, U: Copy + Default + Send>(
    values: &[T],
    taps: usize,
    inp: usize,
    out: usize,
    code: impl Fn(T) -> U + Sync,
) -> Vec<U> {
    let (k, width) = (taps * inp, taps * inp);
    let mut codes = vec![U::default(); k * out.next_multiple_of(LANES)];
    if codes.is_empty() {
        return codes;
    }
    codes.par_chunks_mut(k * PANEL).enumerate().for_each(|(panel, codes)| {
        let first = panel * PANEL;
        let columns = (out - first).min(PANEL);
        let lanes = columns.next_multiple_of(LANES);
        for begin in (0..inp).step_by(LANES) {
            let end = (begin + LANES).min(inp);
            for column in 0..columns {
                let row = &values[(first + column) * width..][..width];
                for (i, of_taps) in (begin..end).zip(row[begin * taps..end * taps].chunks_exact(taps)) {
                    for (t, value) in of_taps.iter().enumerate() {
                        codes[(t * inp + i) * lanes + column] = code(*value);
                    }
                }
            }
        }
    });
    codes
}

impl Panels for Kept {
    fn rows(&self) -> usize {
        self.taps * self.inp
    }

    fn fill(&self, panel: usize, lanes: usize, out: &mut [f32]) {
        let first = panel * PANEL;
        self.widen(first / LANES * self.rows(), first, lanes, out);
    }
}

/// See [`Kept::flipped`].
pub(super) struct Flipped<'a>(&'a Kept);

impl Flipped<'_> {
    /// The right side of the backward pass, from a row on.
    pub(super) fn right(&self, from: usize) -> Right<'_> {
        Right::Made(self, from)
    }
}

impl Panels for Flipped<'_> {
    fn rows(&self) -> usize {
        self.0.taps * self.0.out
    }

    fn fill(&self, panel: usize, lanes: usize, out: &mut [f32]) {
        let Kept { taps, inp, out: height, .. } = *self.0;
        let (first, k) = (panel * PANEL, taps * inp);
        let columns = (inp - first).min(PANEL);
        let mut block = [0f32; LANES * PANEL];
        for (tap, out) in out.chunks_exact_mut(height * lanes).enumerate() {
            for from in (0..height).step_by(PANEL) {
                let wide = (height - from).min(PANEL).next_multiple_of(LANES);
                for column in (0..columns).step_by(LANES) {
                    let rows = (columns - column).min(LANES);
                    let line = from / LANES * k + (tap * inp + first + column) * (wide / LANES);
                    self.0.widen(line, from, wide, &mut block[..rows * wide]);
                    for part in (0..wide).step_by(LANES) {
                        let count = (height - from - part).min(LANES);
                        turn(
                            &block[part..rows * wide],
                            wide,
                            rows,
                            &mut out[(from + part) * lanes + column..],
                            lanes,
                            count,
                        );
                    }
                }
            }
        }
    }
}

simd! {
    /// Row r, column c of `from` (rows `step` apart) to row c, column r of `to` (rows `lanes` apart), for `rows` and `count`
    /// of them, and zeros in the rest of 16 columns.
    fn turn(from: &[f32], step: usize, rows: usize, to: &mut [f32], lanes: usize, count: usize) {
        let mut square = [[0f32; LANES]; LANES];
        for (r, from) in from.chunks(step).enumerate().take(rows) {
            for c in 0..LANES {
                square[c][r] = from[c];
            }
        }
        for (square, to) in square.iter().zip(to.chunks_mut(lanes)).take(count) {
            to[..LANES].copy_from_slice(square);
        }
    }
}

simd! {
    fn widen_bf16(out: &mut [f32], codes: &[u16]) {
        for (out, code) in out.iter_mut().zip(codes) {
            *out = f32::from_bits(u32::from(*code) << 16);
        }
    }
}

fn widen_f8(out: &mut [f32], codes: &[u8]) {
    for (out, code) in out.iter_mut().zip(codes) {
        *out = F8E4M3[*code as usize];
    }
}

simd! {
    fn scale_rows(values: &mut [f32], scale: &[f32]) {
        for row in values.chunks_exact_mut(scale.len()) {
            for (value, scale) in row.iter_mut().zip(scale) {
                *value *= scale;
            }
        }
    }
}

/// The values of the 8-bit floats of one sign, 4 bits of exponent and 3 of mantissa.
pub(crate) static F8E4M3: [f32; 256] = {
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
    use super::super::frozen::Frozen;
    use super::super::{Window, conv2d_frozen, linear_frozen, linear_lora};
    use super::*;
    use crate::memory::Memory;
    use crate::ops::testing::{close, random};
    use candle_core::{Tensor, Var};
    use std::sync::Arc;

    /// A tensor as a file would have it.
    struct File(Stored);

    impl Source for File {
        fn shape(&self) -> &[usize] {
            self.0.values.dims()
        }

        fn value_bytes(&self) -> usize {
            self.0.values.dtype().size_in_bytes()
        }

        fn rows(&self, first: usize, out: &mut [f32]) -> Result<()> {
            let wide = self.0.widened()?.flatten_all()?.to_vec1::<f32>()?;
            let from = first * super::super::source::width(self.shape());
            out.copy_from_slice(&wide[from..from + out.len()]);
            Ok(())
        }

        fn stored(&self, _: &Device) -> Result<Stored> {
            Ok(self.0.clone())
        }
    }

    /// The output and the input's gradient.
    fn run(f: impl Fn(&Tensor) -> Result<Tensor>, x: &Tensor) -> Result<[Tensor; 2]> {
        let x = Var::from_tensor(x)?;
        let y = f(x.as_tensor())?;
        let grads = y.sqr()?.sum_all()?.backward()?;
        Ok([y, grads.get(&x).unwrap().clone()])
    }

    #[test]
    fn every_width_computes_with_the_widened_values() -> Result<()> {
        let (down, up) = (random((3, 70), 5)?, random((50, 3), 6)?);
        for shape in [vec![50, 70], vec![50, 70, 3, 3]] {
            let wide = random(shape.clone(), 1)?;
            let mut dims = vec![1; shape.len()];
            dims[0] = 50;
            let rows = random(dims, 2)?;
            let x = random(if shape.len() == 2 { vec![2, 40, 70] } else { vec![2, 6, 5, 70] }, 3)?;
            let f8 = wide.to_dtype(DType::F8E4M3)?;
            let one = Tensor::full(0.3f32, 1, &Device::Cpu)?.reshape(vec![1; shape.len()])?;
            let files = [
                (wide.clone(), None),
                (wide.to_dtype(DType::F16)?, None),
                (wide.to_dtype(DType::BF16)?, None),
                (f8.clone(), None),
                (f8.clone(), Some(rows)),
                (f8, Some(one)),
            ];
            for (values, scale) in files {
                let stored = Stored { values, scale };
                for width in [Width::Wide, Width::Stored, Width::Sixteen, Width::Eight] {
                    let bytes = width.of(stored.clone())?.values.dtype().size_in_bytes();
                    let widened = width.of(stored.clone())?.widened()?;
                    let what = format!("{width:?} of {:?}, {shape:?}", stored.values.dtype());
                    let error = (&widened - stored.widened()?)?.abs()?.max_all()?.to_scalar::<f32>()?;
                    let size = stored.widened()?.abs()?.max_all()?.to_scalar::<f32>()?;
                    assert!(error <= size * [0.0, 0.07, 0.004, 0.0, 0.0][bytes], "{what}: {error} of {size}");
                    let memory = Memory::unlimited().keeping(width);
                    let narrow = Arc::new(Frozen::from_source(Arc::new(File(stored.clone())), None, &memory)?);
                    let plain = Arc::new(Frozen::new(&widened, None)?);
                    let with = |layer: &Arc<Frozen>| -> Result<Vec<Tensor>> {
                        if shape.len() == 4 {
                            let step = |stride| run(|x| conv2d_frozen(x, layer, Window::new(stride, 1)), &x);
                            return Ok([step(1)?, step(2)?].concat());
                        }
                        let lora = run(|x| linear_lora(x, layer, &down, &up, 0.5), &x)?;
                        Ok([run(|x| linear_frozen(x, layer), &x)?, lora].concat())
                    };
                    for (found, wanted) in with(&narrow)?.iter().zip(&with(&plain)?) {
                        close(found, wanted, 0.0)?;
                    }
                    let count = if shape.len() == 2 { 64 * 70 } else { 64 * 70 * 9 };
                    assert!(memory.used() <= count * bytes + 4 * 64, "{what}: {} bytes", memory.used());
                }
            }
        }
        Ok(())
    }

    #[test]
    fn all_8_bit_values_are_those_of_the_float8_crate_that_candle_uses() -> Result<()> {
        let bytes: Vec<u8> = (0..=255).collect();
        let tensor = Tensor::from_raw_buffer(&bytes, DType::F8E4M3, &[256], &Device::Cpu)?;
        let want = tensor.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        for (bits, want) in want.into_iter().enumerate() {
            let got = F8E4M3[bits];
            assert!(got == want || (got.is_nan() && want.is_nan()), "{bits:#x}: {got}, expected {want}");
        }
        Ok(())
    }
}
