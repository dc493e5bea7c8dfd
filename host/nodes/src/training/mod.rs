//! Training networks.

mod train_lora;

use crate::Make;
use engine::node;

pub(crate) const NODES: &[Make] = &[node::<train_lora::TrainLora>];
