//! Flux.1 against tensors that diffusers and transformers made (tests/reference/INDEX.md): from a folder, from files of
//! its parts, in 16 and 8 bits and in blocks. Cases, sizes and configurations are found in the files.

#![allow(clippy::unwrap_used)] // A test that cannot read its data has failed.

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{DType, Device, Tensor, Var};
use models::{Adapter, Cond, Family, LoraRef, Memory, Network, Options, T5Encoder, T5Tokenizer, Target, TargetKind};
use models::{FAMILIES, Loaded, TextPart, load, load_network_with, load_texts_with, load_vae_with, load_with};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A whole forward pass in f32 may differ by this much (INDEX.md).
const FORWARD: f32 = 1e-4;

type Case = HashMap<String, Tensor>;

fn reference() -> PathBuf {
    match std::env::var_os("ANAGAMA_REFERENCE") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference"),
    }
}

fn tensors(path: impl AsRef<Path>) -> Case {
    candle_core::safetensors::load(reference().join(path), &Device::Cpu).unwrap()
}

/// The cases of the transformer that have inputs of their own.
fn cases() -> Vec<Case> {
    let mut names: Vec<PathBuf> = std::fs::read_dir(reference().join("forward"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("flux_transformer_"))
        .collect();
    names.sort();
    let cases: Vec<Case> = names.iter().map(tensors).filter(|case| case.contains_key("hidden_states")).collect();
    assert!(!cases.is_empty(), "no reference files forward/flux_transformer_*");
    cases
}

fn model() -> Loaded {
    load(&reference().join("models/flux"), &Device::Cpu, DType::F32).unwrap()
}

/// What files of parts do not say.
fn options() -> Options {
    Options { config_from: Some(reference().join("models/flux")), ..Options::default() }
}

fn part(name: &str) -> PathBuf {
    reference().join("models/flux_single").join(name)
}

fn worst(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

fn close(what: &str, got: &Tensor, want: &Tensor) {
    let worst = worst(got, want);
    assert!(worst <= FORWARD, "{what}: differs by {worst}, allowed {FORWARD}");
}

/// (b, rows·columns, 4c) → (b, c, 2·rows, 2·columns)
fn unpacked(tokens: &Tensor, rows: usize, columns: usize) -> Tensor {
    let (b, _, packed) = tokens.dims3().unwrap();
    let x = tokens.reshape(vec![b, rows, columns, packed / 4, 2, 2]).unwrap();
    let x = x.permute(vec![0, 3, 1, 4, 2, 5]).unwrap().contiguous().unwrap();
    x.reshape((b, packed / 4, 2 * rows, 2 * columns)).unwrap()
}

/// Rows and columns of a case's tokens.
fn grid(case: &Case) -> (usize, usize) {
    let ids = case["img_ids"].to_vec2::<f32>().unwrap();
    let (rows, columns) = ids.iter().fold((0, 0), |(r, c), id| (r.max(id[1] as usize + 1), c.max(id[2] as usize + 1)));
    assert_eq!(rows * columns, ids.len());
    (rows, columns)
}

/// The velocity of a case, unpacked; `observe` sees what is inside.
fn run_observed(network: &Network, case: &Case, observe: &mut models::Observe<'_>) -> Tensor {
    let (rows, columns) = grid(case);
    let cond = Cond {
        context: case["encoder_hidden_states"].clone(),
        pooled: Some(case["pooled_projections"].clone()),
        size: None,
        guidance: case.get("guidance").cloned(),
    };
    let x = unpacked(&case["hidden_states"], rows, columns);
    network.forward_observed(&x, &case["timestep"], &cond, observe).unwrap()
}

fn run(network: &Network, case: &Case) -> Tensor {
    run_observed(network, case, &mut |_, _| Ok(()))
}

/// What a case should give, unpacked.
fn wanted(case: &Case, output: &Tensor) -> Tensor {
    let (rows, columns) = grid(case);
    unpacked(output, rows, columns)
}

#[test]
fn the_transformer_matches_diffusers_block_by_block() {
    let network = model().network;
    for case in cases() {
        let mut seen = 0;
        let got = run_observed(&network, &case, &mut |name, x| {
            let name = match name {
                "vec" => "time_text_embed".to_owned(),
                "img_in" => "x_embedder".to_owned(),
                "txt_in" => "context_embedder".to_owned(),
                "final_layer.norm" => "norm_out".to_owned(),
                other => other.replace("_blocks.", "."),
            };
            if let Some(want) = case.get(&format!("inner.{name}")) {
                close(&name, x, want);
                seen += 1;
            }
            Ok(())
        });
        close("output", &got, &wanted(&case, &case["output"]));
        assert_eq!(seen, case.keys().filter(|key| key.starts_with("inner.")).count());
    }
}

#[test]
fn files_of_parts_equal_the_folder() {
    let (whole, options) = (model(), options());
    let network = load_network_with(&part("transformer.safetensors"), &options).unwrap();
    assert_eq!(
        (network.family.name, network.noise, network.prediction),
        (whole.family.name, whole.noise, whole.prediction)
    );
    for case in cases() {
        assert_eq!(worst(&run(&network.network, &case), &run(&whole.network, &case)), 0.0);
    }
    let vae = load_vae_with(&part("ae.safetensors"), &options).unwrap().vae;
    let image = &tensors("forward/flux_vae.safetensors")["image"];
    let (mean, _) = vae.encode(image).unwrap();
    assert_eq!(worst(&mean, &whole.vae.encode(image).unwrap().0), 0.0);
    assert_eq!(worst(&vae.decode(&mean).unwrap(), &whole.vae.decode(&mean).unwrap()), 0.0);
    // In either order: each is known by its tensors.
    for paths in [["clip_l.safetensors", "t5.safetensors"], ["t5.safetensors", "clip_l.safetensors"]] {
        let text = load_texts_with(&paths.map(part), "flux", &options).unwrap().text;
        for prompt in ["a fox, (smile:1.2)", ""] {
            let (a, b) = (text.encode(prompt).unwrap(), whole.text.encode(prompt).unwrap());
            assert_eq!(worst(&a.states, &b.states), 0.0);
            assert_eq!(worst(&a.pooled.unwrap(), &b.pooled.unwrap()), 0.0);
        }
    }
}

#[test]
fn texts_match_transformers() {
    let model = model();
    let parts = model.text.parts();
    let [clip, t5]: &[TextPart; 2] = parts.try_into().unwrap();
    let path = reference().join("forward/flux_text.safetensors");
    let case = tensors(&path);
    close("pooled", &clip.encode_ids(&case["clip_ids"], None).unwrap().pooled.unwrap(), &case["pooled"]);
    close("t5_hidden", &t5.encode_ids(&case["t5_ids"], None).unwrap().states, &case["t5_hidden"]);
    let states = vec![clip.encode_ids(&case["clip_ids"], None).unwrap(), t5.encode_ids(&case["t5_ids"], None).unwrap()];
    let encoded = model.text.combine(states).unwrap();
    close("states", &encoded.states, &case["t5_hidden"]);
    close("pooled", &encoded.pooled.unwrap(), &case["pooled"]);
    let bytes = std::fs::read(&path).unwrap();
    let header = safetensors::SafeTensors::read_metadata(&bytes).unwrap().1;
    let prompts: Vec<String> = serde_json::from_str(&header.metadata().as_ref().unwrap()["prompts"]).unwrap();
    for (part, name) in [(clip, "clip_ids"), (t5, "t5_ids")] {
        let want = case[name].to_dtype(DType::U32).unwrap().to_vec2::<u32>().unwrap();
        for (prompt, want) in prompts.iter().zip(want) {
            let (ids, cut) = part.row_of(prompt).unwrap();
            assert_eq!(cut, 0);
            // The reference cuts T5's rows and ends them anew; here they may be of any length.
            let own = want.iter().position(|id| *id == part.tokens().end()).unwrap_or(want.len() - 1);
            assert_eq!(ids[..own], want[..own], "{prompt:?}");
            assert!(want[own + 1..].iter().all(|id| *id == part.tokens().padding()));
            // Flux's texts are filled to 256 tokens or more.
            let least = part.tokens().least();
            assert!(ids.len() >= least && (name == "clip_ids" || least == 256), "{} tokens", ids.len());
            let end = ids.iter().position(|id| *id == part.tokens().end()).unwrap();
            assert!(ids[end + 1..].iter().all(|id| *id == part.tokens().padding()));
        }
    }
}

#[test]
fn the_mask_hides_padding_from_t5() {
    let texts = load_texts_with(&["clip_l.safetensors", "t5.safetensors"].map(part), "flux", &options()).unwrap().text;
    let t5: &T5Encoder = texts.part("t5xxl").unwrap().t5().unwrap();
    let case = tensors("forward/flux_text.safetensors");
    let masked = t5.encode(&case["t5_ids"], Some(&case["t5_mask"])).unwrap();
    close("t5_hidden_masked", &masked, &case["t5_hidden_masked"]);
    assert!(worst(&masked, &case["t5_hidden"]) > 10.0 * FORWARD);
}

#[test]
fn t5_tokens_match_transformers() {
    let tokenizer = T5Tokenizer::t5().unwrap();
    let text = std::fs::read(reference().join("text/tokenizers.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let want: Vec<u32> = case["t5"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as u32).collect();
        assert_eq!(tokenizer.tokenize(case["text"].as_str().unwrap(), 0).unwrap(), want, "{}", case["text"]);
    }
}

#[test]
fn the_vae_matches_diffusers() {
    let model = model();
    let case = tensors("forward/flux_vae.safetensors");
    let (mean, logvar) = model.vae.encode(&case["image"]).unwrap();
    close("mean", &mean, &case["mean"]);
    close("logvar", &logvar, &case["logvar"]);
    close("latent_model", &model.latent.scale(&case["mean"]).unwrap(), &case["latent_model"]);
    let raw = model.latent.unscale(&case["latent_model"]).unwrap();
    close("decoded", &model.vae.decode(&raw).unwrap(), &case["decoded"]);
}

#[test]
fn weights_of_8_bits_give_what_they_stand_for() {
    let case = &cases()[0];
    let network = load_network_with(&part("transformer_fp8_e4m3fn.safetensors"), &options()).unwrap().network;
    let want = &tensors("forward/flux_transformer_fp8.safetensors")["output"];
    close("fp8", &run(&network, case), &wanted(case, want));
}

/// A network of tensors that are written in one form and, widened, in f32: both give the same.
fn same_as_widened(name: &str, written: &Case, widened: &Case) {
    let folder = tempfile::tempdir().unwrap();
    let (path, wide) = (folder.path().join(name), folder.path().join("wide.safetensors"));
    candle_core::safetensors::save(written, &path).unwrap();
    candle_core::safetensors::save(widened, &wide).unwrap();
    let case = &cases()[0];
    let load = |path: &Path| load_network_with(path, &options()).unwrap().network;
    assert_eq!(worst(&run(&load(&path), case), &run(&load(&wide), case)), 0.0, "{name}");
}

#[test]
fn prefixes_and_number_formats_do_not_matter() {
    let plain = tensors(part("transformer.safetensors"));
    let wide = |x: &Tensor| x.to_dtype(DType::F32).unwrap();
    let all = |f: &dyn Fn(&str, &Tensor) -> Tensor| -> Case {
        plain.iter().map(|(key, x)| (key.clone(), f(key, x))).collect()
    };
    let prefixed = plain.iter().map(|(key, x)| (format!("model.diffusion_model.{key}"), x.clone())).collect();
    same_as_widened("prefixed.safetensors", &prefixed, &all(&|_, x| wide(x)));
    let narrow = all(&|_, x| x.to_dtype(DType::BF16).unwrap());
    let widened = narrow.iter().map(|(key, x)| (key.clone(), wide(x))).collect();
    same_as_widened("bf16.safetensors", &narrow, &widened);
    // Scaled to the whole range of 8 bits, with the factors and marks that ComfyUI's files have.
    let (mut scaled, mut widened) = (Case::new(), Case::new());
    for (key, x) in &plain {
        let Some(module) = key.strip_suffix(".weight").filter(|_| x.rank() == 2) else {
            scaled.insert(key.clone(), x.clone());
            widened.insert(key.clone(), wide(x));
            continue;
        };
        let largest = wide(x).abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
        let scale = largest / 448.0;
        let bits = (wide(x) / f64::from(scale)).unwrap().to_dtype(DType::F8E4M3).unwrap();
        let factor = Tensor::new(scale, &Device::Cpu).unwrap();
        widened.insert(key.clone(), wide(&bits).broadcast_mul(&factor).unwrap());
        scaled.insert(key.clone(), bits);
        scaled.insert(format!("{module}.scale_weight"), factor);
    }
    scaled.insert("scaled_fp8".into(), Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap());
    same_as_widened("scaled.safetensors", &scaled, &widened);
}

#[test]
fn gguf_files_are_widened_a_layer_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (path, wide) = (folder.path().join("flux-Q8_0.gguf"), folder.path().join("wide.safetensors"));
    let (mut blocks, mut widened) = (Vec::new(), Case::new());
    for (key, x) in tensors(part("transformer.safetensors")) {
        let x = x.to_dtype(DType::F32).unwrap();
        let whole = x.rank() == 2 && x.dim(1).unwrap() % 32 == 0;
        let tensor = QTensor::quantize(&x, if whole { GgmlDType::Q8_0 } else { GgmlDType::F16 }).unwrap();
        widened.insert(key.clone(), tensor.dequantize(&Device::Cpu).unwrap());
        blocks.push((key, tensor));
    }
    let list: Vec<(&str, &QTensor)> = blocks.iter().map(|(key, tensor)| (key.as_str(), tensor)).collect();
    let name = gguf_file::Value::String("flux".into());
    let mut file = std::fs::File::create(&path).unwrap();
    gguf_file::write(&mut file, &[("general.architecture", &name)], &list).unwrap();
    candle_core::safetensors::save(&widened, &wide).unwrap();
    let case = &cases()[0];
    let load = |path: &Path| load_network_with(path, &options()).unwrap().network;
    assert_eq!(worst(&run(&load(&path), case), &run(&load(&wide), case)), 0.0);
}

#[test]
fn a_checkpoint_in_one_file_has_all_parts() {
    let parts = [
        ("transformer.safetensors", "model.diffusion_model."),
        ("ae.safetensors", "vae."),
        ("clip_l.safetensors", "text_encoders.clip_l.transformer."),
        ("t5.safetensors", "text_encoders.t5xxl.transformer."),
    ];
    let mut all = Case::new();
    for (name, prefix) in parts {
        all.extend(tensors(part(name)).into_iter().map(|(key, x)| (format!("{prefix}{key}"), x)));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flux1-dev.safetensors");
    candle_core::safetensors::save(&all, &path).unwrap();
    let (single, whole) = (load_with(&path, &Device::Cpu, DType::F32, &options()).unwrap(), model());
    let case = &cases()[0];
    assert_eq!(worst(&run(&single.network, case), &run(&whole.network, case)), 0.0);
    let (a, b) = (single.text.encode("a fox").unwrap(), whole.text.encode("a fox").unwrap());
    assert_eq!(worst(&a.states, &b.states), 0.0);
    assert_eq!(single.latent, whole.latent);
}

#[test]
fn dev_and_schnell_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("schnell.safetensors");
    let mut tensors = tensors(part("transformer.safetensors"));
    tensors.retain(|key, _| !key.starts_with("guidance_in."));
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let seen = models::look_at(&path).unwrap().unwrap();
    assert_eq!((seen.name, seen.family), ("Flux.1 schnell", Some("Flux.1 schnell")));
    assert_eq!(models::look_at(&part("transformer.safetensors")).unwrap().unwrap().name, "Flux.1");
    // The folder's config says that there is a guidance, which this file lacks.
    let error = load_network_with(&path, &options()).err().unwrap().to_string();
    assert!(error.contains("`guidance_in.in_layer.weight` is missing"), "{error}");
    let error = load_network_with(&path, &Options::default()).err().unwrap().to_string();
    assert!(error.contains("config.json"), "{error}");
    let error = load_vae_with(&part("transformer.safetensors"), &options()).err().unwrap().to_string();
    assert!(error.contains("a network of Flux.1"), "{error}");
    let error = load_texts_with(&[part("ae.safetensors"), part("t5.safetensors")], "flux", &options()).err().unwrap();
    assert!(error.to_string().contains("clip_l") && error.to_string().contains("a VAE"), "{error}");
}

#[test]
fn odd_sides_run_and_keep_their_size() {
    let network = model().network;
    let case = &cases()[0];
    let cond = Cond {
        context: case["encoder_hidden_states"].clone(),
        pooled: Some(case["pooled_projections"].clone()),
        size: None,
        guidance: case.get("guidance").cloned(),
    };
    let even = unpacked(&case["hidden_states"], grid(case).0, grid(case).1);
    let (_, c, h, w) = even.dims4().unwrap();
    let odd = even.narrow(3, 0, w - 1).unwrap().contiguous().unwrap();
    // As if the first column stood behind the last.
    let filled = Tensor::cat(&[&odd, &odd.narrow(3, 0, 1).unwrap()], 3).unwrap();
    let got = network.forward(&odd, &case["timestep"], &cond).unwrap();
    let want = network.forward(&filled, &case["timestep"], &cond).unwrap();
    assert_eq!(got.dims(), [1, c, h, w - 1]);
    assert_eq!(worst(&got, &want.narrow(3, 0, w - 1).unwrap()), 0.0);
}

fn flux() -> &'static Family {
    FAMILIES.iter().copied().find(|family| family.name == "Flux.1").unwrap()
}

#[test]
fn a_network_of_full_size_takes_no_memory_until_it_runs() {
    let network = flux().random_network(1, &Memory::unlimited()).unwrap();
    let blocks = network.targets().iter().filter(|target| target.path.contains("_blocks.")).count();
    // kohya's list of Flux has as many (tests/reference/keys).
    assert_eq!(blocks, 19 * 10 + 38 * 3);
    let takes = network.takes();
    assert_eq!((takes.channels, takes.context, takes.pooled, takes.guidance), (16, 4096, Some(768), true));
    let texts = flux().random_texts(1, &Memory::unlimited()).unwrap();
    let t5 = texts.part("t5xxl").unwrap();
    assert_eq!((t5.width(), t5.layers(), t5.targets().len()), (4096, 24, 24 * 7));
}

struct Lora(Tensor, Tensor, f64);

impl Adapter for Lora {
    fn as_lora(&self) -> Option<LoraRef<'_>> {
        Some(LoraRef { down: &self.0, up: &self.1, scale: self.2 })
    }
}

/// Reproducible values around zero.
fn values(shape: (usize, usize), seed: usize) -> Tensor {
    let mut state = (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values = (0..shape.0 * shape.1).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 0.2
    });
    Tensor::from_vec(values.collect(), shape, &Device::Cpu).unwrap()
}

/// Variables with names for messages.
type Vars = Vec<(String, Var)>;

/// A LoRA of random values for each target, and its variables.
fn random_loras(targets: &[Target]) -> (HashMap<String, Arc<dyn Adapter>>, Vars) {
    let (mut adapters, mut vars) = (HashMap::new(), Vec::new());
    for (i, target) in targets.iter().enumerate() {
        let TargetKind::Linear { inp, out } = target.shape else { panic!("{target:?}") };
        let var = |shape, seed| Var::from_tensor(&values(shape, seed)).unwrap();
        let (down, up) = (var((2, inp), 2 * i + 1), var((out, 2), 2 * i + 2));
        let lora = Lora(down.as_tensor().clone(), up.as_tensor().clone(), 0.5);
        adapters.insert(target.path.clone(), Arc::new(lora) as Arc<dyn Adapter>);
        vars.extend([(format!("{} down", target.path), down), (format!("{} up", target.path), up)]);
    }
    (adapters, vars)
}

/// Every variable has a gradient other than zero; one in `each` is compared with the difference along it.
fn gradients_are_differences(vars: &[(String, Var)], each: usize, output: impl Fn() -> Tensor) {
    let loss = || {
        let out = output().flatten_all().unwrap();
        let weights = values((1, out.elem_count()), 99).flatten_all().unwrap();
        (out * weights).unwrap().sum_all().unwrap()
    };
    let grads = loss().backward().unwrap();
    for (i, (name, var)) in vars.iter().enumerate() {
        let grad = grads.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
        let size = grad.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
        assert!(size > 0.0 && size.is_finite(), "the gradient of {name} is {size}");
        if i % each != 0 {
            continue;
        }
        let (start, step) = (var.as_tensor().copy().unwrap(), 2e-3f32);
        let at = |sign: f64| {
            var.set(&(&start + (grad * (sign * f64::from(step / size))).unwrap()).unwrap()).unwrap();
            let loss = loss().to_scalar::<f32>().unwrap();
            var.set(&start).unwrap();
            loss
        };
        let slope = (at(1.0) - at(-1.0)) / (2.0 * step);
        assert!((slope - size).abs() < 0.02 * size + 5e-3, "{name}: gradient {size}, difference {slope}");
    }
}

#[test]
fn every_layer_has_the_gradient_that_differences_show() {
    let model = model();
    let case = &cases()[0];
    let (adapters, vars) = random_loras(&model.network.targets());
    let network = model.network.with_adapters(&adapters).unwrap();
    // Nine is no multiple of a block's variables, so that all kinds of layers come up.
    gradients_are_differences(&vars, 9, || run(&network, case));
    let t5 = model.text.part("t5xxl").unwrap();
    let (adapters, vars) = random_loras(&t5.targets());
    let t5 = t5.with_adapters(&adapters).unwrap();
    let ids = tensors("forward/flux_text.safetensors")["t5_ids"].narrow(0, 0, 1).unwrap();
    gradients_are_differences(&vars, 5, || t5.encode_ids(&ids, None).unwrap().states);
}

#[test]
fn the_first_step_of_a_training_has_the_loss_and_the_gradient_of_diffusers() {
    let data = tensors("training/flux_base.safetensors");
    let init = tensors("training/flux_init.safetensors");
    let network = model().network;
    let (mut adapters, mut vars) = (HashMap::new(), Vec::new());
    for target in network.targets() {
        let Some(down) = init.get(&format!("{}.lora_down.weight", target.kohya)) else { continue };
        let wide = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
        let var = |t: &Tensor| Var::from_tensor(&wide(t)).unwrap();
        let alpha = wide(&init[&format!("{}.alpha", target.kohya)]).to_scalar::<f32>().unwrap();
        let up = var(&init[&format!("{}.lora_up.weight", target.kohya)]);
        let (rank, down) = (down.dim(0).unwrap(), var(down));
        let lora = Lora(down.as_tensor().clone(), up.as_tensor().clone(), f64::from(alpha) / rank as f64);
        adapters.insert(target.path, Arc::new(lora) as Arc<dyn Adapter>);
        vars.extend([down, up]);
    }
    assert_eq!(vars.len(), 2 * init.len() / 3);
    let network = network.with_adapters(&adapters).unwrap();
    let order = data["order"].get(0).unwrap();
    let pick = |name: &str| data[name].index_select(&order, 0).unwrap();
    let (latents, noise) = (pick("latents"), data["noise"].get(0).unwrap().to_dtype(DType::F32).unwrap());
    let sigma = data["sigmas"].get(0).unwrap();
    let b = sigma.dim(0).unwrap();
    let wide = sigma.reshape((b, 1, 1, 1)).unwrap();
    let x = (latents.broadcast_mul(&(1.0 - &wide).unwrap()).unwrap() + noise.broadcast_mul(&wide).unwrap()).unwrap();
    let guidance = Some(Tensor::ones(b, DType::F32, &Device::Cpu).unwrap());
    let cond = Cond { context: pick("hidden"), pooled: Some(pick("pooled")), size: None, guidance };
    let velocity = network.forward(&x, &sigma, &cond).unwrap();
    let loss = (velocity - (noise - latents).unwrap()).unwrap().sqr().unwrap().mean_all().unwrap();
    let first = |name: &str| data[name].get(0).unwrap().to_scalar::<f64>().unwrap();
    let got = f64::from(loss.to_scalar::<f32>().unwrap());
    assert!((got - first("loss")).abs() < 1e-4 * first("loss"), "{got}, expected {}", first("loss"));
    let grads = loss.backward().unwrap();
    let square = |var: &Var| grads.get(var).unwrap().sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
    let size = vars.iter().map(|var| f64::from(square(var))).sum::<f64>().sqrt();
    assert!((size - first("grad_norm")).abs() < 1e-3 * first("grad_norm"), "{size}, expected {}", first("grad_norm"));
}

#[test]
fn a_small_budget_gives_the_same_numbers() {
    let memory = Memory::new(1 << 16);
    let tight = load_network_with(&part("transformer.safetensors"), &Options { memory: memory.clone(), ..options() });
    let case = &cases()[0];
    assert_eq!(worst(&run(&tight.unwrap().network, case), &run(&model().network, case)), 0.0);
    assert!(memory.used() <= 1 << 16);
}
