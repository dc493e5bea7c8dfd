use super::html::{Section, escape, page, picture};
use super::{dataset, grid, plot, scores, settings};
use crate::types::{Cell, Checkpoints, Choice, DatasetSummary, Grid, Scores};
use crate::{Host, files};
use anyhow::Context as _;
use data::Dataset;
use engine::{Context, Outputs, TypedNode, WithUi};
use spec::Inputs;
use std::fmt::Write;
use std::sync::Arc;

/// One self-contained HTML file about a training: what was chosen and why, loss, grids, scores, data set, settings.
#[derive(Inputs)]
pub(crate) struct HtmlReport {
    /// The training.
    checkpoints: Arc<Checkpoints>,
    /// What was chosen.
    #[input(optional)]
    choice: Option<Arc<Choice>>,
    /// The scores of all checkpoints.
    #[input(optional)]
    scores: Option<Arc<Scores>>,
    /// Pictures of the checkpoints.
    #[input(optional)]
    grid: Option<Arc<Grid>>,
    /// More pictures, such as other prompts.
    #[input(optional)]
    second_grid: Option<Arc<Grid>>,
    /// What was trained on, with captions as they were trained.
    #[input(optional)]
    dataset: Option<Arc<Dataset>>,
    /// What the dataset report found.
    #[input(optional, link)]
    dataset_report: Option<serde_json::Value>,
    /// Title of the page.
    #[input(default = "Training report")]
    title: String,
    /// Name of the file below the output folder.
    #[input(default = "report.html")]
    filename: String,
}

impl TypedNode for HtmlReport {
    const ID: &'static str = "HtmlReport";
    const CATEGORY: &'static str = "report";
    const DISPLAY_NAME: &'static str = "HTML report";
    const OUTPUT_NODE: bool = true;
    const PERSISTENT: bool = true;
    type Output = WithUi<()>;

    fn restore(ctx: &Context, outputs: &Outputs) -> anyhow::Result<bool> {
        files::restore(ctx, outputs)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let summary: Option<DatasetSummary> = match self.dataset_report.clone() {
            Some(report) => Some(serde_json::from_value(report).context("input `dataset_report`")?),
            None => None,
        };
        let choice = self.choice.as_deref();
        let mut sections = vec![Section { id: "loss", title: "Training".into(), body: self.training() }];
        for (id, grid) in [("grid", &self.grid), ("grid2", &self.second_grid)] {
            if let Some(grid) = grid {
                let body = grid::table(grid, choice, self.scores.as_deref())?;
                sections.push(Section { id, title: grid.title.clone(), body });
            }
        }
        if let Some(scores) = &self.scores {
            sections.push(Section { id: "scores", title: "Scores".into(), body: scores::table(scores, choice) });
        }
        if self.dataset.is_some() || summary.is_some() {
            let body = dataset::section(self.dataset.as_deref(), summary.as_ref())?;
            sections.push(Section { id: "dataset", title: "Data set".into(), body });
        }
        let body = settings::section(&self.checkpoints, &ctx.services::<Host>().workflow);
        sections.push(Section { id: "settings", title: "Settings".into(), body });
        let html = page(&self.title, &self.head()?, &sections);
        let (path, sha256) = files::save(ctx, &self.filename, html.as_bytes())?;
        Ok(WithUi::new(()).file(&path, sha256.as_str()))
    }
}

impl HtmlReport {
    /// What to use and why, and the numbers that matter.
    fn head(&self) -> anyhow::Result<String> {
        let facts = &self.checkpoints.facts;
        let mut out = String::new();
        if let Some(choice) = &self.choice {
            let trigger = if choice.trigger.is_empty() { String::new() } else { format!("{}, … ", choice.trigger) };
            let _ = write!(
                out,
                "<div class=\"card verdict\"><div><p class=\"soft\">Recommended</p>\
                 <p class=\"use\">{}&lt;lora:{}:{}&gt;</p><p>{}</p></div>{}</div>",
                escape(&trigger),
                escape(&choice.name),
                choice.strength,
                escape(&choice.why),
                self.pair(choice)?
            );
        }
        let minutes = format!("{}:{:02}", self.checkpoints.seconds as u64 / 60, self.checkpoints.seconds as u64 % 60);
        let loss = self.checkpoints.log.last().map_or_else(|| "–".to_owned(), |l| format!("{:.4}", l.smooth));
        let mut tiles = Vec::new();
        if let Some(choice) = &self.choice {
            let trigger = if choice.trigger.is_empty() { "none needed" } else { &choice.trigger };
            tiles.push((trigger.to_owned(), "trigger"));
            tiles.push((choice.strength.to_string(), "strength"));
            tiles.push((choice.step.to_string(), "step of the checkpoint"));
        }
        tiles.push((facts.plan.images.to_string(), "pictures"));
        tiles.push((facts.plan.total_steps.to_string(), "steps in all"));
        tiles.push((loss, "smoothed loss at the end"));
        tiles.push((minutes, "training time, min:s"));
        tiles.push((facts.base_name.clone(), "base"));
        out.push_str("<div class=\"tiles\">");
        for (value, what) in tiles {
            let class = if value.chars().count() > 9 { " class=\"long\"" } else { "" };
            let _ = write!(out, "<div class=\"tile\"><b{class}>{}</b><span>{what}</span></div>", escape(&value));
        }
        out.push_str("</div>");
        for warning in &facts.plan.warnings {
            let _ = write!(out, "<p class=\"warn\">{}</p>", escape(warning));
        }
        Ok(out)
    }

    /// The same prompt and seed without and with what was chosen.
    fn pair(&self, choice: &Choice) -> anyhow::Result<String> {
        let chosen = |c: &&Cell| !c.is_base() && c.checkpoint == Some(choice.step) && c.strength == choice.strength;
        let with_trigger = |c: &&Cell| choice.trigger.is_empty() || c.prompt.contains(&choice.trigger);
        let grids: Vec<&Arc<Grid>> = self.grid.iter().chain(&self.second_grid).collect();
        let found = grids.iter().find_map(|g| Some((*g, g.cells.iter().filter(chosen).find(with_trigger)?)));
        let Some((grid, cell)) = found else { return Ok(String::new()) };
        let Some(base) = grid.base_of(cell) else { return Ok(String::new()) };
        let mut out = "<div class=\"pair\">".to_owned();
        for (cell, name) in [(base, "base"), (cell, "with the LoRA")] {
            let _ = write!(
                out,
                "<figure><img src=\"{}\" alt=\"{}\"><figcaption>{name}</figcaption></figure>",
                picture(&cell.image, 320)?,
                escape(&cell.prompt)
            );
        }
        Ok(out + "</div>")
    }

    fn training(&self) -> String {
        let log = &self.checkpoints.log;
        let chosen = self.choice.as_ref().map(|c| c.step);
        // Texts of many checkpoints would run into each other.
        let every = self.checkpoints.files.len().div_ceil(16).max(1);
        let mark = |(i, f): (usize, &crate::types::CheckpointFile)| {
            let is_chosen = Some(f.step) == chosen;
            let text = if is_chosen || i % every == every - 1 { f.step.to_string() } else { String::new() };
            (f.step as f64, text, is_chosen)
        };
        let marks: Vec<(f64, String, bool)> = self.checkpoints.files.iter().enumerate().map(mark).collect();
        let line = |class, name: &str, value: fn(&crate::types::LogLine) -> f64| plot::Line {
            class,
            name: name.to_owned(),
            points: log.iter().map(|l| (l.step as f64, value(l))).collect(),
        };
        let loss = plot::svg(&plot::Plot {
            label: "loss by step",
            height: 280.0,
            lines: vec![line("raw", "", |l| l.loss), line("main", "smooth", |l| l.smooth)],
            marks: &marks,
            scientific: false,
        });
        let rate = plot::svg(&plot::Plot {
            label: "learning rate",
            height: 110.0,
            lines: vec![line("main", "", |l| l.lr)],
            marks: &marks,
            scientific: true,
        });
        let looks: Vec<(f64, train::Validated)> =
            log.iter().filter_map(|l| Some((l.step as f64, l.validated?))).collect();
        let (mut gap, mut words) = (String::new(), String::new());
        if !looks.is_empty() {
            let of = |class, name: &str, value: fn(&train::Validated) -> f64| plot::Line {
                class,
                name: name.to_owned(),
                points: looks.iter().map(|(step, look)| (*step, value(look))).collect(),
            };
            gap = plot::svg(&plot::Plot {
                label: "validation loss by step",
                height: 200.0,
                lines: vec![of("raw", "trained", |v| v.trained), of("main", "held back", |v| v.held_back)],
                marks: &marks,
                scientific: false,
            });
            words = " The loss of pictures that were held back, and of as many that were trained, is at the same \
                     timesteps with the same noise: where the first rises while the second falls, pictures are learned \
                     by heart."
                .into();
        }
        format!(
            "<div class=\"card\">{loss}{gap}{rate}</div><p class=\"soft\">Dashed lines are saved checkpoints{}. The smooth line \
             is a running mean in which each step counts 2 % less than the next.{words}</p>",
            if chosen.is_some() { ", the solid one is the chosen one" } else { "" }
        )
    }
}
