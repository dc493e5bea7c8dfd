//! Loading models: a diffusers folder, a checkpoint in one file, or parts from files of their own.

mod alone;
mod files;
mod folder;
mod single;
mod source;

pub use alone::{LoadedNetwork, LoadedTexts, LoadedVae, load_network, load_texts, load_vae};
pub(crate) use alone::{below, open};
pub use alone::{load_network_with, load_texts_with, load_vae_with};
pub(crate) use source::{Named, Source, shapes as shapes_of, whole};

use crate::error::{Error, Result};
use crate::family::{self, Family, Kind, Noise, Prediction, Shapes, TextRow};
use crate::latent::Latent;
use crate::memory::Memory;
use crate::network::Network;
use crate::text::Texts;
use crate::vae::{self, Vae};
use crate::weights::WeightFile;
use candle_core::{DType, Device};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A model with all its parts.
pub struct Loaded {
    /// What it is.
    pub family: &'static Family,
    /// The denoising network.
    pub network: Network,
    /// Tokenizers and text encoders.
    pub text: Texts,
    /// The autoencoder.
    pub vae: Vae,
    /// Its latents: the family's, with the scale that the checkpoint's VAE asks for.
    pub latent: Latent,
    /// What the network predicts.
    pub prediction: Prediction,
    /// The noise of its training.
    pub noise: Noise,
    /// SHA-256 over the files the model was read from, in hexadecimal.
    pub digest: String,
    /// What was recognised, and why, for people.
    pub found: Vec<String>,
}

/// Where the parts of a model are read from.
struct Sources {
    network: Source,
    vae: Source,
    texts: Vec<(&'static TextRow, Source)>,
}

impl Sources {
    /// Reads the parts; what they tell is added to `found`.
    fn load(
        self,
        family: &'static Family,
        (prediction, noise): (Prediction, Noise),
        digest: String,
        mut found: Vec<String>,
    ) -> Result<Loaded> {
        let parts = self.texts.iter().map(|(row, source)| (row.load)(source, row)).collect::<Result<Vec<_>>>()?;
        let vae = vae::load(&self.vae)?;
        let network = (family.network.load)(&self.network)?;
        for source in [self.network, self.vae].into_iter().chain(self.texts.into_iter().map(|(_, source)| source)) {
            found.extend(source.notes());
        }
        let (text, latent) = (Texts::new(family, parts), latent(family, &vae));
        Ok(Loaded { family, network, text, vae, latent, prediction, noise, digest, found })
    }
}

/// What a checkpoint in one file does not say itself.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A diffusers folder whose `config.json` files and tokenizers belong to the checkpoint. Without one, shapes are
    /// inferred from the tensors, and what does not show in them is as in the full-size models of the family.
    pub config_from: Option<PathBuf>,
    /// The budget of the working copies of weights, which networks loaded with the same one share; the device is the one
    /// that the model is loaded for.
    pub memory: Memory,
}

/// Loads a model from a diffusers folder or a single `.safetensors` file, to compute in f32 on a device; the file's weights
/// stay as they are and are widened where they are used.
pub fn load(path: &Path, device: &Device, dtype: DType) -> Result<Loaded> {
    load_with(path, device, dtype, &Options::default())
}

/// The same with what the file itself does not say.
pub fn load_with(path: &Path, device: &Device, dtype: DType, options: &Options) -> Result<Loaded> {
    if dtype != DType::F32 {
        return Err(Error::Unsupported(format!("networks compute in f32, not in {}", dtype.as_str())));
    }
    let options = &Options { memory: options.memory.on(device), ..options.clone() };
    let meta = std::fs::metadata(path).map_err(Error::io(path))?;
    let loaded = if meta.is_dir() { folder::load(path, options)? } else { single::load(path, options)? };
    check(path, loaded)
}

/// What a file or folder is, seen from its names and headers without reading weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// For people: `SD 1.x`, `a LoRA`, `SDXL` …
    pub name: &'static str,
    /// The family, if it is a checkpoint or network that can be loaded.
    pub family: Option<&'static str>,
    /// Why it is taken for that.
    pub reason: String,
}

/// Tells what a safetensors file or diffusers folder is. Files of an unknown kind are `None`; unreadable ones an error.
pub fn look_at(path: &Path) -> Result<Option<Seen>> {
    let files = match folder::network(path) {
        Some(folder) => files::weights(&folder, "diffusion_pytorch_model")?,
        None => vec![Arc::new(WeightFile::open(path)?)],
    };
    Ok(family::recognise(&shapes(&files)).map(|(kind, reason)| {
        let family = match kind {
            Kind::Family(family) => Some(family.name),
            Kind::Other(_) => None,
        };
        Seen { name: kind.name(), family, reason }
    }))
}

/// Checks that the parts fit together.
fn check(path: &Path, loaded: Loaded) -> Result<Loaded> {
    let takes = loaded.network.takes();
    let widths: Vec<usize> = loaded.text.parts().iter().map(|part| part.width()).collect();
    // A family reads one encoder, several side by side, or one of several: the sum or one of the widths.
    if widths.iter().sum::<usize>() != takes.context && !widths.contains(&takes.context) {
        let what = format!(
            "the text encoders give states of {} features, the network takes {}: parts of two models",
            widths.iter().map(usize::to_string).collect::<Vec<_>>().join(" + "),
            takes.context
        );
        return Err(Error::file(path, what));
    }
    let (vae, network) = (loaded.vae.config().latent_channels, takes.out_channels);
    if vae != network {
        return Err(Error::file(
            path,
            format!("the VAE has {vae} latent channels, the network {network}: parts of two models"),
        ));
    }
    Ok(loaded)
}

/// The family's latents with the scale that a VAE's config states.
fn latent(family: &Family, vae: &Vae) -> Latent {
    let config = vae.config();
    Latent {
        factor: config.factor(),
        scaling: config.scaling_factor.unwrap_or(family.latent.scaling),
        shift: config.shift_factor.unwrap_or(family.latent.shift),
        ..family.latent
    }
}

/// The family of a file's keys, if it is a checkpoint or network.
fn recognise(path: &Path, shapes: &Shapes) -> Result<(&'static Family, String)> {
    let what = match family::recognise(shapes) {
        Some((Kind::Family(family), reason)) => return Ok((family, reason)),
        Some((Kind::Other(mark), reason)) => {
            format!("this is {}, not a checkpoint ({reason}); {}", mark.name, mark.advice)
        }
        None => format!(
            "no family is recognised by its {} keys; expected a checkpoint of {}",
            shapes.len(),
            family::FAMILIES.iter().map(|f| f.name).collect::<Vec<_>>().join(", ")
        ),
    };
    Err(Error::file(path, what))
}

fn shapes(files: &[Arc<WeightFile>]) -> Shapes {
    files.iter().flat_map(|file| file.entries.iter().map(|(key, e)| (key.clone(), e.shape.clone()))).collect()
}
