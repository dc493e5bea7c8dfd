//! Tar archives, plain or packed by gzip: ustar names, GNU's and PAX's long ones. Only files are taken; links, which lead
//! elsewhere, are refused.

use crate::bytes::Bytes;
use crate::pack::{Entry, Limits, MAX_ENTRIES, Place};
use flate2::read::MultiGzDecoder;
use std::io::Read;

const BLOCK: u64 = 512;
/// Longer names and other facts about one file are a mistake.
const MAX_FACTS: u64 = 1 << 20;

/// A tar archive out of a .tar.gz. All of it lies in memory, so it may have no more than what a plugin has room for.
///
/// # Errors
/// Damaged data, or too many.
pub(crate) fn unpack(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, String> {
    /// A quarter of a component's memory is left for the rest.
    const ROOM: u64 = 96 << 20;
    if !bytes.starts_with(b"\x1f\x8b") {
        return Err("no gzip file".to_owned());
    }
    let most = limits.unpacked.min(ROOM).min((bytes.len() as u64).saturating_mul(limits.ratio).max(1 << 20));
    let mut out = Vec::new();
    let mut reader = MultiGzDecoder::new(bytes).take(most + 1);
    let mut part = vec![0; 1 << 16];
    loop {
        let n = reader.read(&mut part).map_err(|e| format!("damaged or cut off: {e}"))?;
        if n == 0 {
            return Ok(out);
        }
        if out.len() + n > out.capacity() {
            out.reserve_exact((out.len() / 4).clamp(1 << 20, 8 << 20));
        }
        out.extend_from_slice(&part[..n]);
        if out.len() as u64 > most {
            return Err(format!(
                "it unpacks to more than {} MiB, {} times its size: `max_unpacked` and `max_ratio` say how much may be, and \
                 a .tar.gz may have {} in any case; `gunzip` makes a .tar of it, which may be of any size",
                most >> 20,
                most / (bytes.len() as u64).max(1),
                ROOM >> 20
            ));
        }
    }
}

/// All entries that are files.
///
/// # Errors
/// It is no tar archive, or a damaged one.
pub(crate) fn entries(bytes: &Bytes) -> Result<Vec<Entry>, String> {
    let (mut all, mut at): (Vec<Entry>, u64) = (Vec::new(), 0);
    // What a header before says of the next entry: name, size.
    let (mut name, mut size): (Option<Vec<u8>>, Option<u64>) = (None, None);
    loop {
        let header = bytes.get(at, BLOCK)?;
        if header.len() as u64 != BLOCK {
            return if at == bytes.len() && !all.is_empty() { Ok(all) } else { Err(cut_off(&all)) };
        }
        if header.iter().all(|b| *b == 0) {
            return Ok(all);
        }
        if !checked(&header) {
            return Err(if all.is_empty() { "no tar archive".to_owned() } else { cut_off(&all) });
        }
        let length = number(&header[124..136]).ok_or_else(|| cut_off(&all))?;
        let kind = header[156];
        let length = if matches!(kind, b'0' | 0 | b'7') { size.take().unwrap_or(length) } else { length };
        let data = at + BLOCK;
        let next = data.checked_add(length).filter(|end| *end <= bytes.len()).ok_or_else(|| cut_off(&all))?;
        let facts = |all: &[Entry]| match length {
            0..=MAX_FACTS => bytes.whole(data, length),
            _ => Err(cut_off(all)),
        };
        match kind {
            b'0' | 0 | b'7' => {
                let name = name.take().unwrap_or_else(|| ustar(&header));
                if !name.ends_with(b"/") {
                    all.push(Entry { name, size: length, packed: length, place: Place::Plain(data) });
                }
            }
            b'1' | b'2' => {
                let name = name.take().unwrap_or_else(|| ustar(&header));
                let place = Place::Refused("a link, which leads elsewhere; make the archive with `tar --dereference`");
                all.push(Entry { name, size: 0, packed: 0, place });
            }
            b'L' => name = Some(until_zero(&facts(&all)?).to_vec()),
            b'x' => {
                for (key, value) in records(&facts(&all)?) {
                    match key {
                        b"path" => name = Some(value.to_vec()),
                        b"size" => size = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()),
                        _ => {}
                    }
                }
            }
            // Folders, devices, global headers and what else there may be hold no pictures.
            _ => name = None,
        }
        if all.len() > MAX_ENTRIES {
            return Err(format!("it has more than {MAX_ENTRIES} files"));
        }
        at = next.div_ceil(BLOCK) * BLOCK;
    }
}

fn cut_off(all: &[Entry]) -> String {
    match all.last() {
        Some(last) => format!("the tar archive is damaged or cut off behind `{}`", String::from_utf8_lossy(&last.name)),
        None => "no tar archive, or one that is cut off".to_owned(),
    }
}

/// Is the header's checksum right? It counts itself as blanks.
fn checked(header: &[u8]) -> bool {
    let sum: u64 =
        header.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u64::from(*b) }).sum();
    number(&header[148..156]) == Some(sum)
}

/// Octal digits, or GNU's form for large ones.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        return field[1..]
            .iter()
            .try_fold(u64::from(field[0] & 0x7f), |n, b| Some(n.checked_mul(256)? + u64::from(*b)));
    }
    let text = std::str::from_utf8(until_zero(field)).ok()?.trim();
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

fn ustar(header: &[u8]) -> Vec<u8> {
    let (name, prefix) = (until_zero(&header[..100]), until_zero(&header[345..500]));
    if &header[257..262] == b"ustar" && header[262] == 0 && !prefix.is_empty() {
        [prefix, b"/", name].concat()
    } else {
        name.to_vec()
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

/// PAX: `length key=value\n`, again and again.
fn records(mut bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut out = Vec::new();
    while let Some(blank) = bytes.iter().position(|b| *b == b' ') {
        let length = std::str::from_utf8(&bytes[..blank]).ok().and_then(|n| n.parse::<usize>().ok());
        let Some(record) = length.and_then(|n| bytes.get(blank + 1..n.checked_sub(1)?)) else { break };
        if let Some(equals) = record.iter().position(|b| *b == b'=') {
            out.push((&record[..equals], &record[equals + 1..]));
        }
        bytes = length.and_then(|n| bytes.get(n..)).unwrap_or_default();
    }
    out
}
