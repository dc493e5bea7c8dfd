//! What all nodes that read prompts share.

use crate::Host;
use crate::types::{Clip, Cond, Conditioning};
use anyhow::Result;
use engine::{Context, Level, WithUi};
use models::prompt::{self, Embeddings, Encoder, Prompted};
use serde_json::Value as Json;
use spec::{Value, Values};
use std::sync::Arc;

/// The dialect of nodes that do not let one choose.
pub(crate) const COMFYUI: &str = "comfyui";

/// What nodes that read one prompt give: the conditioning, and how long the prompt is for whoever watches.
pub(super) type Encoded = WithUi<Arc<Conditioning>>;

/// Names for the input `dialect`.
pub(super) fn dialect_names() -> Vec<&'static str> {
    prompt::DIALECTS.iter().map(|d| d.name).collect()
}

/// A prompt for all encoders.
pub(crate) fn encode(ctx: &Context, clip: &Clip, dialect: &str, text: &str) -> Result<Conditioning> {
    let prompted = encode_each(ctx, clip, dialect, |_| text)?;
    Ok(Conditioning::one(prompted.states, prompted.pooled))
}

/// A prompt for each encoder, by the encoder's name. Says what was left out.
pub(super) fn encode_each<'t>(
    ctx: &Context,
    clip: &Clip,
    dialect: &str,
    text: impl Fn(&str) -> &'t str,
) -> Result<Prompted> {
    let embeddings = ctx.services::<Host>().embeddings();
    let encoder = Encoder { dialect: prompt::dialect(dialect)?, embeddings: &embeddings, skip: clip.skip };
    let prompted = encoder.encode_each(&clip.text, text)?;
    for warning in &prompted.warnings {
        ctx.log(Level::Warn, warning);
    }
    Ok(prompted)
}

/// The output of a node that reads a prompt.
pub(super) fn shown(prompted: Prompted, change: impl FnOnce(&mut Cond)) -> Encoded {
    let counts: Vec<String> = prompted.counts.iter().map(ToString::to_string).collect();
    let mut one = Cond::new(prompted.states, prompted.pooled);
    change(&mut one);
    WithUi::new(Arc::new(Conditioning(vec![one]))).show("text", counts)
}

/// Identity of the embeddings that the texts of these inputs may call up; of all there are, where a text is linked.
pub(super) fn embeddings_fingerprint(ctx: &Context, constants: &Values, inputs: &[&str]) -> Result<String> {
    let host = ctx.services::<Host>();
    let embeddings: Embeddings = host.embeddings();
    let mut paths = Vec::new();
    for input in inputs {
        match constants.get(*input) {
            Some(Value::Data(Json::String(text))) => paths.extend(embeddings.perhaps_named(text)),
            _ => paths.extend(embeddings.paths()),
        }
    }
    paths.sort();
    paths.dedup();
    let line = |path: &std::path::Path| Ok(format!("{} {}", path.display(), host.file_digest(path)?));
    Ok(paths.into_iter().map(line).collect::<Result<Vec<_>>>()?.join("\n"))
}
