use crate::types::{Conditioning, Latent};
use anyhow::bail;
use candle_core::Tensor;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Puts latents of one size together, with their prompts.
#[derive(Inputs)]
pub(crate) struct ResolutionBucket {
    /// The latents.
    latents: Vec<Arc<Latent>>,
    /// A prompt for each latent.
    conditioning: Vec<Arc<Conditioning>>,
}

impl TypedNode for ResolutionBucket {
    const ID: &'static str = "ResolutionBucket";
    const CATEGORY: &'static str = "training/comfyui";
    const DISPLAY_NAME: &'static str = "Resolution Bucket";
    const STRICT: bool = false;
    const OUTPUT_NAMES: &'static [&'static str] = &["latents", "conditioning"];
    type Output = (Vec<Arc<Latent>>, Vec<Arc<Conditioning>>);

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let latents = singles(&self.latents)?;
        let prompts: Vec<_> = self.conditioning.iter().flat_map(|c| c.0.iter().cloned()).collect();
        if latents.len() != prompts.len() {
            bail!("expected a prompt for each of the {} latents, found {}", latents.len(), prompts.len());
        }
        // In the order in which their sizes first come.
        let mut buckets: Vec<(Vec<usize>, Vec<Tensor>, Vec<_>)> = Vec::new();
        for (latent, prompt) in latents.into_iter().zip(prompts) {
            let at = match buckets.iter().position(|b| b.0 == latent.dims()) {
                Some(at) => at,
                None => {
                    buckets.push((latent.dims().to_vec(), Vec::new(), Vec::new()));
                    buckets.len() - 1
                }
            };
            buckets[at].1.push(latent);
            buckets[at].2.push(prompt);
        }
        let mut out = (Vec::new(), Vec::new());
        for (_, latents, prompts) in buckets {
            out.0.push(Arc::new(Latent::new(Tensor::cat(&latents, 0)?)));
            out.1.push(Arc::new(Conditioning(prompts)));
        }
        Ok(out)
    }
}

/// All latents one by one, (1, c, h, w) each.
pub(super) fn singles(latents: &[Arc<Latent>]) -> anyhow::Result<Vec<Tensor>> {
    let mut all = Vec::new();
    for latent in latents {
        for i in 0..latent.samples.dim(0)? {
            all.push(latent.samples.narrow(0, i, 1)?);
        }
    }
    Ok(all)
}
