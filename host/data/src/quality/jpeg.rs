//! How hard a JPEG was compressed, as its tables tell: they are those of the standard's annex, times a factor that most
//! programs derive from a quality of 1 to 100. It says nothing of earlier rounds.

/// The luminance table of the standard's annex K, in zigzag order.
const STANDARD: [u16; 64] = [
    16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61,
    60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103, 62, 77, 113,
    121, 112, 100, 120, 92, 101, 103, 99,
];

/// The quality; none if it is no JPEG, or has no such table.
pub(super) fn quality(bytes: &[u8]) -> Option<f64> {
    let table = luminance(bytes)?;
    let ratio: f64 = table.iter().zip(STANDARD).map(|(q, s)| f64::from(*q) / f64::from(s)).sum::<f64>() / 64.0;
    let percent = ratio * 100.0;
    let quality = if percent <= 100.0 { (200.0 - percent) / 2.0 } else { 5000.0 / percent };
    Some(quality.clamp(1.0, 100.0).round())
}

/// The first quantisation table.
fn luminance(bytes: &[u8]) -> Option<[u16; 64]> {
    let mut rest = bytes.strip_prefix(b"\xff\xd8")?;
    loop {
        let [0xff, marker, hi, lo, tail @ ..] = rest else { return None };
        if *marker == 0xff {
            rest = &rest[1..];
            continue;
        }
        let length = usize::from(u16::from_be_bytes([*hi, *lo])).checked_sub(2)?;
        let (segment, after) = (tail.get(..length)?, tail.get(length..)?);
        match marker {
            0xdb => {
                let (kind, values) = segment.split_first()?;
                let mut table = [0; 64];
                for (i, v) in table.iter_mut().enumerate() {
                    *v = if kind >> 4 == 0 {
                        u16::from(*values.get(i)?)
                    } else {
                        u16::from_be_bytes([*values.get(2 * i)?, *values.get(2 * i + 1)?])
                    };
                }
                if kind & 15 == 0 {
                    return Some(table);
                }
            }
            0xda | 0xd9 => return None,
            _ => {}
        }
        rest = after;
    }
}
