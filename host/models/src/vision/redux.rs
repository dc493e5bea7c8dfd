//! Flux.1 Redux (Black Forest Labs 2024): SigLIP's states of a picture as states of a text.

use crate::error::{Error, Result};
use crate::layers::{LayerId, Layers};
use crate::load::{below, open, shapes_of, whole};
use crate::memory::Memory;
use crate::ops;
use crate::unet::infer::dim;
use crate::weights::Build;
use candle_core::Tensor;
use std::path::Path;
use std::sync::Arc;

/// Turns a picture's states into those of a text. Cheap to clone.
#[derive(Clone)]
pub struct StyleModel(Arc<Net>);

/// A style model, as its loader gives it.
pub struct LoadedStyle {
    pub net: StyleModel,
    /// How it was read, for people.
    pub found: Vec<String>,
}

struct Net {
    /// Features of a picture's states.
    inp: usize,
    up: LayerId,
    down: LayerId,
    layers: Layers,
}

/// Loads Flux.1 Redux from a `.safetensors` file.
///
/// # Errors
/// Files that are none, and keys that are missing, misshapen or left over.
pub fn load_style_model(path: &Path, memory: &Memory) -> Result<LoadedStyle> {
    let (files, ..) = open(path, "model")?;
    let mut source = below(path, &files, &[]);
    source.memory = memory.clone();
    if !source.has("redux_down.") {
        return Err(source.wrong(
            "this is no Flux.1 Redux: it has no `redux_down`. The style adapters of SD 1.x (T2I) are not read",
        ));
    }
    let entries = source.entries(|key, piece| whole(key.to_owned(), piece));
    let shapes = shapes_of(&entries);
    let size = |key: &str, at: usize| dim(&shapes, key, at).map_err(|what| source.wrong(what));
    let (inp, inside, out) = (size("redux_up.weight", 1)?, size("redux_up.weight", 0)?, size("redux_down.weight", 0)?);
    let net = source.build(entries, |part| {
        let mut b = Build::new(part, "");
        let (up, down) = (b.linear("redux_up", inp, inside)?, b.linear("redux_down", inside, out)?);
        Ok(Net { inp, up, down, layers: b.layers })
    })?;
    source.note(format!("Flux.1 Redux: {inp} features of a picture to {out} of a text"));
    Ok(LoadedStyle { net: StyleModel(Arc::new(net)), found: source.notes() })
}

impl StyleModel {
    /// A picture's states (b, n, d) as those of a text (b, n, e).
    ///
    /// # Errors
    /// States of another encoder.
    pub fn text(&self, states: &Tensor) -> Result<Tensor> {
        let Net { inp, up, down, layers } = &*self.0;
        let (_, _, d) = states.dims3()?;
        if d != *inp {
            return Err(Error::Unsupported(format!(
                "this style model takes pictures of {inp} features, found {d}; Flux.1 Redux goes with the vision encoder \
                 sigclip_vision_patch14_384"
            )));
        }
        let inside = ops::silu(&layers.run(*up, &states.to_device(layers.device())?)?)?;
        Ok(layers.run(*down, &inside)?.to_device(states.device())?)
    }
}
