//! Training networks.

mod job;
mod options;
mod settings;
mod train_lora;
mod training_plan;

use crate::Make;
use engine::node;

pub(crate) const NODES: &[Make] = &[node::<train_lora::TrainLora>, node::<training_plan::TrainingPlan>];
pub(crate) const OPTIONS: &[Make] = options::NODES;
