//! Zip archives: the list at the end is what counts, as for every careful reader; local headers only say where data begin.

use crate::pack::{Entry, MAX_ENTRIES, Place};
use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Sign of an entry in the list, of the list's end, and of a local header.
const ENTRY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const LOCAL: &[u8] = b"PK\x03\x04";
/// The list's end, without its comment.
const END_SIZE: usize = 22;

/// All entries that are files.
///
/// # Errors
/// It is no zip archive, or a damaged one.
pub(crate) fn entries(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let damaged = || "the zip archive is damaged or cut off".to_owned();
    let end = end(bytes).ok_or_else(|| match bytes.starts_with(LOCAL) {
        true => "the zip archive is cut off: its list of files at the end is missing".to_owned(),
        false => "no zip archive".to_owned(),
    })?;
    let word = |at: usize| number(bytes, end + at, 2);
    let (count, start) = (word(10).ok_or_else(damaged)?, number(bytes, end + 16, 4).ok_or_else(damaged)?);
    if word(4) != Some(0) {
        return Err("a part of a zip archive in several files; join them first".to_owned());
    }
    if count == 0xffff || start == 0xffff_ffff {
        return Err("a zip archive in the form for more than 65,534 files or 4 GiB; make several of it".to_owned());
    }
    let mut at = usize::try_from(start).map_err(|_| damaged())?;
    let mut all = Vec::new();
    for _ in 0..count.min(MAX_ENTRIES as u64) {
        let field = |offset: usize, size: usize| number(bytes, at + offset, size).ok_or_else(damaged);
        if bytes.get(at..at + 4) != Some(ENTRY) {
            return Err(damaged());
        }
        let (flags, method, crc) = (field(8, 2)?, field(10, 2)? as u16, field(16, 4)? as u32);
        let (packed, size, header) = (field(20, 4)?, field(24, 4)?, field(42, 4)? as usize);
        let lengths = [field(28, 2)?, field(30, 2)?, field(32, 2)?].map(|n| n as usize);
        let name = bytes.get(at + 46..at + 46 + lengths[0]).ok_or_else(damaged)?.to_vec();
        at += 46 + lengths.iter().sum::<usize>();
        if name.ends_with(b"/") {
            continue;
        }
        let place = match method {
            _ if flags & 1 != 0 => Place::Refused("it is encrypted; unpack the archive with its password first"),
            0 | 8 => Place::Zipped { header, method, crc },
            _ => Place::Refused("packed by a method other than deflate; make the archive anew with `zip`"),
        };
        all.push(Entry { name, size, packed, place });
    }
    Ok(all)
}

/// Where the list's end is: the last place whose comment reaches to the end of the file.
fn end(bytes: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(END_SIZE)?;
    (last.saturating_sub(0xffff)..=last).rev().find(|at| {
        bytes[*at..].starts_with(END) && number(bytes, at + 20, 2) == Some((bytes.len() - at - END_SIZE) as u64)
    })
}

/// A number of 2 or 4 bytes.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(size)?)?;
    Some(part.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}

/// The contents of an entry, never more than its list says.
///
/// # Errors
/// Damaged data, or more of them than the list says.
pub(crate) fn data(bytes: &[u8], entry: &Entry, header: usize, method: u16, crc: u32) -> Result<Vec<u8>, String> {
    let damaged = || "damaged".to_owned();
    if bytes.get(header..).is_none_or(|rest| !rest.starts_with(LOCAL)) {
        return Err(damaged());
    }
    let length = |at: usize| number(bytes, header + at, 2).map(|n| n as usize).ok_or_else(damaged);
    let start = header + 30 + length(26)? + length(28)?;
    let packed = usize::try_from(entry.packed).map_err(|_| damaged())?;
    let size = usize::try_from(entry.size).map_err(|_| damaged())?;
    let part = bytes.get(start..).and_then(|rest| rest.get(..packed)).ok_or_else(damaged)?;
    let out = if method == 0 { part.to_vec() } else { inflate(part, size)? };
    if out.len() != size {
        return Err(format!("damaged: expected {size} bytes, found {}", out.len()));
    }
    let mut sum = Crc::new();
    sum.update(&out);
    if sum.sum() == crc { Ok(out) } else { Err("damaged: its checksum is another".to_owned()) }
}

/// Unpacks up to `size` bytes. Memory is taken as they come, not as the list promises.
fn inflate(part: &[u8], size: usize) -> Result<Vec<u8>, String> {
    let mut unpack = Decompress::new(false);
    let mut out = Vec::with_capacity(size.min(4 << 20));
    loop {
        if out.len() == out.capacity() {
            out.reserve((out.len() / 2).clamp(1 << 12, 8 << 20));
        }
        let rest = &part[usize::try_from(unpack.total_in()).unwrap_or(part.len()).min(part.len())..];
        let (before_in, before_out) = (unpack.total_in(), out.len());
        let status =
            unpack.decompress_vec(rest, &mut out, FlushDecompress::None).map_err(|e| format!("damaged: {e}"))?;
        if out.len() > size {
            return Err(format!("unpacks to more than the {size} bytes that the archive's list says, as bombs do"));
        }
        match status {
            Status::StreamEnd => return Ok(out),
            _ if unpack.total_in() == before_in && out.len() == before_out && out.len() < out.capacity() => {
                return Err("damaged: its data end early".to_owned());
            }
            _ => {}
        }
    }
}
