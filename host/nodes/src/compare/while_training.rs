//! Pictures of a network that is being trained, one row of a grid for each time they are made.

use super::cells::{self, Count, Settings, Wanted};
use super::draw::draw;
use super::lists::Prompt;
use crate::conditioning::refuse_tags;
use crate::loaders::apply_lora;
use crate::sampling::Walk;
use crate::types::{Cell, Clip, Grid, Model, VaeModel};
use crate::{Host, files};
use anyhow::{Context as _, Result};
use data::{Codec, DecodeLimits, Image};
use engine::{Context, Level};
use models::lora::{File, Options};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use train::{Config, SamplePrompt};

/// Guidance for networks that are not told one, where a prompt does not say.
const CFG: f64 = 7.0;

/// Makes the pictures that a configuration asks for, and keeps them in a folder.
pub(crate) struct Samples<'a> {
    ctx: Context,
    config: &'a Config,
    prompts: Vec<SamplePrompt>,
    model: Arc<Model>,
    clip: Arc<Clip>,
    vae: Arc<VaeModel>,
    /// A folder `step-…` for each time, the network that they were made with last, and the sheet.
    dir: PathBuf,
    /// Side of pictures whose prompts do not say, in pixels.
    side: u32,
}

impl<'a> Samples<'a> {
    /// # Errors
    /// A prompt with a flag or LoRA tag that cannot be.
    pub(crate) fn new(
        ctx: &Context,
        config: &'a Config,
        (model, clip, vae): (Arc<Model>, Arc<Clip>, Arc<VaeModel>),
        dir: PathBuf,
        side: u32,
    ) -> Result<Self> {
        let prompts = config.samples.prompts()?;
        for prompt in &prompts {
            for text in [Some(&prompt.prompt), prompt.negative_prompt.as_ref()].into_iter().flatten() {
                refuse_tags(text).context("`sample_prompts`")?;
            }
        }
        Ok(Self { ctx: ctx.silent(), config, prompts, model, clip, vae, dir, side })
    }

    /// Makes the pictures of a step that are not there yet, with the network in `file`.
    ///
    /// # Errors
    /// Those of sampling, or that the run was cancelled; pictures that were made are kept.
    pub(crate) fn make(&self, ctx: &Context, step: u64, file: &[u8]) -> Result<()> {
        let missing: Vec<usize> = (0..self.prompts.len()).filter(|&i| !self.path(step, i).exists()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let network = self.dir.join("network.safetensors");
        files::write(&network, file)?;
        let strength = self.config.samples.sample_strength;
        let (model, clip) = apply_lora(
            &self.ctx,
            &File::read(&network)?,
            &self.model,
            &self.clip,
            (strength, strength),
            &Options::default(),
        )?;
        for i in missing {
            let image = self.picture(&model, &clip, i).with_context(|| {
                format!("picture of sample prompt {} (`{}`) after step {step}", i + 1, self.prompts[i].prompt)
            })?;
            files::write(&self.path(step, i), &image.encode(Codec::Png, 100)?)?;
        }
        let sheet = draw(&self.grid()?)?.image.encode(Codec::Png, 100)?;
        let path = self.dir.join("samples.png");
        files::write(&path, &sheet)?;
        ctx.preview(sheet);
        ctx.log(Level::Info, &format!("pictures after step {step}: {}", path.display()));
        Ok(())
    }

    /// All pictures that there are: a row for each time, a column for each prompt.
    ///
    /// # Errors
    /// One cannot be read.
    pub(crate) fn grid(&self) -> Result<Grid> {
        let mut steps: Vec<u64> = Vec::new();
        if self.dir.exists() && !self.prompts.is_empty() {
            for entry in std::fs::read_dir(&self.dir)? {
                let name = entry?.file_name();
                steps.extend(name.to_string_lossy().strip_prefix("step-").and_then(|n| n.parse::<u64>().ok()));
            }
        }
        steps.sort_unstable();
        let mut cells = Vec::new();
        for (row, &step) in steps.iter().enumerate() {
            for (col, prompt) in self.prompts.iter().enumerate() {
                let path = self.path(step, col);
                if !path.exists() {
                    continue;
                }
                let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
                let image = Image::decode(&bytes, &DecodeLimits::default())
                    .with_context(|| format!("{}: remove it, and it is made again", path.display()))?;
                cells.push(Cell {
                    row,
                    col,
                    checkpoint: (step > 0).then_some(step),
                    strength: self.config.samples.sample_strength,
                    prompt: prompt.prompt.clone(),
                    seed: self.seed(prompt),
                    image,
                });
            }
        }
        let options = &self.config.samples;
        let row = |&step: &u64| if step == 0 { "before".to_owned() } else { format!("step {step}") };
        Ok(Grid {
            title: format!("{}: pictures while training", self.config.saving.name),
            row_axis: "checkpoint".into(),
            rows: steps.iter().map(row).collect(),
            col_axis: "prompt".into(),
            cols: self.prompts.iter().map(|p| p.prompt.clone()).collect(),
            cells,
            settings: json!({
                "strength": options.sample_strength,
                "sampler": options.sample_sampler,
                "scheduler": options.sample_scheduler,
                "steps": options.sample_steps,
                "base": self.model.name,
            }),
        })
    }

    /// Makes the picture of a prompt.
    fn picture(&self, model: &Model, clip: &Clip, i: usize) -> Result<Image> {
        let (prompt, options) = (&self.prompts[i], &self.config.samples);
        let steps = prompt.sample_steps.unwrap_or(options.sample_steps);
        // A network that is told a guidance needs no other.
        let own = if model.network.takes().guidance { 1.0 } else { CFG };
        let settings = Settings {
            walk: Walk {
                sampler: prompt.sampler()?.unwrap_or(&options.sample_sampler),
                scheduler: &options.sample_scheduler,
                steps: steps as usize,
                denoise: 1.0,
                start: 0,
                end: usize::MAX,
                finish: true,
            },
            cfg: prompt.scale.unwrap_or(own),
            guidance: prompt.guidance_scale,
            width: prompt.width.unwrap_or(self.side) as usize,
            height: prompt.height.unwrap_or(self.side) as usize,
            device: &self.ctx.services::<Host>().device,
        };
        let negative = prompt.negative_prompt.clone().unwrap_or_default();
        let text = Prompt { positive: prompt.prompt.clone(), negative };
        let wanted = [Wanted { prompt: &text, seed: self.seed(prompt) }];
        let mut count = Count { done: 0, total: steps.into() };
        let made = cells::make(&self.ctx, &settings, (model, clip, &self.vae), &wanted, &mut count)?;
        made.into_iter().next().context("the sampler made no picture")
    }

    /// The same seed at every step, so that only the network differs.
    fn seed(&self, prompt: &SamplePrompt) -> u64 {
        prompt.seed.unwrap_or(self.config.run.seed)
    }

    fn path(&self, step: u64, prompt: usize) -> PathBuf {
        self.dir.join(format!("step-{step:08}")).join(format!("{:03}.png", prompt + 1))
    }
}
