//! Everything that needs more than one crate, in one binary: linking it is the dear part.
#![allow(clippy::unwrap_used)]

mod conformance;
mod docs;
mod faults;
mod pack;
mod tidy;
mod workflows;
