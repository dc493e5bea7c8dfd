use super::cells::{self, Count, Settings, Wanted};
use super::draw::draw;
use super::lists::{self, Prompt};
use crate::Host;
use crate::conditioning::refuse_tags;
use crate::loaders::apply_lora;
use crate::sampling::{Walk, sampler_names, scheduler_names};
use crate::types::{Cell, CheckpointFile, Checkpoints, Clip, Grid, ImageBatch, Model, VaeModel};
use anyhow::Result;
use engine::{Context, TypedNode};
use models::lora::{File, Options};
use serde_json::json;
use spec::Inputs;
use std::sync::Arc;

/// Pictures of all checkpoints of a training run, with the same prompts and seeds, beside those of the base without the
/// LoRA: rows are checkpoints, columns are strengths or prompts.
#[derive(Inputs)]
pub(crate) struct CheckpointGrid {
    /// The base that was trained on.
    model: Arc<Model>,
    /// Its text encoder.
    clip: Arc<Clip>,
    /// Its autoencoder.
    vae: Arc<VaeModel>,
    /// The checkpoints.
    checkpoints: Arc<Checkpoints>,
    /// What the columns differ in.
    #[input(default = "strengths", options = ["strengths", "prompts"])]
    columns: String,
    /// One prompt a line; ` --n ` begins what to avoid.
    #[input(multiline)]
    prompts: String,
    /// What to avoid, for prompts that do not say it.
    #[input(default = "", multiline)]
    negative: String,
    /// Seeds, such as `1, 5, 10-12`: a picture of each in every cell.
    #[input(default = "1, 2")]
    seeds: String,
    /// Strengths of the LoRA, such as `0.5, 0.75, 1`. The base without it is always shown.
    #[input(default = "0.5, 0.75, 1")]
    strengths: String,
    /// Checkpoints by their step, such as `50, 100`, or `all`, or `last`.
    #[input(default = "all")]
    show: String,
    /// Sampling steps.
    #[input(default = 20, range = 1..=10_000)]
    steps: u32,
    /// How strongly the prompt leads.
    #[input(default = 7.0, range = 0.0..=100.0, step = 0.1)]
    cfg: f64,
    /// What networks that take a guidance as Flux.1-dev does are told; 0: what their family is told.
    #[input(default = 0.0, range = 0.0..=100.0, step = 0.1)]
    guidance: f64,
    /// The method that walks along the noise levels.
    #[input(default = "euler", options = sampler_names())]
    sampler_name: String,
    /// How the noise levels are spaced.
    #[input(default = "normal", options = scheduler_names())]
    scheduler: String,
    /// Width of a picture, in pixels.
    #[input(default = 512, range = 16..=16384, step = 8)]
    width: u32,
    /// Height of a picture, in pixels.
    #[input(default = 512, range = 16..=16384, step = 8)]
    height: u32,
    /// The grid's title; empty: made from the LoRA's name.
    #[input(default = "")]
    title: String,
}

impl TypedNode for CheckpointGrid {
    const ID: &'static str = "CheckpointGrid";
    const CATEGORY: &'static str = "compare";
    const DISPLAY_NAME: &'static str = "Checkpoint grid";
    const PERSISTENT: bool = true;
    const OUTPUT_NAMES: &'static [&'static str] = &["grid", "image"];
    type Output = (Arc<Grid>, Arc<ImageBatch>);

    fn run(self, ctx: &Context) -> Result<Self::Output> {
        let asked = self.asked()?;
        let host = ctx.services::<Host>();
        let settings = Settings {
            walk: Walk {
                sampler: &self.sampler_name,
                scheduler: &self.scheduler,
                steps: self.steps as usize,
                denoise: 1.0,
                start: 0,
                end: usize::MAX,
                finish: true,
            },
            cfg: self.cfg,
            guidance: (self.guidance > 0.0).then_some(self.guidance),
            width: self.width as usize,
            height: self.height as usize,
            device: &host.device,
        };
        let wanted: Vec<Wanted<'_>> = asked
            .prompts
            .iter()
            .flat_map(|prompt| asked.seeds.iter().map(move |&seed| Wanted { prompt, seed }))
            .collect();
        let models = 1 + asked.checkpoints.len() * asked.strengths.len();
        let factor = self.model.family.latent.factor;
        let batches = wanted.len().div_ceil(cells::batch(settings.width, settings.height, factor));
        let mut count = Count { done: 0, total: (models * batches) as u64 * u64::from(self.steps) };

        let base = (&*self.model, &*self.clip, &*self.vae);
        let images = cells::make(ctx, &settings, base, &wanted, &mut count)?;
        let mut cells = asked.cells(None, 0.0, &wanted, images);
        for (i, checkpoint) in asked.checkpoints.iter().enumerate() {
            let file = File::read(&checkpoint.path)?;
            for (j, &strength) in asked.strengths.iter().enumerate() {
                let (model, clip) =
                    apply_lora(ctx, &file, &self.model, &self.clip, (strength, strength), &Options::default())?;
                let images = cells::make(ctx, &settings, (&model, &clip, &self.vae), &wanted, &mut count)?;
                cells.extend(asked.cells(Some((i, j)), strength, &wanted, images));
            }
        }
        let grid = asked.grid(&self, cells);
        let image = draw(&grid)?.image;
        Ok((Arc::new(grid), Arc::new(ImageBatch::new(vec![image]))))
    }
}

/// What the inputs ask for.
struct Asked<'a> {
    by_prompt: bool,
    prompts: Vec<Prompt>,
    seeds: Vec<u64>,
    strengths: Vec<f64>,
    checkpoints: Vec<&'a CheckpointFile>,
}

impl CheckpointGrid {
    fn asked(&self) -> Result<Asked<'_>> {
        let mut prompts = lists::prompts(&self.prompts)?;
        for prompt in &mut prompts {
            if prompt.negative.is_empty() {
                prompt.negative = self.negative.trim().to_owned();
            }
            refuse_tags(&prompt.positive)?;
            refuse_tags(&prompt.negative)?;
        }
        Ok(Asked {
            by_prompt: self.columns == "prompts",
            prompts,
            seeds: lists::seeds(&self.seeds)?,
            strengths: lists::strengths(&self.strengths)?,
            checkpoints: lists::checkpoints(&self.show, &self.checkpoints.files)?,
        })
    }
}

impl Asked<'_> {
    /// The cells of one model: of the base, or of checkpoint i at strength j.
    fn cells(
        &self,
        which: Option<(usize, usize)>,
        strength: f64,
        wanted: &[Wanted<'_>],
        images: Vec<data::Image>,
    ) -> Vec<Cell> {
        let checkpoint = which.map(|(i, _)| self.checkpoints[i].step);
        let cell = |(one, image): (&Wanted<'_>, data::Image)| {
            let prompt = self.prompts.iter().position(|p| p == one.prompt).unwrap_or(0);
            let (row, col) = match (which, self.by_prompt) {
                // The base: the first row of prompts, or the first column, where its pictures stand for all rows.
                (None, true) => (0, prompt),
                (None, false) => (0, 0),
                (Some((i, j)), true) => (1 + i * self.strengths.len() + j, prompt),
                (Some((i, j)), false) => (i, 1 + j),
            };
            Cell { row, col, checkpoint, strength, prompt: one.prompt.positive.clone(), seed: one.seed, image }
        };
        wanted.iter().zip(images).map(cell).collect()
    }

    fn grid(&self, node: &CheckpointGrid, cells: Vec<Cell>) -> Grid {
        let step = |c: &CheckpointFile| format!("step {}", c.step);
        let strengths = || self.strengths.iter();
        let base = || "no LoRA".to_owned();
        let (rows, cols): (Vec<String>, Vec<String>) = if self.by_prompt {
            let row = |c: &CheckpointFile, s: &f64| match self.strengths.len() {
                1 => step(c),
                _ => format!("{} × {s}", step(c)),
            };
            let rows = self.checkpoints.iter().flat_map(|c| strengths().map(move |s| row(c, s)));
            ([base()].into_iter().chain(rows).collect(), self.prompts.iter().map(|p| p.positive.clone()).collect())
        } else {
            let cols = [base()].into_iter().chain(strengths().map(|s| format!("strength {s}")));
            (self.checkpoints.iter().map(|c| step(c)).collect(), cols.collect())
        };
        let title = match (node.title.as_str(), self.by_prompt) {
            ("", true) => format!("{}: checkpoints and prompts", node.checkpoints.name),
            ("", false) => format!("{}: checkpoints and strengths", node.checkpoints.name),
            (title, _) => title.to_owned(),
        };
        let one = |list: &[f64]| if self.by_prompt && list.len() == 1 { Some(list[0]) } else { None };
        let settings = json!({
            "prompt": if self.by_prompt { None } else {
                Some(self.prompts.iter().map(|p| p.positive.as_str()).collect::<Vec<_>>().join(" | "))
            },
            "negative": node.negative,
            "strength": one(&self.strengths),
            "seeds": self.seeds,
            "sampler": node.sampler_name,
            "scheduler": node.scheduler,
            "steps": node.steps,
            "cfg": node.cfg,
            "guidance": node.guidance,
            "size": format!("{}×{}", node.width, node.height),
            "base": node.model.name,
        });
        Grid {
            title,
            row_axis: "checkpoint".into(),
            rows,
            col_axis: if self.by_prompt { "prompt" } else { "strength" }.into(),
            cols,
            cells,
            settings,
        }
    }
}
