//! Zip archives: the list at the end is what counts, as for every careful reader; local headers only say where data begin.

use crate::bytes::{Bytes, number};
use crate::pack::{Entry, MAX_ENTRIES, Place};
use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Sign of an entry in the list, of the list's end, and of a local header.
const ENTRY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const LOCAL: &[u8] = b"PK\x03\x04";
/// The list's end, without its comment.
const END_SIZE: usize = 22;
/// The end of a long list (zip64), and what tells where it is: right before the list's end.
const LONG_END: &[u8] = b"PK\x06\x06";
const LONG_PLACE: &[u8] = b"PK\x06\x07";
const LONG_PLACE_SIZE: usize = 20;
const LONG_END_SIZE: u64 = 56;
/// Larger lists are a mistake: two hundred thousand files have some twenty.
const MAX_LIST: u64 = 48 << 20;
/// The most packed data of one entry; what it unpacks to is looked at elsewhere.
const MAX_PACKED: u64 = 56 << 20;

fn damaged() -> String {
    "the zip archive is damaged or cut off".to_owned()
}

/// All entries that are files.
///
/// # Errors
/// It is no zip archive, or a damaged one.
pub(crate) fn entries(bytes: &Bytes) -> Result<Vec<Entry>, String> {
    let (count, start, end) = list(bytes)?;
    let size = end.checked_sub(start).ok_or_else(damaged)?;
    if count > MAX_ENTRIES as u64 || size > MAX_LIST {
        let mib = size.div_ceil(1 << 20);
        return Err(format!(
            "its list names {count} files in {mib} MiB; at most {MAX_ENTRIES} in {} are read",
            MAX_LIST >> 20
        ));
    }
    let list = bytes.whole(start, size).map_err(|_| damaged())?;
    let (mut at, mut all) = (0, Vec::new());
    for _ in 0..count {
        let field = |offset: usize, size: usize| number(&list, at + offset, size).ok_or_else(damaged);
        if list.get(at..at + 4) != Some(ENTRY) {
            return Err(damaged());
        }
        let (flags, method, crc) = (field(8, 2)?, field(10, 2)? as u16, field(16, 4)? as u32);
        let mut sizes = [field(24, 4)?, field(20, 4)?, field(42, 4)?];
        let lengths = [field(28, 2)?, field(30, 2)?, field(32, 2)?].map(|n| n as usize);
        let from = at + 46;
        let name = list.get(from..from + lengths[0]).ok_or_else(damaged)?.to_vec();
        let extra = list.get(from + lengths[0]..from + lengths[0] + lengths[1]).ok_or_else(damaged)?;
        long_sizes(extra, &mut sizes).ok_or_else(damaged)?;
        let [size, packed, header] = sizes;
        at = from + lengths.iter().sum::<usize>();
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

/// How many entries the list has, where it begins and where it ends.
fn list(bytes: &Bytes) -> Result<(u64, u64, u64), String> {
    let wanted = (END_SIZE + 0xffff + LONG_PLACE_SIZE) as u64;
    let first = bytes.len().saturating_sub(wanted);
    let tail = bytes.get(first, wanted)?;
    let Some(end) = end(&tail) else {
        return Err(match bytes.get(0, 4)? == LOCAL {
            true => "the zip archive is cut off: its list of files at the end is missing".to_owned(),
            false => "no zip archive".to_owned(),
        });
    };
    let field = |offset: usize, size: usize| number(&tail, end + offset, size).ok_or_else(damaged);
    let (count, start) = (field(10, 2)?, field(16, 4)?);
    let place = end.checked_sub(LONG_PLACE_SIZE).filter(|at| tail[*at..].starts_with(LONG_PLACE));
    let found = match place {
        Some(at) if count == 0xffff || start == 0xffff_ffff => {
            let long = number(&tail, at + 8, 8).ok_or_else(damaged)?;
            let record = bytes.whole(long, LONG_END_SIZE).map_err(|_| damaged())?;
            let field = |offset: usize, size: usize| number(&record, offset, size).ok_or_else(damaged);
            if !record.starts_with(LONG_END) {
                return Err(damaged());
            }
            (field(16, 4)?, field(32, 8)?, field(48, 8)?, long)
        }
        _ => (field(4, 2)?, count, start, first + end as u64),
    };
    let (disk, count, start, end) = found;
    if disk != 0 {
        return Err("a part of a zip archive in several files; join them first".to_owned());
    }
    Ok((count, start, end))
}

/// Size, packed size and header's place where they are too large for their fields.
fn long_sizes(mut extra: &[u8], sizes: &mut [u64; 3]) -> Option<()> {
    if sizes.iter().all(|n| *n != 0xffff_ffff) {
        return Some(());
    }
    while extra.len() >= 4 {
        let (kind, length) = (number(extra, 0, 2)?, number(extra, 2, 2)? as usize);
        let body = extra.get(4..4 + length)?;
        if kind == 1 {
            let mut at = 0;
            for size in sizes.iter_mut().filter(|n| **n == 0xffff_ffff) {
                *size = number(body, at, 8)?;
                at += 8;
            }
            return Some(());
        }
        extra = &extra[4 + length..];
    }
    // A plain archive may have a file of just this size.
    Some(())
}

/// Where the list's end is: the last place whose comment reaches to the end of the file.
fn end(tail: &[u8]) -> Option<usize> {
    let last = tail.len().checked_sub(END_SIZE)?;
    (last.saturating_sub(0xffff)..=last).rev().find(|at| {
        tail[*at..].starts_with(END) && number(tail, at + 20, 2) == Some((tail.len() - at - END_SIZE) as u64)
    })
}

/// The contents of an entry, never more than its list says.
///
/// # Errors
/// Damaged data, or more of them than the list says.
pub(crate) fn data(bytes: &Bytes, entry: &Entry, header: u64, method: u16, crc: u32) -> Result<Vec<u8>, String> {
    let damaged = || "damaged".to_owned();
    let local = bytes.get(header, 30)?;
    if !local.starts_with(LOCAL) {
        return Err(damaged());
    }
    let length = |at: usize| number(&local, at, 2).ok_or_else(damaged);
    let start = header + 30 + length(26)? + length(28)?;
    let size = usize::try_from(entry.size).map_err(|_| damaged())?;
    if entry.packed > MAX_PACKED {
        return Err(format!("its packed data have {} MiB, at most {} are read", entry.packed >> 20, MAX_PACKED >> 20));
    }
    let part = bytes.whole(start, entry.packed)?;
    let out = if method == 0 { part } else { inflate(&part, size)? };
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
