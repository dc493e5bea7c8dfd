//! Captioners: pictures in, annotations out.

use super::{Answers, Items, Refusal};
use data::CaptionRequest;
use loader::{CallContext, Plugin};
use serde_json::Value;
use spec::Annotation;

pub(crate) fn exercise(
    plugin: &Plugin,
    _: &spec::Node,
    settings: &Value,
    call: CallContext,
    items: &Items,
    step: usize,
) -> Result<Answers, Refusal> {
    let mut captioner = plugin.open_captioner(settings, call)?;
    let mut answers = Answers::default();
    // What is known beforehand changes with the set, and is odd where it is.
    let known = |n: usize| items.annotations.get(n).cloned().unwrap_or_default();
    let request = |(n, image): (usize, &data::Image)| CaptionRequest { image: image.clone(), known: known(n) };
    let requests: Vec<CaptionRequest> = items.pictures.iter().enumerate().map(request).collect();
    for batch in requests.chunks(step.max(1)) {
        let found = captioner.caption(batch.to_vec())?;
        if found.len() != batch.len() {
            return Err(Refusal::broken(format!("expected {} answers, found {}", batch.len(), found.len())));
        }
        for answer in found {
            answers.take(answer.map(|a| line(&a)));
        }
    }
    if !captioner.caption(Vec::new())?.is_empty() {
        return Err(Refusal::broken("it answered a batch of no pictures"));
    }
    Ok(answers)
}

/// An annotation with its scores to the last bit.
pub(crate) fn line(annotation: &Annotation) -> String {
    let score = |s: f32| format!("{:08x}", s.to_bits());
    let tag = |t: &spec::Tag| format!("{:?} {:?} {:?}", t.name, t.score.map(score), t.category);
    let tags: Vec<String> = annotation.tags.iter().map(tag).collect();
    format!("{:?} [{}] {:?}", annotation.text, tags.join(", "), annotation.extra)
}
