//! Every built-in node, one file each, and the nodes that plugins become.
//!
//! Glue between the graph and the crates that do the work: no algorithm lives here. A category is a folder with a
//! table `NODES`; [`builtin`] is the loop over them. Start at [`types`], the objects that travel between nodes.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod canvas;
mod chart;
mod codecs;
mod compare;
mod conditioning;
mod dataset;
mod evaluate;
mod files;
mod host;
mod image;
mod latent;
mod loaders;
mod model_list;
mod networks;
mod plugins;
mod report;
mod sampling;
mod scale;
mod shared;
mod sizes;
#[cfg(test)]
mod testing;
mod training;
pub mod types;
mod utilities;

pub use codecs::result_cache;
pub use host::{Host, ModelDirs};
pub use model_list::ModelEntry;
pub use models::formats as model_formats;
pub use networks::OwnNetworks;
pub use plugins::plugin_nodes;
pub use sampling::PreviewMethod;
pub use shared::Shared;
pub use sizes::outputs_size;
pub use training::jobs::{ORDERS, Order, TrainingJob, find_training, order, training_jobs};

use engine::Node;
use std::sync::Arc;

/// Makes one node.
pub(crate) type Make = fn() -> Arc<dyn Node>;

/// The nodes of each category.
const CATEGORIES: &[&[Make]] = &[
    loaders::NODES,
    conditioning::NODES,
    latent::NODES,
    sampling::NODES,
    image::NODES,
    dataset::NODES,
    training::NODES,
    training::OPTIONS,
    training::COMFYUI,
    compare::NODES,
    evaluate::NODES,
    report::NODES,
    utilities::NODES,
];

/// All built-in nodes.
pub fn builtin() -> Vec<Arc<dyn Node>> {
    CATEGORIES.iter().flat_map(|nodes| nodes.iter()).map(|make| make()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_node_describes_itself() {
        let mut ids = BTreeSet::new();
        for node in builtin() {
            let spec = node.spec();
            assert!(ids.insert(spec.id.clone()), "{} is there twice", spec.id);
            assert!(!spec.description.is_empty(), "{} has no description", spec.id);
            assert!(!spec.category.is_empty(), "{} has no category", spec.id);
            for input in &spec.inputs {
                assert!(input.tooltip.is_some(), "{}.{} has no tooltip", spec.id, input.name);
            }
        }
    }

    #[test]
    fn what_persistent_nodes_give_can_be_stored() {
        for node in builtin().iter().filter(|n| n.persistent()) {
            for output in &node.spec().outputs {
                assert!(codecs::can_store(&output.socket), "{}: no codec for {:?}", node.spec().id, output.socket);
            }
        }
    }
}
