//! Scores that need no plugin, comparing checkpoints by their scores, and choosing one.

mod choose;
mod held_out_loss;
mod nearest_training_image;
mod ranking;
mod rows;
mod table;

pub(crate) use ranking::goodness;
pub(crate) use rows::{Means, groups, shared};

use crate::Make;
use engine::node;

pub(crate) const NODES: &[Make] = &[
    node::<nearest_training_image::NearestTrainingImage>,
    node::<held_out_loss::HeldOutLoss>,
    node::<table::EvaluationTable>,
    node::<choose::ChooseCheckpoint>,
];
