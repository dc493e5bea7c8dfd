//! Ten steps of training on the tiny models, in each variant that the reference has.

use crate::reference::{Tensors, off, path};
use candle_core::{DType, Device, Tensor};
use serde_json::json;
use std::collections::BTreeMap;
use train::noises::with_offset;
use train::{Base, Batch, Config, Lrs, PartText, Prediction, Text, Trainer, lr_schedules};

/// One recorded run. Learning rates, rank and alpha are read from its files.
struct Variant {
    /// Stem of the files' names, which is also the folder of its model.
    family: &'static str,
    name: &'static str,
    change: fn(&mut Config),
    noise_offset: f64,
    masked_and_weighted: bool,
}

const PLAIN: Variant =
    Variant { family: "sd15", name: "base", change: |_| (), noise_offset: 0.0, masked_and_weighted: false };

const VARIANTS: &[Variant] = &[
    PLAIN,
    Variant {
        name: "minsnr_offset_restarts",
        change: |c| {
            c.loss.weighting = Some("min_snr".into());
            c.lr.schedule = Some("cosine_with_restarts".into());
            c.lr.cycles = 3;
            c.lr.warmup = 2.0;
        },
        noise_offset: 0.05,
        ..PLAIN
    },
    Variant {
        name: "no_clip_wd",
        change: |c| {
            c.optimizer.weight_decay = Some(0.1);
            c.optimizer.max_grad_norm = 0.0;
        },
        ..PLAIN
    },
    Variant { name: "train_te", change: |c| c.network.train_text_encoder = true, ..PLAIN },
    Variant {
        name: "vpred",
        change: |c| {
            c.noise.prediction = Some(Prediction::V);
            c.loss.weighting = Some("min_snr".into());
        },
        ..PLAIN
    },
    Variant { name: "accum2_debias", change: |c| c.loss.weighting = Some("debiased".into()), ..PLAIN },
    Variant {
        name: "masked_huber_weighted",
        change: |c| c.loss.kind = "huber".into(),
        masked_and_weighted: true,
        ..PLAIN
    },
    Variant { family: "sdxl", noise_offset: 0.0357, ..PLAIN },
    Variant { family: "flux", ..PLAIN },
];

/// Candle goes backward by recursion.
fn with_large_stack(f: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(256 << 20).spawn(f).unwrap().join().unwrap();
}

struct Case {
    data: Tensors,
    wanted: Tensors,
    init: Tensors,
    trainer: Trainer,
    config: Config,
}

/// The learning rate of runs whose files do not say it.
const RATE: f64 = 1e-3;

fn case(variant: &Variant) -> Case {
    let Variant { family, name, .. } = variant;
    let loaded = models::load(&path(&format!("models/{family}")), &Device::Cpu, DType::F32).unwrap();
    let base = Base::new(&loaded, "tiny");
    let wanted = Tensors::open(&format!("training/{family}_{name}.safetensors"));
    let init = Tensors::open(&format!("training/{family}_init.safetensors"));
    // A run of its own has its data with it.
    let shared = format!("training/{family}_data.safetensors");
    let data = if path(&shared).is_file() { shared } else { format!("training/{family}_{name}.safetensors") };
    let (losses, updates) = (wanted.floats("loss").len(), wanted.floats("grad_norm").len());
    let down = init.names().into_iter().find(|n| n.ends_with("lora_down.weight")).unwrap();
    let alpha = down.replace("lora_down.weight", "alpha");
    let mut config = Config::default()
        .with(json!({
            "rank": init.shape(&down)[0],
            "alpha": init.floats(&alpha)[0],
            "learning_rate": rates(&wanted).iter().map(|r| r[r.len() - 1]).fold(0.0, f64::max),
            "loss_weighting": "none",
            "lr_schedule": "constant",
            "lr_warmup": 0.0,
            "gradient_accumulation": losses / updates,
        }))
        .unwrap();
    (variant.change)(&mut config);
    let mut trainer = train::trainer(&config, &base).unwrap();
    let names: Vec<String> = trainer.trained.params.iter().map(|p| p.name.clone()).collect();
    for name in names {
        trainer.set(&name, init.f32s(&name)).unwrap();
    }
    Case { data: Tensors::open(&data), wanted, init, trainer, config }
}

/// For each update, the rates of the trained parts, the network last.
fn rates(wanted: &Tensors) -> Vec<Vec<f64>> {
    if wanted.names().iter().any(|n| n == "lr") {
        let groups = wanted.shape("lr")[1];
        return wanted.floats("lr").chunks(groups).map(<[f64]>::to_vec).collect();
    }
    vec![vec![RATE]; wanted.floats("grad_norm").len()]
}

impl Case {
    /// What the reference run saw at a step.
    fn batch(&self, variant: &Variant, step: usize) -> Batch {
        let d = &self.data;
        let size = d.shape("order")[1];
        let names = d.names();
        let has = |key: &str| names.iter().any(|n| n == key);
        let row = |key: &str| d.integers(key)[step * size..(step + 1) * size].to_vec();
        let order: Vec<usize> = row("order").iter().map(|&i| i as usize).collect();
        let whole = |key: &str| Tensor::from_vec(d.f32s(key), d.shape(key), &Device::Cpu).unwrap();
        let pick = |key: &str| {
            let all = whole(key);
            Tensor::stack(&order.iter().map(|&i| all.get(i).unwrap()).collect::<Vec<_>>(), 0).unwrap()
        };
        let mut noise = whole("noise").get(step).unwrap();
        if variant.noise_offset > 0.0 {
            noise = with_offset(&noise, &whole("offset_noise").get(step).unwrap(), variant.noise_offset).unwrap();
        }
        let text = if self.config.network.train_text_encoder {
            let (ids, n) = (d.integers("input_ids"), d.shape("input_ids")[1]);
            let ids: Vec<u32> = order.iter().flat_map(|&i| &ids[i * n..(i + 1) * n]).map(|&id| id as u32).collect();
            Text::Parts(vec![PartText::Ids(Tensor::from_vec(ids, (size, n), &Device::Cpu).unwrap())])
        } else {
            let context = pick(if has("hidden") { "hidden" } else { "prompt_embeds" });
            Text::States { context, pooled: has("pooled").then(|| pick("pooled")) }
        };
        let times = if has("sigmas") {
            d.f32s("sigmas")[step * size..(step + 1) * size].to_vec()
        } else {
            row("timesteps").iter().map(|&t| t as f32).collect()
        };
        let extra = variant.masked_and_weighted;
        Batch {
            latents: pick("latents"),
            noise,
            hidden_noise: None,
            times,
            text,
            size: has("time_ids").then(|| pick("time_ids")),
            mask: extra.then(|| pick("mask")),
            weights: extra.then(|| order.iter().map(|&i| d.f32s("loss_weight")[i]).collect()),
            index: step as u64,
        }
    }
}

fn relative(found: f64, wanted: f64) -> f64 {
    (found - wanted).abs() / wanted.abs().max(1e-12)
}

fn check(variant: &Variant) {
    let name = variant.name;
    let mut case = case(variant);
    let name = format!("{} {name}", variant.family);
    let (losses, norms, rates) = (case.wanted.floats("loss"), case.wanted.floats("grad_norm"), rates(&case.wanted));
    let per_sample = case.wanted.names().contains(&"per_sample".to_owned()).then(|| case.wanted.floats("per_sample"));
    let schedule = lr_schedules::find(case.config.lr_schedule()).unwrap();
    let curve = case.config.curve(norms.len() as u64);
    let accumulation = case.config.run.gradient_accumulation as usize;
    for (step, wanted) in losses.iter().enumerate() {
        let batch = case.batch(variant, step);
        let found = case.trainer.accumulate(&batch).unwrap();
        assert!(relative(found.mean, *wanted) < 1e-4, "{name} step {step}: loss {} {wanted}", found.mean);
        if let Some(wanted) = &per_sample {
            let n = found.per_image.len();
            let off = off(&found.per_image, &wanted[step * n..(step + 1) * n]);
            assert!(off < 1e-4, "{name} step {step}: losses of the images {off}");
        }
        if (step + 1) % accumulation > 0 {
            continue;
        }
        let update = step / accumulation;
        let lr = case.config.optimizer.learning_rate() * schedule.at(&curve, update as u64);
        let wanted = &rates[update];
        assert!((lr - wanted[wanted.len() - 1]).abs() < 1e-12, "{name} step {step}: lr {lr} {wanted:?}");
        let norm = case.trainer.update(&Lrs { texts: vec![wanted[0]], network: lr }).unwrap();
        assert!(relative(norm, norms[update]) < 1e-3, "{name} step {step}: norm {norm} {}", norms[update]);
    }
    final_norms(variant, &case);
    if variant.family == "sd15" && variant.name == "base" {
        final_tensors(&case);
    }
}

/// Norms of all tensors of the file, in the order of their names; what was not trained has its first values.
fn final_norms(variant: &Variant, case: &Case) {
    let name = format!("{} {}", variant.family, variant.name);
    let params: BTreeMap<&str, &Vec<f32>> =
        case.trainer.trained.params.iter().map(|p| (p.name.as_str(), &p.values)).collect();
    let names: Vec<String> = case.init.names().into_iter().filter(|n| !n.ends_with(".alpha")).collect();
    let wanted = case.wanted.floats("final_norms");
    assert_eq!(names.len(), wanted.len());
    let silent = without_gradient();
    for (key, wanted) in names.iter().zip(wanted) {
        if silent.iter().any(|s| key.starts_with(s.as_str())) {
            continue;
        }
        let own = params.get(key.as_str()).map_or_else(|| case.init.f32s(key), |v| v.to_vec());
        let norm = own.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        // Adam divides by the gradient's own size, so that the last bits of small gradients show.
        assert!((norm - wanted).abs() < 1e-2 * wanted + 1e-6, "{name}: {key}: {norm} {wanted}");
    }
}

/// Layers whose gradient is zero but for rounding: queries and keys of an attention over a single token. Adam makes
/// steps of full length out of such noise.
fn without_gradient() -> Vec<String> {
    let grads = Tensors::open("training/sd15_base_grad1.safetensors");
    let size = |key: &String| grads.floats(key).iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let largest = grads.names().iter().map(size).fold(0.0, f64::max);
    let names = grads.names().into_iter().filter(|key| size(key) < 1e-6 * largest);
    names.map(|key| key.replace(".lora_up.weight", "")).collect()
}

fn final_tensors(case: &Case) {
    let wanted = Tensors::open("training/sd15_base_final.safetensors");
    let silent = without_gradient();
    for key in wanted.names().into_iter().filter(|key| !silent.iter().any(|s| key.starts_with(s.as_str()))) {
        let param = case.trainer.trained.params.iter().find(|p| p.name == key).unwrap_or_else(|| panic!("{key}"));
        let wanted = wanted.floats(&key);
        let square = |sum: f64, (f, w): (&f32, &f64)| sum + (f64::from(*f) - w).powi(2);
        let distance = param.values.iter().zip(&wanted).fold(0.0, square).sqrt();
        let size = wanted.iter().map(|w| w * w).sum::<f64>().sqrt();
        // Adam divides by the gradient's own size, so that the last bits of small gradients show in single weights.
        assert!(distance < 1e-2 * size, "{key}: {distance} of {size}");
    }
}

#[test]
fn every_variant_follows_the_reference() {
    with_large_stack(|| {
        for variant in VARIANTS {
            check(variant);
        }
    });
}

#[test]
fn every_gradient_of_the_first_step_equals_torch() {
    with_large_stack(|| {
        let mut case = case(&PLAIN);
        let batch = case.batch(&PLAIN, 0);
        case.trainer.accumulate(&batch).unwrap();
        let wanted = Tensors::open("training/sd15_base_grad1.safetensors");
        let trained: Vec<&str> = case.trainer.trained.params.iter().map(|p| p.name.as_str()).collect();
        let ups: Vec<&str> = trained.iter().copied().filter(|n| n.ends_with("lora_up.weight")).collect();
        assert_eq!(ups.len(), wanted.names().len());
        let silent = without_gradient();
        for key in wanted.names() {
            let at = trained.iter().position(|n| *n == key).unwrap_or_else(|| panic!("{key} is not trained"));
            let (found, wanted) = (&case.trainer.gradients()[at], wanted.floats(&key));
            if silent.iter().any(|s| key.starts_with(s.as_str())) {
                assert!(found.iter().all(|v| v.abs() < 1e-6), "{key}: {found:?}");
                continue;
            }
            assert!(found.iter().any(|&v| v != 0.0), "{key}: no gradient");
            let off = off(found, &wanted);
            assert!(off < 1e-3, "{key}: {off}");
        }
    });
}

#[test]
fn every_trained_tensor_gets_a_gradient() {
    with_large_stack(|| {
        let variant = Variant { change: |c| c.network.train_text_encoder = true, ..PLAIN };
        let mut case = case(&variant);
        let before: Vec<Vec<f32>> = case.trainer.trained.params.iter().map(|p| p.values.clone()).collect();
        let batch = case.batch(&variant, 0);
        train::check_gradients(&mut case.trainer, &batch).unwrap();
        let after: Vec<Vec<f32>> = case.trainer.trained.params.iter().map(|p| p.values.clone()).collect();
        assert!(before == after, "the check leaves its traces");
        // A text encoder whose states are given cannot learn; the check says so and names its tensors.
        let blind = case.batch(&PLAIN, 0);
        let states = case.data.f32s("prompt_embeds");
        let shape = case.data.shape("prompt_embeds");
        let states = Tensor::from_vec(states, shape, &Device::Cpu).unwrap();
        let states = states.narrow(0, 0, blind.times.len()).unwrap();
        let blind = Batch { text: Text::States { context: states, pooled: None }, ..blind };
        let error = train::check_gradients(&mut case.trainer, &blind).unwrap_err().to_string();
        assert!(error.contains("lora_te_"), "{error}");
    });
}
