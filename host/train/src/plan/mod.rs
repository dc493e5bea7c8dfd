//! What a run will do with a data set: buckets as they are trained, the true number of steps, and what looks wrong.

mod captions;
mod verdicts;

pub(crate) use captions::keep_tokens;
pub use verdicts::Variety;

use crate::batches::Batches;
use crate::own::Own;
use crate::{Config, validation};
use anyhow::Result;
use data::{Dataset, Item};
use serde::{Deserialize, Serialize};

/// What a base needs of its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// Edge of the square picture that it was trained with, in pixels.
    pub resolution: u32,
    /// Edges must be multiples of this, in pixels.
    pub step: u32,
}

impl Default for Needs {
    fn default() -> Self {
        Self { resolution: 512, step: 64 }
    }
}

/// What a run will do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Different images.
    pub images: usize,
    /// Images that are held back for validation.
    #[serde(default)]
    pub held_back: usize,
    /// Images of an epoch, with their repeats.
    pub images_per_epoch: usize,
    pub buckets: Vec<PlannedBucket>,
    pub batches_per_epoch: u64,
    /// Optimizer steps of an epoch.
    pub steps_per_epoch: u64,
    /// Optimizer steps of the run.
    pub total_steps: u64,
    /// Epochs of the run, the last one perhaps not whole.
    pub epochs: u64,
    /// Tags in front that keep their places.
    pub keep_tokens: usize,
    /// Mean distance of the images' aspect ratios from their buckets'.
    pub mean_aspect_error: f64,
    /// Of `images_per_epoch`, regularisation images.
    #[serde(default)]
    pub reg_per_epoch: usize,
    /// How many images show what, by their tags: framing, view, pose, expression.
    #[serde(default)]
    pub variety: Vec<Variety>,
    /// The data set in a line, such as `5 images: too few; all close-ups`.
    #[serde(default)]
    pub verdict: String,
    /// What will make the run worse than it could be.
    pub warnings: Vec<String>,
    /// What will keep the run from starting.
    pub problems: Vec<String>,
}

/// A size that images are trained at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedBucket {
    /// In pixels.
    pub width: u32,
    pub height: u32,
    /// Different images.
    pub images: usize,
    /// With repeats.
    pub shown: usize,
    /// Batches of an epoch.
    pub batches: usize,
    /// Images that are enlarged to fit.
    pub enlarged: usize,
}

/// What a run with this configuration will do with this data set.
pub fn plan(config: &Config, dataset: &Dataset, needs: Needs) -> Result<Plan> {
    config.check()?;
    let (dataset, held) = validation::split(config, dataset);
    let dataset = &dataset;
    let own = Own::new(config, dataset)?;
    let batches = Batches::new(config, dataset, needs)?;
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    captions::check(&own, dataset, &mut problems, &mut warnings);
    let buckets = table(config, dataset, &batches);
    let images_per_epoch = buckets.iter().map(|b| b.shown).sum();
    let is_reg = |i: &usize| dataset.items[batches.views[*i].item].is_reg;
    let reg_per_epoch = batches.buckets.iter().flat_map(|(_, views)| views).filter(|i| is_reg(i)).count();
    if images_per_epoch == reg_per_epoch {
        problems.push("the data set is empty, or all its repeats are 0".into());
    }
    check_pictures(&own, dataset, &buckets, config.run.batch_size, &mut warnings);
    check_reg(dataset, &batches, &mut warnings);
    let looked = verdicts::look(&own, dataset);
    warnings.extend(looked.warnings);
    let steps_per_epoch = batches.steps_per_epoch();
    let total_steps = config.run.total_steps(steps_per_epoch).unwrap_or(0);
    check_length(config, images_per_epoch, total_steps, &mut warnings);
    warnings.extend(config.warnings());
    let errors: f64 = batches.views.iter().map(|v| v.assignment.ar_error.abs()).sum();
    let keep = keep_tokens(&own, dataset);
    Ok(Plan {
        images: dataset.items.len(),
        held_back: held.items.len(),
        images_per_epoch,
        reg_per_epoch,
        buckets,
        batches_per_epoch: batches.per_epoch(),
        steps_per_epoch,
        total_steps,
        epochs: total_steps.div_ceil(steps_per_epoch.max(1)),
        keep_tokens: keep.iter().zip(&dataset.items).filter(|(_, i)| !i.is_reg).map(|(n, _)| *n).max().unwrap_or(0),
        mean_aspect_error: errors / batches.views.len().max(1) as f64,
        variety: looked.variety,
        verdict: looked.verdict,
        warnings,
        problems,
    })
}

fn check_pictures(
    own: &Own,
    dataset: &Dataset,
    buckets: &[PlannedBucket],
    batch_size: usize,
    warnings: &mut Vec<String>,
) {
    let enlarged: usize = buckets.iter().map(|b| b.enlarged).sum();
    if enlarged > 0 {
        warnings.push(format!("{enlarged} images are smaller than they are trained at, and will be enlarged"));
    }
    for b in buckets.iter().filter(|b| b.shown < batch_size && buckets.len() > 1) {
        warnings.push(format!("bucket {}×{} has {} images for batches of {}", b.width, b.height, b.shown, batch_size));
    }
    let side = |word: &str| matches!(word.to_lowercase().as_str(), "left" | "right");
    let sided = |caption: String| caption.split(|c: char| !c.is_alphanumeric()).any(side);
    let flipped = |(i, item): &(usize, &Item)| own.of(*i).images.flip && sided(item.caption());
    let flipped: Vec<&str> =
        dataset.items.iter().enumerate().filter(flipped).map(|(_, item)| item.id.as_str()).collect();
    if !flipped.is_empty() {
        warnings.push(format!("`flip` is on, but captions speak of left or right: {}", some(&flipped)));
    }
    if own.any() {
        let mut changed: Vec<&str> =
            dataset.items.iter().filter(|i| !i.settings.is_empty()).map(|i| i.subset.as_str()).collect();
        changed.dedup();
        warnings.push(format!(
            "subsets with settings of their own, which count before those of the run: {}",
            some(&changed)
        ));
    }
}

/// Says what becomes of regularisation images.
fn check_reg(dataset: &Dataset, batches: &Batches, warnings: &mut Vec<String>) {
    let unused = |(item, n): &(&Item, &u32)| item.is_reg && **n == 0;
    let unused: Vec<&str> =
        dataset.items.iter().zip(&batches.repeats).filter(unused).map(|(i, _)| i.id.as_str()).collect();
    if !unused.is_empty() {
        warnings.push(format!(
            "{} regularisation images are not used, as there are more of them than of the others: {}",
            unused.len(),
            some(&unused)
        ));
    }
}

fn check_length(config: &Config, shown: usize, total: u64, warnings: &mut Vec<String>) {
    let uses = total * config.run.batch_size as u64 * config.run.gradient_accumulation / (shown as u64).max(1);
    if total > 0 && uses > 400 {
        warnings.push(format!("every image will be shown about {uses} times; the network may only repeat them"));
    }
    if let Some(every) = config.saving.save_every_steps
        && total > 0
        && every > total
    {
        warnings.push(format!("`save_every_steps` is {every}, but the run has {total} steps: only the last is saved"));
    }
}

fn table(config: &Config, dataset: &Dataset, batches: &Batches) -> Vec<PlannedBucket> {
    let row = |((width, height), items): &((u32, u32), Vec<usize>)| {
        let mut unique = items.clone();
        unique.dedup();
        let small = |i: &&usize| {
            let view = &batches.views[**i];
            let (item, (w, h)) = (&dataset.items[view.item], view.assignment.resized);
            w > item.width || h > item.height
        };
        PlannedBucket {
            width: *width,
            height: *height,
            images: unique.len(),
            shown: items.len(),
            batches: items.len().div_ceil(config.run.batch_size),
            enlarged: unique.iter().filter(small).count(),
        }
    };
    batches.buckets.iter().map(row).collect()
}

/// The first few names.
fn some(names: &[&str]) -> String {
    let shown = names.iter().take(8).copied().collect::<Vec<_>>().join(", ");
    if names.len() > 8 { format!("{shown} and {} more", names.len() - 8) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use spec::{Annotation, Tag};

    fn item(id: &str, caption: &str) -> Item {
        let tags = data::captions::split(caption).into_iter().map(|name| Tag { name, ..Tag::default() }).collect();
        let annotation = Annotation { tags, ..Annotation::default() };
        Item { id: id.into(), width: 512, height: 512, repeats: 1, annotation, ..Item::default() }
    }

    fn set(captions: &[&str]) -> Dataset {
        let items = captions.iter().enumerate().map(|(i, c)| item(&format!("{i}.png"), c)).collect();
        Dataset { items, notes: vec![] }
    }

    #[test]
    fn counts_what_will_really_be_done() {
        let mut dataset = set(&["ohwx, a", "ohwx, b", "ohwx, c"]);
        dataset.items[2].width = 256;
        let config = Config::default().with(json!({"epochs": 4})).unwrap();
        let plan = plan(&config, &dataset, Needs::default()).unwrap();
        assert_eq!((plan.batches_per_epoch, plan.total_steps, plan.epochs), (2, 8, 4));
        assert_eq!(plan.keep_tokens, 1);
        assert!(plan.problems.is_empty(), "{:?}", plan.problems);
    }

    #[test]
    fn a_missing_caption_names_the_file() {
        let dataset = set(&["a", "", "b"]);
        let found = plan(&Config::default(), &dataset, Needs::default()).unwrap();
        assert!(found.problems[0].contains("1.png") && found.problems[0].contains("allow_missing_captions"));
        let config = Config::default().with(json!({"allow_missing_captions": true})).unwrap();
        let found = plan(&config, &dataset, Needs::default()).unwrap();
        assert!(found.problems.is_empty() && found.warnings.iter().any(|w| w.contains("1.png")));
    }

    #[test]
    fn a_caption_without_the_activation_tag_names_the_file() {
        let config = Config::default().with(json!({"activation_tags": ["ohwx"]})).unwrap();
        let found = plan(&config, &set(&["ohwx, a", "b, ohwx"]), Needs::default()).unwrap();
        assert!(found.problems[0].contains("1.png") && !found.problems[0].contains("0.png"), "{:?}", found.problems);
    }

    #[test]
    fn left_and_right_are_words() {
        let warned = |caption: &str| {
            let config = Config::default().with(json!({"flip": true})).unwrap();
            let plan = plan(&config, &set(&["a", caption]), Needs::default()).unwrap();
            plan.warnings.iter().any(|w| w.contains("left or right"))
        };
        assert!(warned("from_left, hat") && warned("looking to the Right"));
        assert!(!warned("bright pupils, leftovers"));
    }

    #[test]
    fn a_small_base_gets_small_buckets() {
        let needs = Needs { resolution: 96, step: 32 };
        let found = plan(&Config::default(), &set(&["a", "b"]), needs).unwrap();
        assert_eq!((found.buckets[0].width, found.buckets[0].height), (96, 96));
        let config = Config::default().with(json!({"bucket_step": 8})).unwrap();
        assert!(plan(&config, &set(&["a"]), needs).is_err_and(|e| e.to_string().contains("multiple of 32")));
    }
}
