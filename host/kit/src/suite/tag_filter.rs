//! Tag filters: annotations in, verdicts out.

use super::captioner::line;
use super::{Answers, Items, Refusal};
use data::{FilterRequest, Verdict};
use loader::{CallContext, Plugin};
use serde_json::Value;

pub(crate) fn exercise(
    plugin: &Plugin,
    _: &spec::Node,
    settings: &Value,
    call: CallContext,
    items: &Items,
    step: usize,
) -> Result<Answers, Refusal> {
    let mut filter = plugin.open_tag_filter(settings, call)?;
    let request = |(n, annotation): (usize, &spec::Annotation)| FilterRequest {
        id: format!("{n:04}"),
        subset: if n % 2 == 0 { String::new() } else { "second".to_owned() },
        annotation: annotation.clone(),
    };
    let requests: Vec<FilterRequest> = items.annotations.iter().enumerate().map(request).collect();
    let passes = filter.passes();
    if !(1..=16).contains(&passes) {
        return Err(Refusal::broken(format!("expected 1 to 16 passes, found {passes}")));
    }
    for _ in 1..passes {
        for batch in requests.chunks(step.max(1)) {
            filter.observe(batch)?;
        }
    }
    let mut answers = Answers::default();
    for batch in requests.chunks(step.max(1)) {
        let verdicts = filter.apply(batch)?;
        if verdicts.len() != batch.len() {
            return Err(Refusal::broken(format!("expected {} verdicts, found {}", batch.len(), verdicts.len())));
        }
        for verdict in verdicts {
            answers.take(Ok(match verdict {
                Verdict::Keep(annotation) => format!("keep {}", line(&annotation)),
                Verdict::Drop(why) if why.trim().is_empty() => {
                    return Err(Refusal::broken("it leaves a picture out without a reason"));
                }
                Verdict::Drop(why) => format!("drop {why}"),
            }));
        }
    }
    if !filter.apply(&[])?.is_empty() {
        return Err(Refusal::broken("it answered a batch of no annotations"));
    }
    Ok(answers)
}
