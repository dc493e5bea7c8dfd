//! The transformer against diffusers' numbers.

use super::*;
use crate::adapter::{LoraRef, TargetKind};
use crate::config::Json;
use crate::weights::{Entries, Piece, WeightFile};
use candle_core::Var;
use std::path::{Path, PathBuf};

fn reference() -> PathBuf {
    match std::env::var_os("ANAGAMA_REFERENCE") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference"),
    }
}

fn tensors(path: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(reference().join(path), &Device::Cpu).unwrap()
}

fn config() -> FluxConfig {
    FluxConfig::from_json(&Json::read(&reference().join("models/flux/transformer/config.json")).unwrap()).unwrap()
}

fn built(entries: Entries) -> Flux {
    let mut part = Part::new("test".into(), entries);
    let flux = Flux::build(config(), &mut part).unwrap();
    part.finish("").unwrap();
    flux
}

fn diffusers() -> Flux {
    let path = reference().join("models/flux/transformer/diffusion_pytorch_model.safetensors");
    built(names::joined(&[Arc::new(WeightFile::open(&path).unwrap())]))
}

fn single(name: &str) -> Flux {
    let file = Arc::new(WeightFile::open(&reference().join("models/flux_single").join(name)).unwrap());
    built(file.entries.keys().map(|key| (names::original(key), vec![Piece::whole(&file, key)])).collect())
}

fn worst(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

fn run(flux: &Flux, case: &HashMap<String, Tensor>, observe: &mut dyn FnMut(&str, &Tensor) -> Result<()>) -> Tensor {
    let ids = case["img_ids"].to_vec2::<f32>().unwrap();
    let (rows, columns) = ids.iter().fold((0, 0), |(r, c), id| (r.max(id[1] as usize + 1), c.max(id[2] as usize + 1)));
    assert_eq!(rows * columns, ids.len());
    let x = position::unpack(&case["hidden_states"], 2 * rows, 2 * columns).unwrap();
    let condition = FluxCondition {
        context: &case["encoder_hidden_states"],
        pooled: Some(&case["pooled_projections"]),
        guidance: case.get("guidance"),
    };
    position::pack(&flux.forward_observed(&x, &case["timestep"], condition, observe).unwrap()).unwrap()
}

/// INDEX.md of the reference suggests 1e-4 for a whole forward pass.
const TOLERANCE: f32 = 1e-4;

fn cases() -> Vec<HashMap<String, Tensor>> {
    let mut names: Vec<String> = std::fs::read_dir(reference().join("forward"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("flux_transformer_"))
        .collect();
    names.sort();
    let cases: Vec<_> = names.iter().map(|name| tensors(&format!("forward/{name}"))).collect();
    cases.into_iter().filter(|case| case.contains_key("hidden_states")).collect()
}

#[test]
fn outputs_and_blocks_match_diffusers() {
    let (folder, file) = (diffusers(), single("transformer.safetensors"));
    let cases = cases();
    assert!(!cases.is_empty());
    for case in &cases {
        let mut seen = HashMap::new();
        let got = run(&folder, case, &mut |name, x| {
            seen.insert(name.to_owned(), x.clone());
            Ok(())
        });
        assert!(worst(&got, &case["output"]) < TOLERANCE);
        assert_eq!(worst(&run(&file, case, &mut |_, _| Ok(())), &got), 0.0);
        for (key, want) in case {
            let Some(inner) = key.strip_prefix("inner.") else { continue };
            let ours = match inner {
                "time_text_embed" => "vec".to_owned(),
                "x_embedder" => "img_in".to_owned(),
                "context_embedder" => "txt_in".to_owned(),
                "norm_out" => "final_layer.norm".to_owned(),
                other => other.replace("double.", "double_blocks.").replace("single.", "single_blocks."),
            };
            assert!(worst(&seen[&ours], want) < TOLERANCE, "{inner}");
        }
    }
}

#[test]
fn weights_of_8_bits_are_widened_a_layer_at_a_time() {
    let case = &cases()[0];
    let want = &tensors("forward/flux_transformer_fp8.safetensors")["output"];
    let flux = single("transformer_fp8_e4m3fn.safetensors");
    assert!(worst(&run(&flux, case, &mut |_, _| Ok(())), want) < TOLERANCE);
}

struct Lora(Tensor, Tensor, f64);

impl Adapter for Lora {
    fn as_lora(&self) -> Option<LoraRef<'_>> {
        Some(LoraRef { down: &self.0, up: &self.1, scale: self.2 })
    }
}

fn random_loras(targets: &[Target], vars: &mut Vec<(String, Var)>) -> HashMap<String, Arc<dyn Adapter>> {
    let mut adapters = HashMap::new();
    for (i, target) in targets.iter().enumerate() {
        let TargetKind::Linear { inp, out } = target.shape else { panic!("{target:?}") };
        let var = |shape: (usize, usize), seed: usize| {
            Var::from_tensor(&(crate::ops::testing::random(shape, seed as u64).unwrap() * 0.1).unwrap()).unwrap()
        };
        let (down, up) = (var((2, inp), 2 * i + 1), var((out, 2), 2 * i + 2));
        adapters.insert(
            target.path.clone(),
            Arc::new(Lora(down.as_tensor().clone(), up.as_tensor().clone(), 0.5)) as Arc<dyn Adapter>,
        );
        vars.extend([(format!("{} down", target.path), down), (format!("{} up", target.path), up)]);
    }
    adapters
}

/// The sum of the output with uneven weights, so that a mixed up gradient shows.
fn loss(flux: &Flux, case: &HashMap<String, Tensor>) -> Tensor {
    let out = run(flux, case, &mut |_, _| Ok(()));
    let weights = crate::ops::testing::random(out.shape(), 99).unwrap();
    (out * weights).unwrap().sum_all().unwrap()
}

#[test]
fn every_layer_has_the_gradient_that_differences_show() {
    let (flux, case) = (diffusers(), &cases()[0]);
    let mut vars = Vec::new();
    let adapted = flux.with_adapters(&random_loras(&flux.targets(), &mut vars)).unwrap();
    let grads = loss(&adapted, case).backward().unwrap();
    for (i, (name, var)) in vars.iter().enumerate() {
        let grad = grads.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
        let size = grad.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
        assert!(size > 0.0 && size.is_finite(), "the gradient of {name} is {size}");
        // One in nine: all kinds of layers come up.
        if i % 9 != 0 {
            continue;
        }
        // Along the gradient the loss changes by its size.
        let (start, step) = (var.as_tensor().copy().unwrap(), 2e-3f32);
        let at = |sign: f64| {
            var.set(&(&start + (grad * (sign * f64::from(step / size))).unwrap()).unwrap()).unwrap();
            let loss = loss(&adapted, case).to_scalar::<f32>().unwrap();
            var.set(&start).unwrap();
            loss
        };
        let slope = (at(1.0) - at(-1.0)) / (2.0 * step);
        assert!((slope - size).abs() < 0.02 * size + 0.02, "{name}: gradient {size}, difference {slope}");
    }
}

#[test]
fn the_first_step_of_a_training_has_the_loss_and_the_gradient_of_diffusers() {
    let data = tensors("training/flux_base.safetensors");
    let init = tensors("training/flux_init.safetensors");
    let flux = diffusers();
    let (mut adapters, mut vars) = (HashMap::new(), Vec::new());
    for target in flux.targets() {
        let Some(down) = init.get(&format!("{}.lora_down.weight", target.kohya)) else { continue };
        let wide = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
        let var = |t: &Tensor| Var::from_tensor(&wide(t)).unwrap();
        let alpha = wide(&init[&format!("{}.alpha", target.kohya)]).to_scalar::<f32>().unwrap();
        let (rank, down, up) =
            (down.dim(0).unwrap(), var(down), var(&init[&format!("{}.lora_up.weight", target.kohya)]));
        let scale = f64::from(alpha) / rank as f64;
        let lora = Lora(down.as_tensor().clone(), up.as_tensor().clone(), scale);
        adapters.insert(target.path, Arc::new(lora) as Arc<dyn Adapter>);
        vars.extend([down, up]);
    }
    assert_eq!(vars.len(), 2 * init.len() / 3);
    let flux = flux.with_adapters(&adapters).unwrap();
    let order = data["order"].get(0).unwrap();
    let pick = |name: &str| data[name].index_select(&order, 0).unwrap();
    let (latents, hidden, pooled) = (pick("latents"), pick("hidden"), pick("pooled"));
    let noise = data["noise"].get(0).unwrap().to_dtype(DType::F32).unwrap();
    let sigma = data["sigmas"].get(0).unwrap();
    let b = sigma.dim(0).unwrap();
    let wide = sigma.reshape((b, 1, 1, 1)).unwrap();
    let x = (latents.broadcast_mul(&(1.0 - &wide).unwrap()).unwrap() + noise.broadcast_mul(&wide).unwrap()).unwrap();
    let guidance = Tensor::ones(b, DType::F32, &Device::Cpu).unwrap();
    let condition = FluxCondition { context: &hidden, pooled: Some(&pooled), guidance: Some(&guidance) };
    let velocity = flux.forward(&x, &sigma, condition).unwrap();
    let target = (noise - latents).unwrap();
    let loss = (velocity - target).unwrap().sqr().unwrap().mean_all().unwrap();
    let first = |name: &str| data[name].get(0).unwrap().to_scalar::<f64>().unwrap();
    let got = f64::from(loss.to_scalar::<f32>().unwrap());
    assert!((got - first("loss")).abs() < 1e-4 * first("loss"), "{got}, expected {}", first("loss"));
    let grads = loss.backward().unwrap();
    let square = |var: &Var| grads.get(var).unwrap().sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
    let size = vars.iter().map(|var| f64::from(square(var))).sum::<f64>().sqrt();
    assert!((size - first("grad_norm")).abs() < 1e-3 * first("grad_norm"), "{size}, expected {}", first("grad_norm"));
}
