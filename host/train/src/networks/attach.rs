//! Puts networks onto the layers of a base.

use super::chance::{Chance, Drops};
use super::naming::{Naming, Peft};
use super::{Chosen, Param, Part, Parts, Start, Trained, find, start, targets, warm};
use crate::Config;
use crate::setup::trained_texts;
use anyhow::{Context, Result, ensure};
use candle_core::{Tensor, Var};
use models::{Adapter, Network, Target, Texts};
use sample::rng::TorchCpu;
use std::collections::HashMap;
use std::sync::Arc;

/// A base with a network in training on it.
pub struct Attached {
    pub network: Network,
    pub text: Texts,
    pub trained: Trained,
    /// Says which micro batch runs; without one nothing is left out.
    pub chance: Chance,
}

/// The layers of a base that get a network, text encoders first: sd-scripts' order, so that the same seed starts from the
/// same weights.
///
/// # Errors
/// There is none, or a rule of `layers` fits none.
pub(super) fn choose(config: &Config, network: &Network, text: &Texts) -> Result<Vec<Chosen>> {
    let options = &config.network;
    let mut layers: Vec<(Part, Target)> = Vec::new();
    if options.train_text_encoder {
        for i in trained_texts(text) {
            let part = &text.parts()[i];
            // Layers that the states skip would never get a gradient.
            let used = part.layers_used(config.captions.clip_skip);
            let skipped: Vec<String> = (used..part.layers()).map(|i| format!(".layers.{i}.")).collect();
            let reached = |t: &Target| !skipped.iter().any(|s| t.path.contains(s.as_str()));
            layers.extend(part.targets().into_iter().filter(reached).map(|target| (Part::Text(i), target)));
        }
    }
    if options.train_unet {
        layers.extend(network.targets().into_iter().map(|target| (Part::Network, target)));
    }
    let chosen = targets::choose(options, layers)?;
    ensure!(!chosen.is_empty(), "the base has no layers that `targets` and `layers` ask for");
    Ok(chosen)
}

/// The network that a configuration asks for, on the layers of a base.
///
/// # Errors
/// No layer is chosen, a rule fits none, or `start_from` does not fit.
pub fn attach(config: &Config, network: &Network, text: &Texts) -> Result<Attached> {
    let options = &config.network;
    let row = find(&options.kind)?;
    let chosen = choose(config, network, text)?;
    let device = network.device();
    let mut dice = TorchCpu::new(config.run.seed);
    let chance = Chance::new(config.run.seed);
    let mut trained = Trained::default();
    let mut adapters: Vec<HashMap<String, Arc<dyn Adapter>>> = vec![HashMap::new(); text.parts().len() + 1];
    for (number, Chosen { part, target, shape }) in chosen.iter().enumerate() {
        let mut made = || -> Result<Arc<dyn Adapter>> {
            let leaves = (row.leaves)(&target.shape, shape);
            let row_norms = match leaves.iter().any(|leaf| leaf.start == Start::RowNorms) {
                true => Some(start::row_norms(&weight(network, text, *part, &target.path)?)?),
                false => None,
            };
            let mut vars = Vec::new();
            for leaf in &leaves {
                let values = start::values(leaf, &mut dice, row_norms.as_ref())?;
                let var = Var::from_tensor(&Tensor::from_slice(&values, leaf.shape.as_slice(), device)?)?;
                vars.push(var.clone());
                let name = format!("{}.{}", target.kohya, leaf.name);
                // LoRA+ (Hayou et al. 2024, arXiv:2402.12354), as sd-scripts' `loraplus_lr_ratio`.
                let ratio = options.loraplus_lr_ratio.filter(|_| row.ups.contains(&leaf.name));
                trained.params.push(Param { name, part: *part, var, values, rate: ratio.unwrap_or(1.0) });
            }
            let alpha = (row.alpha)(&target.shape, shape);
            trained.constants.push((format!("{}.alpha", target.kohya), alpha));
            let drops = Drops { chance: chance.clone(), module: number as u64, rates: options.rates() };
            let scale = alpha / shape.rank as f64;
            (row.build)(Parts { kind: target.shape, vars, scale, drops, row_norms })
        };
        let adapter = made().with_context(|| format!("layer `{}`", target.path))?;
        let place = match part {
            Part::Text(i) => *i,
            Part::Network => text.parts().len(),
        };
        adapters[place].insert(target.path.clone(), adapter);
    }
    let names = Peft::new(&chosen, row, text)?;
    if let Some(path) = &options.start_from {
        warm::start(path, &chosen, row, &names, &mut trained)?;
    }
    trained.names = (options.naming == Naming::Peft).then_some(names);
    let network = network.with_adapters(&adapters.pop().unwrap_or_default())?;
    let mut text = text.clone();
    for (i, adapters) in adapters.into_iter().enumerate().filter(|(_, adapters)| !adapters.is_empty()) {
        text = text.with_part(i, text.parts()[i].with_adapters(&adapters)?);
    }
    Ok(Attached { network, text, trained, chance })
}

/// The weight of a layer, f32 on the CPU.
fn weight(network: &Network, text: &Texts, part: Part, path: &str) -> Result<Tensor> {
    Ok(match part {
        Part::Network => network.weight(path)?,
        Part::Text(i) => text.parts().get(i).context("a text encoder is missing")?.weight(path)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::{Purpose, Stream};
    use crate::networks::{NETWORKS, sizes};
    use crate::safetensors_file::SaveDtype;
    use candle_core::{DType, Device};
    use models::Cond;
    use serde_json::{Value, json};

    fn base(family: &str) -> models::Loaded {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/models");
        models::load(&std::path::Path::new(folder).join(family), &Device::Cpu, DType::F32).unwrap()
    }

    fn config(kind: &str, more: Value) -> Config {
        let all = json!({"network": kind, "rank": 3, "alpha": 2.0, "targets": "linear+conv", "conv_rank": 2,
            "train_text_encoder": true, "save_dtype": "f32"});
        Config::default().with(all).unwrap().with(more).unwrap()
    }

    /// Some values other than those at the start.
    fn stir(trained: &mut Trained) {
        for (i, param) in trained.params.iter_mut().enumerate() {
            let mut dice = Stream::new(1, Purpose::Check, i as u64);
            param.values.iter_mut().for_each(|v| *v += 0.1 * dice.normal() as f32);
            param.publish().unwrap();
        }
    }

    #[test]
    fn a_saved_network_is_taken_up_again_with_its_strength_and_has_the_predicted_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.safetensors");
        for family in ["sd15", "flux"] {
            let base = base(family);
            for (row, naming) in NETWORKS.iter().flat_map(|row| [(row, "kohya"), (row, "peft")]) {
                if naming == "peft" && !row.peft {
                    continue;
                }
                let what = format!("{family} {} {naming}", row.name);
                let saved = config(row.name, json!({"naming": naming}));
                let mut first = attach(&saved, &base.network, &base.text).unwrap().trained;
                stir(&mut first);
                let bytes = first.file(SaveDtype::F32);
                let sizes = sizes(&saved, &base.network, &base.text).unwrap();
                assert_eq!(sizes.bytes, bytes.len() as u64, "{what}");
                assert_eq!((sizes.numbers, sizes.tensors), (first.size(), first.params.len()), "{what}");
                std::fs::write(&path, bytes).unwrap();
                // With another alpha, so that the strength has to be worked into the weights.
                let next = saved.with(json!({"alpha": 1.0, "start_from": path})).unwrap();
                let second = attach(&next, &base.network, &base.text).unwrap().trained;
                let alphas = first.constants.iter().zip(&second.constants);
                let ratios: HashMap<&str, f32> =
                    alphas.map(|((name, a), (_, b))| (name.trim_end_matches(".alpha"), (a / b) as f32)).collect();
                let chosen = choose(&next, &base.network, &base.text).unwrap();
                let starts: HashMap<String, Start> = chosen
                    .iter()
                    .flat_map(|c| {
                        (row.leaves)(&c.target.shape, &c.shape).into_iter().map(|l| (c.target.kohya.clone(), l))
                    })
                    .map(|(kohya, leaf)| (format!("{kohya}.{}", leaf.name), leaf.start))
                    .collect();
                for (a, b) in first.params.iter().zip(&second.params) {
                    let module = a.name.split_once('.').unwrap().0;
                    let ratio = if starts[&a.name] == Start::Zeros { ratios[module] } else { 1.0 };
                    let off = a.values.iter().zip(&b.values).map(|(a, b)| (a * ratio - b).abs()).fold(0.0, f32::max);
                    assert!(a.name == b.name && off < 1e-5, "{what} {}: {off}", a.name);
                    let there = b.var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                    assert_eq!(there, b.values, "{what} {}", b.name);
                }
            }
        }
    }

    #[test]
    fn a_file_that_does_not_fit_is_told_by_its_keys() {
        let (base, folder) = (base("sd15"), tempfile::tempdir().unwrap());
        let path = folder.path().join("one.safetensors");
        let first = attach(&config("lora", json!({})), &base.network, &base.text).unwrap().trained;
        std::fs::write(&path, first.file(SaveDtype::F32)).unwrap();
        let error = |more: Value| {
            let config = config("lora", json!({"start_from": path})).with(more).unwrap();
            format!("{:#}", attach(&config, &base.network, &base.text).err().unwrap())
        };
        let sizes = error(json!({"conv_rank": 4}));
        assert!(sizes.contains("other sizes") && sizes.contains("conv1.lora_down.weight"), "{sizes}");
        let surplus = error(json!({"train_text_encoder": false}));
        assert!(surplus.contains("no tensors of this network") && surplus.contains("lora_te_"), "{surplus}");
        let kind = error(json!({"network": "loha"}));
        assert!(kind.contains("not in the file") && kind.contains("hada_w1_a"), "{kind}");
        let missing = error(json!({"start_from": folder.path().join("none.safetensors")}));
        assert!(missing.contains("none.safetensors"), "{missing}");
    }

    #[test]
    fn what_is_left_out_depends_on_the_batch_and_is_nothing_without_one() {
        for (family, (channels, context)) in [("sd15", (4, 24)), ("flux", (16, 40))] {
            let base = base(family);
            let x = Tensor::rand(-1f32, 1.0, (2, channels, 8, 8), &Device::Cpu).unwrap();
            let states = Tensor::rand(-1f32, 1.0, (2, 7, context), &Device::Cpu).unwrap();
            let pooled = Tensor::rand(-1f32, 1.0, (2, 24), &Device::Cpu).unwrap();
            let guidance = Tensor::new(&[2f32, 2.0], &Device::Cpu).unwrap();
            let cond = Cond { pooled: Some(pooled), guidance: Some(guidance), ..Cond::text(states) };
            let run = |network: &Network| -> Vec<f32> {
                let times = Tensor::new(&[0.5f32, 0.5], &Device::Cpu).unwrap();
                network.forward(&x, &times, &cond).unwrap().flatten_all().unwrap().to_vec1().unwrap()
            };
            for row in NETWORKS {
                let dropout = if row.neurons { 0.3 } else { 0.0 };
                let options = json!({"dropout": dropout, "rank_dropout": 0.4, "module_dropout": 0.2});
                let mut one = attach(&config(row.name, options), &base.network, &base.text).unwrap();
                let start = run(&one.network);
                let off = run(&base.network).iter().zip(&start).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off < 1e-4, "{family} {}: the change is zero at the start, found {off}", row.name);
                stir(&mut one.trained);
                let whole = run(&one.network);
                assert!(whole != start, "{family} {}", row.name);
                one.chance.at(Some(3));
                let some = run(&one.network);
                assert!(some != whole && some.iter().all(|v| v.is_finite()), "{family} {}", row.name);
                assert_eq!(run(&one.network), some, "{family} {}: the same batch again", row.name);
                one.chance.at(Some(4));
                assert!(run(&one.network) != some, "{family} {}: another batch", row.name);
                one.chance.at(None);
                assert_eq!(run(&one.network), whole, "{family} {}", row.name);
            }
        }
    }

    #[test]
    fn the_second_matrices_of_lora_plus_learn_faster() {
        let base = base("sd15");
        let found =
            attach(&config("lora", json!({"loraplus_lr_ratio": 16.0})), &base.network, &base.text).unwrap().trained;
        let fast = |p: &&Param| p.rate == 16.0;
        assert_eq!(found.params.iter().filter(fast).count() * 2, found.params.len());
        assert!(found.params.iter().filter(fast).all(|p| p.name.ends_with(".lora_up.weight")));
    }
}
