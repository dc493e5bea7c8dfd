//! Which images are in which batch: buckets, repeats, the order of each epoch. Everything follows from seed and step,
//! so that a run can go on from any step.

use crate::dice::{Purpose, Stream, shuffle};
use data::{Assignment, Buckets, Dataset};
use std::collections::BTreeMap;

/// Images by bucket, each as often as it is repeated.
#[derive(Clone, Debug)]
pub struct Batches {
    /// For each image of the data set, what it is scaled and cropped to.
    pub assignments: Vec<Assignment>,
    /// Size in pixels, then indices into the data set.
    pub buckets: Vec<((u32, u32), Vec<usize>)>,
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
}

impl Batches {
    pub(crate) fn new(dataset: &Dataset, sizes: &Buckets, batch_size: usize, accumulation: u64, seed: u64) -> Self {
        let assignments: Vec<_> = dataset.items.iter().map(|i| sizes.assign(i.width, i.height)).collect();
        let mut buckets: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
        for (index, item) in dataset.items.iter().enumerate() {
            let list = buckets.entry(assignments[index].bucket).or_default();
            list.extend(std::iter::repeat_n(index, item.repeats as usize));
        }
        let buckets = buckets.into_iter().filter(|(_, items)| !items.is_empty()).collect();
        Self { assignments, buckets, batch_size, accumulation, seed }
    }

    /// Batches in an epoch: each bucket's last batch may be short, so it is at least images / batch size.
    pub fn per_epoch(&self) -> u64 {
        self.buckets.iter().map(|(_, items)| items.len().div_ceil(self.batch_size) as u64).sum()
    }

    /// Optimizer steps in an epoch; a step never reaches into the next epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.per_epoch().div_ceil(self.accumulation)
    }

    /// The batches of an epoch (from 1) in their order.
    pub fn epoch(&self, epoch: u64) -> Vec<Vec<usize>> {
        let mut dice = Stream::new(self.seed, Purpose::Order, epoch);
        let mut places: Vec<(usize, usize)> = Vec::new();
        for (b, (_, items)) in self.buckets.iter().enumerate() {
            places.extend((0..items.len().div_ceil(self.batch_size)).map(|n| (b, n)));
        }
        shuffle(&mut dice, &mut places);
        let mut lists: Vec<Vec<usize>> = self.buckets.iter().map(|(_, items)| items.clone()).collect();
        for list in &mut lists {
            shuffle(&mut dice, list);
        }
        let size = self.batch_size;
        places.into_iter().map(|(b, n)| lists[b].iter().skip(n * size).take(size).copied().collect()).collect()
    }

    /// The batches of an optimizer step (from 0).
    pub fn step(&self, step: u64) -> Vec<Slice> {
        let per_epoch = self.steps_per_epoch().max(1);
        let (epoch, within) = (step / per_epoch + 1, step % per_epoch);
        let first = within * self.accumulation;
        let batches = self.epoch(epoch).into_iter().enumerate().map(|(n, items)| (n as u64, items));
        let index = |n: u64| (epoch - 1) * self.per_epoch() + n;
        let wanted = batches.skip(first as usize).take(self.accumulation as usize);
        wanted.map(|(n, items)| Slice { index: index(n), epoch, items }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::{BucketConfig, Item};

    fn batches(batch_size: usize, accumulation: u64) -> Batches {
        let item = |width, height, repeats| Item { width, height, repeats, ..Item::default() };
        let items = vec![item(512, 512, 1), item(512, 512, 2), item(256, 512, 1), item(512, 500, 1)];
        let dataset = Dataset { items, notes: vec![] };
        Batches::new(&dataset, &Buckets::new(BucketConfig::default()).unwrap(), batch_size, accumulation, 3)
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
