//! The tensors of one network, under the names that the network uses.

use super::file::{Entry, WeightFile};
use crate::error::{Error, Result};
use candle_core::{Device, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// A tensor of a file, or some of its rows, as a part of a network's tensor.
#[derive(Clone)]
pub(crate) struct Piece {
    pub(crate) file: Arc<WeightFile>,
    pub(crate) key: String,
    /// Rows (first dimension) that are taken; none: all.
    pub(crate) rows: Option<Range<usize>>,
    /// Whether the file has a matrix with rows and columns exchanged.
    pub(crate) turned: bool,
}

/// A network's names, and the pieces that each tensor consists of, stacked by rows. Mostly one.
pub(crate) type Entries = BTreeMap<String, Vec<Piece>>;

impl Piece {
    /// All of a file's tensor.
    pub(crate) fn whole(file: &Arc<WeightFile>, key: &str) -> Piece {
        Piece { file: file.clone(), key: key.to_owned(), rows: None, turned: false }
    }

    fn entry(&self) -> Option<&Entry> {
        self.file.entries.get(&self.key)
    }

    /// The shape of what is taken; none if the file has no such tensor or not so many rows.
    fn shape(&self) -> Option<Vec<usize>> {
        let mut shape = self.entry()?.shape.clone();
        if self.turned {
            shape.reverse();
        }
        if let Some(rows) = &self.rows {
            if rows.start > rows.end || rows.end > *shape.first()? {
                return None;
            }
            shape[0] = rows.len();
        }
        Some(shape)
    }

    /// Its values in f32, row by row; none if they are no weights.
    fn values(&self) -> Option<Vec<f32>> {
        let entry = self.entry()?;
        let mut values = self.file.values(entry)?;
        if let (true, [rows, columns]) = (self.turned, entry.shape.as_slice()) {
            values = (0..*columns)
                .flat_map(|c| (0..*rows).map(move |r| (r, c)))
                .map(|(r, c)| values[r * columns + c])
                .collect();
        }
        if let Some(range) = &self.rows {
            let all = self.shape()?;
            let row: usize = all[1..].iter().product();
            values = values[range.start * row..range.end * row].to_vec();
        }
        Some(values)
    }
}

/// The shape of pieces below each other; none if they do not fit.
fn stacked(pieces: &[Piece]) -> Option<Vec<usize>> {
    let mut shapes = pieces.iter().map(Piece::shape);
    let mut shape = shapes.next()??;
    for next in shapes {
        let next = next?;
        if next.is_empty() || next.get(1..) != shape.get(1..) {
            return None;
        }
        shape[0] += next[0];
    }
    Some(shape)
}

/// The tensors of one network out of one or more files. Asking for a tensor that is missing or has another shape is
/// noted, and told by [`Part::finish`] with everything else that does not fit.
pub(crate) struct Part {
    place: String,
    entries: Entries,
    used: BTreeSet<String>,
    problems: Vec<String>,
    /// State of the generator, where there are no files.
    random: Option<u64>,
}

impl Part {
    /// `place` names file and part for messages; `entries` maps the network's names to tensors of files.
    pub(crate) fn new(place: String, entries: Entries) -> Part {
        Part { place, entries, used: BTreeSet::new(), problems: Vec::new(), random: None }
    }

    /// Every tensor that is asked for, evenly distributed within ±√(3 / fan-in), so that activations keep their size.
    pub(crate) fn random(seed: u64) -> Part {
        let place = "random weights".to_owned();
        Part { random: Some(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1), ..Part::new(place, BTreeMap::new()) }
    }

    /// The tensor as f32. Ones at the end of a shape may be missing or surplus, as with 1×1 convolutions that other
    /// programs store as matrices. A tensor that is not there or does not fit is noted and replaced by zeros.
    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        if let Some(state) = &mut self.random {
            let bound = (3.0 / shape[1..].iter().product::<usize>().max(1) as f32).sqrt();
            let values = (0..shape.iter().product()).map(|_| {
                // xorshift64 (Marsaglia 2003).
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                ((*state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * bound
            });
            return Ok(Tensor::from_vec(values.collect::<Vec<f32>>(), shape, &Device::Cpu)?);
        }
        self.used.insert(name.to_owned());
        let found = match self.entries.get(name) {
            None => {
                self.problems.push(format!("`{name}` is missing, expected shape {shape:?}"));
                None
            }
            Some(pieces) => match stacked(pieces) {
                Some(found) if without_ones(&found) == without_ones(shape) => {
                    let values: Option<Vec<Vec<f32>>> = pieces.iter().map(Piece::values).collect();
                    if values.is_none() {
                        let dtypes: Vec<_> = pieces.iter().filter_map(|p| Some(p.entry()?.dtype)).collect();
                        self.problems.push(format!("`{}`: expected floats, found {dtypes:?}", keys(pieces)));
                    }
                    values.map(|values| values.concat())
                }
                found => {
                    let found = found.unwrap_or_default();
                    self.problems.push(format!("`{}`: expected shape {shape:?}, found {found:?}", keys(pieces)));
                    None
                }
            },
        };
        let values = found.unwrap_or_else(|| vec![0.0; shape.iter().product()]);
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }

    /// Tells all problems at once: what was missing or misshapen, and what nobody asked for.
    pub(crate) fn finish(mut self, hint: &str) -> Result<()> {
        for (name, pieces) in &self.entries {
            if !self.used.contains(name) {
                let key = keys(pieces);
                self.problems.push(format!("`{key}` is surplus: no layer of this network has that name"));
            }
        }
        if self.problems.is_empty() {
            return Ok(());
        }
        let place = format!("{}: {} keys do not fit the network", self.place, self.problems.len());
        Err(Error::Keys { place, problems: self.problems, hint: hint.to_owned() })
    }
}

/// The keys of a tensor's pieces, for messages.
fn keys(pieces: &[Piece]) -> String {
    pieces.iter().map(|p| p.key.as_str()).collect::<Vec<_>>().join("`, `")
}

fn without_ones(shape: &[usize]) -> &[usize] {
    let mut shape = shape;
    while let [rest @ .., 1] = shape {
        if rest.len() < 2 {
            break;
        }
        shape = rest;
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with the matrix `m` = [[0, 1], [2, 3], [4, 5]].
    fn file() -> Arc<WeightFile> {
        let folder = std::env::temp_dir().join(format!("anagama-pieces-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("m.safetensors");
        let values: Vec<f32> = (0..6u8).map(f32::from).collect();
        let m = Tensor::from_vec(values, (3, 2), &Device::Cpu).unwrap();
        candle_core::safetensors::save(&std::collections::HashMap::from([("m", m)]), &path).unwrap();
        Arc::new(WeightFile::open(&path).unwrap())
    }

    #[test]
    fn rows_are_taken_turned_and_stacked() {
        let file = file();
        let read = |pieces: Vec<Piece>, shape: &[usize]| {
            let mut part = Part::new("test".into(), Entries::from([("x".to_owned(), pieces)]));
            let x = part.tensor("x", shape).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            part.finish("").unwrap();
            x
        };
        let whole = Piece::whole(&file, "m");
        let rows = |rows| Piece { rows: Some(rows), ..whole.clone() };
        let turned = Piece { turned: true, ..whole.clone() };
        assert_eq!(read(vec![rows(1..3)], &[2, 2]), [2.0, 3.0, 4.0, 5.0]);
        assert_eq!(read(vec![turned.clone()], &[2, 3]), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        assert_eq!(read(vec![Piece { rows: Some(1..2), ..turned }], &[1, 3]), [1.0, 3.0, 5.0]);
        assert_eq!(read(vec![rows(2..3), rows(0..1)], &[2, 2]), [4.0, 5.0, 0.0, 1.0]);
        let mut part = Part::new("test".into(), Entries::from([("x".to_owned(), vec![rows(2..4)])]));
        part.tensor("x", &[2, 2]).unwrap();
        assert!(part.finish("").is_err());
    }
}
