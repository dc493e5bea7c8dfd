//! Evaluators: pictures in, scores out.

use super::checks::is_fault;
use super::{Answers, Items, Refusal};
use data::{Sample, Score};
use loader::{CallContext, Plugin};
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub(crate) fn exercise(
    plugin: &Plugin,
    _: &spec::Node,
    settings: &Value,
    call: CallContext,
    items: &Items,
    step: usize,
) -> Result<Answers, Refusal> {
    let mut evaluator = plugin.open_evaluator(settings, call)?;
    let metrics = evaluator.metrics().to_vec();
    let names: BTreeSet<&str> = metrics.iter().map(|m| m.name.as_str()).collect();
    if names.len() != metrics.len() {
        return Err(Refusal::broken("two metrics have one name"));
    }
    if let Some(m) = metrics.iter().find(|m| !(m.low.is_finite() && m.high.is_finite() && m.low < m.high)) {
        return Err(Refusal::broken(format!(
            "metric `{}`: expected low < high, found {} and {}",
            m.name, m.low, m.high
        )));
    }
    let check = |scores: &[Score], per_sample: bool| -> Result<String, Refusal> {
        for score in scores {
            let metric = metrics.iter().find(|m| m.name == score.metric);
            let metric =
                metric.ok_or_else(|| Refusal::broken(format!("`{}` is not one of its metrics", score.metric)))?;
            if metric.per_sample != per_sample {
                let place = if per_sample { "a sample" } else { "the whole set" };
                return Err(Refusal::broken(format!(
                    "`{}` is a score of {place}, against its description",
                    score.metric
                )));
            }
            if !score.value.is_finite() {
                return Err(Refusal::broken(format!("`{}` is {}", score.metric, score.value)));
            }
        }
        let bits = |s: &Score| format!("{}={:016x}", s.metric, s.value.to_bits());
        Ok(scores.iter().map(bits).collect::<Vec<_>>().join(" "))
    };
    // Nothing was added yet: an answer or an error, but not its end.
    match evaluator.finish() {
        Ok(scores) => drop(check(&scores, false)?),
        Err(e) if is_fault(&e.message) => return Err(e.into()),
        Err(_) => {}
    }
    evaluator.reference(items.pictures.iter().take(2).cloned().collect())?;
    let sample = |(n, image): (usize, &data::Image)| Sample {
        id: format!("{n:04}"),
        image: image.clone(),
        prompt: if n % 2 == 0 { "a tree".to_owned() } else { String::new() },
        reference: items.pictures.get((n + 1) % items.pictures.len()).filter(|_| n % 3 != 0).cloned(),
        seed: Some(n as u64 % 4),
        extra: Some(json!({"checkpoint": 50, "strength": 1.0})),
    };
    let mut answers = Answers::default();
    let numbered: Vec<(usize, &data::Image)> = items.pictures.iter().enumerate().collect();
    for batch in numbered.chunks(step.max(1)) {
        let scores = evaluator.add(batch.iter().map(|s| sample(*s)).collect())?;
        if scores.len() != batch.len() {
            return Err(Refusal::broken(format!("expected {} lists of scores, found {}", batch.len(), scores.len())));
        }
        for scores in scores {
            answers.take(Ok(check(&scores, true)?));
        }
    }
    answers.take(Ok(format!("whole: {}", check(&evaluator.finish()?, false)?)));
    Ok(answers)
}
