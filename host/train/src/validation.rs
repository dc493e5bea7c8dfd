//! The loss of pictures that are held back, and of as many that are trained, under the same noise at the same times.

use crate::Config;
use crate::feed::Feed;
use crate::step::Trainer;
use anyhow::Result;
use data::Dataset;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What was found at one look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validated {
    /// Mean loss of pictures that are held back.
    pub held_back: f64,
    /// Mean loss of as many trained pictures under the same noise. The gap between the two grows when pictures are
    /// learned by heart.
    pub trained: f64,
}

/// The pictures that are trained, and those that are held back (never regularisation images): the share of `validation_share` whose digests, mixed with
/// the seed, come first, but never all, and at least one if any are asked for.
pub(crate) fn split(config: &Config, dataset: &Dataset) -> (Dataset, Dataset) {
    let mut held = Dataset::default();
    let share = config.validation.validation_share;
    let mut order: Vec<usize> = (0..dataset.items.len()).filter(|&i| !dataset.items[i].is_reg).collect();
    let most = order.len().saturating_sub(1);
    let count = if share > 0.0 { ((share * order.len() as f64).round() as usize).max(1).min(most) } else { 0 };
    order.sort_by_key(|&i| draw(config, dataset, i));
    order.truncate(count);
    let mut trained = dataset.clone();
    order.sort_unstable();
    for &i in order.iter().rev() {
        held.items.insert(0, trained.items.remove(i));
    }
    (trained, held)
}

fn draw(config: &Config, dataset: &Dataset, i: usize) -> [u8; 32] {
    let item = &dataset.items[i];
    Sha256::digest(format!("{} {} {}", config.run.seed, item.digest, item.id)).into()
}

/// Looks at both sets. `held` feeds the pictures that are held back, `trained` the others.
pub(crate) fn validate(
    trainer: &Trainer,
    config: &Config,
    held: &mut Feed<'_>,
    trained: &mut Feed<'_>,
) -> Result<Validated> {
    let count = held.dataset.items.len().min(config.validation.validation_images);
    let one = |feed: &mut Feed<'_>| -> Result<f64> {
        let mut order: Vec<usize> = (0..feed.dataset.items.len()).collect();
        order.sort_by_key(|&i| draw(config, feed.dataset, i));
        let times = config.validation.validation_times;
        let (mut sum, mut n) = (0.0, 0);
        for (place, &item) in order.iter().take(count).enumerate() {
            for time in 0..times {
                // The same noise for the first of both sets, the second of both, and so on.
                let batch = feed.still(item, (time as f64 + 0.5) / times as f64, (place * times + time) as u64)?;
                sum += trainer.evaluate(&batch)?.mean;
                n += 1;
            }
        }
        Ok(sum / f64::from(n.max(1)))
    };
    Ok(Validated { held_back: one(held)?, trained: one(trained)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::Item;
    use serde_json::json;

    #[test]
    fn the_same_pictures_are_held_back_whatever_their_order() {
        let item = |i: usize| Item { id: format!("{i}.png"), digest: format!("{i}"), ..Item::default() };
        let mut dataset = Dataset { items: (0..10).map(item).collect(), notes: vec![] };
        let config = Config::default().with(json!({"validation_share": 0.2})).unwrap();
        let names = |d: &Dataset| d.items.iter().map(|i| i.id.clone()).collect::<std::collections::BTreeSet<_>>();
        let (trained, held) = split(&config, &dataset);
        assert_eq!((trained.items.len(), held.items.len()), (8, 2));
        assert!(names(&trained).is_disjoint(&names(&held)));
        dataset.items.reverse();
        assert_eq!(names(&split(&config, &dataset).1), names(&held));
        let other = config.with(json!({"seed": 1})).unwrap();
        assert_ne!(names(&split(&other, &dataset).1), names(&held));
        let none = Config::default();
        assert_eq!(split(&none, &dataset), (dataset.clone(), Dataset::default()));
        dataset.items.truncate(1);
        assert_eq!(split(&config, &dataset).0.items.len(), 1, "the only picture is trained");
    }
}
