//! Random names.

/// A random UUID in its canonical form.
pub(crate) fn new_uuid() -> String {
    let mut bytes = random::<16>();
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let hex = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A random name in hex, as clients without an id of their own get one.
pub(crate) fn new_id() -> String {
    hex(&random::<16>())
}

/// A random word for those who may come in.
pub fn new_token() -> String {
    hex(&random::<24>())
}

/// Is it a UUID in small letters with its dashes?
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Bytes from the system's source of randomness.
///
/// # Panics
/// There is none: nothing that is to be secret could be made then.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has no source of randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ids_are_uuids_and_differ() {
        let (a, b) = (new_uuid(), new_uuid());
        assert!(is_uuid(&a) && a != b, "{a} {b}");
        assert_eq!(&a[14..15], "4");
        for wrong in ["", "x", &a.to_uppercase(), &a[1..], &a.replace('-', "0")] {
            assert!(!is_uuid(wrong), "{wrong}");
        }
    }
}
