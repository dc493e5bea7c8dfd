//! Text chunks of PNG files: where ComfyUI keeps the workflow of a picture.

use std::collections::BTreeMap;

const SIGNATURE: usize = 8;
/// End of the signature and the IHDR chunk, which is always first.
const HEADER: usize = SIGNATURE + 25;

/// The uncompressed `tEXt` and `iTXt` chunks by keyword.
pub(super) fn read(png: &[u8]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut at = SIGNATURE;
    while let Some(head) = png.get(at..at + 8) {
        let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(body) = (at + 8).checked_add(len).and_then(|end| png.get(at + 8..end)) else { break };
        let entry = match &head[4..] {
            b"tEXt" => latin_text(body),
            b"iTXt" => international_text(body),
            _ => None,
        };
        found.extend(entry);
        at += len + 12;
    }
    found
}

fn latin_text(body: &[u8]) -> Option<(String, String)> {
    let (key, value) = split_at_zero(body)?;
    let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap_or_else(|_| b.iter().map(|c| char::from(*c)).collect());
    Some((text(key), text(value)))
}

fn international_text(body: &[u8]) -> Option<(String, String)> {
    let (key, rest) = split_at_zero(body)?;
    let [0, _method, rest @ ..] = rest else { return None };
    let (_language, rest) = split_at_zero(rest)?;
    let (_translated, value) = split_at_zero(rest)?;
    Some((String::from_utf8_lossy(key).into_owned(), String::from_utf8_lossy(value).into_owned()))
}

fn split_at_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let zero = bytes.iter().position(|b| *b == 0)?;
    Some((&bytes[..zero], &bytes[zero + 1..]))
}

/// Puts the texts behind the header: `tEXt` where ASCII suffices (what ComfyUI writes and reads), else `iTXt`.
pub(super) fn insert(png: Vec<u8>, texts: &BTreeMap<String, String>) -> Vec<u8> {
    if texts.is_empty() || png.len() < HEADER {
        return png;
    }
    let mut out = png[..HEADER].to_vec();
    for (key, value) in texts {
        let key: String = key.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(79).collect();
        let mut chunk;
        if value.is_ascii() {
            chunk = b"tEXt".to_vec();
            chunk.extend_from_slice(key.as_bytes());
            chunk.push(0);
        } else {
            chunk = b"iTXt".to_vec();
            chunk.extend_from_slice(key.as_bytes());
            chunk.extend_from_slice(&[0; 5]);
        }
        chunk.extend_from_slice(value.as_bytes());
        out.extend_from_slice(&((chunk.len() - 4) as u32).to_be_bytes());
        out.extend_from_slice(&chunk);
        out.extend_from_slice(&crc32(&chunk).to_be_bytes());
    }
    out.extend_from_slice(&png[HEADER..]);
    out
}

/// CRC-32 of PNG chunks (ISO 3309), bit by bit: the texts are short.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use crate::image::{Codec, DecodeLimits, Image};
    use crate::testing::gradient;

    #[test]
    fn texts_survive_a_round_trip() {
        let img = gradient(5, 4).with_metadata("prompt", "{\"3\":{}}").with_metadata("title", "Töpferofen");
        let back = Image::decode(&img.encode(Codec::Png, 0).unwrap(), &DecodeLimits::default()).unwrap();
        assert_eq!(back, img);
    }
}
