//! Where the values of weights come from.

use candle_core::{DType, Device, Result, Tensor, bail};
use std::ops::Range;
use std::sync::Arc;

/// The values of a weight: read as often as needed, a few rows at a time, so that none of them need be kept.
pub trait Source: Send + Sync {
    /// (out, …): rows are the parts along the first dimension.
    fn shape(&self) -> &[usize];

    /// Fills `out` with the values from those of row `first` on; `out` has whole rows. Called by several threads at once.
    fn rows(&self, first: usize, out: &mut [f32]) -> Result<()>;

    /// The source to read all rows from. One that has to be computed as a whole does that here, once.
    fn opened(&self) -> Result<Option<Arc<dyn Source>>> {
        Ok(None)
    }

    /// All values as an f32 tensor on the CPU.
    fn tensor(&self) -> Result<Tensor> {
        if let Some(opened) = self.opened()? {
            return opened.tensor();
        }
        let shape = self.shape();
        let width: usize = shape.iter().skip(1).product();
        let mut values = vec![0f32; shape.iter().product()];
        fill(&mut values, width, |first, rows| self.rows(first, rows))?;
        Tensor::from_vec(values, shape, &Device::Cpu)
    }

    /// Bytes of a value that [`Source::stored`] gives: 4, or fewer.
    fn value_bytes(&self) -> usize {
        4
    }

    /// The values on a device, in no more bits than they are stored in, and what to multiply them by.
    fn stored(&self, device: &Device) -> Result<Stored> {
        Ok(Stored { values: self.tensor()?.to_device(device)?, scale: None })
    }
}

/// Values as they are kept on a device.
#[derive(Clone)]
pub struct Stored {
    /// In the weight's shape and any float dtype.
    pub values: Tensor,
    /// One f32 factor for all values, or one for each row (out, 1, …).
    pub scale: Option<Tensor>,
}

impl Stored {
    /// The values as f32.
    pub(crate) fn widened(&self) -> Result<Tensor> {
        let wide = self.values.to_dtype(DType::F32)?;
        match &self.scale {
            Some(scale) => wide.broadcast_mul(scale),
            None => Ok(wide),
        }
    }
}

/// Values that one thread reads at a time.
const CHUNK: usize = 1 << 16;

/// Fills rows of `width` values on all threads by `f(first row, rows)`.
pub(crate) fn fill(out: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) -> Result<()> + Sync) -> Result<()> {
    use rayon::prelude::*;
    if width == 0 || out.is_empty() {
        return Ok(());
    }
    let rows = (CHUNK / width).max(1);
    if out.len() <= rows * width {
        return f(0, out);
    }
    out.par_chunks_mut(rows * width).enumerate().try_for_each(|(i, out)| f(i * rows, out))
}

/// A tensor in memory.
pub(crate) struct Owned(Tensor);

impl Owned {
    /// Takes an f32 tensor on the CPU.
    pub(crate) fn new(tensor: &Tensor) -> Result<Owned> {
        if tensor.dtype() != DType::F32 || !tensor.device().is_cpu() {
            bail!("expected an f32 weight on the cpu, found {} on {:?}", tensor.dtype().as_str(), tensor.device());
        }
        Ok(Owned(tensor.detach().contiguous()?))
    }
}

impl Source for Owned {
    fn shape(&self) -> &[usize] {
        self.0.dims()
    }

    fn rows(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let tensor = &self.0;
        super::values::read!(tensor as values);
        let from = first * width(self.shape());
        out.copy_from_slice(&values[from..from + out.len()]);
        Ok(())
    }

    fn tensor(&self) -> Result<Tensor> {
        Ok(self.0.clone())
    }
}

/// Values of one row.
pub(crate) fn width(shape: &[usize]) -> usize {
    shape.iter().skip(1).product()
}

/// Another source's values in another shape, with as many values.
pub(crate) struct Shaped {
    inner: Arc<dyn Source>,
    shape: Vec<usize>,
}

impl Shaped {
    /// `inner` itself if it has the shape already.
    pub(crate) fn of(inner: Arc<dyn Source>, shape: &[usize]) -> Arc<dyn Source> {
        debug_assert_eq!(inner.shape().iter().product::<usize>(), shape.iter().product::<usize>());
        if inner.shape() == shape { inner } else { Arc::new(Shaped { inner, shape: shape.to_vec() }) }
    }
}

impl Source for Shaped {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn rows(&self, first: usize, out: &mut [f32]) -> Result<()> {
        self.inner.rows(first, out)
    }

    fn value_bytes(&self) -> usize {
        self.inner.value_bytes()
    }

    fn opened(&self) -> Result<Option<Arc<dyn Source>>> {
        Ok(self.inner.opened()?.map(|inner| Shaped::of(inner, &self.shape)))
    }

    fn tensor(&self) -> Result<Tensor> {
        self.inner.tensor()?.reshape(self.shape.as_slice())
    }

    fn stored(&self, device: &Device) -> Result<Stored> {
        let Stored { values, scale } = self.inner.stored(device)?;
        let scale = match scale {
            // One factor for each row keeps its rows and gets the new rank.
            Some(scale) if scale.elem_count() > 1 => {
                let mut shape = vec![1; self.shape.len()];
                shape[0] = scale.elem_count();
                Some(scale.reshape(shape)?)
            }
            scale => scale,
        };
        Ok(Stored { values: values.reshape(self.shape.as_slice())?, scale })
    }
}

/// Some rows of another source.
pub(crate) struct Slice {
    inner: Arc<dyn Source>,
    first: usize,
    shape: Vec<usize>,
}

impl Slice {
    /// Rows of `inner`, which has as many.
    pub(crate) fn new(inner: Arc<dyn Source>, rows: Range<usize>) -> Slice {
        let mut shape = inner.shape().to_vec();
        shape[0] = rows.len();
        Slice { inner, first: rows.start, shape }
    }
}

impl Source for Slice {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn rows(&self, first: usize, out: &mut [f32]) -> Result<()> {
        self.inner.rows(self.first + first, out)
    }

    fn value_bytes(&self) -> usize {
        self.inner.value_bytes()
    }

    fn opened(&self) -> Result<Option<Arc<dyn Source>>> {
        let rows = self.first..self.first + self.shape[0];
        Ok(self.inner.opened()?.map(|inner| Arc::new(Slice::new(inner, rows)) as Arc<dyn Source>))
    }

    fn stored(&self, device: &Device) -> Result<Stored> {
        let Stored { values, scale } = self.inner.stored(device)?;
        let cut = |t: Tensor| t.narrow(0, self.first, self.shape[0])?.copy();
        let scale = match scale {
            Some(scale) if scale.elem_count() > 1 => Some(cut(scale)?),
            scale => scale,
        };
        Ok(Stored { values: cut(values)?, scale })
    }
}

/// A matrix with columns of zeros behind those of another source.
pub(crate) struct Wider {
    inner: Arc<dyn Source>,
    shape: [usize; 2],
}

impl Wider {
    /// `inner` is a matrix of at most so many columns.
    pub(crate) fn new(inner: Arc<dyn Source>, columns: usize) -> Wider {
        let shape = [inner.shape()[0], columns];
        Wider { inner, shape }
    }
}

impl Source for Wider {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn rows(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let (own, all) = (self.inner.shape()[1], self.shape[1]);
        let mut values = vec![0f32; out.len() / all * own];
        self.inner.rows(first, &mut values)?;
        for (wide, narrow) in out.chunks_exact_mut(all).zip(values.chunks_exact(own)) {
            wide[..own].copy_from_slice(narrow);
            wide[own..].fill(0.0);
        }
        Ok(())
    }

    fn opened(&self) -> Result<Option<Arc<dyn Source>>> {
        Ok(self.inner.opened()?.map(|inner| Arc::new(Wider::new(inner, self.shape[1])) as Arc<dyn Source>))
    }
}

/// Sources one under the other.
pub(crate) struct Joined {
    parts: Vec<Arc<dyn Source>>,
    shape: Vec<usize>,
}

impl Joined {
    /// Parts that differ in their number of rows only; at least one.
    pub(crate) fn new(parts: Vec<Arc<dyn Source>>) -> Joined {
        let mut shape = parts[0].shape().to_vec();
        shape[0] = parts.iter().map(|part| part.shape()[0]).sum();
        Joined { parts, shape }
    }
}

impl Source for Joined {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn rows(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let width = width(&self.shape);
        let last = first + out.len() / width.max(1);
        let (mut begin, mut out) = (0, out);
        for part in &self.parts {
            let end = begin + part.shape()[0];
            let (from, to) = (first.max(begin), last.min(end));
            if from < to {
                let (here, rest) = out.split_at_mut((to - from) * width);
                part.rows(from - begin, here)?;
                out = rest;
            }
            begin = end;
        }
        Ok(())
    }

    fn value_bytes(&self) -> usize {
        let first = self.parts[0].value_bytes();
        // Parts of different widths are widened before they are put together.
        if self.parts.iter().all(|part| part.value_bytes() == first) { first } else { 4 }
    }

    fn opened(&self) -> Result<Option<Arc<dyn Source>>> {
        let parts = self.parts.iter().map(|part| part.opened()).collect::<Result<Vec<_>>>()?;
        if parts.iter().all(Option::is_none) {
            return Ok(None);
        }
        let parts = parts.into_iter().zip(&self.parts).map(|(opened, part)| opened.unwrap_or_else(|| part.clone()));
        Ok(Some(Arc::new(Joined::new(parts.collect()))))
    }

    fn stored(&self, device: &Device) -> Result<Stored> {
        let parts = self.parts.iter().map(|part| part.stored(device)).collect::<Result<Vec<_>>>()?;
        let same = parts.iter().all(|p| p.scale.is_none() && p.values.dtype() == parts[0].values.dtype());
        if same {
            let values = parts.into_iter().map(|p| p.values).collect::<Vec<_>>();
            return Ok(Stored { values: Tensor::cat(&values, 0)?, scale: None });
        }
        let same = parts.iter().all(|p| p.values.dtype() == parts[0].values.dtype());
        if !same {
            return Ok(Stored { values: self.tensor()?.to_device(device)?, scale: None });
        }
        let mut scales = Vec::new();
        for part in &parts {
            let mut shape = vec![1; part.values.rank()];
            shape[0] = part.values.dim(0)?;
            scales.push(match &part.scale {
                Some(scale) => scale.broadcast_as(shape)?.contiguous()?,
                None => Tensor::ones(shape, DType::F32, device)?,
            });
        }
        let values = parts.into_iter().map(|p| p.values).collect::<Vec<_>>();
        Ok(Stored { values: Tensor::cat(&values, 0)?, scale: Some(Tensor::cat(&scales, 0)?) })
    }
}

/// A matrix with its rows and columns exchanged.
pub(crate) struct Transposed {
    inner: Arc<dyn Source>,
    shape: [usize; 2],
}

impl Transposed {
    /// Takes a source of two dimensions.
    pub(crate) fn new(inner: Arc<dyn Source>) -> Transposed {
        let shape = [inner.shape()[1], inner.shape()[0]];
        Transposed { inner, shape }
    }
}

impl Source for Transposed {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn rows(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let mut row = vec![0.0; self.shape[0]];
        for column in 0..self.shape[1] {
            self.inner.rows(column, &mut row)?;
            for (out, value) in out.chunks_exact_mut(self.shape[1]).zip(&row[first..]) {
                out[column] = *value;
            }
        }
        Ok(())
    }

    fn opened(&self) -> Result<Option<Arc<dyn Source>>> {
        Ok(Some(Arc::new(Owned::new(&self.inner.tensor()?.t()?)?)))
    }
}

/// Values evenly distributed within ±√(3 / values of a row), so that activations keep their size; made when read.
pub(crate) struct Random {
    shape: Vec<usize>,
    seed: u64,
}

impl Random {
    pub(crate) fn new(shape: &[usize], seed: u64) -> Random {
        Random { shape: shape.to_vec(), seed }
    }

    /// The values from value `first` on, for rows of `width` values.
    pub(crate) fn fill(&self, first: usize, width: usize, out: &mut [f32]) {
        let bound = (3.0 / width.max(1) as f32).sqrt();
        let start = self.seed.wrapping_add(first as u64);
        for (i, out) in out.iter_mut().enumerate() {
            // SplitMix64 (Steele et al. 2014): any value can be made without those before it.
            let mut z = start.wrapping_add(i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *out = ((z >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * bound;
        }
    }
}

impl Source for Random {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn rows(&self, first: usize, out: &mut [f32]) -> Result<()> {
        let width = width(&self.shape);
        self.fill(first * width, width, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{close, random};

    fn owned(tensor: &Tensor) -> Arc<dyn Source> {
        Arc::new(Owned::new(tensor).unwrap())
    }

    #[test]
    fn slices_joins_and_transposes_are_those_of_tensors() -> Result<()> {
        let (a, b) = (random((5, 3, 2), 1)?, random((4, 3, 2), 2)?);
        let joined: Arc<dyn Source> = Arc::new(Joined::new(vec![owned(&a), owned(&b)]));
        let whole = Tensor::cat(&[&a, &b], 0)?;
        close(&joined.tensor()?, &whole, 0.0)?;
        close(&joined.stored(&Device::Cpu)?.widened()?, &whole, 0.0)?;
        let slice: Arc<dyn Source> = Arc::new(Slice::new(joined.clone(), 3..8));
        close(&slice.tensor()?, &whole.narrow(0, 3, 5)?, 0.0)?;
        close(&slice.stored(&Device::Cpu)?.widened()?, &whole.narrow(0, 3, 5)?, 0.0)?;
        let mut part = vec![0.0; 12];
        slice.rows(1, &mut part)?;
        assert_eq!(part, whole.narrow(0, 4, 2)?.flatten_all()?.to_vec1::<f32>()?);
        let flat = Shaped::of(joined, &[9, 6]);
        let turned = Transposed::new(flat);
        close(&turned.tensor()?, &whole.flatten_from(1)?.t()?, 0.0)?;
        let mut part = vec![0.0; 18];
        turned.rows(2, &mut part)?;
        assert_eq!(part, whole.flatten_from(1)?.t()?.narrow(0, 2, 2)?.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }

    #[test]
    fn random_values_do_not_depend_on_how_they_are_read() -> Result<()> {
        let source = Random::new(&[300, 700], 3);
        let whole = source.tensor()?;
        let mut row = vec![0.0; 700];
        source.rows(123, &mut row)?;
        assert_eq!(row, whole.get(123)?.to_vec1::<f32>()?);
        let mean_square = whole.sqr()?.mean_all()?.to_scalar::<f32>()? * 700.0;
        assert!((mean_square - 1.0).abs() < 0.02, "{mean_square}");
        assert!(whole.mean_all()?.to_scalar::<f32>()?.abs() < 1e-3);
        Ok(())
    }
}
