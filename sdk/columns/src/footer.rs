//! The footer: which columns there are, how they are nested, and where their pages lie.

use crate::MAX_ROWS;
use crate::thrift::{BINARY, I32, I64, LIST, Reader, Result, STRUCT};

/// Most columns, parts of records counted.
const MAX_LEAVES: usize = 10_000;
/// How deep columns may lie in each other.
const DEPTH: u32 = 64;
/// Values of one column of a file, those in lists counted.
const MAX_VALUES: u64 = 32_000_000;
/// Types by their numbers.
const TYPES: [&str; 8] = [
    "truth values",
    "numbers (INT32)",
    "numbers (INT64)",
    "times (INT96)",
    "numbers (FLOAT)",
    "numbers (DOUBLE)",
    "texts",
    "bytes of a fixed length",
];
const BYTE_ARRAY: u64 = 6;

#[derive(Debug)]
pub(crate) struct Footer {
    pub(crate) rows: u64,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) groups: Vec<Group>,
}

/// A column that holds values: one at the top, or a part of a record or list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Names from the top down.
    pub path: Vec<String>,
    kind: u64,
    /// Which of the leaves it is.
    pub(crate) index: usize,
    /// Definition level of a value that is there.
    pub(crate) max_def: u8,
    /// Repetition level of a value in the innermost list.
    pub(crate) max_rep: u8,
    /// Definition level from which on the list has an element.
    pub(crate) list_def: u8,
}

impl Leaf {
    /// Does each row hold one value at most?
    pub fn is_single(&self) -> bool {
        self.max_rep == 0
    }

    /// Are these texts, bytes, or a list of them?
    ///
    /// # Errors
    /// What they are instead.
    pub fn readable(&self) -> std::result::Result<(), String> {
        if self.kind != BYTE_ARRAY {
            let found = TYPES.get(usize::try_from(self.kind).unwrap_or(usize::MAX)).copied();
            return Err(format!("expected texts, found {}", found.unwrap_or("an unknown type")));
        }
        if self.max_rep > 1 { Err("expected texts, found lists of lists".to_owned()) } else { Ok(()) }
    }
}

/// Rows that lie together.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) rows: u64,
    /// One for each leaf.
    pub(crate) chunks: Vec<Chunk>,
}

/// The pages of one column of a group.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) codec: u64,
    pub(crate) values: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

#[derive(Default)]
struct Element {
    kind: Option<u64>,
    repetition: u64,
    name: String,
    children: u64,
}

impl Footer {
    /// `size` is that of the whole file.
    pub(crate) fn read(bytes: &[u8], size: u64) -> Result<Self> {
        let (mut elements, mut rows, mut groups) = (Vec::new(), 0, Vec::new());
        Reader::new(bytes).structure(|id, kind, r| {
            match (id, kind) {
                (2, LIST) => elements = r.structures(element)?,
                (3, I64) => rows = r.count()?,
                (4, LIST) => groups = r.structures(|r| group(r, size))?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let leaves = leaves(&elements)?;
        let sum = groups.iter().try_fold(0u64, |sum, g: &Group| sum.checked_add(g.rows));
        if sum != Some(rows) {
            return Err("its parts have other rows than it says");
        }
        if rows > MAX_ROWS {
            return Err("it says that it has more than 4,000,000 rows, which is the most that is read");
        }
        for group in &groups {
            if group.chunks.len() != leaves.len() {
                return Err("its parts have other columns than it says");
            }
            for (chunk, leaf) in group.chunks.iter().zip(&leaves) {
                if leaf.max_rep == 0 && chunk.values != group.rows {
                    return Err("a column has more or fewer values than rows");
                }
                if chunk.values > MAX_VALUES {
                    return Err("a column has more than 32,000,000 values");
                }
            }
        }
        Ok(Self { rows, leaves, groups })
    }
}

fn element(r: &mut Reader<'_>) -> Result<Element> {
    let mut out = Element::default();
    r.structure(|id, kind, r| {
        match (id, kind) {
            (1, I32) => out.kind = Some(r.count()?),
            (3, I32) => out.repetition = r.count()?,
            (4, BINARY) => out.name = r.text()?,
            (5, I32) => out.children = r.count()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(out)
}

/// A branch of the columns' tree while it is walked.
struct Branch {
    left: u64,
    def: u8,
    rep: u8,
    list_def: u8,
}

/// The tree of columns lies in a list, each before its parts.
fn leaves(elements: &[Element]) -> Result<Vec<Leaf>> {
    let (root, elements) = elements.split_first().ok_or("it names no columns")?;
    let mut open = vec![Branch { left: root.children, def: 0, rep: 0, list_def: 0 }];
    let (mut path, mut out) = (Vec::new(), Vec::new());
    let mut elements = elements.iter();
    loop {
        while open.last().is_some_and(|b| b.left == 0) {
            open.pop();
            path.pop();
        }
        let Some(branch) = open.last_mut() else { break };
        branch.left -= 1;
        let element = elements.next().ok_or("columns are missing")?;
        let (mut def, mut rep, mut list_def) = (branch.def, branch.rep, branch.list_def);
        // Optional, or repeated.
        if element.repetition > 0 {
            def += 1;
        }
        if element.repetition == 2 {
            (rep, list_def) = (rep + 1, def);
        }
        path.push(element.name.clone());
        match element.kind {
            Some(kind) if element.children == 0 => {
                let index = out.len();
                out.push(Leaf { path: path.clone(), kind, index, max_def: def, max_rep: rep, list_def });
                path.pop();
            }
            _ if open.len() >= DEPTH as usize => return Err("columns lie too deep in each other"),
            _ => open.push(Branch { left: element.children, def, rep, list_def }),
        }
        if out.len() > MAX_LEAVES {
            return Err("it has more than 10,000 columns");
        }
    }
    match elements.next() {
        Some(_) => Err("it names columns that belong to none"),
        None => Ok(out),
    }
}

fn group(r: &mut Reader<'_>, size: u64) -> Result<Group> {
    let mut out = Group { rows: 0, chunks: Vec::new() };
    r.structure(|id, kind, r| {
        match (id, kind) {
            (1, LIST) => out.chunks = r.structures(|r| chunk(r, size))?,
            (3, I64) => out.rows = r.count()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(out)
}

fn chunk(r: &mut Reader<'_>, size: u64) -> Result<Chunk> {
    let (mut out, mut data, mut dictionary, mut length, mut found) = (Chunk::default(), 0, 0, 0, false);
    r.structure(|id, kind, r| {
        match (id, kind) {
            (1, BINARY) => return Err("a column lies in another file"),
            (3, STRUCT) => {
                found = true;
                r.structure(|id, kind, r| {
                    match (id, kind) {
                        (4, I32) => out.codec = r.count()?,
                        (5, I64) => out.values = r.count()?,
                        (7, I64) => length = r.count()?,
                        (9, I64) => data = r.count()?,
                        (11, I64) => dictionary = r.count()?,
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if !found {
        return Err("a column is not described");
    }
    out.start = if dictionary > 0 && dictionary < data { dictionary } else { data };
    out.end = out.start.checked_add(length).filter(|end| *end <= size).ok_or("a column lies behind the file's end")?;
    Ok(out)
}
