use crate::types::Mask;
use anyhow::bail;
use candle_core::Tensor;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Lays a mask over another.
#[derive(Inputs)]
pub(crate) struct MaskComposite {
    /// What lies below.
    destination: Arc<Mask>,
    /// What is laid over it.
    source: Arc<Mask>,
    /// Where the source's left side comes, in pixels.
    #[input(default = 0, range = 0..=16384)]
    x: u32,
    /// Where the source's upper side comes, in pixels.
    #[input(default = 0, range = 0..=16384)]
    y: u32,
    /// What happens where both are.
    #[input(default = "multiply", options = OPERATIONS.iter().map(|o| o.0))]
    operation: String,
}

impl TypedNode for MaskComposite {
    const ID: &'static str = "MaskComposite";
    const CATEGORY: &'static str = "mask";
    const STRICT: bool = false;
    type Output = Arc<Mask>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let (below, over) = (&self.destination.0, &self.source.0);
        let ((b, h, w), (n, sh, sw)) = (below.dims3()?, over.dims3()?);
        let (x, y) = (self.x as usize, self.y as usize);
        let Some((_, operation)) = OPERATIONS.iter().find(|o| o.0 == self.operation) else {
            bail!("unknown operation `{}`", self.operation);
        };
        if n != 1 && n != b {
            bail!("{n} masks cannot be laid over {b}");
        }
        let mut values = below.flatten_all()?.to_vec1::<f32>()?;
        let over = over.flatten_all()?.to_vec1::<f32>()?;
        for i in 0..b {
            for row in 0..sh.min(h.saturating_sub(y)) {
                for col in 0..sw.min(w.saturating_sub(x)) {
                    let at = &mut values[(i * h + y + row) * w + x + col];
                    *at = operation(*at, over[((i % n) * sh + row) * sw + col]).clamp(0.0, 1.0);
                }
            }
        }
        Ok(Arc::new(Mask(Tensor::from_vec(values, (b, h, w), below.device())?)))
    }
}

/// What becomes of a pixel of the mask below and one of the mask over it.
type Operation = fn(f32, f32) -> f32;

const OPERATIONS: [(&str, Operation); 6] = [
    ("multiply", |a, b| a * b),
    ("add", |a, b| a + b),
    ("subtract", |a, b| a - b),
    ("and", |a, b| f32::from(u8::from(on(a) && on(b)))),
    ("or", |a, b| f32::from(u8::from(on(a) || on(b)))),
    ("xor", |a, b| f32::from(u8::from(on(a) != on(b)))),
];

/// Is it more white than black? A half counts as black, as torch rounds it.
fn on(value: f32) -> bool {
    value.round_ties_even() != 0.0
}
