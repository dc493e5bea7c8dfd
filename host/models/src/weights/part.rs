//! The tensors of one network, under the names that the network uses.

use super::file::WeightFile;
use crate::error::{Error, Result};
use crate::memory::Memory;
use crate::ops::{Joined, Owned, Random, Shaped, Slice, Source, Transposed};
use candle_core::{Device, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
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

    /// The shape of what is taken; none if the file has no such tensor or not so many rows.
    pub(crate) fn shape(&self) -> Option<Vec<usize>> {
        let mut shape = self.file.entries.get(&self.key)?.shape.clone();
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

    /// Its values now; none if they are no weights.
    pub(crate) fn values(&self) -> Option<Vec<f32>> {
        self.source().ok()?.tensor().ok()?.flatten_all().ok()?.to_vec1().ok()
    }

    /// Its values, to be read when they are needed; the error says what it is instead.
    fn source(&self) -> Result<Arc<dyn Source>, String> {
        let mut source = self.file.source(&self.key)?;
        let key = &self.key;
        if self.turned {
            source = match source.shape() {
                [_, _] => Arc::new(Transposed::new(source)),
                shape => return Err(format!("`{key}`: expected a matrix, found {shape:?}")),
            };
        }
        if let Some(rows) = &self.rows {
            source = match source.shape().first() {
                Some(&all) if rows.start <= rows.end && rows.end <= all => Arc::new(Slice::new(source, rows.clone())),
                _ => return Err(format!("`{key}`: expected at least {} rows, found {:?}", rows.end, source.shape())),
            };
        }
        Ok(source)
    }

    /// Whether the file's tensor is no weight but says how one is stored.
    fn is_note(&self) -> bool {
        self.file.is_note(&self.key)
    }
}

/// The shape of pieces below each other; none if they do not fit.
pub(crate) fn stacked_shape(pieces: &[Piece]) -> Option<Vec<usize>> {
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

/// Pieces below each other; the error says why they do not fit.
fn stacked(pieces: &[Piece]) -> Result<Arc<dyn Source>, String> {
    let mut sources = pieces.iter().map(Piece::source).collect::<Result<Vec<_>, String>>()?;
    if let [_] = sources[..] {
        return sources.pop().ok_or_else(String::new);
    }
    let mut rests = sources.iter().map(|source| source.shape().get(1..));
    match rests.next().flatten() {
        Some(first) if rests.all(|rest| rest == Some(first)) => Ok(Arc::new(Joined::new(sources))),
        _ => Err(format!("`{}`: expected rows of one length to join", keys(pieces))),
    }
}

/// The tensors of one network out of one or more files. Asking for a tensor that is missing or has another shape is
/// noted, and told by [`Part::finish`] with everything else that does not fit.
pub(crate) struct Part {
    place: String,
    entries: Entries,
    used: BTreeSet<String>,
    problems: Vec<String>,
    /// Where there are no files: a seed for each tensor.
    random: Option<u64>,
    pub(super) memory: Memory,
}

impl Part {
    /// `place` names file and part for messages; `entries` maps the network's names to tensors of files.
    pub(crate) fn new(place: String, entries: Entries) -> Part {
        Part { place, entries, used: BTreeSet::new(), problems: Vec::new(), random: None, memory: Memory::unlimited() }
    }

    /// Every tensor that is asked for, evenly distributed within ±√(3 / fan-in), so that activations keep their size. The
    /// values of layers are made when they are used.
    pub(crate) fn random(seed: u64) -> Part {
        let place = "random weights".to_owned();
        Part { random: Some(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)), ..Part::new(place, Entries::new()) }
    }

    /// Tensors of which only names and shapes are known, to check a network against; their values are random.
    #[cfg_attr(not(test), allow(dead_code))] // Lists of names come from tests.
    pub(crate) fn shapes_only<'a>(
        place: &str,
        shapes: impl IntoIterator<Item = (&'a str, &'a [usize])>,
    ) -> Result<Part> {
        let list = shapes.into_iter().map(|(name, shape)| (name, "F32", shape));
        let file = Arc::new(WeightFile::listed(Path::new(place), list)?);
        let entries = file.entries.keys().map(|key| (key.clone(), vec![Piece::whole(&file, key)])).collect();
        Ok(Part::new(place.to_owned(), entries))
    }

    /// The same tensors for layers that compute on this device and keep their working copies within this budget.
    pub(crate) fn within(self, memory: &Memory) -> Part {
        Part { memory: memory.clone(), ..self }
    }

    /// The tensor as f32, in memory and on the part's device. See [`Part::source`].
    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        Ok(self.source(name, shape).tensor()?.to_device(self.memory.device())?)
    }

    /// The values of a small tensor.
    pub(crate) fn values(&mut self, name: &str, shape: &[usize]) -> Result<Arc<[f32]>> {
        Ok(self.source(name, shape).tensor()?.flatten_all()?.to_vec1::<f32>()?.into())
    }

    /// The tensor, to be read when it is needed. Ones at the end of a shape may be missing or surplus, as with 1×1
    /// convolutions that other programs store as matrices. A tensor that is not there or does not fit is noted and
    /// replaced by zeros.
    pub(crate) fn source(&mut self, name: &str, shape: &[usize]) -> Arc<dyn Source> {
        if let Some(seed) = &mut self.random {
            *seed = seed.wrapping_add(1 << 40);
            return Arc::new(Random::new(shape, *seed));
        }
        self.used.insert(name.to_owned());
        let problem = match self.entries.get(name).map(|pieces| (stacked(pieces), pieces)) {
            None => format!("`{name}` is missing, expected shape {shape:?}"),
            Some((Err(problem), _)) => problem,
            Some((Ok(source), _)) if without_ones(source.shape()) == without_ones(shape) => {
                return Shaped::of(source, shape);
            }
            Some((Ok(source), pieces)) => {
                format!("`{}`: expected shape {shape:?}, found {:?}", keys(pieces), source.shape())
            }
        };
        self.problems.push(problem);
        Arc::new(Zeros(shape.to_vec()))
    }

    /// Tells all problems at once: what was missing or misshapen, and what nobody asked for.
    pub(crate) fn finish(mut self, hint: &str) -> Result<()> {
        for (name, pieces) in &self.entries {
            if !self.used.contains(name) && !pieces.iter().all(Piece::is_note) {
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

/// In place of a tensor that is missing, until all problems are told.
struct Zeros(Vec<usize>);

impl Source for Zeros {
    fn shape(&self) -> &[usize] {
        &self.0
    }

    fn rows(&self, _: usize, out: &mut [f32]) -> candle_core::Result<()> {
        out.fill(0.0);
        Ok(())
    }
}

/// A large table of which a few rows are used at a time, such as the states of a text encoder's tokens.
pub(crate) struct Table {
    source: Arc<dyn Source>,
    device: Device,
}

#[allow(dead_code)] // The text encoders use it.
impl Table {
    /// Takes an f32 tensor (rows, width) on the CPU.
    pub(crate) fn of(tensor: &Tensor) -> Result<Table> {
        Ok(Table { source: Arc::new(Owned::new(tensor)?), device: Device::Cpu })
    }

    pub(super) fn new(source: Arc<dyn Source>, device: Device) -> Table {
        Table { source, device }
    }

    /// Rows that it has.
    pub(crate) fn len(&self) -> usize {
        self.source.shape()[0]
    }

    /// These rows: (n, width). A row that it does not have is an error.
    pub(crate) fn take(&self, rows: &[u32]) -> Result<Tensor> {
        let width = self.source.shape()[1];
        let mut values = vec![0f32; rows.len() * width];
        for (out, &row) in values.chunks_exact_mut(width.max(1)).zip(rows) {
            if row as usize >= self.len() {
                return Err(Error::Unsupported(format!("row {row} of a table of {}", self.len())));
            }
            self.source.rows(row as usize, out)?;
        }
        Ok(Tensor::from_vec(values, (rows.len(), width), &Device::Cpu)?.to_device(&self.device)?)
    }
}

fn keys(pieces: &[Piece]) -> String {
    pieces.iter().map(|piece| piece.key.as_str()).collect::<Vec<_>>().join("` + `")
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

    fn part() -> Part {
        let shapes = [("a.weight", &[4, 3, 1, 1][..]), ("b", &[5]), ("c", &[2, 3])];
        Part::shapes_only("a list", shapes).unwrap()
    }

    #[test]
    fn missing_misshapen_and_surplus_keys_are_told_together() {
        let mut part = part();
        assert_eq!(part.source("a.weight", &[4, 3]).shape(), [4, 3]);
        assert_eq!(part.tensor("b", &[6]).unwrap().dims(), [6]);
        assert_eq!(part.tensor("d", &[1]).unwrap().dims(), [1]);
        let text = part.finish("").err().unwrap().to_string();
        for expected in ["3 keys", "`b`: expected shape [6], found [5]", "`d` is missing", "`c` is surplus"] {
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn pieces_are_rows_of_tensors_stacked_and_turned() {
        let whole = part().tensor("c", &[2, 3]).unwrap().to_vec2::<f32>().unwrap();
        let read = |pieces: Vec<Piece>, shape: &[usize]| {
            let mut part = Part::new("test".into(), Entries::from([("x".to_owned(), pieces)]));
            let values = part.tensor("x", shape).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            (values, part.finish("").err().map(|e| e.to_string()).unwrap_or_default())
        };
        let piece = part().entries["c"][0].clone();
        let rows = |rows| Piece { rows: Some(rows), ..piece.clone() };
        let (values, problem) = read(vec![rows(1..2), rows(0..1)], &[2, 3]);
        assert_eq!((values, problem), ([whole[1].clone(), whole[0].clone()].concat(), String::new()));
        let turned = Piece { turned: true, rows: Some(1..2), ..piece.clone() };
        assert_eq!(read(vec![turned], &[1, 2]).0, [whole[0][1], whole[1][1]]);
        assert!(read(vec![rows(1..3)], &[2, 3]).1.contains("`c`: expected at least 3 rows"));
        let other = part().entries["b"][0].clone();
        assert!(read(vec![piece, other], &[2, 3]).1.contains("`c` + `b`: expected rows of one length"));
    }

    #[test]
    fn tables_give_rows_in_any_order() {
        let mut part = part();
        let whole = part.tensor("c", &[2, 3]).unwrap();
        let table = Table::new(part.source("c", &[2, 3]), Device::Cpu);
        let rows = table.take(&[1, 0, 1]).unwrap();
        assert_eq!(rows.get(2).unwrap().to_vec1::<f32>().unwrap(), whole.get(1).unwrap().to_vec1::<f32>().unwrap());
        assert!(table.take(&[2]).is_err());
    }
}
