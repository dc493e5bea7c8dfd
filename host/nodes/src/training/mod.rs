//! Training networks.

mod comfyui;
mod job;
pub(crate) mod jobs;
mod load_training_state;
mod options;
mod save_checkpoints;
mod settings;
mod train_lora;
mod train_preset;
mod training_plan;

use crate::Make;
use engine::node;

pub(crate) const NODES: &[Make] = &[
    node::<training_plan::TrainingPlan>,
    node::<train_lora::TrainLora>,
    node::<load_training_state::LoadTrainingState>,
    node::<save_checkpoints::SaveCheckpoints>,
    node::<train_preset::TrainPreset>,
];
pub(crate) const OPTIONS: &[Make] = options::NODES;
pub(crate) const COMFYUI: &[Make] = comfyui::NODES;
