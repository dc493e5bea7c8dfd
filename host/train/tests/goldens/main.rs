//! Comparison with the reference data in `tests/reference`, or in the folder that `ANAGAMA_REFERENCE` names. Cases,
//! sizes and settings are found in the files.
#![allow(clippy::unwrap_used)]

mod captions;
mod casts;
mod dataset;
mod losses;
mod network_gradients;
mod optimizers;
mod python_random;
mod reference;
mod schedules;
mod training;
