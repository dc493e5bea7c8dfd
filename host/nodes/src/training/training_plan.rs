use super::job::Job;
use super::train_lora::on_large_stack;
use crate::canvas::Canvas;
use crate::chart::{self, Chart, INK, PAPER, TEXT};
use crate::types::ImageBatch;
use anyhow::Result;
use data::{Codec, Dataset, Image};
use engine::{Context, Level, TypedNode, WithUi};
use serde_json::json;
use spec::Inputs;
use std::sync::Arc;
use train::{Config, Estimate, Plan};

/// What a training would do, without doing it: true steps, buckets, what looks wrong, and all settings as they count.
/// Takes what `TrainLora` takes, and passes the data set on, so that a training can wait for the plan.
#[derive(Inputs)]
pub(crate) struct TrainingPlan {
    #[input(flatten)]
    job: Job,
    /// Predict memory and time from a short run of the network: one pass forward at the real size.
    #[input(default = true)]
    dry_run: bool,
    /// Gigabytes that a training may take; what to switch on is told if it would take more. 0: any.
    #[input(default = 0.0, range = 0.0..=1_000_000.0, step = 0.5)]
    memory_limit: f64,
}

impl TypedNode for TrainingPlan {
    const ID: &'static str = "TrainingPlan";
    const CATEGORY: &'static str = "training";
    const DISPLAY_NAME: &'static str = "Training plan";
    const OUTPUT_NODE: bool = true;
    const PERSISTENT: bool = true;
    const OUTPUT_NAMES: &'static [&'static str] = &["dataset", "plan", "picture"];
    type Output = WithUi<(Arc<Dataset>, serde_json::Value, Arc<ImageBatch>)>;

    fn run(self, ctx: &Context) -> Result<Self::Output> {
        let (config, base) = (self.job.config(ctx)?, self.job.base()?);
        let plan = train::plan(&config, &self.job.dataset, base.needs())?;
        for warning in plan.problems.iter().chain(&plan.warnings) {
            ctx.log(Level::Warn, warning);
        }
        let mut lines = lines(&config, &plan);
        let (bytes, numbers) = train::networks::predicted_size(&config, &base)?;
        lines.push(format!("{numbers} numbers are trained; each file takes {:.1} MB", bytes as f64 / 1e6));
        let largest = plan.buckets.iter().map(|b| (b.width, b.height)).max_by_key(|(w, h)| w * h);
        let limit = (self.memory_limit > 0.0).then_some((self.memory_limit * 1e9) as u64);
        let estimate = match largest {
            Some(size) if self.dry_run => Some(on_large_stack(|| train::estimate(&config, &base, size, limit))?),
            _ => None,
        };
        if let Some(estimate) = &estimate {
            let told = takes(estimate, plan.total_steps, limit);
            if limit.is_some_and(|limit| estimate.peak_bytes > limit) {
                told.iter().for_each(|line| ctx.log(Level::Warn, line));
            }
            lines.extend(told);
        }
        let picture = picture(&config, &plan, &lines)?;
        ctx.preview(picture.encode(Codec::Png, 100)?);
        let text = lines.join("\n");
        let report = json!({
            "plan": plan,
            "settings": config,
            "file_bytes": bytes,
            "trained_numbers": numbers,
            "estimate": estimate,
        });
        let outputs = (self.job.dataset, report, Arc::new(ImageBatch::new(vec![picture])));
        Ok(WithUi::new(outputs).show("text", json!([text])))
    }
}

/// The plan in words.
fn lines(config: &Config, plan: &Plan) -> Vec<String> {
    let mut lines = vec![
        plan.verdict.clone(),
        format!(
            "{} pictures, {} shown an epoch, in {} batches of up to {}",
            plan.images, plan.images_per_epoch, plan.batches_per_epoch, config.run.batch_size
        ),
        format!("{} steps an epoch, {} steps in {} epochs", plan.steps_per_epoch, plan.total_steps, plan.epochs),
    ];
    for b in &plan.buckets {
        lines.push(format!("{}×{}: {} pictures, {} batches an epoch", b.width, b.height, b.images, b.batches));
    }
    for v in &plan.variety {
        let counts: Vec<String> = v.counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
        lines.push(format!("{}: {}, {} unsaid", v.aspect, counts.join(", "), v.unsaid));
    }
    lines.extend(plan.problems.iter().map(|p| format!("problem: {p}")));
    lines.extend(plan.warnings.iter().map(|w| format!("warning: {w}")));
    lines
}

/// Memory and time in words, and what to switch on if that is too much.
fn takes(estimate: &Estimate, steps: u64, limit: Option<u64>) -> Vec<String> {
    let gigabytes = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
    let hours = |seconds: f64| format!("{:.1} h in all", seconds * steps as f64 / 3600.0);
    let seconds = estimate.seconds_per_step;
    let mut lines =
        vec![format!("about {} at most, {seconds:.2} s a step, {}", gigabytes(estimate.peak_bytes), hours(seconds))];
    let Some(limit) = limit.filter(|limit| estimate.peak_bytes > *limit) else { return lines };
    lines.push(format!("that is more than {}; each of these with those before it would take", gigabytes(limit)));
    for rung in &estimate.ladder {
        let (peak, fits) = (gigabytes(rung.peak_bytes), if rung.fits { "fits" } else { "too much" });
        lines.push(format!("{}: {peak} ({fits}), {:.2} s a step: {}", rung.name, rung.seconds_per_step, rung.changes));
    }
    lines
}

/// Points of the curve of learning rates; more would not be seen.
const POINTS: u64 = 500;
const WIDTH: usize = 900;
const CURVE: usize = 260;
const LINE: usize = 22;

/// The learning rate over the run, and the plan in words.
fn picture(config: &Config, plan: &Plan, lines: &[String]) -> Result<Image> {
    let schedule = train::lr_schedules::find(config.lr_schedule())?;
    let total = plan.total_steps.max(1);
    let curve = config.curve(total);
    let count = total.min(POINTS);
    let points = (0..count).map(|i| {
        let step = if count > 1 { i * (total - 1) / (count - 1) } else { 0 };
        (step as f64 + 1.0, config.optimizer.learning_rate() * schedule.at(&curve, step))
    });
    let chart = Chart { title: "learning rate", x: "steps", lines: vec![points.collect()], scientific: true };
    let font = crate::canvas::font()?;
    let wide = (WIDTH - 24) as f32;
    let wrapped: Vec<String> = lines.iter().flat_map(|line| crate::canvas::wrap(&font, TEXT, wide, 3, line)).collect();
    let mut canvas = Canvas::new(WIDTH, CURVE + wrapped.len() * LINE + 24, PAPER)?;
    chart::draw(&mut canvas, &chart, (0, 0, WIDTH, CURVE));
    for (i, line) in wrapped.iter().enumerate() {
        canvas.text(12.0, (CURVE + 8 + i * LINE) as f32, TEXT, INK, line);
    }
    canvas.finish()
}
