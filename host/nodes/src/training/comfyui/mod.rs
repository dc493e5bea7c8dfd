//! ComfyUI's own nodes for training, with its names, inputs and outputs, so that its training workflows run here.

mod folder;
mod load_image_dataset_from_folder;
mod load_image_set_from_folder;
mod load_image_text_dataset_from_folder;
mod load_image_text_set_from_folder;
mod lora_model_loader;
mod loss_graph;
mod make_training_dataset;
mod resolution_bucket;
mod save_lora;
#[cfg(test)]
mod tests;
mod train_lora_node;

use crate::Make;
use engine::node;

pub(crate) const NODES: &[Make] = &[
    node::<load_image_set_from_folder::LoadImageSetFromFolderNode>,
    node::<load_image_text_set_from_folder::LoadImageTextSetFromFolderNode>,
    node::<load_image_dataset_from_folder::LoadImageDataSetFromFolder>,
    node::<load_image_text_dataset_from_folder::LoadImageTextDataSetFromFolder>,
    node::<make_training_dataset::MakeTrainingDataset>,
    node::<resolution_bucket::ResolutionBucket>,
    node::<train_lora_node::TrainLoraNode>,
    node::<lora_model_loader::LoraModelLoader>,
    node::<save_lora::SaveLoRA>,
    node::<loss_graph::LossGraphNode>,
];
