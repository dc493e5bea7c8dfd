use crate::types::{CondMask, Conditioning, Mask};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Lets a conditioning lead where a mask is white.
#[derive(Inputs)]
pub(crate) struct ConditioningSetMask {
    /// The conditioning.
    conditioning: Arc<Conditioning>,
    /// The mask; it is stretched over the latent.
    mask: Arc<Mask>,
    /// Its share where several conditionings meet.
    #[input(default = 1.0, range = 0.0..=10.0, step = 0.01)]
    strength: f64,
    /// Show the network the whole latent, or only the rectangle that the mask fills.
    #[input(default = "default", options = ["default", "mask bounds"])]
    set_cond_area: String,
}

impl TypedNode for ConditioningSetMask {
    const ID: &'static str = "ConditioningSetMask";
    const CATEGORY: &'static str = "conditioning";
    const DISPLAY_NAME: &'static str = "Conditioning (Set Mask)";
    const STRICT: bool = false;
    type Output = Arc<Conditioning>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let bounds = self.set_cond_area == "mask bounds";
        Ok(Arc::new(self.conditioning.map(|one| {
            one.mask = Some(CondMask { mask: Mask::clone(&self.mask), strength: self.strength, bounds });
        })))
    }
}
