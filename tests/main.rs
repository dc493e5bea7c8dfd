//! Everything that needs more than one crate, in one binary: linking it is the dear part.
#![allow(clippy::unwrap_used)]

mod archives;
mod board_to_lora;

// Its name is that of the group; `tests/booru` holds the recordings.
#[path = "boards/mod.rs"]
mod booru;
mod captions;
mod conformance;
mod docs;
mod faults;
mod fuzz;
mod kit;
mod pack;
mod tidy;
mod workflows;
