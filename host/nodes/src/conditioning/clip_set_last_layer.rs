use crate::types::Clip;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Takes the prompt's states from an earlier layer of the text encoder, which some bases were trained with.
#[derive(Inputs)]
pub(crate) struct CLIPSetLastLayer {
    /// The text encoder.
    clip: Arc<Clip>,
    /// −1 is the last layer, −2 the one before («clip skip 2»).
    #[input(default = -1, range = -24..=-1)]
    stop_at_clip_layer: i32,
}

impl TypedNode for CLIPSetLastLayer {
    const ID: &'static str = "CLIPSetLastLayer";
    const CATEGORY: &'static str = "conditioning";
    const DISPLAY_NAME: &'static str = "CLIP Set Last Layer";
    const STRICT: bool = false;
    type Output = Arc<Clip>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let skip = Some(self.stop_at_clip_layer.unsigned_abs() as usize);
        Ok(Arc::new(Clip { skip, ..Clip::clone(&self.clip) }))
    }
}
