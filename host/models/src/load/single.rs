//! A checkpoint in one file, with a prefix in front of the keys of each part.

use super::files::{Hasher, SCHEDULER, TOKENIZER};
use super::folder::schedule;
use super::{Loaded, Options, Source, Sources, recognise, shapes};
use crate::config::Json;
use crate::error::{Error, Result};
use crate::family::{Betas, Family, Noise, Prediction};
use crate::vae;
use crate::weights::WeightFile;
use std::path::Path;
use std::sync::Arc;

pub(super) fn load(path: &Path, options: &Options) -> Result<Loaded> {
    read(path, Arc::new(WeightFile::open(path)?), options)
}

fn read(path: &Path, file: Arc<WeightFile>, options: &Options) -> Result<Loaded> {
    let files = [file.clone()];
    let shapes = shapes(&files);
    let (family, reason) = recognise(path, &shapes)?;
    let mut found = vec![format!("{}: a checkpoint in one file", path.display()), format!("{}: {reason}", family.name)];
    let config = |name: &str| match &options.config_from {
        Some(folder) => Json::read(&folder.join(name).join("config.json")).map(Some),
        None => Ok(None),
    };
    let mut missing = Vec::new();
    let mut part = |what: &str, loader: &str, name: &str, prefixes: &'static [&'static str]| -> Result<Source> {
        let source = Source::below(path, &files, prefixes);
        if source.is_none() {
            missing.push(format!("{what} (no keys `{}…`): load it with {loader}", prefixes.join("…`, `")));
        }
        let mut source = source.unwrap_or_else(|| Source::new(path, vec![], ""));
        source.config = config(name)?;
        source.memory = options.memory.clone();
        Ok(source)
    };
    let network = part("the denoising network", "UNETLoader", family.network.folder, family.network.prefixes)?;
    let vae = part("the VAE", "VAELoader", "vae", vae::PREFIXES)?;
    let mut texts = Vec::new();
    let loader = if family.texts.len() > 1 { "DualCLIPLoader" } else { "CLIPLoader" };
    for row in family.texts {
        let what = format!("the text encoder {}", row.name);
        let mut source = part(&what, loader, row.folder, row.prefixes)?;
        source.tokenizer = options.config_from.as_ref().map(|folder| folder.join(row.tokenizer));
        texts.push((row, source));
    }
    if !missing.is_empty() {
        let what = format!(
            "this file of {} lacks parts of a checkpoint: {}; the parts that it has are loaded by such nodes too",
            family.name,
            missing.join("; ")
        );
        return Err(Error::file(path, what));
    }
    unused(&shapes, family, &mut found);
    let mut digest = Hasher::new();
    digest.bytes(file.bytes());
    if let Some(folder) = &options.config_from {
        for name in [family.network.folder, "vae"].into_iter().chain(family.texts.iter().map(|row| row.folder)) {
            digest.file(&folder.join(name).join("config.json"))?;
        }
        for row in family.texts {
            digest.settings(&folder.join(row.tokenizer), TOKENIZER)?;
        }
        digest.settings(folder, &[SCHEDULER])?;
    }
    let said = match &options.config_from {
        Some(folder) => schedule(folder, family)?,
        None => (predicted(family, &network, &file), noise(family, &file)),
    };
    Sources { network, vae, texts }.load(family, said, digest.finish(), found)
}

/// What a file's metadata, a marker key or its tensors say about its prediction.
pub(super) fn predicted(family: &Family, network: &Source, file: &WeightFile) -> Prediction {
    let stated = network.metadata("modelspec.prediction_type");
    if matches!(stated, Some("v" | "v_prediction")) || file.entries.contains_key("v_pred") {
        return Prediction::Velocity;
    }
    (family.predicts)(network).unwrap_or(family.prediction)
}

/// The family's noise, stretched to zero signal if a marker key says so (ComfyUI, supported_models.py).
pub(super) fn noise(family: &Family, file: &WeightFile) -> Noise {
    match family.noise {
        Noise::Betas(betas) if file.entries.contains_key("ztsnr") => Noise::Betas(Betas { zero_snr: true, ..betas }),
        noise => noise,
    }
}

/// Tells of keys that no part of the model reads.
fn unused(shapes: &crate::family::Shapes, family: &Family, found: &mut Vec<String>) {
    let texts = family.texts.iter().flat_map(|row| row.prefixes);
    let markers = ["v_pred", "ztsnr"];
    let known: Vec<&&str> = family.network.prefixes.iter().chain(vae::PREFIXES).chain(texts).collect();
    let others: Vec<&String> = shapes
        .keys()
        .filter(|key| !markers.contains(&key.as_str()) && !known.iter().any(|prefix| key.starts_with(**prefix)))
        .collect();
    let averaged = others.iter().filter(|key| key.starts_with("model_ema.")).count();
    if averaged > 0 {
        found.push(format!("{averaged} keys are averaged copies of weights (`model_ema.`) and are not used"));
    }
    if others.len() > averaged {
        let rest = others.len() - averaged;
        found.push(format!("{rest} keys of the file belong to no part of the model and are not used"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{NormTarget, Target, TargetKind};
    use crate::family::{FAMILIES, Shapes};
    use crate::memory::Memory;
    use crate::text::TextPart;

    /// The tensors of layers and norms under other names; what has no name is left out.
    fn tensors(
        list: &mut Shapes,
        prefix: &str,
        (layers, norms): (Vec<Target>, Vec<NormTarget>),
        name: impl Fn(&str, &str) -> String,
    ) {
        for layer in layers {
            let (out, shape) = match layer.shape {
                TargetKind::Linear { inp, out } => (out, vec![out, inp]),
                TargetKind::Conv { inp, out, kernel } => (out, vec![out, inp, kernel, kernel]),
            };
            let path = format!("{prefix}{}", name(&layer.path, &layer.original));
            // Query, key and value of the denoising network have no bias.
            if !["attn1.to_", "attn2.to_"].iter().any(|part| path.contains(part)) || path.contains("to_out") {
                list.insert(format!("{path}.bias"), vec![out]);
            }
            list.insert(format!("{path}.weight"), shape);
        }
        for norm in norms {
            let path = format!("{prefix}{}", name(&norm.path, &norm.original));
            list.insert(format!("{path}.weight"), vec![norm.width]);
            list.insert(format!("{path}.bias"), vec![norm.width]);
        }
    }

    /// OpenCLIP's names and shapes of an encoder of this size.
    fn open_clip(list: &mut Shapes, prefix: &str, width: usize, layers: usize) {
        let mut add = |name: String, shape: &[usize]| list.insert(format!("{prefix}{name}"), shape.to_vec());
        add("token_embedding.weight".into(), &[49408, width]);
        add("positional_embedding".into(), &[77, width]);
        add("text_projection".into(), &[width, width]);
        add("logit_scale".into(), &[]);
        add("ln_final.weight".into(), &[width]);
        add("ln_final.bias".into(), &[width]);
        for i in 0..layers {
            let block = format!("transformer.resblocks.{i}");
            add(format!("{block}.attn.in_proj_weight"), &[3 * width, width]);
            add(format!("{block}.attn.in_proj_bias"), &[3 * width]);
            for (name, out, inp) in [("attn.out_proj", 1, 1), ("mlp.c_fc", 4, 1), ("mlp.c_proj", 1, 4)] {
                add(format!("{block}.{name}.weight"), &[out * width, inp * width]);
                add(format!("{block}.{name}.bias"), &[out * width]);
            }
            for name in ["ln_1", "ln_2"] {
                add(format!("{block}.{name}.weight"), &[width]);
                add(format!("{block}.{name}.bias"), &[width]);
            }
        }
    }

    /// A file as the original code saves it, of which only names and shapes are there, needs no config.
    #[test]
    fn full_size_checkpoints_are_read_without_configs() {
        for name in ["SD 1.x", "SD 2.x", "SDXL"] {
            let family = FAMILIES.iter().copied().find(|family| family.name == name).unwrap();
            let memory = Memory::unlimited();
            let (network, texts) =
                (family.random_network(1, &memory).unwrap(), family.random_texts(1, &memory).unwrap());
            let mut list = Shapes::new();
            let unet = family.network.prefixes[0];
            tensors(&mut list, unet, (network.targets(), network.norm_targets()), |_, original| original.to_owned());
            tensors(&mut list, "first_stage_model.", vae::full_size_targets(), |path, _| path.to_owned());
            for part in texts.parts() {
                let prefix = part.row().prefixes[0];
                if prefix.ends_with("model.") {
                    open_clip(&mut list, prefix, part.width(), part.layers());
                } else {
                    tensors(&mut list, prefix, (part.targets(), part.norm_targets()), |path, _| path.to_owned());
                    let table = |name: &str| format!("{prefix}text_model.embeddings.{name}.weight");
                    list.insert(table("token_embedding"), vec![49408, part.width()]);
                    list.insert(table("position_embedding"), vec![77, part.width()]);
                }
            }
            let listed = list.iter().map(|(key, shape)| (key.as_str(), "F16", shape.as_slice()));
            let file = Arc::new(WeightFile::listed(Path::new("listed"), listed).unwrap());
            let loaded = read(Path::new("listed"), file, &Options::default()).unwrap();
            assert_eq!(loaded.family.name, name);
            let mut takes = network.takes().clone();
            takes.side = None;
            assert_eq!(*loaded.network.takes(), takes);
            assert_eq!(loaded.network.targets(), network.targets(), "{name}");
            let widths = |parts: &[TextPart]| parts.iter().map(|p| (p.width(), p.layers())).collect::<Vec<_>>();
            assert_eq!(widths(loaded.text.parts()), widths(texts.parts()));
            assert_eq!(loaded.latent, family.latent);
        }
    }
}
