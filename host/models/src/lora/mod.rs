//! LoRA files: reading them and putting them onto a network and its text encoders. Reads LoRA and LoCon in kohya's names and in
//! those of PEFT and diffusers; other networks (LoHa, LoKr, DoRA …) are refused by name.

mod names;

use crate::adapter::{LoraRef, TargetKind};
use crate::error::{Error, Result};
use crate::family::{self, Kind};
use crate::network::Network;
use crate::patch::{Patch, Patched};
use crate::text::Texts;
use crate::weights::{Entry, WeightFile};
use candle_core::{Device, Tensor};
use names::{Leaf, Targets};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use crate::patch::How;

/// A LoRA file, read and checked, not yet matched with a model.
pub struct File {
    path: PathBuf,
    metadata: HashMap<String, String>,
    modules: BTreeMap<String, Arc<Module>>,
    digest: String,
}

/// The matrices of one layer.
struct Module {
    /// (r, in) or (r, in, k, k); (r, in, 1, 1) where there is a `mid`.
    down: Tensor,
    /// (out, r) or (out, r, 1, 1)
    up: Tensor,
    /// Tucker core (r, r, k, k).
    mid: Option<Tensor>,
    alpha: Option<f64>,
}

/// What becomes of keys that fit no layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmatched {
    /// They are an error.
    Error,
    /// They are a warning, and the rest is used.
    Warn,
}

/// Networks with a LoRA.
pub struct Applied {
    /// The denoising network with the LoRA's layers.
    pub network: Network,
    /// The text encoders with the LoRA's layers.
    pub text: Texts,
    /// What was left out, for people.
    pub warnings: Vec<String>,
}

impl File {
    /// Reads a `.safetensors` file.
    pub fn read(path: &Path) -> Result<File> {
        let file = WeightFile::open(path)?;
        let mut parts: BTreeMap<&str, BTreeMap<Leaf, (&str, &Entry)>> = BTreeMap::new();
        let mut others = Vec::new();
        for (key, entry) in &file.entries {
            match names::split(key) {
                Some((module, leaf)) => {
                    parts.entry(module).or_default().insert(leaf, (key, entry));
                }
                None => others.push(key.as_str()),
            }
        }
        if parts.is_empty() || !others.is_empty() {
            return Err(not_a_lora(&file, &others));
        }
        let mut problems = Vec::new();
        let mut modules = BTreeMap::new();
        for (name, leaves) in parts {
            match module(&file, name, &leaves) {
                Ok(module) => {
                    modules.insert(name.to_owned(), Arc::new(module));
                }
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            let place = format!("{}: a damaged LoRA", path.display());
            return Err(Error::Keys { place, problems, hint: String::new() });
        }
        let digest = Sha256::digest(file.bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(File { path: path.to_owned(), metadata: file.metadata.clone(), modules, digest })
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The free-form strings of its header (`ss_…`, `modelspec.…`).
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Names of the layers it changes, as the file has them.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.modules.keys().map(String::as_str)
    }

    /// Puts the LoRA onto both networks, each with its own strength; strength 0 leaves a network as it is. Keys that fit
    /// no layer are an error that lists them all, or warnings.
    pub fn apply(
        &self,
        network: &Network,
        text: &Texts,
        strength_model: f64,
        strength_text: f64,
        unmatched: Unmatched,
        how: How,
    ) -> Result<Applied> {
        let targets = Targets::new(network, text);
        let mut problems = Vec::new();
        // The network's layers, then those of each text encoder.
        let mut matched: Vec<HashMap<String, Vec<Patched>>> = vec![HashMap::new(); 1 + text.parts().len()];
        for (name, module) in &self.modules {
            match targets.find(name) {
                None => problems.push(format!("`{name}` is no layer of this model")),
                Some((net, target)) => match module.fits(target.shape) {
                    Ok(()) => {
                        let strength = if *net == 0 { strength_model } else { strength_text };
                        let patched = Patched { patch: module.clone(), strength };
                        matched[*net].entry(target.path.clone()).or_default().push(patched);
                    }
                    Err(problem) => problems.push(format!("`{name}`: {problem}")),
                },
            }
        }
        if !problems.is_empty() && unmatched == Unmatched::Error {
            let place = format!(
                "{}: {} of {} layers do not fit the model",
                self.path.display(),
                problems.len(),
                self.modules.len()
            );
            return Err(Error::Keys { place, problems, hint: names::guess(&self.modules, &self.metadata) });
        }
        let warnings = problems.into_iter().map(|p| format!("{}: {p}; left out", self.path.display())).collect();
        let network = network.with_patches(&matched[0], how)?;
        let mut texts = text.clone();
        for (i, part) in text.parts().iter().enumerate() {
            texts = texts.with_part(i, part.with_patches(&matched[1 + i], how)?);
        }
        Ok(Applied { network, text: texts, warnings })
    }
}

impl Patch for Module {
    fn weight(&self, weight: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.delta(self.scale())?.reshape(weight.dims())?))
    }

    fn as_lora(&self) -> Option<LoraRef<'_>> {
        // A Tucker core is between down and up, which the two matrices have no place for.
        self.mid.is_none().then_some(LoraRef { down: &self.down, up: &self.up, scale: self.scale() })
    }
}

impl Module {
    fn rank(&self) -> usize {
        self.down.dims()[0]
    }

    /// alpha / rank; 1 without an alpha.
    fn scale(&self) -> f64 {
        self.alpha.map_or(1.0, |alpha| alpha / self.rank() as f64)
    }

    /// What this is added to: (out, in, kernel).
    fn extent(&self) -> (usize, usize, usize) {
        let kernel = self.mid.as_ref().unwrap_or(&self.down).dims().get(2).copied().unwrap_or(1);
        (self.up.dims()[0], self.down.dims()[1], kernel)
    }

    fn fits(&self, target: TargetKind) -> Result<(), String> {
        let expected = match target {
            TargetKind::Linear { inp, out } => (out, inp, 1),
            TargetKind::Conv { inp, out, kernel } => (out, inp, kernel),
        };
        let (out, inp, kernel) = self.extent();
        if (out, inp, kernel) == expected {
            return Ok(());
        }
        let words = |(out, inp, kernel)| match kernel {
            1 => format!("({out}, {inp})"),
            _ => format!("({out}, {inp}, {kernel}, {kernel})"),
        };
        Err(format!("expected a change of a weight {}, found {}", words(expected), words((out, inp, kernel))))
    }

    /// `scale · up · (mid) · down` in the shape of the weight it is added to.
    fn delta(&self, scale: f64) -> Result<Tensor> {
        let (out, inp, kernel) = self.extent();
        let rank = self.rank();
        let up = self.up.reshape((out, self.up.dims()[1]))?;
        let delta = match &self.mid {
            None => up.matmul(&self.down.reshape((rank, inp * kernel * kernel))?)?,
            Some(mid) => {
                // (k·k, p, q) · (q, in) → up (out, p) · (p, in) for each place of the kernel.
                let mid = mid.permute((2, 3, 0, 1))?.reshape((kernel * kernel, mid.dims()[0], rank))?;
                let right = mid.broadcast_matmul(&self.down.reshape((rank, inp))?)?;
                let each = up.broadcast_matmul(&right)?;
                each.permute((1, 2, 0))?.contiguous()?
            }
        };
        let delta = (delta * scale)?;
        let linear = self.mid.is_none() && self.down.rank() == 2;
        Ok(if linear { delta.reshape((out, inp))? } else { delta.reshape((out, inp, kernel, kernel))? })
    }
}

fn module(file: &WeightFile, name: &str, leaves: &BTreeMap<Leaf, (&str, &Entry)>) -> Result<Module, String> {
    let tensor = |leaf: Leaf| -> Result<Option<Tensor>, String> {
        let Some((key, entry)) = leaves.get(&leaf) else { return Ok(None) };
        let values = file.values(entry).ok_or_else(|| format!("`{key}`: expected floats, found {:?}", entry.dtype))?;
        Tensor::from_vec(values, entry.shape.as_slice(), &Device::Cpu).map(Some).map_err(|e| format!("`{key}`: {e}"))
    };
    let needed = |leaf: Leaf, what: &str| tensor(leaf)?.ok_or_else(|| format!("`{name}` has no {what} matrix"));
    let (down, up, mid) = (needed(Leaf::Down, "down")?, needed(Leaf::Up, "up")?, tensor(Leaf::Mid)?);
    let square = |t: &Tensor| match *t.dims() {
        [a, b] => a > 0 && b > 0,
        [a, b, h, w] => a > 0 && b > 0 && h == w && h > 0,
        _ => false,
    };
    if !square(&down) || !square(&up) || mid.as_ref().is_some_and(|mid| mid.rank() != 4 || !square(mid)) {
        return Err(format!("`{name}`: down {:?} and up {:?} are no matrices", down.dims(), up.dims()));
    }
    let (outer, inner) = mid.as_ref().map_or((down.dims()[0], down.dims()[0]), |m| (m.dims()[0], m.dims()[1]));
    let one = |t: &Tensor| t.dims()[2..].iter().all(|&d| d == 1);
    if up.dims()[1] != outer || down.dims()[0] != inner || !one(&up) || (mid.is_some() && !one(&down)) {
        return Err(format!("`{name}`: down {:?} and up {:?} do not fit each other", down.dims(), up.dims()));
    }
    let alpha = match tensor(Leaf::Alpha)? {
        None => None,
        Some(alpha) => match alpha.flatten_all().and_then(|a| a.to_vec1::<f32>()) {
            Ok(values) if values.len() == 1 && values[0].is_finite() => Some(f64::from(values[0])),
            _ => return Err(format!("`{name}`: alpha is not one number")),
        },
    };
    Ok(Module { down, up, mid, alpha })
}

/// Why a file cannot be used as a LoRA.
fn not_a_lora(file: &WeightFile, others: &[&str]) -> Error {
    if let Some(kind) = others.iter().find_map(|key| names::other_kind(key)) {
        let what = format!(
            "this is a {kind} network; LoRA and LoCon files are read. Merge it into a checkpoint with the \
             program that made it, or train a LoRA"
        );
        return Error::file(&file.path, what);
    }
    let shapes = file.entries.iter().map(|(key, e)| (key.clone(), e.shape.clone())).collect();
    match family::recognise(&shapes) {
        Some((Kind::Family(family), reason)) => Error::file(
            &file.path,
            format!("this is a whole checkpoint of {} ({reason}), not a LoRA; load it as a checkpoint", family.name),
        ),
        _ => Error::Keys {
            place: format!("{}: not a LoRA, or of an unknown naming", file.path.display()),
            problems: others.iter().map(|key| format!("`{key}` is no part of a LoRA")).collect(),
            hint: "expected keys such as `lora_unet_….lora_down.weight` or `unet.….lora_A.weight`".into(),
        },
    }
}
