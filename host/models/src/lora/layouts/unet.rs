//! UNets: ours are diffusers' modules, each of which is one in the original code too.

use super::{Layout, Parameter, Place, Rows, Spelling};

pub(super) const UNET: Layout = Layout { component: "unet", kernels: true, mark: "down_blocks.", spell };

fn spell(parameters: &[Parameter]) -> Vec<Spelling> {
    let spelling = |parameter: &Parameter| Spelling {
        diffusers: Some(parameter.path.clone()),
        original: Some(parameter.original.clone()).filter(|original| !original.is_empty()),
        place: Place::of(parameter, Rows::All),
    };
    parameters.iter().map(spelling).collect()
}
