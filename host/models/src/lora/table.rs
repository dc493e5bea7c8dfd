//! Which kinds are read in which naming for which family: a cell each, with the reason where one is not.

use super::kinds::{Kind, On};
use super::layouts::{LAYOUTS, Layout};
use super::namings::{Ends, Naming};
use crate::family::Family;

/// Whether files of a kind in a naming are read for a family's denoising network, or why not.
pub fn support(family: &Family, naming: &Naming, kind: &Kind) -> Result<(), &'static str> {
    let Some(layout) = layout(family) else { return Err("nothing is known of its layers' names") };
    if naming.component.is_some_and(|only| only != layout.component) {
        return Err("no program names the layers of such a network so");
    }
    if naming.ends == Ends::Processor && kind.marks != PROCESSOR {
        return Err("the names have a place for the two matrices of LoRA alone");
    }
    if kind.on == On::Kernels && !layout.kernels {
        return Err("the network has no kernels to take apart");
    }
    Ok(())
}

/// Marks of the kind that attention processors can hold.
const PROCESSOR: &[&str] = &["lora_down", "lora_up"];

/// How the family's denoising network is written down.
pub(super) fn layout(family: &Family) -> Option<&'static Layout> {
    LAYOUTS.iter().find(|layout| layout.component == family.network.folder)
}
