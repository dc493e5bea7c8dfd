//! What the tests of the operations share.

use candle_core::{DType, Device, Result, Shape, Tensor, Var};

/// Reproducible values around zero, without a random generator.
pub(crate) fn random(shape: impl Into<Shape>, seed: u64) -> Result<Tensor> {
    let shape = shape.into();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values: Vec<f32> = (0..shape.elem_count())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 2.0
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// Checks that no value is further away than `tolerance`.
pub(crate) fn close(got: &Tensor, want: &Tensor, tolerance: f64) -> Result<()> {
    assert_eq!(got.dims(), want.dims());
    let (got, want) = (got.to_dtype(DType::F64)?, want.to_dtype(DType::F64)?);
    let worst = (got - want)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>()?;
    assert!(worst <= tolerance, "differs by {worst}, allowed {tolerance}");
    Ok(())
}

/// Checks value and every argument's gradient of `ours` against `composed`, which uses candle's own operations.
pub(crate) fn gradients_match(
    args: &[Tensor],
    ours: impl Fn(&[Tensor]) -> Result<Tensor>,
    composed: impl Fn(&[Tensor]) -> Result<Tensor>,
) -> Result<()> {
    let vars = args.iter().map(Var::from_tensor).collect::<Result<Vec<_>>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let (a, b) = (ours(&tensors)?, composed(&tensors)?);
    close(&a, &b, 2e-4)?;
    // Uneven weights on the outputs, so that a mixed up gradient shows.
    let weights = random(a.shape(), 99)?;
    let a = (a * &weights)?.sum_all()?.backward()?;
    let b = (b * &weights)?.sum_all()?.backward()?;
    for (i, tensor) in tensors.iter().enumerate() {
        let (a, b) = (a.get(tensor), b.get(tensor));
        let (Some(a), Some(b)) = (a, b) else { panic!("argument {i} has no gradient") };
        close(a, b, 1e-3)?;
    }
    // An untracked argument among tracked ones must not change the others' gradients.
    Ok(())
}
