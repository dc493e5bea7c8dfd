use super::walk::{Guidance, Start, Walk};
use crate::testing::*;
use crate::types::{Conditioning, Latent, Model};
use candle_core::{DType, Device, Tensor};
use data::Image;
use engine::Context;
use sample::StepNoise;
use serde_json::json;
use spec::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

fn reference() -> PathBuf {
    std::env::var_os("ANAGAMA_REFERENCE").map_or_else(|| repository("tests/reference"), PathBuf::from)
}

/// ComfyUI's runs of the tiny SD 1.5 model: its sigmas, its timesteps, its start, its guidance. 1e-3 over a trajectory
/// in float32.
#[test]
fn equals_comfyui_on_a_model() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let folder = reference().join("trajectories");
    let Ok(inputs) = candle_core::safetensors::load(folder.join("sd15_inputs.safetensors"), &Device::Cpu) else {
        println!("SKIPPED: ComfyUI trajectories: no sd15_inputs.safetensors in {}", folder.display());
        return;
    };
    let loaded = models::load(&reference().join("models/sd15"), &Device::Cpu, DType::F32).unwrap();
    let model = Model {
        base_text: Some(loaded.text.clone()),
        network: loaded.network,
        family: loaded.family,
        name: "sd15".into(),
        digest: loaded.digest,
        prediction: loaded.prediction,
        noise: loaded.noise,
        latent: loaded.latent,
    };
    let cfg = inputs["guidance"].to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap();
    let mut compared = 0;
    for entry in std::fs::read_dir(&folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let Some(case) = name.strip_prefix("comfyui_sd15_").and_then(|n| n.strip_suffix(".safetensors")) else {
            continue;
        };
        let scheduler = sample::SCHEDULES.iter().find(|s| case.ends_with(&format!("_{}", s.name)));
        let sampler = scheduler.and_then(|s| {
            let rest = case.strip_suffix(&format!("_{}", s.name))?;
            sample::SAMPLERS.iter().find(|s| s.name == rest)
        });
        let (Some(sampler), Some(scheduler)) = (sampler, scheduler) else {
            println!("SKIPPED: {name}: sampler or schedule is not there yet");
            continue;
        };
        let tensors = candle_core::safetensors::load(entry.path(), &Device::Cpu).unwrap();
        let found = comfyui_case(&ctx, &model, &inputs, &tensors, cfg, sampler.name, scheduler.name);
        let off = (found - &tensors["result"]).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(off < 1e-3, "{name}: off by {off}");
        compared += 1;
    }
    assert!(compared > 0);
}

fn comfyui_case(
    ctx: &Context,
    model: &Model,
    inputs: &HashMap<String, Tensor>,
    tensors: &HashMap<String, Tensor>,
    cfg: f64,
    sampler: &str,
    scheduler: &str,
) -> Tensor {
    let steps = tensors["sigmas"].elem_count() - 1;
    let walk = Walk { sampler, scheduler, steps, denoise: 1.0, start: 0, end: usize::MAX, finish: true };
    let guidance = Guidance { positive: &inputs["prompt_embeds"], negative: &inputs["negative_embeds"], cfg };
    let noise = inputs["noise"].clone();
    let draws =
        tensors.get("step_noise").map_or(Vec::new(), |n| (0..n.dim(0).unwrap()).map(|i| n.get(i).unwrap()).collect());
    let start = Start { latent: noise.zeros_like().unwrap(), noise, steps: StepNoise::Given(draws.into_iter()) };
    model.latent.scale(&walk.go(ctx, model, &guidance, start, (0, 0)).unwrap()).unwrap()
}

/// Inputs of a KSampler with the settings that the embedded base likes.
pub(crate) fn k_sampler<'a>(
    model: &Arc<Model>,
    positive: &Arc<Conditioning>,
    negative: &Arc<Conditioning>,
    latent: &Arc<Latent>,
    seed: u64,
) -> Vec<(&'a str, Value)> {
    vec![
        ("model", value(model)),
        ("seed", seed.into()),
        ("steps", 12.into()),
        ("cfg", 4.5.into()),
        ("sampler_name", "euler".into()),
        ("scheduler", "normal".into()),
        ("positive", value(positive)),
        ("negative", value(negative)),
        ("latent_image", value(latent)),
        ("denoise", 1.0.into()),
    ]
}

pub(crate) fn empty(ctx: &Context, batch: u32) -> Arc<Latent> {
    let inputs = vec![("width", 96.into()), ("height", 96.into()), ("batch_size", batch.into())];
    output(&run(ctx, "EmptyLatentImage", inputs).unwrap(), 0)
}

/// Mean of the corners, which are background, per channel in 0…255.
fn background(image: &Image) -> [f64; 3] {
    let mut mean = [0.0; 3];
    let w = image.width as usize;
    for (x, y) in (0..8).flat_map(|y| (0..8).map(move |x| (x, y))).flat_map(|(x, y)| [(x, y), (w - 1 - x, y)]) {
        for (c, m) in mean.iter_mut().enumerate() {
            *m += f64::from(image.pixels[(y * w + x) * 3 + c]) / 128.0;
        }
    }
    mean
}

#[test]
fn pictures_obey_the_prompt() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let (model, clip, vae) = base(&ctx);
    let negative = prompt(&ctx, &clip, "");
    let picture = |color: &str| {
        let text = format!("comic style, red hair, short hair, blue shirt, light skin, {color} background");
        let positive = prompt(&ctx, &clip, &text);
        let outputs = run(&ctx, "KSampler", k_sampler(&model, &positive, &negative, &empty(&ctx, 1), 7)).unwrap();
        background(&decode(&ctx, &vae, &output(&outputs, 0))[0])
    };
    let (white, black, green) = (picture("white"), picture("black"), picture("green"));
    assert!(white.iter().all(|c| *c > 200.0), "white is {white:?}");
    assert!(black.iter().all(|c| *c < 70.0), "black is {black:?}");
    assert!(green[1] > green[0] + 30.0 && green[1] > green[2] + 30.0, "green is {green:?}");
}

/// Half of the steps, then the other half, is the whole way; without noise added, nothing happens to a finished latent.
#[test]
fn two_halves_are_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let (model, clip, _) = base(&ctx);
    let (positive, negative) = (prompt(&ctx, &clip, "comic style, (green hair:1.2)"), prompt(&ctx, &clip, "glasses"));
    let flat = |latent: &Latent| latent.samples.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let whole: Arc<Latent> =
        output(&run(&ctx, "KSampler", k_sampler(&model, &positive, &negative, &empty(&ctx, 2), 5)).unwrap(), 0);
    let part = |latent: &Arc<Latent>, noise: &str, from: u32, to: u32, leave: &str| -> Arc<Latent> {
        let mut inputs = k_sampler(&model, &positive, &negative, latent, 5);
        inputs.retain(|(name, _)| !["seed", "denoise"].contains(name));
        inputs.extend([
            ("noise_seed", 5.into()),
            ("add_noise", noise.into()),
            ("start_at_step", from.into()),
            ("end_at_step", to.into()),
            ("return_with_leftover_noise", leave.into()),
        ]);
        output(&run(&ctx, "KSamplerAdvanced", inputs).unwrap(), 0)
    };
    let half = part(&empty(&ctx, 2), "enable", 0, 6, "enable");
    let both = part(&half, "disable", 6, 10_000, "disable");
    let off = flat(&whole).iter().zip(flat(&both)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-4, "off by {off}");
    assert_eq!(flat(&part(&both, "disable", 12, 10_000, "disable")), flat(&both));
}

#[test]
fn a_picture_survives_the_way_there_and_back_and_a_weak_denoise() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let (model, clip, vae) = base(&ctx);
    let source = repository("examples/datasets/ohwx-character/001.png");
    let loaded = run(&ctx, "LoadImage", vec![("image", source.to_string_lossy().into_owned().into())]).unwrap();
    let scale = vec![
        ("image", loaded.values[0].clone()),
        ("width", 97.into()),
        ("height", 97.into()),
        ("upscale_method", "area".into()),
    ];
    let small = run(&ctx, "ImageScale", scale).unwrap();
    let latent: Arc<Latent> =
        output(&run(&ctx, "VAEEncode", vec![("pixels", small.values[0].clone()), ("vae", value(&vae))]).unwrap(), 0);
    // 97 is cropped to 96.
    assert_eq!(latent.samples.dims(), [1, 4, 12, 12]);
    let there = &decode(&ctx, &vae, &latent)[0];
    let (positive, negative) = (prompt(&ctx, &clip, "comic style"), prompt(&ctx, &clip, ""));
    let mut inputs = k_sampler(&model, &positive, &negative, &latent, 1);
    inputs.retain(|(name, _)| *name != "denoise");
    inputs.push(("denoise", 0.2.into()));
    let near = &decode(&ctx, &vae, &output(&run(&ctx, "KSampler", inputs.clone()).unwrap(), 0))[0];
    inputs.retain(|(name, _)| *name != "denoise");
    let far = &decode(&ctx, &vae, &output(&run(&ctx, "KSampler", inputs).unwrap(), 0))[0];
    let mean = |a: &Image| {
        let sum: f64 = a.pixels.iter().zip(there.pixels.iter()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
        sum / a.pixels.len() as f64
    };
    assert!(mean(near) < 25.0 && mean(near) * 1.5 < mean(far), "near {}, far {}", mean(near), mean(far));
}

#[test]
fn values_that_are_no_numbers_are_reported_with_step_and_sigma() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let (model, clip, _) = base(&ctx);
    let fine = prompt(&ctx, &clip, "comic style");
    let broken = Arc::new(Conditioning::one((&fine.first().unwrap().states * f64::NAN).unwrap(), None));
    let error = run(&ctx, "KSampler", k_sampler(&model, &broken, &fine, &empty(&ctx, 1), 1)).unwrap_err().to_string();
    assert!(error.starts_with("step 1 of 12 (sigma 14.61"), "{error}");
}

#[test]
fn prompts_that_name_loras_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let (model, clip, _) = base(&ctx);
    let text = |class: &str, text: &str| {
        run(&ctx, class, vec![("model", value(&model)), ("clip", value(&clip)), ("text", text.into())])
    };
    let error = text("LoraPrompt", "a <lora:nofile:1>").unwrap_err().to_string();
    assert!(error.starts_with("no LoRA `nofile`"), "{error}");
    assert!(text("LoraPrompt", "a <ohwx:1.0>").unwrap_err().to_string().contains("<lora:name:1.0>"));
    assert_eq!(text("LoraPrompt", "a, b").unwrap().values.len(), 4);
    let encode = |t: &str| run(&ctx, "CLIPTextEncode", vec![("clip", value(&clip)), ("text", t.into())]);
    assert!(encode("a <lora:x:1>").unwrap_err().to_string().contains("`LoraPrompt`"));
}

#[test]
fn long_prompts_and_skipped_layers_change_the_states() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let (_, clip, _) = base(&ctx);
    let states = |text: &str| prompt(&ctx, &clip, text).first().unwrap().states.clone();
    assert_eq!(states("red hair").dims(), [1, 77, 128]);
    assert_eq!(states(&"red hair, ".repeat(40)).dims(), [1, 154, 128]);
    let skip = |n: i64| run(&ctx, "CLIPSetLastLayer", vec![("clip", value(&clip)), ("stop_at_clip_layer", n.into())]);
    let earlier = prompt(&ctx, &output(&skip(-2).unwrap(), 0), "red hair");
    let differ = (&earlier.first().unwrap().states - &states("red hair")).unwrap().abs().unwrap().max_all().unwrap();
    assert!(differ.to_scalar::<f32>().unwrap() > 0.01);
}

#[test]
fn saved_pictures_are_numbered_and_carry_the_workflow() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let image = Image::new(2, 1, data::PixelFormat::Rgb8, vec![9; 6]).unwrap();
    let images = Value::object(crate::types::ImageBatch::new(vec![image.clone(), image]));
    let save = || run(&ctx, "SaveImage", vec![("images", images.clone()), ("filename_prefix", "a/b".into())]).unwrap();
    assert_eq!(save().ui["images"][1], json!({ "filename": "b_00002_.png", "subfolder": "a", "type": "output" }));
    let third = save().ui["files"][0]["path"].as_str().unwrap().to_owned();
    assert!(third.ends_with("out/a/b_00003_.png"), "{third}");
    let back = Image::open(third.as_ref(), &data::DecodeLimits::default()).unwrap();
    assert_eq!((back.pixels[0], back.metadata["prompt"].as_str()), (9, r#"{"1":{}}"#));
    let outside = run(&ctx, "SaveImage", vec![("images", images.clone()), ("filename_prefix", "../x".into())]);
    assert!(outside.is_err());
}
