//! Pictures that hang together by links, and the best of them.

use super::{Link, Relation};
use std::cmp::Ordering;

/// What makes a picture the one to keep, the weightiest first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    pub pixels: u64,
    pub lossless: bool,
    pub bytes: u64,
    pub tags: usize,
}

impl Quality {
    /// The better is the greater.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let density = |q: &Self| q.bytes as f64 / q.pixels.max(1) as f64;
        self.pixels
            .cmp(&other.pixels)
            .then(self.lossless.cmp(&other.lossless))
            .then(density(self).total_cmp(&density(other)))
            .then(self.tags.cmp(&other.tags))
    }

    fn better(&self, other: &Self) -> bool {
        self.order(other).is_gt()
    }
}

/// Pictures that are something to each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Place of the picture that stands for the others.
    pub best: usize,
    /// Places of the others, in order, and what each is to the nearest picture that is kept.
    pub others: Vec<(usize, Relation)>,
}

/// All clusters of more than one picture, by the place of their first.
///
/// Copies are grouped first, so that a copy of a variant is a copy; among the groups the best picture stands for the
/// cluster.
pub fn clusters(links: &[Link], quality: &[Quality]) -> Vec<Cluster> {
    let copies = groups(quality.len(), links.iter().filter(|l| l.relation.is_copy()));
    let all = groups(quality.len(), links.iter());
    let best = |members: &[usize]| {
        members.iter().copied().reduce(|best, m| if quality[m].better(&quality[best]) { m } else { best })
    };
    let mut out = Vec::new();
    for members in all.iter().filter(|g| g.len() > 1) {
        let Some(top) = best(members) else { continue };
        let others = members.iter().filter(|m| **m != top).map(|m| {
            let own = copies.iter().find(|g| g.contains(m)).map_or(&[][..], Vec::as_slice);
            let kept = best(own) == Some(*m);
            let near = |l: &&Link| l.first == *m || l.second == *m;
            // One that is kept among its copies is what it is to another group; the others are copies of it.
            let relation = links.iter().filter(near).filter(|l| l.relation.is_copy() != kept).map(|l| l.relation).min();
            (*m, relation.unwrap_or(if kept { Relation::Variant } else { Relation::Copy }))
        });
        out.push(Cluster { best: top, others: others.collect() });
    }
    out
}

/// Connected places, each group in order.
fn groups<'a>(n: usize, links: impl Iterator<Item = &'a Link>) -> Vec<Vec<usize>> {
    let mut root: Vec<usize> = (0..n).collect();
    fn find(root: &mut [usize], mut i: usize) -> usize {
        while root[i] != i {
            root[i] = root[root[i]];
            i = root[i];
        }
        i
    }
    for link in links {
        let (a, b) = (find(&mut root, link.first), find(&mut root, link.second));
        root[a.max(b)] = a.min(b);
    }
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); n];
    for i in 0..n {
        let group = find(&mut root, i);
        out[group].push(i);
    }
    out.retain(|g| !g.is_empty());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(first: usize, second: usize, relation: Relation) -> Link {
        Link { first, second, relation, distance: 0.1 }
    }

    #[test]
    fn the_best_is_kept_and_variants_stay_variants() {
        let large = Quality { pixels: 4_000_000, bytes: 100, ..Quality::default() };
        let small = Quality { pixels: 1_000_000, lossless: true, bytes: 9_000_000, tags: 50 };
        let links = [
            link(0, 1, Relation::Copy),
            link(1, 2, Relation::Variant),
            link(2, 3, Relation::Pixels),
            link(0, 3, Relation::Variant),
            link(5, 6, Relation::Crop),
        ];
        let quality = [small, large, small, Quality { tags: 51, ..small }, large, large, small];
        let found = clusters(&links, &quality);
        assert_eq!(
            found,
            [
                Cluster { best: 1, others: vec![(0, Relation::Copy), (2, Relation::Pixels), (3, Relation::Variant)] },
                Cluster { best: 5, others: vec![(6, Relation::Crop)] },
            ]
        );
    }

    #[test]
    fn quality_is_compared_in_order() {
        let q = Quality { pixels: 100, bytes: 50, ..Quality::default() };
        assert!(Quality { lossless: true, bytes: 1, ..q }.better(&q));
        assert!(Quality { bytes: 51, ..q }.better(&q));
        assert!(Quality { tags: 1, ..q }.better(&q) && !q.better(&q), "of equals the first stays");
        assert!(Quality { pixels: 101, ..q }.better(&Quality { lossless: true, tags: 9, ..q }));
    }
}
