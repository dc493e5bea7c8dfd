//! The pages of a column: unpacked and decoded one after the other.

use crate::footer::{Chunk, Leaf};
use crate::levels::{numbers, width};
use crate::thrift::{FALSE, I32, Reader, Result, SHORT, STRUCT, TRUE};
use crate::{MAX_ROWS, Source};
use flate2::read::MultiGzDecoder;
use std::io::Read;
use std::sync::Arc;

/// Bytes of a page, packed or not. Writers make pages of a mebibyte; a picture can be a page of its own.
const MAX_PAGE: u64 = 48 << 20;
/// Bytes that a page's header is looked for in; most have some fifty, but they may hold a smallest and a largest value.
const HEADERS: [u64; 2] = [16 << 10, 1 << 20];
const DATA: u64 = 0;
const DICTIONARY: u64 = 2;
const DATA_V2: u64 = 3;
/// Encodings by their numbers.
const ENCODINGS: [&str; 10] = [
    "PLAIN",
    "GROUP_VAR_INT",
    "PLAIN_DICTIONARY",
    "RLE",
    "BIT_PACKED",
    "DELTA_BINARY_PACKED",
    "DELTA_LENGTH_BYTE_ARRAY",
    "DELTA_BYTE_ARRAY",
    "RLE_DICTIONARY",
    "BYTE_STREAM_SPLIT",
];
const PLAIN: u64 = 0;
const RLE: u64 = 3;
/// Codecs by their numbers.
const CODECS: [&str; 8] = ["none", "Snappy", "gzip", "LZO", "Brotli", "LZ4", "Zstandard", "LZ4"];

/// Values that lie in one piece of memory.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    bytes: Vec<u8>,
    /// Where each begins and ends.
    places: Vec<(usize, usize)>,
}

impl Pool {
    /// `count` values, each with its length before it.
    fn plain(bytes: Vec<u8>, from: usize, count: usize) -> Result<Self> {
        let (mut at, mut places) = (from, Vec::new());
        for _ in 0..count {
            let length = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or("its values end early")?;
            let start = at + 4;
            let end = start.checked_add(u32::from_le_bytes(*length) as usize).filter(|end| *end <= bytes.len());
            at = end.ok_or("its values end early")?;
            places.push((start, at));
        }
        Ok(Self { bytes, places })
    }

    fn get(&self, index: usize) -> &[u8] {
        self.places.get(index).map_or(&[], |(from, to)| &self.bytes[*from..*to])
    }
}

/// A page of values.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Values, and places in lists that hold none.
    pub(crate) count: usize,
    /// Empty: all are 0.
    pub(crate) reps: Vec<u32>,
    /// Empty: every value is there.
    pub(crate) defs: Vec<u32>,
    pool: Arc<Pool>,
    /// Places in the pool; none: one after the other.
    places: Option<Vec<u32>>,
}

impl Page {
    /// The value that is the `at`-th of those that are there.
    pub(crate) fn value(&self, at: usize) -> &[u8] {
        let index = self.places.as_ref().map_or(Some(at), |all| all.get(at).map(|n| *n as usize));
        index.map_or(&[], |index| self.pool.get(index))
    }
}

#[derive(Default)]
struct Header {
    kind: u64,
    unpacked: u64,
    packed: u64,
    values: u64,
    encoding: u64,
    /// Encoding of the levels of an older page.
    level_encodings: [u64; 2],
    /// Bytes of the levels of a newer page, which are not packed: definitions, repetitions.
    level_bytes: [u64; 2],
    /// A newer page may be as it is.
    is_packed: bool,
}

/// The pages of a column in one group of rows.
pub(crate) struct Pages {
    leaf: Leaf,
    chunk: Chunk,
    at: u64,
    left: u64,
    dictionary: Option<Arc<Pool>>,
}

impl Pages {
    pub(crate) fn new(leaf: &Leaf, chunk: Chunk) -> Self {
        Self { leaf: leaf.clone(), chunk, at: chunk.start, left: chunk.values, dictionary: None }
    }

    /// The next page with values; none: there are no more.
    pub(crate) fn next(&mut self, source: &impl Source) -> Result<Option<Page>, String> {
        while self.left > 0 {
            let (header, size) = self.header(source)?;
            let from = self.at + size;
            if header.packed > MAX_PAGE || header.unpacked > MAX_PAGE {
                let most = header.packed.max(header.unpacked) >> 20;
                return Err(format!("a page has {most} MiB, at most {} are read", MAX_PAGE >> 20));
            }
            self.at = from.checked_add(header.packed).filter(|end| *end <= self.chunk.end).ok_or(SHORT)?;
            match header.kind {
                DATA | DATA_V2 => {
                    let body = self.body(source, from, &header)?;
                    let page = self.data(&header, body)?;
                    self.left = self.left.checked_sub(header.values).ok_or("a page has more values than its column")?;
                    if page.count > 0 {
                        return Ok(Some(page));
                    }
                }
                DICTIONARY => {
                    if self.dictionary.is_some() {
                        return Err("a column has two dictionaries".to_owned());
                    }
                    // Older writers call it PLAIN_DICTIONARY, and mean the same.
                    if ![PLAIN, 2].contains(&header.encoding) {
                        return Err(unread(header.encoding));
                    }
                    if header.values > MAX_ROWS {
                        return Err("a dictionary has too many values".to_owned());
                    }
                    let body = self.body(source, from, &header)?;
                    let body = unpack(self.chunk.codec, body, header.unpacked)?;
                    let count = usize::try_from(header.values).map_err(|_| SHORT)?;
                    self.dictionary = Some(Arc::new(Pool::plain(body, 0, count)?));
                }
                // Indices, and what may come.
                _ => {}
            }
        }
        Ok(None)
    }

    /// The header at the place, and its size.
    fn header(&self, source: &impl Source) -> Result<(Header, u64), String> {
        let left = self.chunk.end.saturating_sub(self.at);
        for most in HEADERS {
            let bytes = source.read(self.at, most.min(left))?;
            match header(&bytes) {
                Ok((header, size)) => return Ok((header, size as u64)),
                Err(SHORT) if most < left => {}
                Err(e) => return Err(format!("a page's header is damaged: {e}")),
            }
        }
        Err(format!("a page's header has more than {} MiB", HEADERS[1] >> 20))
    }

    fn body(&self, source: &impl Source, from: u64, header: &Header) -> Result<Vec<u8>, String> {
        let body = source.read(from, header.packed)?;
        if body.len() as u64 == header.packed { Ok(body) } else { Err(SHORT.to_owned()) }
    }

    fn data(&self, header: &Header, body: Vec<u8>) -> Result<Page, String> {
        if header.values > self.left || header.values > MAX_ROWS {
            return Err("a page has more values than its column".to_owned());
        }
        let count = usize::try_from(header.values).map_err(|_| SHORT)?;
        let leaf = &self.leaf;
        let most = [leaf.max_def, leaf.max_rep];
        let mut levels = [Vec::new(), Vec::new()];
        let (body, mut at) = if header.kind == DATA_V2 {
            let sizes = header.level_bytes.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
            let both = sizes[0].checked_add(sizes[1]).filter(|n| *n <= body.len()).ok_or(SHORT)?;
            // Repetitions come first.
            for (kind, part) in [(1, 0..sizes[1]), (0, sizes[1]..both)] {
                levels[kind] = levels_of(&body[part], most[kind], count)?;
            }
            let unpacked = header.unpacked.checked_sub(both as u64).ok_or(SHORT)?;
            let rest = body[both..].to_vec();
            (if header.is_packed { unpack(self.chunk.codec, rest, unpacked)? } else { rest }, 0)
        } else {
            let body = unpack(self.chunk.codec, body, header.unpacked)?;
            let mut at = 0;
            for kind in [1, 0] {
                if most[kind] == 0 {
                    continue;
                }
                if header.level_encodings[kind] != RLE {
                    return Err(unread(header.level_encodings[kind]));
                }
                let length = body.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or(SHORT)?;
                let (from, length) = (at + 4, u32::from_le_bytes(*length) as usize);
                let part = body[from..].get(..length).ok_or(SHORT)?;
                levels[kind] = levels_of(part, most[kind], count)?;
                at = from + length;
            }
            (body, at)
        };
        let [defs, reps] = levels;
        let full = u32::from(leaf.max_def);
        let there = if leaf.max_def == 0 { count } else { defs.iter().filter(|d| **d == full).count() };
        let page = |pool, places| Page { count, reps, defs, pool, places };
        match header.encoding {
            PLAIN => Ok(page(Arc::new(Pool::plain(body, at, there)?), None)),
            2 | 8 => {
                let pool = self.dictionary.clone().ok_or("a page needs a dictionary that is not there")?;
                if there == 0 {
                    return Ok(page(pool, Some(Vec::new())));
                }
                let bits = *body.get(at).ok_or(SHORT)?;
                at += 1;
                let most = u32::try_from(pool.places.len()).unwrap_or(u32::MAX).checked_sub(1);
                let most = most.ok_or("a page needs a dictionary, and that is empty")?;
                let places = numbers(&body[at..], bits.into(), there, most)?;
                Ok(page(pool, Some(places)))
            }
            other => Err(unread(other)),
        }
    }
}

fn levels_of(bytes: &[u8], most: u8, count: usize) -> Result<Vec<u32>> {
    if most == 0 { Ok(Vec::new()) } else { numbers(bytes, width(most), count, most.into()) }
}

fn unread(encoding: u64) -> String {
    let name = usize::try_from(encoding).ok().and_then(|n| ENCODINGS.get(n)).copied().unwrap_or("unknown");
    format!("its texts are written in the encoding {name}, which is not read; pyarrow and pandas write what is")
}

/// A page's bytes, exactly as many as its header says.
fn unpack(codec: u64, bytes: Vec<u8>, size: u64) -> Result<Vec<u8>, String> {
    let size = usize::try_from(size).map_err(|_| SHORT)?;
    let out = match codec {
        0 => bytes,
        // Of a page without values some writers pack nothing.
        1 | 2 if bytes.is_empty() => bytes,
        1 => {
            // The claim is compared before there is room made for it.
            let claimed = snap::raw::decompress_len(&bytes).map_err(|e| e.to_string())?;
            if claimed != size {
                return Err(format!("a page unpacks to {claimed} bytes instead of {size}"));
            }
            snap::raw::Decoder::new().decompress_vec(&bytes).map_err(|e| e.to_string())?
        }
        2 => {
            let mut out = Vec::new();
            let most = (size as u64).saturating_add(1);
            MultiGzDecoder::new(bytes.as_slice()).take(most).read_to_end(&mut out).map_err(|e| e.to_string())?;
            out
        }
        other => {
            let name = usize::try_from(other).ok().and_then(|n| CODECS.get(n)).copied().unwrap_or("an unknown codec");
            return Err(format!(
                "it is packed by {name}, which is not read here; write it anew with Python: `import pandas; \
                 pandas.read_parquet(\"old.parquet\").to_parquet(\"new.parquet\", compression=\"snappy\")`"
            ));
        }
    };
    if out.len() == size { Ok(out) } else { Err(format!("a page has {} bytes instead of {size}", out.len())) }
}

/// A page's header, and its size.
fn header(bytes: &[u8]) -> Result<(Header, usize)> {
    let mut out = Header { is_packed: true, ..Header::default() };
    let mut reader = Reader::new(bytes);
    reader.structure(|id, kind, r| {
        match (id, kind) {
            (1, I32) => out.kind = r.count()?,
            (2, I32) => out.unpacked = r.count()?,
            (3, I32) => out.packed = r.count()?,
            (5 | 7, STRUCT) => r.structure(|id, kind, r| {
                match (id, kind) {
                    (1, I32) => out.values = r.count()?,
                    (2, I32) => out.encoding = r.count()?,
                    (3, I32) => out.level_encodings[0] = r.count()?,
                    (4, I32) => out.level_encodings[1] = r.count()?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?,
            (8, STRUCT) => r.structure(|id, kind, r| {
                match (id, kind) {
                    (1, I32) => out.values = r.count()?,
                    (4, I32) => out.encoding = r.count()?,
                    (5, I32) => out.level_bytes[0] = r.count()?,
                    (6, I32) => out.level_bytes[1] = r.count()?,
                    (7, TRUE | FALSE) => out.is_packed = kind == TRUE,
                    _ => return Ok(false),
                }
                Ok(true)
            })?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok((out, reader.at()))
}
