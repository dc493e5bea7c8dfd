//! Runs and packed bits, which levels and places in dictionaries are written in. Source: github.com/apache/parquet-format,
//! Encodings.md, «Run Length Encoding / Bit-Packing Hybrid».

use crate::thrift::Result;

/// Bits that numbers up to `most` need.
pub(crate) fn width(most: u8) -> u32 {
    u8::BITS - most.leading_zeros()
}

/// `count` numbers of `width` bits, none above `most`.
pub(crate) fn numbers(bytes: &[u8], width: u32, count: usize, most: u32) -> Result<Vec<u32>> {
    if width > u32::BITS {
        return Err("numbers are wider than 32 bits");
    }
    let mut out = Vec::with_capacity(count.min(1 << 16));
    let mut rest = bytes;
    while out.len() < count {
        let head = varint(&mut rest)?;
        let wanted = count - out.len();
        let length = usize::try_from(head >> 1).map_err(|_| "a run is too long")?;
        if length == 0 {
            return Err("a run has no values");
        }
        if head & 1 == 1 {
            let wanted = wanted.min(length.saturating_mul(8));
            // The last group may be cut to what is needed.
            let needed = (wanted * width as usize).div_ceil(8);
            let all = length.saturating_mul(width as usize);
            let packed = rest.get(..needed).ok_or("its levels end early")?;
            (0..wanted).for_each(|at| out.push(bits(packed, at * width as usize, width)));
            rest = rest.get(all..).unwrap_or_default();
        } else {
            let size = width.div_ceil(8) as usize;
            let value = rest.get(..size).ok_or("its levels end early")?;
            let value = value.iter().rev().fold(0u32, |n, b| n << 8 | u32::from(*b));
            rest = &rest[size..];
            out.resize(out.len() + wanted.min(length), value);
        }
    }
    if out.iter().any(|n| *n > most) { Err("a level or a place is larger than there are") } else { Ok(out) }
}

/// `width` bits from bit `from` on, lowest first.
fn bits(bytes: &[u8], from: usize, width: u32) -> u32 {
    let mut out = 0u64;
    let first = from / 8;
    for (at, byte) in bytes.iter().skip(first).take(5).enumerate() {
        out |= u64::from(*byte) << (8 * at);
    }
    (out >> (from % 8) & ((1u64 << width) - 1)) as u32
}

fn varint(rest: &mut &[u8]) -> Result<u64> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let (byte, after) = rest.split_first().ok_or("its levels end early")?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a run is too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_format_are_read() {
        // 0 to 7 in three bits each, from Encodings.md.
        assert_eq!(numbers(&[3, 0x88, 0xc6, 0xfa], 3, 8, 7).unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
        // A run of five, then packed ones of which three are meant.
        assert_eq!(numbers(&[10, 2, 3, 0b0100_0110], 1, 8, 2).unwrap(), [2, 2, 2, 2, 2, 0, 1, 1]);
        assert_eq!(numbers(&[4, 1, 2, 0, 0], 17, 1, u32::MAX).unwrap(), [0x201]);
        assert_eq!(numbers(&[200, 1], 0, 100, 0).unwrap(), [0; 100]);
        assert_eq!([0, 1, 2, 3, 4, 255].map(width), [0, 1, 2, 2, 3, 8]);
        let broken: [(&[u8], u32); 6] = [(&[], 1), (&[0, 1], 1), (&[3], 1), (&[4], 8), (&[0x80; 12], 1), (&[4, 9], 4)];
        for (bytes, bits) in broken {
            assert!(numbers(bytes, bits, 2, 7).is_err(), "{bytes:?}");
        }
        assert!(numbers(&[4, 1], 33, 2, 7).is_err());
    }
}
