//! Signatures of packages: ed25519 over the list of parts and their hashes.

use crate::hex;
use anyhow::{Context, Result, anyhow, ensure};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What every key file begins with.
const HEAD: &str = "anagama-signing-key ";

/// A key to sign with.
pub struct Key(Ed25519KeyPair);

/// The part of a package that says who made it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signature {
    /// In hex.
    pub(crate) key: String,
    signature: String,
}

impl Key {
    /// A new key, and the text of its file.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn generate() -> Result<(Self, String)> {
        let secret = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| anyhow!("no random numbers"))?;
        let text = format!("{HEAD}{}\n", hex(secret.as_ref()));
        Ok((Self::parse(&text)?, text))
    }

    /// The key in a file.
    ///
    /// # Errors
    /// No such file, or no key in it.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let secret = text.trim().strip_prefix(HEAD).and_then(unhex);
        let secret = secret.context("no signing key; `anagama plugin key FILE` makes one")?;
        Ed25519KeyPair::from_pkcs8(&secret).map(Self).map_err(|e| anyhow!("no signing key: {e}"))
    }

    /// The public half in hex.
    pub fn public(&self) -> String {
        hex(self.0.public_key().as_ref())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Signature {
        Signature { key: self.public(), signature: hex(self.0.sign(message).as_ref()) }
    }
}

impl Signature {
    pub(crate) fn check(&self, message: &[u8]) -> Result<()> {
        let parts = unhex(&self.key).zip(unhex(&self.signature)).context("the signature is no hex")?;
        let good = UnparsedPublicKey::new(&ED25519, &parts.0).verify(message, &parts.1).is_ok();
        ensure!(good, "its signature is wrong: it was changed after it was signed");
        Ok(())
    }
}

/// A public key as people compare it: the beginning of its sha256, in groups.
pub fn fingerprint(key: &str) -> String {
    let sum = crate::sha256(key.as_bytes());
    (0..4).map(|n| &sum[n * 4..n * 4 + 4]).collect::<Vec<_>>().join("-")
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signed_message_checks() {
        let (key, text) = Key::generate().unwrap();
        let same = Key::parse(&text).unwrap();
        assert_eq!(key.public(), same.public());
        let signature = same.sign(b"list");
        signature.check(b"list").unwrap();
        assert!(signature.check(b"lost").unwrap_err().to_string().contains("changed"));
        let (other, _) = Key::generate().unwrap();
        assert!(Signature { key: other.public(), ..signature }.check(b"list").is_err());
        assert_eq!(fingerprint(&key.public()).len(), 19);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "anagama-signing-key ", "anagama-signing-key 00ff", "anagama-signing-key xy", "00ff"] {
            assert!(Key::parse(text).is_err(), "{text}");
        }
        assert_eq!(unhex("0aff"), Some(vec![10, 255]));
    }
}
