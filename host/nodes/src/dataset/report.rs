use crate::files;
use crate::types::DatasetSummary;
use data::{Dataset, Item};
use engine::{Context, Level, Outputs, TypedNode, WithUi};
use serde_json::json;
use spec::Inputs;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is in a data set and how it will be trained: tags, shapes, buckets, the true number of steps, and what looks
/// wrong. Passes the data set on, so that training waits for the report.
#[derive(Inputs)]
pub(crate) struct DatasetReport {
    /// The data set.
    dataset: Arc<Dataset>,
    /// Edge of a square picture at training, in pixels.
    #[input(default = 512, range = 8..=8192, step = 8)]
    resolution: u32,
    /// Edges of buckets are multiples of this, in pixels: 64 for full-size bases.
    #[input(default = 64, range = 8..=256, step = 8)]
    bucket_step: u32,
    /// Pictures in a batch.
    #[input(default = 2, range = 1..=256)]
    batch_size: u32,
    /// Length of the training in optimizer steps; 0 to say it in epochs.
    #[input(default = 0, range = 0..=1_000_000)]
    steps: u64,
    /// Length of the training in passes over all pictures, if `steps` is 0.
    #[input(default = 10, range = 1..=10_000)]
    epochs: u64,
    /// The tag that every caption must start with. Empty: none.
    #[input(default = "")]
    activation: String,
    /// Name of the JSON file below the output folder.
    #[input(default = "dataset.json")]
    filename: String,
}

impl TypedNode for DatasetReport {
    const ID: &'static str = "DatasetReport";
    const CATEGORY: &'static str = "dataset";
    const DISPLAY_NAME: &'static str = "Dataset report";
    const OUTPUT_NODE: bool = true;
    const PERSISTENT: bool = true;
    const OUTPUT_NAMES: &'static [&'static str] = &["dataset", "report"];
    type Output = WithUi<(Arc<Dataset>, serde_json::Value)>;

    fn restore(ctx: &Context, outputs: &Outputs) -> anyhow::Result<bool> {
        files::restore(ctx, outputs)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let config = train::Config::default().with(serde_json::json!({
            "resolution": self.resolution,
            "batch_size": self.batch_size,
            "steps": (self.steps > 0).then_some(self.steps),
            "epochs": (self.steps == 0).then_some(self.epochs),
            "activation_tags": data::captions::split(&self.activation),
        }))?;
        let needs = train::Needs { resolution: self.resolution, step: self.bucket_step };
        let plan = train::plan(&config, &self.dataset, needs)?;
        let summary = DatasetSummary {
            images: self.dataset.items.len(),
            shown: self.dataset.items.iter().map(|i| u64::from(i.repeats)).sum(),
            subsets: subsets(&self.dataset),
            framing: framing(&self.dataset, &plan),
            tags: self.dataset.tag_counts(),
            notes: self.dataset.notes.clone(),
            plan,
        };
        for warning in summary.plan.problems.iter().chain(&summary.plan.warnings) {
            ctx.log(Level::Warn, warning);
        }
        let report = serde_json::to_value(&summary)?;
        let (path, sha256) = files::save(ctx, &self.filename, &serde_json::to_vec_pretty(&report)?)?;
        let text = text(&summary);
        Ok(WithUi::new((self.dataset, report)).show("text", json!([text])).file(&path, sha256.as_str()))
    }
}

/// Pictures and repeats by subset.
fn subsets(dataset: &Dataset) -> BTreeMap<String, (usize, u64)> {
    let mut subsets: BTreeMap<String, (usize, u64)> = BTreeMap::new();
    for item in &dataset.items {
        let entry = subsets.entry(item.subset.clone()).or_default();
        entry.0 += 1;
        entry.1 += u64::from(item.repeats);
    }
    subsets
}

/// Pictures by shape, and by how much of a person they show where the captions say so.
fn framing(dataset: &Dataset, plan: &train::Plan) -> BTreeMap<String, usize> {
    let shape = |i: &Item| match f64::from(i.width) / f64::from(i.height.max(1)) {
        r if r > 1.1 => "landscape format",
        r if r < 1.0 / 1.1 => "portrait format",
        _ => "square format",
    };
    let mut counts = BTreeMap::new();
    for item in &dataset.items {
        *counts.entry(shape(item).to_owned()).or_insert(0) += 1;
    }
    let framing = plan.variety.iter().filter(|v| v.aspect == "framing").flat_map(|v| v.counts.clone());
    counts.extend(framing);
    counts
}

fn text(s: &DatasetSummary) -> String {
    let mut lines = vec![s.plan.verdict.clone(), format!("{} images, {} shown an epoch", s.images, s.shown)];
    let top: Vec<String> = s.tags.iter().take(12).map(|(tag, n)| format!("{tag} {n}")).collect();
    lines.push(format!("{} different tags: {}", s.tags.len(), top.join(", ")));
    for b in &s.plan.buckets {
        lines.push(format!("{}×{}: {} images, {} batches", b.width, b.height, b.images, b.batches));
    }
    for v in &s.plan.variety {
        let counts: Vec<String> = v.counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
        lines.push(format!("{}: {}, {} unsaid", v.aspect, counts.join(", "), v.unsaid));
    }
    lines.push(format!("{} steps an epoch, {} in all", s.plan.steps_per_epoch, s.plan.total_steps));
    lines.extend(s.plan.problems.iter().map(|p| format!("problem: {p}")));
    lines.extend(s.plan.warnings.iter().map(|w| format!("warning: {w}")));
    lines.join("\n")
}
