//! Amounts of memory as they are written, and the usual one.

use anyhow::{Context, Result, ensure};

/// Units by their names in small letters; a thousand is 1000, «i» makes it 1024.
const UNITS: [(&str, u64); 11] = [
    ("", 1),
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("g", 1 << 30),
];

/// Bytes of `8 GiB`, `512 MiB`, `6.5GB`, or `unlimited`.
pub(crate) fn parse(text: &str) -> Result<usize> {
    let text = text.trim();
    if text == "unlimited" {
        return Ok(usize::MAX);
    }
    let expected = || format!("expected an amount such as `8 GiB`, or `unlimited`; found `{text}`");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok().with_context(expected)?;
    let unit = text[digits..].trim().to_ascii_lowercase();
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).with_context(expected)?;
    ensure!(number > 0.0, expected());
    Ok((number * *factor as f64) as usize)
}

/// Half of the memory that this program could have; no limit where that cannot be told.
pub(crate) fn usual() -> usize {
    crate::machine::memory().map_or(usize::MAX, |memory| usize::try_from(memory.total / 2).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read() {
        assert_eq!(parse("8 GiB").unwrap(), 8 << 30);
        assert_eq!(parse("512mib").unwrap(), 512 << 20);
        assert_eq!(parse("1.5 GB").unwrap(), 1_500_000_000);
        assert_eq!(parse("4096").unwrap(), 4096);
        assert_eq!(parse("unlimited").unwrap(), usize::MAX);
        for wrong in ["", "GiB", "8 apples", "-1 GiB", "0", "1e9"] {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(error.contains("`8 GiB`"), "{wrong}: {error}");
        }
        assert!(usual() > 1 << 20);
    }
}
