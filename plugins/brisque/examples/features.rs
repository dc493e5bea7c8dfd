//! Prints features and score of binary PGM files as JSON, one a line: `cargo run -p brisque --example features -- FILE…`.

use std::io::{Error, ErrorKind};

fn main() -> std::io::Result<()> {
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path)?;
        let wrong = |what: &str| Error::new(ErrorKind::InvalidData, format!("{path}: {what}"));
        let (width, height, grey) = pgm(&bytes).ok_or_else(|| wrong("expected a binary PGM (P5) of 8 bits"))?;
        let features = brisque::features(grey, width, height).ok_or_else(|| wrong("too small, or flat"))?;
        println!("{{\"features\": {features:?}, \"score\": {:?}}}", brisque::score(&features));
    }
    Ok(())
}

/// Width, height and bytes of a PGM without comments.
fn pgm(bytes: &[u8]) -> Option<(usize, usize, &[u8])> {
    let mut rest = bytes.strip_prefix(b"P5")?;
    let mut number = || {
        let start = rest.iter().position(u8::is_ascii_digit)?;
        let length = rest[start..].iter().position(|b| !b.is_ascii_digit())?;
        let value: usize = std::str::from_utf8(&rest[start..start + length]).ok()?.parse().ok()?;
        rest = &rest[start + length..];
        Some(value)
    };
    let (width, height, most) = (number()?, number()?, number()?);
    let pixels = rest.get(1..)?;
    (most == 255 && pixels.len() == width.checked_mul(height)?).then_some((width, height, pixels))
}
