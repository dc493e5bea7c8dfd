use super::batch::joined;
use crate::types::Latent;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Puts latents into one batch; all are brought to the size of the first.
#[derive(Inputs)]
pub(crate) struct BatchLatentsNode {
    /// The latents, in the order of their numbers.
    #[input(grow = "latent", count = 2..=50)]
    latents: Vec<Arc<Latent>>,
}

impl TypedNode for BatchLatentsNode {
    const ID: &'static str = "BatchLatentsNode";
    const CATEGORY: &'static str = "latent/batch";
    const DISPLAY_NAME: &'static str = "Batch Latents";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(Arc::new(joined(&self.latents, |i| format!("latents.latent{i}"))?))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{host, output, run, value};
    use crate::types::Latent;
    use candle_core::{DType, Device, Tensor};
    use std::sync::Arc;

    #[test]
    fn sizes_and_numbers_are_kept_together() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = host(dir.path());
        let latent = |b: usize, c: usize, side: usize| {
            Latent::new(Tensor::full(side as f32, (b, c, side, side), &Device::Cpu).unwrap())
        };
        let numbered = Latent { batch_index: Some(vec![7]), ..latent(1, 4, 2) };
        let all = [latent(2, 4, 2), latent(1, 4, 3), numbered].map(Arc::new);
        let names = ["latents.latent0", "latents.latent1", "latents.latent2"];
        let inputs = names.iter().zip(&all).map(|(name, latent)| (*name, value(latent))).collect();
        let batch = output::<Latent>(&run(&ctx, "BatchLatentsNode", inputs).unwrap(), 0);
        assert_eq!((batch.samples.dims(), batch.samples.dtype()), (&[4, 4, 2, 2][..], DType::F32));
        assert_eq!(batch.batch_index, Some(vec![0, 1, 0, 7]));
        let other = Arc::new(latent(1, 16, 2));
        let inputs = vec![("latents.latent0", value(&all[0])), ("latents.latent1", value(&other))];
        let refused = run(&ctx, "BatchLatentsNode", inputs).unwrap_err();
        assert!(
            format!("{refused:#}").contains("latents.latent0 has 4 channels, latents.latent1 has 16"),
            "{refused:#}"
        );
    }
}
