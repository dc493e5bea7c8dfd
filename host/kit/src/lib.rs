//! What `anagama plugin` does: new plugins from templates, building, a conformance suite, packages, installing them.
//!
//! It knows plugins through `loader`, as the host does, and no graph, node or network. Start at [`create`], [`build`],
//! [`suite::run`], [`pack`] and [`install::install`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod asks;
mod create;
mod index;
pub mod install;
mod interfaces;
mod interpreted;
mod make;
mod package;
mod project;
mod sdk;
mod sign;
pub mod suite;
mod watch;

pub use asks::asks;
pub use create::{Lang, create};
pub use index::{Index, Offer};
pub use interfaces::interfaces;
pub use interpreted::tool;
pub use make::{Making, build};
pub use package::{EXTENSION, Package, pack};
pub use project::{DIST, Project};
pub use sign::{Key, fingerprint};
pub use watch::watch;

use loader::Kind;

/// Kinds by the words that commands take.
const WORDS: [(Kind, &str); 5] = [
    (Kind::Captioner, "captioner"),
    (Kind::DatasetSource, "dataset-source"),
    (Kind::TagFilter, "tag-filter"),
    (Kind::Evaluator, "evaluator"),
    (Kind::Node, "node"),
];

/// The word for a kind.
pub fn word(kind: Kind) -> &'static str {
    WORDS.iter().find(|(k, _)| *k == kind).map_or("node", |(_, word)| word)
}

/// The kind that a word means: `captioner`, `dataset-source` or `source`, `tag-filter` or `filter`, `evaluator`, `node`.
pub fn kind(word: &str) -> Option<Kind> {
    WORDS.iter().find(|(_, w)| *w == word || w.split('-').next_back() == Some(word)).map(|(k, _)| *k)
}

/// All kinds, for help and messages.
pub fn kinds() -> Vec<&'static str> {
    WORDS.iter().map(|(_, w)| *w).collect()
}

/// sha256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex(&sha2::Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_words_and_short_words() {
        for (k, w) in WORDS {
            assert_eq!((kind(w), word(k)), (Some(k), w));
        }
        assert_eq!(kind("source"), Some(Kind::DatasetSource));
        assert_eq!(kind("filter"), Some(Kind::TagFilter));
        assert_eq!(kind("painter"), None);
    }
}
