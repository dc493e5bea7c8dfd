//! Checkpoints side by side: the same prompts and seeds, everything else equal.

mod cells;
mod checkpoint_grid;
mod draw;
mod lists;
mod save_grid;
#[cfg(test)]
mod tests;
mod while_training;

use crate::Make;
use engine::node;
pub(crate) use while_training::Samples;

pub(crate) const NODES: &[Make] = &[node::<checkpoint_grid::CheckpointGrid>, node::<save_grid::SaveGrid>];
