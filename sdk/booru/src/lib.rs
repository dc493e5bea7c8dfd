//! Tags as image boards write them, and the tagger models that speak their vocabulary.
//!
//! For plugins that write, rewrite or look for tags: names with underscores, spaces and kaomoji ([`names`]), and
//! the file format of the WD taggers over the host's `inference` interface ([`wd`]). It rewrites no captions and
//! decides no thresholds by itself. Start at [`wd::Tagger`] or [`names::key`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod labels;
pub mod names;
pub mod wd;

#[cfg(test)]
mod fuzz_tests;
