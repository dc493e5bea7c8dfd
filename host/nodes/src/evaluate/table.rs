use crate::files;
use crate::types::{SampleScores, ScoreRow, Scores};
use engine::{Context, Outputs, TypedNode, WithUi};
use serde_json::json;
use spec::Inputs;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// Joins the scores of several evaluators into one table: a row per checkpoint and strength, a column per metric. Saved
/// as CSV and JSON.
#[derive(Inputs)]
pub(crate) struct EvaluationTable {
    /// Scores of an evaluator.
    scores: Arc<Scores>,
    /// Scores of a second one.
    #[input(optional)]
    scores_2: Option<Arc<Scores>>,
    /// Scores of a third one.
    #[input(optional)]
    scores_3: Option<Arc<Scores>>,
    /// Scores of a fourth one.
    #[input(optional)]
    scores_4: Option<Arc<Scores>>,
    /// Stem of the files below the output folder.
    #[input(default = "scores")]
    filename: String,
}

impl TypedNode for EvaluationTable {
    const ID: &'static str = "EvaluationTable";
    const CATEGORY: &'static str = "evaluate";
    const DISPLAY_NAME: &'static str = "Evaluation table";
    const OUTPUT_NODE: bool = true;
    const PERSISTENT: bool = true;
    type Output = WithUi<Arc<Scores>>;

    fn restore(ctx: &Context, outputs: &Outputs) -> anyhow::Result<bool> {
        files::restore(ctx, outputs)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let others = [self.scores_2, self.scores_3, self.scores_4];
        let merged = others.into_iter().flatten().fold(Scores::clone(&self.scores), merge);
        let csv = csv(&merged);
        let (csv_path, csv_hash) = files::save(ctx, &format!("{}.csv", self.filename), csv.as_bytes())?;
        let all = serde_json::to_vec_pretty(&merged)?;
        let (json_path, json_hash) = files::save(ctx, &format!("{}.json", self.filename), &all)?;
        Ok(WithUi::new(Arc::new(merged))
            .show("text", json!([csv]))
            .file(&csv_path, csv_hash.as_str())
            .file(&json_path, json_hash.as_str()))
    }
}

/// Adds the second table's columns. A metric name that both have gets the evaluator's name in front.
fn merge(mut all: Scores, more: Arc<Scores>) -> Scores {
    let mut names: BTreeMap<&str, String> = BTreeMap::new();
    for metric in &more.metrics {
        let taken = all.metrics.iter().any(|m| m.name == metric.name);
        let name = if taken { format!("{}.{}", metric.evaluator, metric.name) } else { metric.name.clone() };
        names.insert(&metric.name, name.clone());
        all.metrics.push(crate::types::MetricInfo { name, ..metric.clone() });
    }
    let renamed = |values: &BTreeMap<String, f64>| -> BTreeMap<String, f64> {
        values.iter().map(|(name, v)| (names.get(name.as_str()).unwrap_or(name).clone(), *v)).collect()
    };
    for row in &more.rows {
        let same = |r: &&mut ScoreRow| r.checkpoint == row.checkpoint && r.strength == row.strength;
        match all.rows.iter_mut().find(same) {
            Some(known) => known.values.extend(renamed(&row.values)),
            None => all.rows.push(ScoreRow { values: renamed(&row.values), ..row.clone() }),
        }
    }
    for sample in &more.samples {
        let same = |s: &&mut SampleScores| {
            (s.checkpoint, s.strength, s.seed) == (sample.checkpoint, sample.strength, sample.seed)
                && s.prompt == sample.prompt
        };
        match all.samples.iter_mut().find(same) {
            Some(known) => known.values.extend(renamed(&sample.values)),
            None => all.samples.push(SampleScores { values: renamed(&sample.values), ..sample.clone() }),
        }
    }
    all
}

fn csv(scores: &Scores) -> String {
    let mut out = "checkpoint,strength".to_owned();
    for metric in &scores.metrics {
        let _ = write!(out, ",{}", metric.name);
    }
    out.push('\n');
    for row in &scores.rows {
        let checkpoint = row.checkpoint.map_or_else(|| "base".to_owned(), |c| c.to_string());
        let _ = write!(out, "{checkpoint},{}", row.strength);
        for metric in &scores.metrics {
            match row.values.get(&metric.name) {
                Some(v) => drop(write!(out, ",{v:.5}")),
                None => out.push(','),
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::MetricInfo;

    fn scores(evaluator: &str, metric: &str, values: &[(Option<u64>, f64)]) -> Scores {
        let metrics = vec![MetricInfo {
            name: metric.into(),
            evaluator: evaluator.into(),
            higher_is_better: true,
            low: 0.0,
            high: 1.0,
            per_sample: true,
            description: String::new(),
        }];
        let row = |(checkpoint, v): &(Option<u64>, f64)| ScoreRow {
            checkpoint: *checkpoint,
            strength: 1.0,
            values: [(metric.to_owned(), *v)].into(),
        };
        Scores { metrics, rows: values.iter().map(row).collect(), samples: vec![] }
    }

    #[test]
    fn joins_by_checkpoint_and_keeps_both_of_one_name() {
        let a = scores("a", "x", &[(None, 0.1), (Some(50), 0.2)]);
        let b = scores("b", "x", &[(Some(50), 0.7), (Some(100), 0.8)]);
        let csv = csv(&merge(a, Arc::new(b)));
        assert_eq!(csv, "checkpoint,strength,x,b.x\nbase,1,0.10000,\n50,1,0.20000,0.70000\n100,1,,0.80000\n");
    }
}
