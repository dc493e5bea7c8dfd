//! What the nodes that join two conditionings share.

use crate::types::Conditioning;
use anyhow::{Result, bail};
use candle_core::Tensor;
use engine::{Context, Level};

/// Says so if prompts of the second conditioning are left out.
pub(super) fn only_first(ctx: &Context, from: &Conditioning) {
    if from.0.len() > 1 {
        let message = format!("conditioning_from holds {} prompts; only the first is used", from.0.len());
        ctx.log(Level::Warn, &message);
    }
}

/// Texts of different encoders cannot be joined.
pub(super) fn same_width(to: &Tensor, from: &Tensor) -> Result<()> {
    let (a, b) = (to.dim(2)?, from.dim(2)?);
    if a != b {
        bail!(
            "conditioning_to has {a} features a token, conditioning_from has {b}: they come from the text encoders of \
             different families; encode both with the same CLIP"
        );
    }
    Ok(())
}
