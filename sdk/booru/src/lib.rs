//! Tags as image boards write them, and the tagger models that speak their vocabulary.
//!
//! For plugins that write, rewrite or look for tags: names with underscores, spaces and kaomoji ([`names`]), and
//! the file format of the WD taggers over the host's `inference` interface ([`wd`]), and what they said of a picture, from
//! which tags are chosen ([`scores`]). It rewrites no captions. Start at [`wd::Tagger`] or [`names::key`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod labels;
mod mapping;
pub mod names;
pub mod scores;
pub mod wd;

#[cfg(test)]
mod fuzz_tests;
