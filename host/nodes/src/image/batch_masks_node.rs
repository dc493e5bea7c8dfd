use super::resize::resize;
use crate::types::Mask;
use candle_core::Tensor;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Puts masks into one batch; all are brought to the size of the first.
#[derive(Inputs)]
pub(crate) struct BatchMasksNode {
    /// The masks, in the order of their numbers.
    #[input(grow = "mask", count = 2..=50)]
    masks: Vec<Arc<Mask>>,
}

impl TypedNode for BatchMasksNode {
    const ID: &'static str = "BatchMasksNode";
    const CATEGORY: &'static str = "mask";
    const DISPLAY_NAME: &'static str = "Batch Masks";
    const STRICT: bool = false;
    type Output = Arc<Mask>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let (_, h, w) = self.masks[0].0.dims3()?;
        let bilinear = models::interpolation("bilinear")?;
        let same = |mask: &Arc<Mask>| -> anyhow::Result<Tensor> {
            let fits = mask.0.dims()[1..] == [h, w];
            let x = &mask.0;
            if fits { Ok(x.clone()) } else { Ok(resize(&x.unsqueeze(1)?, bilinear, h, w, true)?.squeeze(1)?) }
        };
        let all = self.masks.iter().map(same).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Arc::new(Mask(Tensor::cat(&all, 0)?)))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{host, output, run, value};
    use crate::types::Mask;
    use candle_core::{Device, Tensor};
    use std::sync::Arc;

    #[test]
    fn all_get_the_size_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = host(dir.path());
        let mask = |values: &[f32], width: usize| {
            let shape = (values.len() / width, 1, width);
            value(&Arc::new(Mask(Tensor::from_slice(values, shape, &Device::Cpu).unwrap())))
        };
        let inputs = vec![("masks.mask0", mask(&[0.0, 1.0], 2)), ("masks.mask1", mask(&[0.0, 0.5, 0.5, 1.0], 4))];
        let batch = output::<Mask>(&run(&ctx, "BatchMasksNode", inputs).unwrap(), 0);
        assert_eq!(batch.0.dims(), [2, 1, 2]);
        // The middle of the wider one.
        assert_eq!(batch.0.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [0.0, 1.0, 0.5, 0.5]);
    }
}
