//! Gradients of every trained tensor, for each network on each tiny model, against those of LyCORIS' modules on diffusers'
//! networks. `tests/peers/make_network_grads.py` makes the data; what goes in is made of names alike here and there.

use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use train::{Config, networks};

/// A tensor whose gradient is smaller than this has none: a shift before a normalisation of single channels, as the time
/// embedding of the narrowest blocks is in these models, changes nothing.
const NOTHING: f64 = 1e-5;
/// Of the norm of a tensor's gradient …
const ALLOWED: f64 = 5e-4;
/// … and of the largest norm among the tensors: some are small differences of large sums, as are DoRA's lengths before
/// such a normalisation.
const ROUNDING: f64 = 3e-7;

/// Numbers in ±scale made of a name: FNV-1a of it, then SplitMix64, the upper 24 bits of each.
fn values(name: &str, n: usize, scale: f64) -> Vec<f32> {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let number = |i: u64| {
        let mut z = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((2.0 * ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24) - 1.0) * scale) as f32
    };
    (1..=n as u64).map(number).collect()
}

fn tensor(name: &str, shape: &[usize], scale: f64) -> Tensor {
    Tensor::from_vec(values(name, shape.iter().product(), scale), shape, &Device::Cpu).unwrap()
}

/// What the network and its text encoders give for the case's inputs.
fn output(base: &models::Loaded, attached: &networks::Attached, shape: &[usize]) -> Tensor {
    let cpu = Device::Cpu;
    let flow = base.noise.betas().is_none();
    let states = attached.text.parts().iter().map(|part| {
        let tokens = part.tokens();
        let (Some(length), Some(start)) = (tokens.length(), tokens.start()) else {
            return models::PartStates { states: tensor("t5", &[1, 9, part.width()], 1.0), pooled: None };
        };
        let end = tokens.end();
        let own = (0..5).map(|i| (37 * i + 11) % (end - 1));
        let mut ids: Vec<u32> = [start].into_iter().chain(own).collect();
        ids.resize(length, end);
        part.encode_ids(&Tensor::new(ids, &cpu).unwrap().unsqueeze(0).unwrap(), None).unwrap()
    });
    let text = attached.text.combine(states.collect()).unwrap();
    let cond = models::Cond {
        context: text.states,
        pooled: text.pooled,
        size: Some(Tensor::new(&[[64f32, 128.0, 3.0, 5.0, 64.0, 128.0]], &cpu).unwrap()),
        guidance: Some(Tensor::new(&[2.5f32], &cpu).unwrap()),
    };
    let (time, scale) = if flow { (0.37f32, 1.2) } else { (321.0, 1.7) };
    let times = Tensor::new(&[time], &cpu).unwrap();
    attached.network.forward(&tensor("latents", shape, scale), &times, &cond).unwrap()
}

fn floats(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let data = file.tensor(name).unwrap().data().to_vec();
    data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn check(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let header = SafeTensors::read_metadata(&bytes).unwrap().1.metadata().clone().unwrap();
    let name = path.file_stem().unwrap().to_str().unwrap();
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/models");
    let base = models::load(&Path::new(models).join(&header["family"]), &Device::Cpu, DType::F32).unwrap();
    let config = Config::from_json(&header["config"]).unwrap();
    let mut attached = networks::attach(&config, &base.network, &base.text).unwrap();
    for param in &mut attached.trained.params {
        let lengths = param.name.ends_with(".dora_scale");
        let new = values(&param.name, param.values.len(), if lengths { 0.2 } else { 0.3 });
        let pairs = param.values.iter_mut().zip(new);
        pairs.for_each(|(old, new)| *old = if lengths { *old * (1.0 + new) } else { new });
        param.publish().unwrap();
    }
    let shape = file.tensor("output").unwrap().shape().to_vec();
    let out = output(&base, &attached, &shape);
    let (found, wanted) = (out.flatten_all().unwrap().to_vec1::<f32>().unwrap(), floats(&file, "output"));
    let size = dot(&wanted, &wanted).sqrt();
    let off = found.iter().zip(&wanted).map(|(f, w)| f64::from(f - w).powi(2)).sum::<f64>().sqrt() / size;
    assert!(off < 1e-4, "{name}: the output differs by {off} of its norm");

    let loss = (&out * tensor("probe", &shape, 1.0)).unwrap().sum_all().unwrap();
    let store = models::backward(&loss).unwrap();
    let mut params: Vec<_> = attached.trained.params.iter().collect();
    params.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(params.len().to_string(), header["tensors"], "{name}");
    assert_eq!((&params[0].name, &params[params.len() - 1].name), (&header["first"], &header["last"]), "{name}");
    let rows = floats(&file, "gradients");
    let (mut worst, mut without) = (0f64, 0);
    let width = rows.len() / params.len();
    let largest = rows.iter().step_by(width).fold(0f64, |a, b| a.max(f64::from(*b)));
    for (param, row) in params.iter().zip(rows.chunks_exact(width)) {
        let grad = store.get(&param.var).unwrap_or_else(|| panic!("{name}: `{}` has no gradient", param.name));
        let grad: Vec<f32> = grad.flatten_all().unwrap().to_vec1().unwrap();
        let (norm, size) = (dot(&grad, &grad).sqrt(), f64::from(row[0]));
        if size < NOTHING {
            assert!(norm < NOTHING, "{name}: `{}` expected no gradient, found one of {norm}", param.name);
            without += 1;
            continue;
        }
        let probes = row[1..].iter().enumerate().map(|(i, wanted)| {
            let probe = values(&format!("{}#{i}", param.name), grad.len(), 1.0);
            (dot(&grad, &probe) - f64::from(*wanted)).abs() / dot(&probe, &probe).sqrt().max(1e-3)
        });
        let off = probes.fold((norm - size).abs(), f64::max);
        let allowed = ALLOWED * size + ROUNDING * largest;
        assert!(off < allowed, "{name}: the gradient of `{}`, of norm {size}, differs by {off}", param.name);
        worst = worst.max(off / size);
    }
    assert!(without * 20 < params.len(), "{name}: {without} of {} tensors have no gradient", params.len());
    println!("{name}: {} tensors, off by {worst:.1e} at most, {without} without a gradient", params.len());
}

#[test]
fn gradients_of_all_networks_are_those_of_lycoris() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with("grads_")).collect();
    files.sort();
    assert_eq!(files.len() % networks::NETWORKS.len(), 0, "{files:?}");
    assert!(files.len() >= 3 * networks::NETWORKS.len(), "{files:?}");
    // Going backward recurses once for each operation.
    let run = move || files.iter().for_each(|file| check(file));
    std::thread::Builder::new().stack_size(256 << 20).spawn(run).unwrap().join().unwrap();
}
