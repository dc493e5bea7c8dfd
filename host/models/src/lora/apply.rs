//! Putting a file onto a model's networks.

use super::kinds::{Dora, DoraNorm, Module, OnWeight};
use super::layouts::Parameter;
use super::namings::{self, Names, Part, TextNames};
use super::place::{Pieces, Place, Rows};
use super::{File, Made};
use crate::adapter::{NormTarget, Target, TargetKind};
use crate::error::{Error, Result};
use crate::network::Network;
use crate::patch::{How, Patch, Patched};
use crate::text::Texts;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};

/// What becomes of keys that fit no layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmatched {
    /// They are an error.
    #[default]
    Error,
    /// They are a warning, and the rest is used.
    Warn,
}

/// How a file is put onto networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What becomes of keys that fit no layer.
    pub unmatched: Unmatched,
    /// Merged into the weights or computed beside them.
    pub how: How,
    /// What a DoRA's sizes are divided by.
    pub dora_norm: DoraNorm,
}

impl Default for Options {
    fn default() -> Options {
        Options { unmatched: Unmatched::Error, how: How::Merge, dora_norm: DoraNorm::LyCoris }
    }
}

/// Networks with a file put onto them.
pub struct Applied {
    /// The denoising network with the file's changes.
    pub network: Network,
    /// The text encoders with the file's changes.
    pub texts: Texts,
    /// What was left out, for people.
    pub warnings: Vec<String>,
}

impl File {
    /// Puts the file onto a model's networks: one strength for the denoising network, one for all text encoders; at
    /// strength 0 a network stays as it is. Keys that fit nothing are an error that lists them, or warnings.
    pub fn apply(
        &self,
        network: &Network,
        texts: &Texts,
        strength_model: f64,
        strength_text: f64,
        options: &Options,
    ) -> Result<Applied> {
        let each = vec![strength_text; texts.parts().len()];
        self.apply_each(network, texts, strength_model, &each, options)
    }

    /// The same with a strength for each text encoder, in the family's order.
    pub fn apply_each(
        &self,
        network: &Network,
        texts: &Texts,
        strength_model: f64,
        strengths_text: &[f64],
        options: &Options,
    ) -> Result<Applied> {
        let parts = texts.parts().len();
        if strengths_text.len() != parts {
            return Err(Error::Unsupported(format!(
                "expected a strength for each of {parts} text encoders, found {}",
                strengths_text.len()
            )));
        }
        finite(&[strength_model])?;
        finite(strengths_text)?;
        let strength = |part: Part| match part {
            Part::Network => strength_model,
            Part::Text(index) => strengths_text[index],
        };
        let wide = self.widened(network)?;
        let plan = self.plan(&names(&wide, texts), false, options, &strength)?;
        let network = if strength_model == 0.0 { network } else { &wide };
        let mut applied = Applied { network: network.clone(), texts: texts.clone(), warnings: plan.warnings };
        for (part, patches) in &plan.patches {
            match part {
                Part::Network => applied.network = applied.network.with_patches(patches, options.how)?,
                Part::Text(index) => {
                    let part = applied.texts.parts()[*index].with_patches(patches, options.how)?;
                    applied.texts = applied.texts.with_part(*index, part);
                }
            }
        }
        Ok(applied)
    }

    /// Puts the file onto a denoising network alone. Without the text encoders that belong to it, what the file has for
    /// any is not looked at; with them it must fit.
    pub fn apply_to_network(
        &self,
        network: &Network,
        texts: Option<&Texts>,
        strength: f64,
        options: &Options,
    ) -> Result<(Network, Vec<String>)> {
        if let Some(texts) = texts {
            let applied = self.apply(network, texts, strength, 0.0, options)?;
            return Ok((applied.network, applied.warnings));
        }
        finite(&[strength])?;
        let wide = self.widened(network)?;
        let names = Names::new(&parameters(wide.targets(), wide.norm_targets()), &[]);
        let plan = self.plan(&names, true, options, &|_| strength)?;
        let network = match plan.patches.get(&Part::Network) {
            Some(patches) => wide.with_patches(patches, options.how)?,
            None => network.clone(),
        };
        Ok((network, plan.warnings))
    }

    /// A network that sees as much as the file has weights for: those of Flux.1 for edges and depths let it see a picture
    /// beside the noise.
    fn widened(&self, network: &Network) -> Result<Network> {
        let first = network.targets().into_iter().find(|target| target.path == "img_in");
        let named = |name: &str| name.ends_with("img_in") || name.ends_with("x_embedder");
        let module = self.modules.iter().find(|(name, _)| named(name)).map(|(_, (_, module))| module);
        if let (Some(Target { shape: TargetKind::Linear { inp, out }, .. }), Some(module)) = (first, module) {
            let fits = |inputs: usize| on_weight(module, &[out, inputs], DoraNorm::LyCoris).is_ok();
            if !fits(inp) && fits(2 * inp) {
                return network.with_channels(2 * network.takes().channels);
            }
        }
        Ok(network.clone())
    }

    /// What the file does to the networks of these names, each at its strength.
    fn plan(&self, names: &Names, no_texts: bool, options: &Options, strength: &dyn Fn(Part) -> f64) -> Result<Plan> {
        let (groups, problems) = self.matched(names, no_texts);
        if !problems.is_empty() && options.unmatched == Unmatched::Error {
            let place = format!("{}: {} keys do not fit the model", self.path.display(), problems.len());
            return Err(Error::Keys { place, problems, hint: self.guess.clone() });
        }
        let warnings = problems.into_iter().map(|p| format!("{}: {p}; left out", self.path.display())).collect();
        let mut plan = Plan { warnings, ..Plan::default() };
        for ((part, path), modules) in groups {
            let strength = strength(part);
            if strength != 0.0 {
                let patch = self.patch(part, path, &modules, options.dora_norm)?;
                plan.patches.entry(part).or_default().insert(path.to_owned(), vec![Patched { patch, strength }]);
            }
        }
        Ok(plan)
    }

    /// The file's modules by the parameters that they change, and what does not fit.
    pub(super) fn matched<'a>(&'a self, names: &'a Names, no_texts: bool) -> (Groups<'a>, Vec<String>) {
        let mut problems: Vec<String> =
            self.others.iter().map(|key| format!("`{key}` is no part of any kind of network")).collect();
        let mut groups: Groups<'a> = BTreeMap::new();
        for (name, (_, module)) in &self.modules {
            // A network loaded without its text encoders has no use for what the file says of these.
            if no_texts && namings::is_of_text(name) {
                continue;
            }
            let Some(found) = names.find(name) else {
                problems.push(format!("`{name}` is no layer of this model"));
                continue;
            };
            if let Err(problem) = on_weight(module, &found.place.shape(), DoraNorm::LyCoris) {
                problems.push(format!("`{name}`: {problem}"));
                continue;
            }
            if module.bias.is_some() && !found.place.bias {
                problems.push(format!("`{name}`: this normalisation has no bias to change"));
                continue;
            }
            let group = groups.entry((found.part, &found.place.path)).or_default();
            if let Some(other) = group.iter().find(|other| overlap(other.place, &found.place)) {
                problems.push(format!("`{name}` is the same layer as `{}`", other.name));
                continue;
            }
            group.push(Matched { name, module, place: &found.place });
        }
        (groups, problems)
    }

    /// One patch of one parameter, from the modules that change it: a new one, or the one that was made before.
    pub(super) fn patch(
        &self,
        part: Part,
        path: &str,
        modules: &[Matched<'_>],
        norm: DoraNorm,
    ) -> Result<Arc<dyn Patch>> {
        let whole = modules.first().map(|matched| matched.place.whole.clone()).unwrap_or_default();
        let made = Made { part, path: path.to_owned(), whole, comfyui: norm == DoraNorm::ComfyUi };
        let mut cache = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(patch) = cache.get(&made) {
            return Ok(patch.clone());
        }
        let mut parts: Vec<(Rows, Arc<dyn Patch>)> = Vec::new();
        for matched in modules {
            let patch = on_weight(matched.module, &matched.place.shape(), norm)
                .map_err(|what| Error::file(&self.path, format!("`{}`: {what}", matched.name)))?;
            parts.push((matched.place.rows, Arc::new(patch)));
        }
        let patch: Arc<dyn Patch> = match parts.as_slice() {
            [(Rows::All, patch)] => patch.clone(),
            _ => {
                let out = made.whole.first().copied().unwrap_or(0);
                Arc::new(Pieces::new(parts, out)?)
            }
        };
        cache.insert(made, patch.clone());
        Ok(patch)
    }
}

fn finite(strengths: &[f64]) -> Result<()> {
    match strengths.iter().find(|strength| !strength.is_finite()) {
        Some(strength) => Err(Error::Unsupported(format!("expected a strength that is a number, found {strength}"))),
        None => Ok(()),
    }
}

/// Patches of each network's parameters, and what was left out.
#[derive(Default)]
struct Plan {
    patches: BTreeMap<Part, HashMap<String, Vec<Patched>>>,
    warnings: Vec<String>,
}

pub(super) type Groups<'a> = BTreeMap<(Part, &'a str), Vec<Matched<'a>>>;

/// A module of a file and where it belongs.
pub(super) struct Matched<'a> {
    name: &'a str,
    module: &'a Module,
    pub(super) place: &'a Place,
}

fn on_weight(module: &Module, shape: &[usize], norm: DoraNorm) -> Result<OnWeight, String> {
    let change = match &module.magnitude {
        Some(magnitude) => Arc::new(Dora { inner: module.change.clone(), magnitude: magnitude.clone(), norm }),
        None => module.change.clone(),
    };
    OnWeight::new(change, module.bias.clone(), shape)
}

/// Whether two places of one parameter share rows.
fn overlap(first: &Place, second: &Place) -> bool {
    match (first.rows, second.rows) {
        (Rows::Part(a, n), Rows::Part(b, m)) => a < b + m && b < a + n,
        _ => true,
    }
}

/// All names of a model's modules.
pub(super) fn names(network: &Network, texts: &Texts) -> Names {
    let texts: Vec<TextNames> = texts
        .parts()
        .iter()
        .map(|part| TextNames {
            name: part.name(),
            kohya: part.row().kohya,
            diffusers: part.row().folder,
            parameters: parameters(part.targets(), part.norm_targets()),
        })
        .collect();
    Names::new(&parameters(network.targets(), network.norm_targets()), &texts)
}

/// The parameters of a network: layers, whose biases go with them, and normalisations.
pub(super) fn parameters(targets: Vec<Target>, norms: Vec<NormTarget>) -> Vec<Parameter> {
    let layers = targets.into_iter().map(|target| {
        let shape = match target.shape {
            TargetKind::Linear { inp, out } => vec![out, inp],
            TargetKind::Conv { inp, out, kernel } => vec![out, inp, kernel, kernel],
        };
        Parameter { path: target.path, original: target.original, shape, bias: true }
    });
    let norms = norms.into_iter().map(|norm| Parameter {
        path: norm.path,
        original: norm.original,
        shape: vec![norm.width],
        bias: norm.bias,
    });
    layers.chain(norms).collect()
}
