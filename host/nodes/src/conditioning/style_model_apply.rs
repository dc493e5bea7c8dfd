use crate::types::{ClipVisionOutput, Conditioning, Style};
use anyhow::bail;
use candle_core::Tensor;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Adds a picture to the text of prompts, as words that no one can read.
#[derive(Inputs)]
pub(crate) struct StyleModelApply {
    /// The prompts.
    conditioning: Arc<Conditioning>,
    /// The network that turns pictures into texts.
    style_model: Arc<Style>,
    /// What an encoder of pictures has seen.
    clip_vision_output: Arc<ClipVisionOutput>,
    /// How strongly the picture leads.
    #[input(default = 1.0, range = 0.0..=10.0, step = 0.001)]
    strength: f64,
    /// What the strength changes: the states themselves. The attention that they get (`attn_bias`) can only be left as
    /// it is.
    #[input(default = "multiply", options = ["multiply", "attn_bias"])]
    strength_type: String,
}

impl TypedNode for StyleModelApply {
    const ID: &'static str = "StyleModelApply";
    const CATEGORY: &'static str = "conditioning/style_model";
    const DISPLAY_NAME: &'static str = "Apply Style Model";
    const STRICT: bool = false;
    type Output = Arc<Conditioning>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        if self.strength_type == "attn_bias" && self.strength != 1.0 {
            bail!(
                "strength_type `attn_bias` with a strength of {}: attention cannot be weighed here; set strength_type to \
                 `multiply`, or strength to 1",
                self.strength
            );
        }
        let factor = if self.strength_type == "multiply" { self.strength } else { 1.0 };
        let text = (self.style_model.net.text(&self.clip_vision_output.0.last_hidden)? * factor)?;
        let (b, n, d) = text.dims3()?;
        // All pictures of the batch, one after the other.
        let text = text.reshape((1, b * n, d))?;
        let mut changed = Conditioning::clone(&self.conditioning);
        for one in &mut changed.0 {
            let (many, _, width) = one.states.dims3()?;
            if width != d {
                bail!(
                    "the style model makes texts of {d} features, the prompt has {width}: it belongs to another family"
                );
            }
            let text = text.to_device(one.states.device())?.repeat((many, 1, 1))?;
            one.states = Tensor::cat(&[&one.states, &text], 1)?;
        }
        Ok(Arc::new(changed))
    }
}
