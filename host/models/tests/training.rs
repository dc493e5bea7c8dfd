//! Gradients of whole networks: the same with and without gradient checkpointing, on one thread and on several, and with
//! weights of any width and any budget. Models are found in the reference folder.

#![allow(clippy::unwrap_used)] // A test that cannot read its data has failed.

use candle_core::{DType, Device, Tensor, Var};
use models::{Adapter, Cond, Loaded, LoraRef, Memory, Network, TargetKind, Width, backward, load};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn reference() -> PathBuf {
    match std::env::var_os("ANAGAMA_REFERENCE") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference"),
    }
}

/// Every diffusers folder of the reference.
fn models() -> Vec<(String, Loaded)> {
    let folders = std::fs::read_dir(reference().join("models")).unwrap();
    let mut folders: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path()).collect();
    folders.retain(|folder| folder.join("model_index.json").is_file());
    folders.sort();
    assert!(!folders.is_empty(), "no diffusers folders in {}", reference().display());
    let name = |folder: &Path| folder.file_name().unwrap().to_string_lossy().into_owned();
    folders.iter().map(|folder| (name(folder), load(folder, &Device::Cpu, DType::F32).unwrap())).collect()
}

fn random(shape: &[usize], seed: u64, scale: f32) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

struct Lora(Tensor, Tensor);

impl Adapter for Lora {
    fn as_lora(&self) -> Option<LoraRef<'_>> {
        Some(LoraRef { down: &self.0, up: &self.1, scale: 0.5 })
    }
}

/// A network with a LoRA at every layer, and the variables.
fn adapted(network: &Network) -> (Network, Vec<(String, Var)>) {
    let (mut map, mut vars) = (HashMap::<String, Arc<dyn Adapter>>::new(), Vec::new());
    for (i, target) in network.targets().into_iter().enumerate() {
        let (down, up) = match target.shape {
            TargetKind::Linear { inp, out } => (vec![2, inp], vec![out, 2]),
            TargetKind::Conv { inp, out, kernel } => (vec![2, inp, kernel, kernel], vec![out, 2, 1, 1]),
        };
        let mut var = |name: &str, shape: &[usize], seed| {
            let var = Var::from_tensor(&random(shape, seed, 0.1)).unwrap();
            vars.push((format!("{}.{name}", target.path), var.clone()));
            var.as_tensor().clone()
        };
        let (down, up) = (var("down", &down, 2 * i as u64), var("up", &up, 2 * i as u64 + 1));
        map.insert(target.path, Arc::new(Lora(down, up)));
    }
    (network.with_adapters(&map).unwrap(), vars)
}

/// The prediction, and the gradients of variables and of what the network is given.
fn gradients(network: &Network, vars: &[(String, Var)], tracked: bool) -> Vec<(String, Vec<f32>)> {
    let takes = network.takes().clone();
    let side = 4 * takes.multiple;
    let given = |shape: &[usize], seed| Var::from_tensor(&random(shape, seed, 1.0)).unwrap();
    let (x, context) =
        (given(&[2, takes.channels, side, side + takes.multiple], 90), given(&[2, 5, takes.context], 91));
    let pooled = takes.pooled.map(|d| given(&[2, d], 92));
    let tensor = |var: &Var| if tracked { var.as_tensor().clone() } else { var.as_tensor().detach() };
    let cond = Cond {
        context: tensor(&context),
        pooled: pooled.as_ref().map(tensor),
        size: takes.size.then(|| Tensor::full(64f32, (2, 6), &Device::Cpu).unwrap()),
        guidance: takes.guidance.then(|| Tensor::full(1f32, 2, &Device::Cpu).unwrap()),
    };
    let time = if takes.guidance || !takes.size && takes.pooled.is_some() { 0.3f32 } else { 300.0 };
    let y = network.forward(&tensor(&x), &Tensor::new(&[time, 2.0 * time], &Device::Cpu).unwrap(), &cond).unwrap();
    let store = backward(&y.sqr().unwrap().mean_all().unwrap()).unwrap();
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let mut found = vec![("the prediction".to_owned(), values(&y))];
    let given = [("x", Some(&x)), ("context", Some(&context)), ("pooled", pooled.as_ref())];
    let given = given.into_iter().filter_map(|(name, var)| tracked.then(|| Some((name.to_owned(), var?))).flatten());
    for (name, var) in given.chain(vars.iter().map(|(name, var)| (name.clone(), var))) {
        let gradient = store.get(var).unwrap_or_else(|| panic!("`{name}` has no gradient"));
        found.push((name, values(gradient)));
    }
    found
}

fn size(values: &[f32]) -> f32 {
    values.iter().fold(0f32, |m, v| m.max(v.abs()))
}

/// Largest difference, relative to the largest value, or to `least` if that is larger.
fn difference(a: &[f32], b: &[f32], least: f32) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / size(a).max(least)
}

#[test]
fn checkpointing_changes_no_gradient() {
    for (model, loaded) in models() {
        let (network, vars) = adapted(&loaded.network);
        for tracked in [false, true] {
            let plain = gradients(&network, &vars, tracked);
            let cut = gradients(&network.with_checkpointing(true), &vars, tracked);
            assert_eq!(plain[0], cut[0], "{model}: the predictions differ");
            let mut equal = 0;
            // Where a norm of single channels follows, a layer's gradient is nothing but the rounding of larger ones: 1e-6 of
            // the largest gradient is allowed.
            let least = plain[1..].iter().map(|(_, gradient)| size(gradient)).fold(0.0, f32::max) * 0.1;
            for ((name, a), (_, b)) in plain.iter().zip(&cut) {
                assert!(a.iter().any(|v| *v != 0.0), "{model}: `{name}` has a gradient of zeros");
                let worst = difference(a, b, least);
                // Equal but for the order in which the gradients of a value with several uses are added.
                assert!(worst < 1e-5, "{model}: the gradients of `{name}` differ by {worst}");
                equal += usize::from(a == b);
            }
            println!("{model}: {equal} of {} gradients are equal bit for bit", plain.len());
        }
    }
}

#[test]
fn threads_change_no_bit() {
    for (model, loaded) in models() {
        let (network, vars) = adapted(&loaded.network);
        for checkpointing in [false, true] {
            let network = network.with_checkpointing(checkpointing);
            let on = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| gradients(&network, &vars, true))
            };
            assert_eq!(on(1), on(2), "{model}");
        }
    }
}

#[test]
fn budgets_and_widths_that_lose_nothing_change_no_bit() {
    for (model, loaded) in models() {
        let plain = &loaded.network;
        let all = plain.within(&Memory::unlimited()).unwrap().weight_bytes();
        let (network, vars) = adapted(plain);
        let wanted = gradients(&network, &vars, false);
        for width in [Width::Wide, Width::Stored] {
            for budget in [0, all / 3, usize::MAX] {
                let memory = Memory::new(budget).keeping(width);
                let network = network.within(&memory).unwrap();
                assert_eq!(gradients(&network, &vars, false), wanted, "{model}: {width:?} within {budget}");
                assert!(memory.used() <= budget, "{model}");
                assert!(budget < usize::MAX || memory.used() >= network.weight_bytes(), "{model}");
            }
        }
        for (width, bytes) in [(Width::Sixteen, 2), (Width::Eight, 1)] {
            let memory = Memory::unlimited().keeping(width);
            let network = network.within(&memory).unwrap();
            assert!(network.weight_bytes() <= all / 4 * bytes, "{model}: {width:?}");
            let found = gradients(&network, &vars, false);
            let worst = difference(&wanted[0].1, &found[0].1, 0.0);
            println!("{model}: predictions with {width:?} weights differ by up to {worst}");
            assert!(worst < 0.3, "{model}: {width:?}: {worst}");
        }
    }
}

#[test]
fn a_plain_backward_of_a_cut_network_is_an_error_that_says_what_to_call() {
    let (_, loaded) = models().remove(0);
    let (network, _) = adapted(&loaded.network);
    let takes = network.takes().clone();
    let x = random(&[1, takes.channels, 4 * takes.multiple, 4 * takes.multiple], 1, 1.0);
    let cond = Cond {
        context: random(&[1, 5, takes.context], 2, 1.0),
        pooled: takes.pooled.map(|d| random(&[1, d], 3, 1.0)),
        size: takes.size.then(|| random(&[1, 6], 4, 1.0)),
        guidance: takes.guidance.then(|| random(&[1], 5, 1.0)),
    };
    let y = network.with_checkpointing(true).forward(&x, &random(&[1], 6, 1.0), &cond).unwrap();
    let error = y.sum_all().unwrap().backward().unwrap_err().to_string();
    assert!(error.contains("models::backward"), "{error}");
}
