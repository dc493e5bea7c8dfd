//! Pictures that an encoder finds alike: cosines of all pairs, in blocks, so that memory does not grow with the pairs.
//!
//! What is alike need not show the same: another expression in the same pose is as near as the next picture of a burst. So
//! [`Relation::Alike`] is weaker than what pixels say, and pictures do not hang together by it over third ones.

use super::{Link, Quality, Relation};
use rayon::prelude::*;
use thiserror::Error;

/// Rows that are multiplied with each other at a time; with 768 features they stay in the cache of a core.
const BLOCK: usize = 32;
/// Sums of a product that are kept apart, for vector code.
const LANES: usize = 16;

/// Unit vectors, (pictures, features), f32.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embeddings {
    features: usize,
    values: Vec<f32>,
}

/// What an encoder may not make of a picture. The caller says of which.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum EmbeddingError {
    #[error("the encoder makes {0} of feature {1}; expected a finite number")]
    NotFinite(f32, usize),
    #[error("the encoder makes only zeros of this picture, which have no direction to compare")]
    Zero,
    #[error("the encoder gives {found} features for this picture; it gave {expected} for those before")]
    Features { expected: usize, found: usize },
}

impl Embeddings {
    /// Adds a picture's embedding, of any length above 0, behind those of the pictures before.
    ///
    /// # Errors
    /// It has values that are not finite, only zeros, or another number of features.
    pub fn push(&mut self, embedding: &[f32]) -> Result<(), EmbeddingError> {
        if let Some((at, value)) = embedding.iter().enumerate().find(|(_, v)| !v.is_finite()) {
            return Err(EmbeddingError::NotFinite(*value, at));
        }
        if self.features != 0 && embedding.len() != self.features {
            return Err(EmbeddingError::Features { expected: self.features, found: embedding.len() });
        }
        let length = embedding.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
        if length == 0.0 {
            return Err(EmbeddingError::Zero);
        }
        self.features = embedding.len();
        self.values.extend(embedding.iter().map(|v| (f64::from(*v) / length) as f32));
        Ok(())
    }

    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.values.len() / self.features.max(1)
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn row(&self, at: usize) -> &[f32] {
        &self.values[at * self.features..(at + 1) * self.features]
    }

    /// For each of these places, in their order: those before it in the order whose cosine with it is at least `least`, and
    /// the cosine. All pairs are compared; of what was found only [`BLOCK`] places are held at a time.
    ///
    /// # Errors
    /// Those of `found`, which ends the search.
    fn earlier<E>(
        &self,
        order: &[usize],
        least: f32,
        mut found: impl FnMut(usize, &[(usize, f32)]) -> Result<(), E>,
    ) -> Result<(), E> {
        for (number, places) in order.chunks(BLOCK).enumerate() {
            let before = &order[..number * BLOCK + places.len()];
            let blocks: Vec<Vec<Vec<(usize, f32)>>> =
                before.par_chunks(BLOCK).map(|others| self.block(places, others, least)).collect();
            for (i, place) in places.iter().enumerate() {
                let near: Vec<(usize, f32)> = blocks.iter().flat_map(|block| block[i].iter().copied()).collect();
                found(*place, &near)?;
            }
        }
        Ok(())
    }

    /// For each place the others that are near; of its own block only those before it.
    fn block(&self, places: &[usize], others: &[usize], least: f32) -> Vec<Vec<(usize, f32)>> {
        let own = places == others;
        let near = |(i, place): (usize, &usize)| {
            let others = if own { &others[..i] } else { others };
            let cosines = others.iter().map(|other| (*other, product(self.row(*place), self.row(*other))));
            cosines.filter(|(_, cosine)| *cosine >= least).collect()
        };
        places.iter().enumerate().map(near).collect()
    }
}

/// The scalar product of two rows.
fn product(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Of the pictures at these places, those that are alike to a better one that stays: `first` is the one that stays, `second`
/// the other, `distance` 1 − cosine. A picture is alike to one only, the nearest; one that stays is alike to none that
/// stays. Pairs of which `related` is true are passed over. `step` is called behind each place with how many are done.
///
/// # Errors
/// Those of `step`, such as a run that was cancelled.
pub fn alike<E>(
    embeddings: &Embeddings,
    places: &[usize],
    quality: &[Quality],
    least: f32,
    related: impl Fn(usize, usize) -> bool,
    mut step: impl FnMut(usize) -> Result<(), E>,
) -> Result<Vec<Link>, E> {
    let mut order = places.to_vec();
    // Stable: of equals the first stays.
    order.sort_by(|a, b| quality[*b].order(&quality[*a]));
    let mut stays = vec![false; embeddings.len()];
    let mut out = Vec::new();
    let mut done = 0;
    embeddings.earlier(&order, least, |place, near| {
        let known = near.iter().filter(|(other, _)| stays[*other] && !related(*other, place));
        match known.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0))) {
            Some((other, cosine)) => out.push(Link {
                first: *other,
                second: place,
                relation: Relation::Alike,
                distance: (1.0 - cosine).max(0.0),
            }),
            None => stays[place] = true,
        }
        done += 1;
        step(done)
    })?;
    out.sort_by_key(|link| (link.first, link.second));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn random(seed: &mut u32) -> f32 {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 17;
        *seed ^= *seed << 5;
        (*seed % 2001) as f32 / 1000.0 - 1.0
    }

    /// Rows around a few directions, so that there are pairs of all cosines.
    fn rows(n: usize, features: usize) -> Vec<Vec<f32>> {
        let mut seed = 77;
        let centres: Vec<Vec<f32>> = (0..7).map(|_| (0..features).map(|_| random(&mut seed)).collect()).collect();
        (0..n)
            .map(|i| centres[i % 7].iter().map(|c| 3.0 * c + 0.5 * (1 + i % 3) as f32 * random(&mut seed)).collect())
            .collect()
    }

    fn embeddings(rows: &[Vec<f32>]) -> Embeddings {
        let mut out = Embeddings::default();
        rows.iter().for_each(|row| out.push(row).unwrap());
        assert_eq!((out.len(), out.is_empty()), (rows.len(), rows.is_empty()));
        out
    }

    fn cosine(a: &[f32], b: &[f32]) -> f64 {
        let sum = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        sum(a, b) / (sum(a, a) * sum(b, b)).sqrt()
    }

    #[test]
    fn blocks_find_the_pairs_that_a_double_loop_finds() {
        // Not whole blocks, not whole lanes.
        for (n, features) in [(3 * BLOCK + 5, 37), (BLOCK, 16), (5, 3), (1, 8)] {
            let rows = rows(n, features);
            let all = embeddings(&rows);
            // Backwards, without one in ten: places are no row numbers.
            let order: Vec<usize> = (0..n).rev().filter(|i| i % 10 != 4).collect();
            for least in [0.9f32, 0.97] {
                let mut found = Vec::new();
                let ended: Result<(), Infallible> = all.earlier(&order, least, |place, near| {
                    found.push((place, near.to_vec()));
                    Ok(())
                });
                ended.unwrap();
                assert_eq!(found.iter().map(|f| f.0).collect::<Vec<_>>(), order);
                let mut pairs = 0;
                for (i, (place, near)) in found.iter().enumerate() {
                    for other in &order[..i] {
                        let wanted = cosine(&rows[*place], &rows[*other]);
                        let got = near.iter().find(|(o, _)| o == other).map(|(_, c)| f64::from(*c));
                        // Products of f32 are off by less than this; nearer to the limit both answers are right.
                        if (wanted - f64::from(least)).abs() > 1e-6 {
                            assert_eq!(got.is_some(), wanted > f64::from(least), "{place} {other} {wanted}");
                        }
                        assert!(got.is_none_or(|got| (got - wanted).abs() < 1e-6), "{place} {other}: {got:?} {wanted}");
                        pairs += usize::from(got.is_some());
                    }
                    assert!(near.iter().all(|(other, _)| order[..i].contains(other)));
                }
                assert!(n < 30 || (pairs > 0 && pairs < n * (n - 1) / 2), "{pairs} pairs of {n}");
            }
        }
    }

    #[test]
    fn embeddings_without_direction_are_refused() {
        let mut all = Embeddings::default();
        assert_eq!(all.push(&[]), Err(EmbeddingError::Zero));
        assert_eq!(all.push(&[0.0, -0.0]), Err(EmbeddingError::Zero));
        assert!(matches!(all.push(&[1.0, f32::NAN]), Err(EmbeddingError::NotFinite(_, 1))));
        assert!(matches!(all.push(&[f32::NEG_INFINITY, 1.0]), Err(EmbeddingError::NotFinite(_, 0))));
        assert!(all.is_empty());
        all.push(&[3e30, 4e30]).unwrap();
        assert!((all.row(0)[0] - 0.6).abs() < 1e-6 && (all.row(0)[1] - 0.8).abs() < 1e-6, "{all:?}");
        assert_eq!(all.push(&[1.0]), Err(EmbeddingError::Features { expected: 2, found: 1 }));
        all.push(&[1e-30, 0.0]).unwrap();
        assert_eq!((all.len(), all.row(1)), (2, &[1.0, 0.0][..]));
    }

    /// Directions by their angles in degrees.
    fn angles(degrees: &[f32]) -> Embeddings {
        embeddings(&degrees.iter().map(|d| vec![d.to_radians().cos(), d.to_radians().sin()]).collect::<Vec<_>>())
    }

    fn found(angles: &Embeddings, places: &[usize], quality: &[Quality], related: &[(usize, usize)]) -> Vec<Link> {
        let least = 10.5f32.to_radians().cos();
        let is_related = |a: usize, b: usize| related.contains(&(a.min(b), a.max(b)));
        alike(angles, places, quality, least, is_related, |_| Ok::<(), Infallible>(())).unwrap()
    }

    #[test]
    fn each_is_alike_to_one_that_stays_and_none_over_a_third() {
        let plain = [Quality::default(); 6];
        // A chain: each is alike to the next. 10° is alike to 0° and goes; so 20° has none that stays beside it.
        let chain = angles(&[0.0, 10.0, 20.0, 30.0, 90.0, 95.0]);
        let pairs = |links: &[Link]| links.iter().map(|l| (l.first, l.second)).collect::<Vec<_>>();
        let all = [0, 1, 2, 3, 4, 5];
        let links = found(&chain, &all, &plain, &[]);
        assert_eq!(pairs(&links), [(0, 1), (2, 3), (4, 5)]);
        assert!(links.iter().all(|l| l.relation == Relation::Alike && !l.relation.is_copy()));
        let off = links[2].distance - (1.0 - 5f32.to_radians().cos());
        assert!(off.abs() < 1e-6, "{links:?}");
        // The best is the one that stays, and the nearest of those that stay is named.
        let best = |at: usize| std::array::from_fn::<_, 6, _>(|i| Quality { pixels: u64::from(i == at), ..plain[0] });
        assert_eq!(pairs(&found(&chain, &all, &best(1), &[])), [(1, 0), (1, 2), (4, 5)]);
        let near = angles(&[0.0, 18.0, 8.0]);
        assert_eq!(pairs(&found(&near, &[0, 1, 2], &plain[..3], &[])), [(0, 2)]);
        let nearer = angles(&[0.0, 18.0, 10.0]);
        assert_eq!(pairs(&found(&nearer, &[0, 1, 2], &plain[..3], &[])), [(1, 2)]);
        // What is not asked for is no picture to be alike to; what pixels relate is not told again.
        assert_eq!(pairs(&found(&chain, &[1, 3, 5], &plain, &[])), []);
        assert_eq!(pairs(&found(&chain, &all, &plain, &[(4, 5), (0, 1)])), [(1, 2)]);
        assert_eq!(found(&Embeddings::default(), &[], &[], &[]), []);
    }

    #[test]
    fn a_cancelled_search_ends() {
        let all = angles(&[0.0; 100]);
        let mut seen = 0;
        let quality = [Quality::default(); 100];
        let places: Vec<usize> = (0..100).collect();
        let ended = alike(
            &all,
            &places,
            &quality,
            0.9,
            |_, _| false,
            |done| {
                seen = done;
                if done == 7 { Err("stop") } else { Ok(()) }
            },
        );
        assert_eq!((ended, seen), (Err("stop"), 7));
    }
}
