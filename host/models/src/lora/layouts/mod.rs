//! What the modules of our networks are called by others: in diffusers, and in the code that the family was published
//! with; and where they lie in our layers, which may hold several of theirs in one matrix.

mod flux;
mod unet;

use super::place::{Place, Rows};

/// A parameter of one of our networks: a weight, perhaps with a bias.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    /// The path that patches are given for.
    pub(crate) path: String,
    /// The module's path in the code that the family was published with.
    pub(crate) original: String,
    /// Shape of the weight: (out, in), (out, in, k, k), or (c) of a normalisation.
    pub(crate) shape: Vec<usize>,
    /// Whether it has a bias, or may get one: normalisations of root mean squares have none.
    pub(crate) bias: bool,
}

/// A module under the names that others have for it.
#[derive(Clone, Debug)]
pub(crate) struct Spelling {
    /// In diffusers; none where our module is several there.
    pub(crate) diffusers: Option<String>,
    /// In the code that the family was published with; none where our module is part of one there.
    pub(crate) original: Option<String>,
    pub(crate) place: Place,
}

/// How a denoising network is written down.
pub(crate) struct Layout {
    /// The folder in diffusers, which begins the names of modules there.
    pub(crate) component: &'static str,
    /// Whether it has convolutions of more than a pixel.
    pub(crate) kernels: bool,
    /// Paths of ours begin like this.
    mark: &'static str,
    spell: fn(&[Parameter]) -> Vec<Spelling>,
}

pub(crate) static LAYOUTS: &[Layout] = &[unet::UNET, flux::TRANSFORMER];

impl Layout {
    /// The layout that a network's paths are of.
    pub(crate) fn of(parameters: &[Parameter]) -> Option<&'static Layout> {
        LAYOUTS.iter().find(|layout| parameters.iter().any(|p| p.path.starts_with(layout.mark)))
    }

    /// All modules under their names.
    pub(crate) fn spell(&self, parameters: &[Parameter]) -> Vec<Spelling> {
        (self.spell)(parameters)
    }
}

/// A text encoder's modules: those of transformers are ours.
pub(crate) fn text(parameters: &[Parameter]) -> Vec<Spelling> {
    parameters
        .iter()
        .map(|p| Spelling { diffusers: Some(p.path.clone()), original: None, place: Place::of(p, Rows::All) })
        .collect()
}
