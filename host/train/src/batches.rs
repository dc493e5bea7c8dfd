//! Which images are in which batch: resolutions, buckets, repeats, the order of each epoch. Everything follows from seed
//! and step, so that a run can go on from any step.

use crate::Config;
use crate::dice::{Dice, Purpose, Stream, shuffle};
use crate::own::Own;
use crate::plan::Needs;
use anyhow::{Result, ensure};
use data::{Assignment, BucketConfig, Buckets, Dataset};
use std::collections::BTreeMap;

/// An image at a resolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Index into the data set.
    pub item: usize,
    /// What it is scaled and cropped to.
    pub assignment: Assignment,
}

/// Images by bucket, each as often as it is repeated.
#[derive(Clone, Debug)]
pub struct Batches {
    /// Every image at every resolution it is trained at.
    pub views: Vec<View>,
    /// Size in pixels, then indices of views, regularisation images last.
    pub buckets: Vec<((u32, u32), Vec<usize>)>,
    /// How often each image of the data set is shown in an epoch, at each resolution.
    pub repeats: Vec<u32>,
    /// Weight of each image's loss, if they differ.
    weights: Option<Vec<f32>>,
    batch_size: usize,
    accumulation: u64,
    seed: u64,
}

/// One batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Number of the batch in the run, from 0.
    pub index: u64,
    /// From 1.
    pub epoch: u64,
    /// Indices into the data set.
    pub items: Vec<usize>,
    /// The same images as indices of views.
    pub views: Vec<usize>,
}

/// The order of batches, and of images in each bucket.
#[derive(Clone, Debug)]
pub struct Order {
    /// Bucket, and number of the batch in it.
    places: Vec<(usize, usize)>,
    /// Views of each bucket.
    lists: Vec<Vec<usize>>,
}

impl Order {
    /// Mixes batches first, then the images of each bucket, as sd-scripts does (`BaseDataset.shuffle_buckets`).
    pub fn shuffle(&mut self, dice: &mut dyn Dice) {
        shuffle(dice, &mut self.places);
        for list in &mut self.lists {
            shuffle(dice, list);
        }
    }

    /// The batches as indices of views.
    pub fn batches(&self, size: usize) -> Vec<Vec<usize>> {
        let batch = |&(b, n): &(usize, usize)| self.lists[b].iter().skip(n * size).take(size).copied().collect();
        self.places.iter().map(batch).collect()
    }
}

impl Batches {
    /// Sorts a data set's images into buckets.
    ///
    /// # Errors
    /// Resolutions, bucket sizes or a subset's settings that cannot be.
    pub fn new(config: &Config, dataset: &Dataset, needs: Needs) -> Result<Self> {
        let own = Own::new(config, dataset)?;
        let mut at: Vec<Vec<Assignment>> = vec![Vec::new(); dataset.items.len()];
        for (config, members) in own.groups() {
            for sizes in sizes(config, needs)? {
                for &i in &members {
                    at[i].push(sizes.assign(dataset.items[i].width, dataset.items[i].height));
                }
            }
        }
        let repeats = repeats(dataset);
        let mut views = Vec::new();
        let mut buckets: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
        for is_reg in [false, true] {
            for (item, _) in dataset.items.iter().enumerate().filter(|(_, i)| i.is_reg == is_reg) {
                for &assignment in &at[item] {
                    let list = buckets.entry(assignment.bucket).or_default();
                    list.extend(std::iter::repeat_n(views.len(), repeats[item] as usize));
                    views.push(View { item, assignment });
                }
            }
        }
        let prior = config.images.prior_loss_weight as f32;
        let weight = |i: &data::Item| if i.is_reg { prior } else { 1.0 };
        let weights: Vec<f32> = dataset.items.iter().map(weight).collect();
        Ok(Self {
            views,
            buckets: buckets.into_iter().filter(|(_, items)| !items.is_empty()).collect(),
            repeats,
            weights: weights.iter().any(|&w| w != 1.0).then_some(weights),
            batch_size: config.run.batch_size,
            accumulation: config.run.gradient_accumulation,
            seed: config.run.seed,
        })
    }

    /// The weight of each image's loss, if they differ: regularisation images have one of their own.
    pub fn weights(&self, slice: &Slice) -> Option<Vec<f32>> {
        let weights = self.weights.as_ref()?;
        Some(slice.items.iter().map(|&i| weights[i]).collect())
    }

    /// Batches in an epoch: each bucket's last batch may be short, so it is at least images / batch size.
    pub fn per_epoch(&self) -> u64 {
        self.buckets.iter().map(|(_, items)| items.len().div_ceil(self.batch_size) as u64).sum()
    }

    /// Optimizer steps in an epoch; a step never reaches into the next epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.per_epoch().div_ceil(self.accumulation)
    }

    /// The order before any shuffling.
    pub fn order(&self) -> Order {
        let batches = |items: &Vec<usize>| items.len().div_ceil(self.batch_size);
        let lists: Vec<Vec<usize>> = self.buckets.iter().map(|(_, items)| items.clone()).collect();
        let places = lists.iter().enumerate().flat_map(|(b, list)| (0..batches(list)).map(move |n| (b, n)));
        Order { places: places.collect(), lists }
    }

    /// The batches of an epoch (from 1) in their order, as indices of views. Every epoch is shuffled from the start
    /// (sd-scripts: from the epoch before), so that a run can go on from any.
    pub fn epoch(&self, epoch: u64) -> Vec<Vec<usize>> {
        let mut order = self.order();
        order.shuffle(&mut Stream::new(self.seed, Purpose::Order, epoch));
        order.batches(self.batch_size)
    }

    /// The batches of an optimizer step (from 0).
    pub fn step(&self, step: u64) -> Vec<Slice> {
        let per_epoch = self.steps_per_epoch().max(1);
        let (epoch, within) = (step / per_epoch + 1, step % per_epoch);
        let first = within * self.accumulation;
        let batches = self.epoch(epoch).into_iter().enumerate().map(|(n, views)| (n as u64, views));
        let index = |n: u64| (epoch - 1) * self.per_epoch() + n;
        let wanted = batches.skip(first as usize).take(self.accumulation as usize);
        let items = |views: &[usize]| views.iter().map(|&v| self.views[v].item).collect();
        wanted.map(|(n, views)| Slice { index: index(n), epoch, items: items(&views), views }).collect()
    }
}

/// The ways in which images find their sizes, one for each resolution.
fn sizes(config: &Config, needs: Needs) -> Result<Vec<Buckets>> {
    let images = &config.images;
    let step = images.bucket_step.unwrap_or(needs.step);
    ensure!(
        step > 0 && step.is_multiple_of(needs.step),
        "`bucket_step`: this base needs a multiple of {}, found {step}",
        needs.step
    );
    let round = |n: u32| (n / step).max(1) * step;
    let one = |(width, height): (u32, u32)| {
        let (short, long) = (width.min(height), width.max(height));
        ensure!(short >= step, "`resolution`: this base needs at least {step} pixels, found {short}");
        Buckets::new(BucketConfig {
            resolution: if images.buckets { (width, height) } else { (round(width), round(height)) },
            enabled: images.buckets,
            min: round(images.bucket_min.unwrap_or(short / 2)),
            max: images.bucket_max.unwrap_or(long * 2).next_multiple_of(step),
            step,
            no_upscale: images.bucket_no_upscale,
            style: images.bucket_style,
        })
        .map_err(anyhow::Error::msg)
    };
    images.resolutions(needs.resolution).into_iter().map(|r| one(r.size())).collect()
}

/// How often each image is shown in an epoch. Regularisation images are repeated further, one after the other, until
/// they are as many as the others (sd-scripts, `DreamBoothDataset`); those that would be too many are left out.
fn repeats(dataset: &Dataset) -> Vec<u32> {
    let mut repeats: Vec<u32> = dataset.items.iter().map(|i| if i.is_reg { 0 } else { i.repeats }).collect();
    let trained: u64 = repeats.iter().map(|&n| u64::from(n)).sum();
    let shows = |i: &usize| dataset.items[*i].is_reg && dataset.items[*i].repeats > 0;
    let reg: Vec<usize> = (0..repeats.len()).filter(shows).collect();
    if reg.is_empty() {
        return repeats;
    }
    let mut shown = 0;
    for (round, &i) in (0u64..).flat_map(|round| reg.iter().map(move |i| (round, i))) {
        if shown >= trained {
            break;
        }
        let more = if round == 0 { dataset.items[i].repeats } else { 1 };
        repeats[i] += more;
        shown += u64::from(more);
    }
    repeats
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::Item;
    use serde_json::json;

    fn set() -> Dataset {
        let item = |width, height, repeats| Item { width, height, repeats, ..Item::default() };
        let items = vec![item(512, 512, 1), item(512, 512, 2), item(256, 512, 1), item(512, 500, 1)];
        Dataset { items, notes: vec![] }
    }

    fn with(keys: serde_json::Value, dataset: &Dataset) -> Batches {
        Batches::new(&Config::default().with(keys).unwrap(), dataset, Needs::default()).unwrap()
    }

    fn batches(batch_size: usize, accumulation: u64) -> Batches {
        with(json!({"batch_size": batch_size, "gradient_accumulation": accumulation, "seed": 3}), &set())
    }

    #[test]
    fn every_image_is_trained_at_every_resolution() {
        let b = with(json!({"resolutions": [512, 256]}), &set());
        assert_eq!(b.views.len(), 8);
        let shown: usize = b.buckets.iter().map(|(_, v)| v.len()).sum();
        assert_eq!(shown, 10);
        let sizes: Vec<u32> = b.views.iter().filter(|v| v.item == 1).map(|v| v.assignment.bucket.0).collect();
        assert_eq!(sizes, [512, 256]);
        let slice = &b.step(0)[0];
        assert_eq!(slice.items, slice.views.iter().map(|&v| b.views[v].item).collect::<Vec<_>>());
    }

    #[test]
    fn subsets_may_have_resolutions_of_their_own() {
        let mut set = set();
        set.items[0].settings.insert("resolution".into(), 256.into());
        let b = with(json!({}), &set);
        assert_eq!((b.views[0].assignment.bucket, b.views[1].assignment.bucket), ((256, 256), (512, 512)));
    }

    #[test]
    fn regularisation_images_are_stretched_and_weighed() {
        let mut set = set();
        set.items[0].is_reg = true;
        set.items[1].is_reg = true;
        set.items[1].repeats = 1;
        set.items[2].repeats = 4;
        let b = with(json!({"prior_loss_weight": 0.5, "batch_size": 20}), &set);
        assert_eq!(b.repeats, [3, 2, 4, 1]);
        let slice = b.step(0).remove(0);
        let expected: Vec<f32> = slice.items.iter().map(|&i| if i < 2 { 0.5 } else { 1.0 }).collect();
        assert_eq!(b.weights(&slice), Some(expected));
        // More regularisation images than others: the rest is not shown.
        (set.items[2].repeats, set.items[3].repeats) = (1, 0);
        assert_eq!(with(json!({}), &set).repeats, [1, 0, 1, 0]);
    }

    #[test]
    fn short_batches_are_counted() {
        let b = batches(2, 1);
        assert_eq!(b.buckets.iter().map(|(_, i)| i.len()).collect::<Vec<_>>(), [1, 4]);
        assert_eq!((b.per_epoch(), b.steps_per_epoch()), (3, 3));
        assert_eq!(batches(2, 2).steps_per_epoch(), 2);
        assert_eq!(batches(3, 1).per_epoch(), 3);
    }

    #[test]
    fn an_epoch_shows_every_image_as_often_as_asked() {
        let b = batches(2, 2);
        for epoch in 1..4 {
            let mut all: Vec<usize> = b.epoch(epoch).concat();
            all.sort();
            assert_eq!(all, [0, 1, 1, 2, 3]);
        }
        assert_ne!(b.epoch(1), b.epoch(2));
        assert_eq!(b.epoch(2), b.epoch(2));
    }

    #[test]
    fn steps_walk_through_the_epochs() {
        let b = batches(2, 2);
        let walked: Vec<Slice> = (0..4).flat_map(|s| b.step(s)).collect();
        assert_eq!(walked.iter().map(|s| s.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(walked.iter().map(|s| s.epoch).collect::<Vec<_>>(), [1, 1, 1, 2, 2, 2]);
        assert_eq!(b.step(1).len(), 1, "the last step of an epoch is short");
        assert_eq!(walked[3..].iter().map(|s| s.items.clone()).collect::<Vec<_>>(), b.epoch(2));
    }
}
