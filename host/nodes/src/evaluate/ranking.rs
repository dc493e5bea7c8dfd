//! From a table of scores to an order of candidates.

use crate::types::{MetricInfo, Ranked, ScoreRow, Scores};
use anyhow::{Context as _, bail};
use std::collections::BTreeMap;

/// How much a metric counts when nobody says otherwise: prompt following and the trigger first, then closeness to the
/// data set. Metrics that have no better or worse by themselves count nothing. Others count 1.
const WEIGHTS: &[(&str, f64)] = &[
    ("trigger_strength", 3.0),
    ("tag_recall", 3.0),
    ("trigger_leakage", 1.0),
    ("palette_distance", 1.0),
    ("dataset_gap", 1.0),
    ("diversity", 1.0),
    ("memorised", 1.0),
    ("edge_distance", 0.5),
    ("burnt", 0.5),
    ("effect_leakage", 0.5),
    ("clipping", 0.5),
    ("lora_effect", 0.5),
    // Already in strength and leakage, or in recall.
    ("trigger_margin", 0.0),
    ("tag_confidence", 0.0),
    // Known of strength 1 only: it cannot tell strengths apart.
    ("held_out_loss", 0.0),
    ("held_out_gap", 0.0),
    // Nearer is not worse until it is a copy, which `memorised` says.
    ("nearest_distance", 0.0),
    // Trained on photographs, which a style need not be like.
    ("brisque", 0.0),
    // A style may be soft or pale.
    ("sharpness", 0.0),
    ("saturation", 0.0),
];

/// Weights by metric.
pub(super) struct Weights(BTreeMap<String, f64>);

impl Weights {
    /// The defaults for these metrics, with changes as lines `metric = weight`.
    pub(super) fn new(metrics: &[MetricInfo], changes: &str) -> anyhow::Result<Self> {
        let usual = |name: &str| WEIGHTS.iter().find(|(n, _)| *n == name).map_or(1.0, |(_, w)| *w);
        let mut weights: BTreeMap<String, f64> = metrics.iter().map(|m| (m.name.clone(), usual(&m.name))).collect();
        for line in changes.split(['\n', ',']).map(str::trim).filter(|l| !l.is_empty()) {
            let (name, weight) = line
                .split_once(['=', ':'])
                .with_context(|| format!("input `weights`: expected `metric = weight`, found `{line}`"))?;
            let known: Vec<&str> = metrics.iter().map(|m| m.name.as_str()).collect();
            let slot = weights.get_mut(name.trim()).with_context(|| {
                format!("input `weights`: no metric `{}`; there are {}", name.trim(), known.join(", "))
            })?;
            let weight: f64 =
                weight.trim().parse().ok().filter(|w: &f64| *w >= 0.0 && w.is_finite()).with_context(|| {
                    format!(
                        "input `weights`: expected a number of 0 or more for `{}`, found `{}`",
                        name.trim(),
                        weight.trim()
                    )
                })?;
            *slot = weight;
        }
        Ok(Self(weights))
    }

    /// Of this metric.
    pub(super) fn of(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// Those that count, the largest first.
    pub(super) fn counting(&self) -> Vec<(&str, f64)> {
        let mut list: Vec<(&str, f64)> =
            self.0.iter().filter(|(_, w)| **w > 0.0).map(|(n, w)| (n.as_str(), *w)).collect();
        list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
        list
    }
}

/// 0 for the worst value that makes sense, 1 for the best.
pub(crate) fn goodness(metric: &MetricInfo, value: f64) -> f64 {
    let span = metric.high - metric.low;
    let share = if span > 0.0 { ((value - metric.low) / span).clamp(0.0, 1.0) } else { 0.5 };
    if metric.higher_is_better { share } else { 1.0 - share }
}

/// Weighted mean of what is known of a row, 0 to 1.
fn total(row: &ScoreRow, metrics: &[MetricInfo], weights: &Weights) -> Option<f64> {
    let known = metrics.iter().filter_map(|m| {
        let weight = weights.of(&m.name);
        (weight > 0.0).then_some((weight, goodness(m, *row.values.get(&m.name)?)))
    });
    let (sum, all) = known.fold((0.0, 0.0), |(sum, all), (w, g)| (sum + w * g, all + w));
    (all > 0.0).then(|| sum / all)
}

/// All candidates, best first. Totals that differ by less than `margin` count as equal: then the strength nearer to 1
/// wins, then the earlier step, which has taken less from the base.
pub(super) fn rank(scores: &Scores, weights: &Weights, margin: f64) -> anyhow::Result<Vec<Ranked>> {
    let mut ranked: Vec<Ranked> = scores
        .rows
        .iter()
        .filter_map(|row| {
            let step = row.checkpoint.filter(|_| row.strength > 0.0)?;
            let total = total(row, &scores.metrics, weights)?;
            Some(Ranked { step, strength: row.strength, total })
        })
        .collect();
    ranked.sort_by(|a, b| b.total.total_cmp(&a.total));
    let Some(best) = ranked.first().map(|r| r.total) else {
        bail!("nothing to choose from: the scores hold no checkpoint with a metric that counts");
    };
    let close = ranked.iter().take_while(|r| best - r.total < margin).count();
    let from_one = |r: &Ranked| (r.strength - 1.0).abs();
    ranked[..close].sort_by(|a, b| from_one(a).total_cmp(&from_one(b)).then(a.step.cmp(&b.step)));
    Ok(ranked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, higher_is_better: bool, high: f64) -> MetricInfo {
        MetricInfo {
            name: name.into(),
            evaluator: "e".into(),
            higher_is_better,
            low: 0.0,
            high,
            per_sample: true,
            description: String::new(),
        }
    }

    fn row(checkpoint: Option<u64>, strength: f64, recall: f64, gap: f64) -> ScoreRow {
        let values = [("tag_recall".to_owned(), recall), ("dataset_gap".to_owned(), gap)].into();
        ScoreRow { checkpoint, strength, values }
    }

    fn scores(rows: Vec<ScoreRow>) -> Scores {
        let metrics = vec![metric("tag_recall", true, 1.0), metric("dataset_gap", false, 5.0)];
        Scores { metrics, rows, samples: vec![] }
    }

    #[test]
    fn the_base_is_no_candidate_and_lower_may_be_better() {
        let scores =
            scores(vec![row(None, 0.0, 1.0, 0.0), row(Some(50), 1.0, 0.9, 4.0), row(Some(100), 1.0, 0.9, 1.0)]);
        let weights = Weights::new(&scores.metrics, "").unwrap();
        let ranked = rank(&scores, &weights, 0.0).unwrap();
        assert_eq!(ranked.iter().map(|r| r.step).collect::<Vec<_>>(), [100, 50]);
        assert!((ranked[0].total - (3.0 * 0.9 + 0.8) / 4.0).abs() < 1e-12);
    }

    #[test]
    fn among_equals_the_usual_strength_and_the_earlier_step_win() {
        let rows =
            vec![row(Some(400), 1.0, 0.9, 1.0), row(Some(200), 1.0, 0.899, 1.0), row(Some(200), 0.6, 0.901, 1.0)];
        let scores = scores(rows);
        let weights = Weights::new(&scores.metrics, "").unwrap();
        let best = &rank(&scores, &weights, 0.01).unwrap()[0];
        assert_eq!((best.step, best.strength), (200, 1.0));
    }

    #[test]
    fn weights_can_be_changed_and_are_checked() {
        let metrics = scores(vec![]).metrics;
        let weights = Weights::new(&metrics, "tag_recall = 0\ndataset_gap: 2.5").unwrap();
        assert_eq!((weights.of("tag_recall"), weights.of("dataset_gap")), (0.0, 2.5));
        let e = |text: &str| Weights::new(&metrics, text).err().unwrap().to_string();
        assert!(e("recall = 1").contains("there are tag_recall, dataset_gap"));
        assert!(e("tag_recall = -1").contains("found `-1`"));
        assert!(e("tag_recall").contains("expected `metric = weight`"));
    }

    #[test]
    fn no_candidates_is_an_error() {
        let scores = scores(vec![row(None, 0.0, 1.0, 1.0)]);
        let weights = Weights::new(&scores.metrics, "").unwrap();
        assert!(rank(&scores, &weights, 0.01).is_err());
    }
}
