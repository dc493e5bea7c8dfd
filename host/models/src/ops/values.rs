//! Reading tensors as slices and making tensors of vectors.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, Device, Layout, Result, Shape, Storage, Tensor, bail};

/// The values of a contiguous f32 tensor in its CPU storage, row-major.
pub(super) fn of<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let CpuStorage::F32(values) = storage else { bail!("expected f32 values, found {:?}", storage.dtype()) };
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&values[from..to]),
        None => {
            bail!("expected a contiguous tensor, found strides {:?} for shape {:?}", layout.stride(), layout.shape())
        }
    }
}

/// The same, to be written over.
pub(super) fn of_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((from, to))) => Ok(&mut values[from..to]),
        _ => bail!(
            "expected a contiguous f32 tensor, found strides {:?} for shape {:?}",
            layout.stride(),
            layout.shape()
        ),
    }
}

/// The same of a whole tensor, whose storage `guard` keeps.
pub(super) fn of_storage<'a>(storage: &'a Storage, layout: &Layout) -> Result<&'a [f32]> {
    match storage {
        Storage::Cpu(storage) => of(storage, layout),
        _ => bail!("expected a tensor on the cpu"),
    }
}

/// Names the values of contiguous tensors as slices: `read!(x as xs, y as ys);`.
macro_rules! read {
    ($($tensor:ident as $name:ident),+ $(,)?) => {
        $(
            let guard = $tensor.storage_and_layout();
            let $name = $crate::ops::values::of_storage(&guard.0, guard.1)?;
        )+
    };
}
pub(super) use read;

/// A CPU tensor of row-major values.
pub(super) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}

/// What a forward pass returns.
pub(super) fn storage(values: Vec<f32>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (CpuStorage::F32(values), shape.into())
}

/// Rows and columns of a tensor seen as a matrix of its last dimension.
pub(super) fn matrix(layout: &Layout) -> Result<(usize, usize)> {
    let dims = layout.dims();
    match dims.split_last() {
        Some((&columns, rows)) => Ok((rows.iter().product(), columns)),
        None => bail!("expected at least one dimension, found a scalar"),
    }
}

/// Values below this many are not worth waking a thread for an elementwise loop.
const SERIAL: usize = 1 << 15;

/// Calls `f` with pieces of `out` of `chunk` values (fewer in the last) and each piece's first index.
pub(super) fn in_chunks(out: &mut [f32], chunk: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    use rayon::prelude::*;
    let chunk = chunk.max(1);
    if out.len() <= SERIAL {
        out.chunks_mut(chunk).enumerate().for_each(|(i, out)| f(i * chunk, out));
    } else {
        out.par_chunks_mut(chunk).enumerate().for_each(|(i, out)| f(i * chunk, out));
    }
}
