//! Comparing checkpoints by their scores, and choosing one.

mod choose;
mod ranking;
mod table;

pub(crate) use ranking::goodness;

use crate::Make;
use engine::node;

pub(crate) const NODES: &[Make] = &[node::<table::EvaluationTable>, node::<choose::ChooseCheckpoint>];
