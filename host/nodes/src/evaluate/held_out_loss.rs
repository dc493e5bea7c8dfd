use crate::types::{Checkpoints, MetricInfo, ScoreRow, Scores};
use anyhow::bail;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;
use train::Validated;

/// The losses of pictures that training held back, as scores of its checkpoints at strength 1: a column beside those of
/// evaluators. Needs a training with `validation_share`.
#[derive(Inputs)]
pub(crate) struct HeldOutLoss {
    /// A training that held pictures back.
    checkpoints: Arc<Checkpoints>,
}

const EVALUATOR: &str = HeldOutLoss::ID;

impl TypedNode for HeldOutLoss {
    const ID: &'static str = "HeldOutLoss";
    const CATEGORY: &'static str = "evaluate";
    const DISPLAY_NAME: &'static str = "Held-out loss";
    const PERSISTENT: bool = true;
    const OUTPUT_NAMES: &'static [&'static str] = &["scores"];
    type Output = Arc<Scores>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(Arc::new(scores(&self.checkpoints)?))
    }
}

/// A row for each checkpoint at whose own step the held-back pictures were looked at.
fn scores(checkpoints: &Checkpoints) -> anyhow::Result<Scores> {
    let looks: Vec<(u64, Validated)> = checkpoints.log.iter().filter_map(|l| Some((l.step, l.validated?))).collect();
    if looks.is_empty() {
        bail!("input `checkpoints`: this training held nothing back; set its `validation_share` above 0");
    }
    let mut rows = Vec::new();
    for file in &checkpoints.files {
        let Some((_, look)) = looks.iter().find(|(step, _)| *step == file.step) else { continue };
        let values = [("held_out_loss", look.held_back), ("held_out_gap", look.held_back - look.trained)];
        let values = values.into_iter().filter(|(_, v)| v.is_finite()).map(|(n, v)| (n.to_owned(), v)).collect();
        rows.push(ScoreRow { checkpoint: Some(file.step), strength: 1.0, values });
    }
    if rows.is_empty() {
        let steps = |all: Vec<u64>| all.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        bail!(
            "no checkpoint was saved at a step at which the held-back pictures were looked at: checkpoints are of {}, looks of \
             {}; set `validation_every` to a divisor of `save_every`",
            steps(checkpoints.files.iter().map(|f| f.step).collect()),
            steps(looks.iter().map(|l| l.0).collect())
        );
    }
    // What a loss may be depends on the family and its settings: the scale is that of this training.
    let spread = |name: &str| {
        let found = rows.iter().filter_map(|r| r.values.get(name)).copied();
        found.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let metric = |name: &str, description: &str| {
        let (low, high) = spread(name);
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        MetricInfo {
            name: name.to_owned(),
            evaluator: EVALUATOR.to_owned(),
            higher_is_better: false,
            low,
            high,
            per_sample: false,
            description: description.to_owned(),
        }
    };
    let metrics = vec![
        metric("held_out_loss", "mean loss of pictures that were held back, at strength 1"),
        metric(
            "held_out_gap",
            "by how much that is above the loss of as many trained pictures: grows when they are learned by heart",
        ),
    ];
    Ok(Scores { metrics, rows, samples: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checkpoints(steps: &[u64], looks: &[(u64, f64, f64)]) -> Checkpoints {
        let line = |(step, held_back, trained): &(u64, f64, f64)| {
            json!({"step": step, "epoch": 1, "loss": 0.1, "smooth": 0.1, "lr": 1e-3, "text_encoder_lr": null,
                "grad_norm": 1.0, "seconds": 0.1, "images": [],
                "validated": {"held_back": held_back, "trained": trained}})
        };
        let file = |step: &u64| json!({"step": step, "epoch": 1, "path": "x", "sha256": "", "is_last": false, "is_best": false});
        serde_json::from_value(json!({
            "name": "test", "trigger": "", "seconds": 0.0,
            "files": steps.iter().map(file).collect::<Vec<_>>(),
            "log": looks.iter().map(line).collect::<Vec<_>>(),
            "facts": {
                "plan": {
                    "images": 0, "images_per_epoch": 0, "buckets": [], "batches_per_epoch": 0, "steps_per_epoch": 0,
                    "total_steps": 0, "epochs": 0, "keep_tokens": 0, "mean_aspect_error": 0.0, "warnings": [],
                    "problems": [],
                },
                "config": {}, "parameters": 0, "layers": 0, "base_name": "", "base_digest": "", "resumed_from": null,
            },
        }))
        .unwrap()
    }

    #[test]
    fn each_checkpoint_has_the_losses_of_its_own_step() {
        let found =
            scores(&checkpoints(&[50, 75, 100], &[(25, 9.0, 9.0), (50, 0.5, 0.375), (100, 0.75, 0.25)])).unwrap();
        let rows: Vec<_> = found
            .rows
            .iter()
            .map(|r| (r.checkpoint.unwrap(), r.strength, r.values["held_out_loss"], r.values["held_out_gap"]))
            .collect();
        assert_eq!(rows, [(50, 1.0, 0.5, 0.125), (100, 1.0, 0.75, 0.5)]);
        assert_eq!((found.metrics[0].low, found.metrics[0].high), (0.5, 0.75));
        assert!(found.metrics.iter().all(|m| !m.higher_is_better));
    }

    #[test]
    fn what_cannot_be_said_is_an_error_that_tells_what_to_set() {
        let text = |c: &Checkpoints| scores(c).unwrap_err().to_string();
        assert!(text(&checkpoints(&[50], &[])).contains("validation_share"));
        let apart = text(&checkpoints(&[50, 100], &[(30, 1.0, 1.0), (60, 1.0, 1.0)]));
        assert!(apart.contains("of 50, 100") && apart.contains("30, 60"), "{apart}");
    }
}
