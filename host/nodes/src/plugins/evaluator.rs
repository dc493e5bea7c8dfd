//! Evaluator: one or two grids in, scores of each checkpoint and strength out.

use super::{Job, Wiring, link, object, output, single};
use crate::evaluate::{Means, groups, shared};
use crate::types::{Cell, Grid, MetricInfo, SampleScores, ScoreRow, Scores};
use anyhow::bail;
use data::{Dataset, DecodeLimits, Evaluator, Image, Sample, Score};
use engine::Outputs;
use serde_json::json;
use spec::{Role, Values};
use std::collections::BTreeMap;

pub(super) const WIRING: Wiring = Wiring {
    role: Role::Evaluator,
    before: || {
        vec![
            link("grid", "GRID", true, "The pictures to score."),
            link("second_grid", "GRID", false, "More pictures of the same checkpoints, such as other prompts."),
            link("dataset", "DATASET", false, "What was trained on, for evaluators that compare with it."),
        ]
    },
    after: Vec::new,
    outputs: Some(|| output("scores", "SCORES")),
    run,
};

/// Pictures that cross the border in one call.
const BATCH: usize = 16;

fn run(job: &Job, inputs: Values) -> anyhow::Result<Outputs> {
    let mut grids = vec![object::<Grid>(&inputs, "grid")?];
    if inputs.contains_key("second_grid") {
        grids.push(object::<Grid>(&inputs, "second_grid")?);
    }
    let dataset = inputs.contains_key("dataset").then(|| object::<Dataset>(&inputs, "dataset")).transpose()?;
    let groups = groups(&grids);
    let pictures = groups.values().map(Vec::len).sum::<usize>();
    let total = (dataset.as_ref().map_or(0, |d| d.items.len()) + pictures) as u64;
    let mut progress = Progress { job, done: 0, total };

    let mut evaluator = job.plugin.open_evaluator(&job.settings.config, job.call())?;
    if let Some(dataset) = dataset {
        show_reference(evaluator.as_mut(), &dataset, &mut progress)?;
    }
    let metrics: Vec<MetricInfo> = evaluator.metrics().iter().map(|m| metric(job, m)).collect();
    let mut scores = Scores { metrics, ..Scores::default() };
    let shared = shared(&groups);
    for ((checkpoint, strength), cells) in &groups {
        let row = ScoreRow { checkpoint: *checkpoint, strength: f64::from_bits(*strength), values: BTreeMap::new() };
        let (fair, more): (Vec<_>, Vec<_>) = cells.iter().partition(|(_, c)| shared.contains(&(&c.prompt, c.seed)));
        let mut means = Means::default();
        score(job, evaluator.as_mut(), &fair, &row, &mut scores, &mut progress, |values| means.add(values))?;
        let mut values = means.finish();
        values.extend(numbers(job, evaluator.finish()?)?);
        if !more.is_empty() {
            score(job, evaluator.as_mut(), &more, &row, &mut scores, &mut progress, |_| {})?;
            // What the whole set of these says cannot be compared with other rows.
            evaluator.finish()?;
        }
        scores.rows.push(ScoreRow { values, ..row });
    }
    Ok(single(scores))
}

/// Scores pictures one by one.
fn score(
    job: &Job,
    evaluator: &mut dyn Evaluator,
    cells: &[&(&Grid, &Cell)],
    row: &ScoreRow,
    scores: &mut Scores,
    progress: &mut Progress,
    mut each: impl FnMut(&BTreeMap<String, f64>),
) -> anyhow::Result<()> {
    for batch in cells.chunks(BATCH) {
        job.ctx.check_cancelled()?;
        let answers = evaluator.add(batch.iter().map(|(grid, cell)| sample(grid, cell)).collect())?;
        if answers.len() != batch.len() {
            bail!("{}: expected scores of {} pictures, found {}", job.who(), batch.len(), answers.len());
        }
        for ((_, cell), answer) in batch.iter().zip(answers) {
            let values = numbers(job, answer)?;
            each(&values);
            let (checkpoint, strength) = (row.checkpoint, row.strength);
            scores.samples.push(SampleScores {
                checkpoint,
                strength,
                prompt: cell.prompt.clone(),
                seed: cell.seed,
                values,
            });
        }
        progress.step(batch.len(), "scoring pictures");
    }
    Ok(())
}

struct Progress<'a> {
    job: &'a Job<'a>,
    done: u64,
    total: u64,
}

impl Progress<'_> {
    fn step(&mut self, n: usize, message: &str) {
        self.done += n as u64;
        self.job.ctx.progress(self.done, self.total, message);
    }
}

fn sample(grid: &Grid, cell: &Cell) -> Sample {
    let reference = if cell.is_base() { None } else { grid.base_of(cell).map(|base| base.image.clone()) };
    let made_by = match cell.checkpoint {
        Some(step) if !cell.is_base() => format!("step {step} × {}", cell.strength),
        _ => "base".to_owned(),
    };
    Sample {
        id: format!("{made_by}, seed {}, {}", cell.seed, cell.prompt),
        image: cell.image.clone(),
        prompt: cell.prompt.clone(),
        reference,
        seed: Some(cell.seed),
        extra: Some(json!({ "checkpoint": cell.checkpoint, "strength": cell.strength, "base": cell.is_base() })),
    }
}

fn show_reference(evaluator: &mut dyn Evaluator, dataset: &Dataset, progress: &mut Progress) -> anyhow::Result<()> {
    for batch in dataset.items.chunks(BATCH) {
        progress.job.ctx.check_cancelled()?;
        let images: Result<Vec<Image>, _> =
            batch.iter().map(|i| Image::open(&i.path, &DecodeLimits::default())).collect();
        evaluator.reference(images?)?;
        progress.step(batch.len(), "looking at the data set");
    }
    Ok(())
}

fn metric(job: &Job, m: &data::Metric) -> MetricInfo {
    MetricInfo {
        name: m.name.clone(),
        evaluator: job.plugin.id().to_owned(),
        higher_is_better: m.higher_is_better,
        low: m.low,
        high: m.high,
        per_sample: m.per_sample,
        description: m.description.clone(),
    }
}

/// Scores by name. What is not a number stands for «does not apply» and is left out.
fn numbers(job: &Job, scores: Vec<Score>) -> anyhow::Result<BTreeMap<String, f64>> {
    let mut values = BTreeMap::new();
    for Score { metric, value } in scores {
        if value.is_finite() && values.insert(metric.clone(), value).is_some() {
            bail!("{} gave the metric `{metric}` twice", job.who());
        }
    }
    Ok(values)
}
