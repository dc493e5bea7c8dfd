//! Which picture of a data set is most like a made one: was it learned by heart?

use super::{Limits, Print, Relation, near};

/// The picture of a data set that is most like another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// Its place.
    pub at: usize,
    /// What the other is to it; none if they are only both pictures.
    pub relation: Option<Relation>,
    /// Largest difference of a block, in standard deviations; 0 for equal pixels.
    pub distance: f32,
}

impl Nearest {
    /// Shows the other nothing that is not in this picture?
    pub fn is_repeated(&self) -> bool {
        self.relation.is_some_and(|r| r.is_copy() || r == Relation::Crop)
    }
}

/// Pictures whose hashes are nearest are compared; those of copies are always among them.
const COMPARED: usize = 32;

/// The nearest of these pictures; none without any. What makes them comparable is up to the caller: a part that was
/// trained is found if the prints of the data set have windows.
pub fn nearest(print: &Print, all: &[Print], limits: &Limits) -> Option<Nearest> {
    let bits = limits.bits.min(near::MOST);
    let apart = |other: &Print| (print.phash ^ other.phash).count_ones().min((print.dhash ^ other.dhash).count_ones());
    let windows = |other: &Print| other.windows.iter().map(|w| (print.phash ^ w.phash).count_ones()).min();
    let mut order: Vec<(u32, usize)> =
        all.iter().enumerate().map(|(at, other)| (apart(other).min(windows(other).unwrap_or(u32::MAX)), at)).collect();
    order.sort_unstable();
    order
        .into_iter()
        .take(COMPARED)
        .map(|(_, at)| {
            let other = &all[at];
            let known = other.compare(print, limits.block).filter(|_| apart(other) <= bits);
            let part = || {
                let near = other.windows.iter().filter(|w| (print.phash ^ w.phash).count_ones() <= bits);
                let distances = near.filter_map(|w| other.part(w)?.within(&print.small, limits.block));
                distances.min_by(f32::total_cmp).map(|distance| (Relation::Crop, distance))
            };
            let is_copy = known.is_some_and(|(relation, _)| relation.is_copy());
            let found = if is_copy { known } else { part().or(known) };
            match found {
                Some((relation, distance)) => Nearest { at, relation: Some(relation), distance },
                None => Nearest { at, relation: None, distance: other.distance(print) },
            }
        })
        .min_by(|a, b| {
            let related = |n: &Nearest| (n.relation.is_none(), n.relation);
            related(a).cmp(&related(b)).then(a.distance.total_cmp(&b.distance)).then(a.at.cmp(&b.at))
        })
}
