//! Pictures that are the same, or nearly: equal files, equal pixels, copies (another size, compression or brightness),
//! variants (the same drawing with something changed) and crops. And pictures that an encoder finds alike.
//!
//! Perceptual hashes only propose pairs: they cannot tell a copy from a redrawn face. A comparison in blocks decides.
//! Nothing here removes anything. Start at [`Print::read`], then [`links`], then [`clusters`];
//! [`nearest`] asks it of a picture that is not one of them, [`alike`] of embeddings.

mod alike;
mod blocks;
mod clusters;
mod near;
mod nearest;
mod print;
mod shrink;

pub use alike::{EmbeddingError, Embeddings, alike};
pub use clusters::{Cluster, Quality, clusters};
pub use nearest::{Nearest, nearest};
pub use print::Print;
pub(crate) use shrink::shrink;

use serde::Serialize;

/// What two pictures are to each other, the closest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// The same file.
    File,
    /// The same pixels in another file.
    Pixels,
    /// The same picture in another size, compression or brightness.
    Copy,
    /// A part of the other.
    Crop,
    /// The same picture with something changed.
    Variant,
    /// Other pixels, but nearly the same to an encoder of pictures.
    Alike,
}

impl Relation {
    /// Does the one picture hold nothing that the other lacks?
    pub fn is_copy(self) -> bool {
        matches!(self, Self::File | Self::Pixels | Self::Copy)
    }
}

/// Two pictures, by their places, that are something to each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    pub first: usize,
    pub second: usize,
    pub relation: Relation,
    /// Largest difference of a block, in standard deviations; 0 for equal pixels. Of what is alike: 1 − cosine.
    pub distance: f32,
}

/// When pictures count as near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Bits of 64 in which hashes may differ, at most 11.
    pub bits: u32,
    /// Pictures with no block further apart than this are copies.
    pub block: f32,
    /// Look for crops, too.
    pub crops: bool,
}

impl Default for Limits {
    /// Measured on redrawn faces, recompressed, resized and brightened pictures: these stay below 0.42, faces above 1.08.
    fn default() -> Self {
        Self { bits: 10, block: 0.7, crops: true }
    }
}

/// All pairs of pictures that are something to each other.
pub fn links(prints: &[Print], limits: &Limits) -> Vec<Link> {
    let mut out = Vec::new();
    let bits = limits.bits.min(near::MOST);
    let index = near::Index::new(prints.iter().map(|p| p.phash));
    let difference = near::Index::new(prints.iter().map(|p| p.dhash));
    for (second, print) in prints.iter().enumerate() {
        let mut found = index.near(print.phash, bits);
        found.extend(difference.near(print.dhash, bits));
        found.sort_unstable();
        found.dedup();
        for first in found.into_iter().filter(|first| *first < second) {
            if let Some((relation, distance)) = prints[first].compare(print, limits.block) {
                out.push(Link { first, second, relation, distance });
            }
        }
    }
    if limits.crops {
        crops(prints, limits, &index, &mut out);
    }
    out
}

/// Pictures that look like a window of another. Only pairs that are nothing else to each other.
fn crops(prints: &[Print], limits: &Limits, index: &near::Index, out: &mut Vec<Link>) {
    let mut known: std::collections::BTreeSet<(usize, usize)> =
        out.iter().filter(|l| l.relation != Relation::Variant).map(|l| (l.first, l.second)).collect();
    for (whole, print) in prints.iter().enumerate() {
        for window in &print.windows {
            let mut seen = None;
            for part in index.near(window.phash, limits.bits.min(near::MOST)) {
                let pair = (whole.min(part), whole.max(part));
                if part == whole || known.contains(&pair) {
                    continue;
                }
                let seen = seen.get_or_insert_with(|| print.part(window)).as_ref();
                if let Some(distance) = seen.and_then(|seen| seen.within(&prints[part].small, limits.block)) {
                    known.insert(pair);
                    out.retain(|l| (l.first, l.second) != pair);
                    out.push(Link { first: pair.0, second: pair.1, relation: Relation::Crop, distance });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
