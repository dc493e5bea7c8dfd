//! What a run will do with a data set: buckets as they are trained, the true number of steps, and what looks wrong.

use crate::Config;
use crate::batches::Batches;
use anyhow::Result;
use data::{BucketConfig, Buckets, Dataset, Item};
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
    let batches = batches(config, dataset, needs)?;
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let keep_tokens = check_captions(config, dataset, &mut problems, &mut warnings);
    let buckets = table(config, dataset, &batches);
    let images_per_epoch = buckets.iter().map(|b| b.shown).sum();
    if images_per_epoch == 0 {
        problems.push("the data set is empty, or all its repeats are 0".into());
    }
    check_pictures(config, dataset, &buckets, &mut warnings);
    let steps_per_epoch = batches.steps_per_epoch();
    let total_steps = config.run.total_steps(steps_per_epoch).unwrap_or(0);
    check_length(config, images_per_epoch, total_steps, &mut warnings);
    let errors: f64 = batches.assignments.iter().map(|a| a.ar_error.abs()).sum();
    Ok(Plan {
        images: dataset.items.len(),
        images_per_epoch,
        buckets,
        batches_per_epoch: batches.per_epoch(),
        steps_per_epoch,
        total_steps,
        epochs: total_steps.div_ceil(steps_per_epoch.max(1)),
        keep_tokens,
        mean_aspect_error: errors / dataset.items.len().max(1) as f64,
        warnings,
        problems,
    })
}

/// The batches of a run.
pub(crate) fn batches(config: &Config, dataset: &Dataset, needs: Needs) -> Result<Batches> {
    let resolution = config.images.resolution.unwrap_or(needs.resolution);
    let step = config.images.bucket_step.unwrap_or(needs.step);
    anyhow::ensure!(
        step > 0 && step.is_multiple_of(needs.step),
        "`bucket_step`: this base needs a multiple of {}, found {step}",
        needs.step
    );
    anyhow::ensure!(resolution >= step, "`resolution`: this base needs at least {step} pixels, found {resolution}");
    let round = |n: u32| (n / step).max(1) * step;
    let edge = if config.images.buckets { resolution } else { round(resolution) };
    let sizes = Buckets::new(BucketConfig {
        resolution: (edge, edge),
        enabled: config.images.buckets,
        min: round(config.images.bucket_min.unwrap_or(resolution / 2)),
        max: config.images.bucket_max.unwrap_or(resolution * 2).next_multiple_of(step),
        step,
        no_upscale: config.images.bucket_no_upscale,
    });
    let sizes = sizes.map_err(anyhow::Error::msg)?;
    Ok(Batches::new(dataset, &sizes, config.run.batch_size, config.run.gradient_accumulation, config.run.seed))
}

/// Does a caption consist of sentences, so that it must not be torn apart?
pub(crate) fn is_sentences(item: &Item) -> bool {
    item.natural_language || item.annotation.text.is_some()
}

/// Looks at all captions; gives the number of tags that keep their places.
fn check_captions(config: &Config, dataset: &Dataset, problems: &mut Vec<String>, warnings: &mut Vec<String>) -> usize {
    let missing: Vec<&str> = dataset.items.iter().filter(|i| !i.has_caption()).map(|i| i.id.as_str()).collect();
    if !missing.is_empty() {
        let text = format!("{} of {} images have no caption: {}", missing.len(), dataset.items.len(), some(&missing));
        if config.captions.allow_missing_captions {
            warnings.push(text);
        } else {
            problems.push(format!("{text}; caption them, remove them, or set `allow_missing_captions`"));
        }
    }
    let tags = &config.captions.activation_tags;
    let starts = |item: &Item| {
        let caption = item.caption();
        if is_sentences(item) {
            return tags.iter().all(|t| caption.contains(t.as_str()));
        }
        let found: Vec<&str> = item.annotation.tags.iter().map(|t| t.name.trim()).take(tags.len()).collect();
        found == tags.iter().map(|t| t.trim()).collect::<Vec<_>>()
    };
    let without: Vec<&str> =
        dataset.items.iter().filter(|i| i.has_caption() && !starts(i)).map(|i| i.id.as_str()).collect();
    if !without.is_empty() {
        problems.push(format!(
            "{} captions do not start with the activation tag `{}`: {}",
            without.len(),
            tags.join(", "),
            some(&without)
        ));
    }
    let common = common_start(dataset);
    let keep = config.captions.keep_tokens.unwrap_or(if tags.is_empty() { common } else { tags.len() });
    if config.captions.shuffle_tags && tags.is_empty() && keep < common && config.captions.keep_tokens.is_some() {
        warnings.push(format!(
            "all captions start with the same {common} tags, but `keep_tokens` is {keep}: shuffling will move them"
        ));
    }
    keep
}

/// How many tags all captions have in common at their start; 0 if they don't differ at all.
fn common_start(dataset: &Dataset) -> usize {
    let mut lists = dataset.items.iter().filter(|i| !is_sentences(i) && i.has_caption());
    let Some(first) = lists.next().map(|i| &i.annotation.tags) else { return 0 };
    let (mut common, mut differ) = (first.len(), false);
    for item in lists {
        let tags = &item.annotation.tags;
        let same = first.iter().zip(tags).take_while(|(a, b)| a.name == b.name).count();
        differ |= same < first.len() || same < tags.len();
        common = common.min(same);
    }
    if differ { common } else { 0 }
}

fn check_pictures(config: &Config, dataset: &Dataset, buckets: &[PlannedBucket], warnings: &mut Vec<String>) {
    let enlarged: usize = buckets.iter().map(|b| b.enlarged).sum();
    if enlarged > 0 {
        warnings.push(format!("{enlarged} images are smaller than they are trained at, and will be enlarged"));
    }
    for b in buckets.iter().filter(|b| b.shown < config.run.batch_size && buckets.len() > 1) {
        warnings.push(format!(
            "bucket {}×{} has {} images for batches of {}",
            b.width, b.height, b.shown, config.run.batch_size
        ));
    }
    match dataset.items.len() {
        0 => {}
        n @ 1..5 => warnings.push(format!("{n} images are too few to learn more than these very pictures")),
        n @ 5..15 => warnings.push(format!("{n} images are few; 15 or more give a network that is easier to steer")),
        _ => {}
    }
    let sided = |tags: &[spec::Tag]| tags.iter().any(|t| t.name.contains("left") || t.name.contains("right"));
    if config.images.flip && dataset.items.iter().any(|i| sided(&i.annotation.tags)) {
        warnings.push("`flip` is on, but some tags speak of left or right".into());
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
            let (item, (w, h)) = (&dataset.items[**i], batches.assignments[**i].resized);
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
    fn a_small_base_gets_small_buckets() {
        let needs = Needs { resolution: 96, step: 32 };
        let found = plan(&Config::default(), &set(&["a", "b"]), needs).unwrap();
        assert_eq!((found.buckets[0].width, found.buckets[0].height), (96, 96));
        let config = Config::default().with(json!({"bucket_step": 8})).unwrap();
        assert!(plan(&config, &set(&["a"]), needs).is_err_and(|e| e.to_string().contains("multiple of 32")));
    }
}
