//! Values computed outside of candle's graph, put into it with a gradient of our own.

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail,
};
use std::sync::Mutex;

/// From the output's gradient to that of each argument.
type Gradient<const N: usize> = Box<dyn Fn(&Tensor) -> Result<[Option<Tensor>; N]> + Send + Sync>;

/// `value` in the graph, as an operation on one argument.
pub(crate) fn given(
    value: Tensor,
    a: &Tensor,
    gradient: impl Fn(&Tensor) -> Result<[Option<Tensor>; 1]> + Send + Sync + 'static,
) -> Result<Tensor> {
    if a.track_op() { a.apply_op1(Given::new(value, gradient)?) } else { Ok(value) }
}

/// The same on two.
pub(crate) fn given2(
    value: Tensor,
    [a, b]: [&Tensor; 2],
    gradient: impl Fn(&Tensor) -> Result<[Option<Tensor>; 2]> + Send + Sync + 'static,
) -> Result<Tensor> {
    if a.track_op() || b.track_op() { a.apply_op2(b, Given::new(value, gradient)?) } else { Ok(value) }
}

/// The same on three.
pub(crate) fn given3(
    value: Tensor,
    [a, b, c]: [&Tensor; 3],
    gradient: impl Fn(&Tensor) -> Result<[Option<Tensor>; 3]> + Send + Sync + 'static,
) -> Result<Tensor> {
    let tracked = a.track_op() || b.track_op() || c.track_op();
    if tracked { a.apply_op3(b, c, Given::new(value, gradient)?) } else { Ok(value) }
}

struct Given<const N: usize> {
    /// Until the operation has run, so that the value is not held twice.
    value: Mutex<Option<Tensor>>,
    gradient: Gradient<N>,
}

impl<const N: usize> Given<N> {
    fn new(
        value: Tensor,
        gradient: impl Fn(&Tensor) -> Result<[Option<Tensor>; N]> + Send + Sync + 'static,
    ) -> Result<Given<N>> {
        let value = if value.layout().start_offset() == 0 { value.contiguous()? } else { value.force_contiguous()? };
        Ok(Given { value: Mutex::new(Some(value.detach())), gradient: Box::new(gradient) })
    }

    fn take(&self) -> Result<Tensor> {
        let taken = self.value.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        taken.ok_or_else(|| candle_core::Error::msg("an operation was run twice"))
    }

    fn cpu(&self) -> Result<(CpuStorage, Shape)> {
        let value = self.take()?;
        let (storage, layout) = value.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            _ => bail!("expected a value on the cpu"),
        }
    }

    fn cuda(&self) -> Result<(CudaStorage, Shape)> {
        let value = self.take()?;
        let (storage, layout) = value.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Ok((storage.try_clone(layout)?, layout.shape().clone())),
            _ => bail!("expected a value on a CUDA device"),
        }
    }
}

impl CustomOp1 for Given<1> {
    fn name(&self) -> &'static str {
        "given"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let [a] = (self.gradient)(&grad.contiguous()?)?;
        Ok(a)
    }
}

impl CustomOp2 for Given<2> {
    fn name(&self) -> &'static str {
        "given"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [a, b] = (self.gradient)(&grad.contiguous()?)?;
        Ok((a, b))
    }
}

impl CustomOp3 for Given<3> {
    fn name(&self) -> &'static str {
        "given"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [a, b, c] = (self.gradient)(&grad.contiguous()?)?;
        Ok((a, b, c))
    }
}
