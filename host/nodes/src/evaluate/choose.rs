use super::ranking::{Weights, rank};
use crate::Host;
use crate::files;
use crate::types::{Checkpoints, Choice, Ranked, Scores};
use anyhow::Context as _;
use engine::{Context, Outputs, TypedNode, WithUi};
use serde_json::json;
use spec::Inputs;
use std::fmt::Write;
use std::sync::Arc;

/// Chooses the checkpoint and strength with the best scores, says why, and writes the file. A person's own choice goes
/// before the scores.
#[derive(Inputs)]
pub(crate) struct ChooseCheckpoint {
    /// The candidates.
    checkpoints: Arc<Checkpoints>,
    /// Their scores.
    scores: Arc<Scores>,
    /// How much each metric counts, one a line as `metric = weight`; those not named keep their usual weights.
    #[input(default = "", multiline)]
    weights: String,
    /// Totals that differ by less count as equal; then the strength nearer to 1 and the earlier step win.
    #[input(default = 0.01, range = 0.0..=1.0, step = 0.005)]
    margin: f64,
    /// Take the checkpoint of this step whatever the scores say. 0: let the scores decide.
    #[input(default = 0, range = 0..=1_000_000)]
    step: u64,
    /// Recommend this strength whatever the scores say. 0: let the scores decide.
    #[input(default = 0.0, range = 0.0..=4.0, step = 0.05)]
    strength: f64,
    /// Stem of the file below the output folder. Empty: the name of the training.
    #[input(default = "")]
    filename: String,
}

impl TypedNode for ChooseCheckpoint {
    const ID: &'static str = "ChooseCheckpoint";
    const CATEGORY: &'static str = "evaluate";
    const DISPLAY_NAME: &'static str = "Choose checkpoint";
    const OUTPUT_NODE: bool = true;
    const PERSISTENT: bool = true;
    const OUTPUT_NAMES: &'static [&'static str] = &["lora"];
    type Output = WithUi<Arc<Choice>>;

    fn restore(ctx: &Context, outputs: &Outputs) -> anyhow::Result<bool> {
        files::restore(ctx, outputs)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let weights = Weights::new(&self.scores.metrics, &self.weights)?;
        let ranking = rank(&self.scores, &weights, self.margin)?;
        let allowed = |r: &&Ranked| {
            (self.step == 0 || r.step == self.step) && (self.strength == 0.0 || r.strength == self.strength)
        };
        let by_hand = self.step > 0 || self.strength > 0.0;
        let best = ranking.iter().find(allowed).cloned();
        let best = best.or_else(|| self.unscored(&ranking)).with_context(|| {
            let steps: Vec<String> = self.checkpoints.files.iter().map(|f| f.step.to_string()).collect();
            format!("input `step`: no checkpoint of step {}; there are {}", self.step, steps.join(", "))
        })?;
        let file = self.checkpoints.files.iter().find(|f| f.step == best.step).with_context(|| {
            format!(
                "the scores speak of step {}, but there is no such checkpoint: are both of one training?",
                best.step
            )
        })?;
        let bytes = std::fs::read(&file.path).with_context(|| format!("cannot read {}", file.path.display()))?;
        let stem = if self.filename.is_empty() { &self.checkpoints.name } else { &self.filename };
        let (written, sha256) = files::save(ctx, &format!("{stem}.safetensors"), &bytes)?;
        let why = why(&best, &ranking, &self.scores, &weights, by_hand);
        let choice = Choice {
            name: stem.clone(),
            path: ctx.services::<Host>().store.blob_path(&sha256),
            sha256: sha256.to_string(),
            step: best.step,
            strength: best.strength,
            trigger: self.checkpoints.trigger.clone(),
            why: why.clone(),
            ranking,
        };
        Ok(WithUi::new(Arc::new(choice)).show("text", json!([why])).file(&written, sha256.as_str()))
    }
}

impl ChooseCheckpoint {
    /// What a person asked for although it was not scored.
    fn unscored(&self, ranking: &[Ranked]) -> Option<Ranked> {
        let best = ranking.first()?;
        let step = if self.step > 0 { self.step } else { best.step };
        let strength = if self.strength > 0.0 { self.strength } else { best.strength };
        let there = self.checkpoints.files.iter().any(|f| f.step == step);
        there.then_some(Ranked { step, strength, total: f64::NAN })
    }
}

fn why(best: &Ranked, ranking: &[Ranked], scores: &Scores, weights: &Weights, by_hand: bool) -> String {
    let mut text = format!("Step {} at strength {}", best.step, best.strength);
    if best.total.is_nan() {
        return text + ", as asked for; it was not scored.";
    }
    let _ = write!(text, " has a total of {:.3}", best.total);
    let place = ranking.iter().position(|r| r == best).unwrap_or(0) + 1;
    let _ = match (by_hand, place) {
        (true, place) => write!(text, ", place {place} of {}; it was chosen by hand.", ranking.len()),
        (false, _) => write!(text, ", the best of {} candidates.", ranking.len()),
    };
    let find = |checkpoint, strength: f64| {
        scores.rows.iter().find(move |r| r.checkpoint == checkpoint && (checkpoint.is_none() || r.strength == strength))
    };
    let (row, base) = (find(Some(best.step), best.strength), find(None, 0.0));
    let mut parts = Vec::new();
    for (name, _) in weights.counting() {
        let value = |row: Option<&crate::types::ScoreRow>| row.and_then(|r| r.values.get(name)).copied();
        match (value(row), value(base)) {
            (Some(v), Some(b)) => parts.push(format!("{name} {v:.2} (base {b:.2})")),
            (Some(v), None) => parts.push(format!("{name} {v:.2}")),
            _ => {}
        }
    }
    if !parts.is_empty() {
        let _ = write!(text, " {}.", parts.join(", "));
    }
    if let Some(higher) = ranking.iter().find(|r| !by_hand && r.total > best.total) {
        let _ = write!(
            text,
            " Step {} at strength {} has {:.3}, which counts as equal.",
            higher.step, higher.strength, higher.total
        );
    } else if let Some(next) = ranking.get(1).filter(|_| place == 1) {
        let _ = write!(text, " Next: step {} at strength {} with {:.3}.", next.step, next.strength, next.total);
    }
    let list: Vec<String> = weights.counting().into_iter().map(|(n, w)| format!("{n} {w}")).collect();
    let _ = write!(text, " Weights: {}.", list.join(", "));
    text
}
