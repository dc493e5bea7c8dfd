//! Checksums that others state of a file: `md5:…`, `sha1:…`, `sha256:…`, `sha512:…`.

use sha2::Digest;

/// Why a file is not the one that was described.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChecksumError {
    #[error("expected a file with {stated}, found one of {length} bytes with {found}; it was cut off or replaced")]
    Different { stated: String, found: String, length: usize },
    #[error("expected a checksum such as md5:d41d8cd98f00b204e9800998ecf8427e, found {0:?}; known are {KNOWN}")]
    Unknown(String),
}

const KNOWN: &str = "md5, sha1, sha256, sha512";

/// Compares a file with the checksum that was stated for it.
///
/// # Errors
/// It is another file, or the checksum is of an unknown kind.
pub fn check(stated: &str, bytes: &[u8]) -> Result<(), ChecksumError> {
    let unknown = || ChecksumError::Unknown(stated.to_owned());
    let (kind, hex) = stated.split_once(':').ok_or_else(unknown)?;
    let found = match kind {
        "md5" => format!("{:x}", md5::Md5::digest(bytes)),
        "sha1" => format!("{:x}", sha1::Sha1::digest(bytes)),
        "sha256" => format!("{:x}", sha2::Sha256::digest(bytes)),
        "sha512" => format!("{:x}", sha2::Sha512::digest(bytes)),
        _ => return Err(unknown()),
    };
    if found.len() != hex.len() {
        return Err(unknown());
    }
    if found.eq_ignore_ascii_case(hex) {
        return Ok(());
    }
    Err(ChecksumError::Different { stated: stated.to_owned(), found: format!("{kind}:{found}"), length: bytes.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_checksums_of_known_bytes() {
        // RFC 1321 and FIPS 180: the message "abc".
        let good = [
            "md5:900150983cd24fb0d6963f7d28e17f72",
            "md5:900150983CD24FB0D6963F7D28E17F72",
            "sha1:a9993e364706816aba3e25717850c26c9cd0d89d",
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ];
        for stated in good {
            assert_eq!(check(stated, b"abc"), Ok(()), "{stated}");
            assert!(matches!(check(stated, b"abd"), Err(ChecksumError::Different { .. })));
        }
        for stated in ["", "md5", "md5:12", "crc32:352441c2", "sha256:900150983cd24fb0d6963f7d28e17f72"] {
            assert!(matches!(check(stated, b"abc"), Err(ChecksumError::Unknown(_))), "{stated}");
        }
    }
}
