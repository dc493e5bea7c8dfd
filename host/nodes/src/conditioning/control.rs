//! What the nodes that apply ControlNets share.

use crate::types::{Conditioning, Control};
use std::sync::Arc;

/// Every prompt follows this picture too, beside those that it followed. A strength of 0 changes nothing.
pub(super) fn follow(conditioning: &Arc<Conditioning>, control: &Control) -> Arc<Conditioning> {
    if control.strength == 0.0 {
        return conditioning.clone();
    }
    Arc::new(conditioning.map(|one| {
        one.control = Some(Arc::new(Control { before: one.control.take(), ..control.clone() }));
    }))
}
