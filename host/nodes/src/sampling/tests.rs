use crate::testing::*;
use crate::types::{Conditioning, Latent, Model, Sigmas};
use candle_core::{Device, Tensor};
use data::Image;
use engine::Context;
use serde_json::json;
use spec::Value;
use std::sync::Arc;

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

fn flat(latent: &Latent) -> Vec<f32> {
    latent.samples.flatten_all().unwrap().to_vec1::<f32>().unwrap()
}

fn largest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The parts of custom sampling, put together, are KSampler.
#[test]
fn custom_sampling_is_the_same_walk() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let (model, clip, _) = base(&ctx);
    let (positive, negative) = (prompt(&ctx, &clip, "comic style, hat"), prompt(&ctx, &clip, ""));
    let latent = empty(&ctx, 2);
    let whole = run(&ctx, "KSampler", k_sampler(&model, &positive, &negative, &latent, 5)).unwrap();
    let whole = flat(&output::<Latent>(&whole, 0));
    let one = |class: &str, inputs: Vec<(&str, Value)>| run(&ctx, class, inputs).unwrap().values[0].clone();
    let sampler = one("KSamplerSelect", vec![("sampler_name", "euler".into())]);
    let schedule =
        vec![("model", value(&model)), ("scheduler", "normal".into()), ("steps", 12.into()), ("denoise", 1.0.into())];
    let sigmas = one("BasicScheduler", schedule);
    let prompts = vec![("positive", value(&positive)), ("negative", value(&negative)), ("cfg", 4.5.into())];
    let guider = one("CFGGuider", [vec![("model", value(&model))], prompts.clone()].concat());
    let noise = one("RandomNoise", vec![("noise_seed", 5.into())]);
    let advanced = vec![
        ("noise", noise.clone()),
        ("guider", guider.clone()),
        ("sampler", sampler.clone()),
        ("sigmas", sigmas.clone()),
        ("latent_image", value(&latent)),
    ];
    let done = run(&ctx, "SamplerCustomAdvanced", advanced.clone()).unwrap();
    assert!(largest(&flat(&output(&done, 0)), &whole) < 1e-5);
    // Euler ends in its last guess.
    assert!(largest(&flat(&output(&done, 1)), &whole) < 1e-4);
    let custom = vec![
        ("model", value(&model)),
        ("add_noise", true.into()),
        ("noise_seed", 5.into()),
        ("sampler", sampler.clone()),
        ("sigmas", sigmas.clone()),
        ("latent_image", value(&latent)),
    ];
    let done = run(&ctx, "SamplerCustom", [custom, prompts].concat()).unwrap();
    assert!(largest(&flat(&output(&done, 0)), &whole) < 1e-5);
    // In two halves, the second without noise of its own.
    let halves = run(&ctx, "SplitSigmas", vec![("sigmas", sigmas.clone()), ("step", 7.into())]).unwrap();
    let part = |noise: Value, sigmas: Value, latent: Value| {
        let mut inputs = advanced.clone();
        inputs.retain(|(name, _)| !["noise", "sigmas", "latent_image"].contains(name));
        inputs.extend([("noise", noise), ("sigmas", sigmas), ("latent_image", latent)]);
        run(&ctx, "SamplerCustomAdvanced", inputs).unwrap()
    };
    let first = part(noise, halves.values[0].clone(), value(&latent));
    let none = one("DisableNoise", vec![]);
    let second = part(none, halves.values[1].clone(), first.values[0].clone());
    assert!(largest(&flat(&output(&second, 0)), &whole) < 1e-4);
    // Both prompts of a dual guidance alike, and no way from the second to the first: classifier-free guidance.
    let dual = one(
        "DualCFGGuider",
        vec![
            ("model", value(&model)),
            ("cond1", value(&positive)),
            ("cond2", value(&positive)),
            ("negative", value(&negative)),
            ("cfg_conds", 1.0.into()),
            ("cfg_cond2_negative", 4.5.into()),
            ("style", "regular".into()),
        ],
    );
    let mut inputs = advanced;
    inputs.retain(|(name, _)| *name != "guider");
    inputs.push(("guider", dual));
    let done = run(&ctx, "SamplerCustomAdvanced", inputs).unwrap();
    assert!(largest(&flat(&output(&done, 0)), &whole) < 1e-4);
}

/// A picture of a batch, alone with its number, or by its own seed.
#[test]
fn pictures_of_a_batch_can_be_made_alone() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let (model, clip, _) = base(&ctx);
    let (positive, negative) = (prompt(&ctx, &clip, "comic style, hat"), prompt(&ctx, &clip, ""));
    let sample = |latent: &Arc<Latent>, sampler: &str| {
        let mut inputs = k_sampler(&model, &positive, &negative, latent, 5);
        inputs.retain(|(name, _)| *name != "sampler_name");
        inputs.push(("sampler_name", sampler.into()));
        flat(&output::<Latent>(&run(&ctx, "KSampler", inputs).unwrap(), 0))
    };
    let three = sample(&empty(&ctx, 3), "euler");
    let second = Latent { batch_index: Some(vec![1]), ..Latent::clone(&empty(&ctx, 1)) };
    let each = three.len() / 3;
    assert!(largest(&sample(&Arc::new(second), "euler"), &three[each..2 * each]) < 1e-4);
    let own = |latent: Arc<Latent>, seed: u64, sampler: &str| {
        let one = |class: &str, inputs: Vec<(&str, Value)>| run(&ctx, class, inputs).unwrap().values[0].clone();
        let noise = vec![("noise_seed", seed.into()), ("source", "NV".into()), ("eta_seed_delta", 31_337.into())];
        let sigmas =
            vec![("steps", 5.into()), ("sigma_max", 14.6.into()), ("sigma_min", 0.03.into()), ("rho", 7.0.into())];
        let inputs = vec![
            ("noise", one("ImageNoise", noise)),
            ("guider", one("BasicGuider", vec![("model", value(&model)), ("conditioning", value(&positive))])),
            ("sampler", one("KSamplerSelect", vec![("sampler_name", sampler.into())])),
            ("sigmas", one("KarrasScheduler", sigmas)),
            ("latent_image", value(&latent)),
        ];
        flat(&output::<Latent>(&run(&ctx, "SamplerCustomAdvanced", inputs).unwrap(), 0))
    };
    for sampler in ["euler_ancestral", "dpmpp_2m_sde"] {
        let both = own(empty(&ctx, 2), 8, sampler);
        assert!(largest(&own(empty(&ctx, 1), 9, sampler), &both[each..]) < 1e-4, "{sampler}");
    }
}

#[test]
fn what_a_mask_leaves_out_stays() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let (model, clip, _) = base(&ctx);
    let (positive, negative) = (prompt(&ctx, &clip, "comic style, hat"), prompt(&ctx, &clip, ""));
    let kept = Tensor::randn(0f32, 4.0, (1, 4, 12, 12), &Device::Cpu).unwrap();
    // The left half of the picture is made anew; the mask has the picture's size.
    let mask: Vec<f32> = (0..96 * 96).map(|i| if i % 96 < 48 { 1.0 } else { 0.0 }).collect();
    let noise_mask = Some(Tensor::from_vec(mask, (1, 1, 96, 96), &Device::Cpu).unwrap());
    let latent = Arc::new(Latent { noise_mask, ..Latent::new(kept.clone()) });
    let done: Arc<Latent> =
        output(&run(&ctx, "KSampler", k_sampler(&model, &positive, &negative, &latent, 5)).unwrap(), 0);
    let (left, right) = (|t: &Tensor| t.narrow(3, 0, 6).unwrap(), |t: &Tensor| t.narrow(3, 6, 6).unwrap());
    let off = |a: Tensor, b: Tensor| largest(&flat(&Latent::new(a)), &flat(&Latent::new(b)));
    assert!(off(right(&done.samples), right(&kept)) < 1e-3);
    assert!(off(left(&done.samples), left(&kept)) > 1.0);
    assert!(done.noise_mask.is_some());
}

/// Lists of sigmas are cut and turned as ComfyUI does it.
#[test]
fn lists_of_sigmas_are_worked_on() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let list = |values: &[f64]| value(&Arc::new(Sigmas(values.to_vec())));
    let of = |class: &str, inputs: Vec<(&str, Value)>, n: usize| {
        output::<Sigmas>(&run(&ctx, class, inputs).unwrap(), n).0.clone()
    };
    let all = list(&[8.0, 4.0, 2.0, 1.0, 0.0]);
    let split = |n| of("SplitSigmas", vec![("sigmas", all.clone()), ("step", 2.into())], n);
    assert_eq!((split(0), split(1)), (vec![8.0, 4.0, 2.0], vec![2.0, 1.0, 0.0]));
    let split = |n| of("SplitSigmasDenoise", vec![("sigmas", all.clone()), ("denoise", 0.25.into())], n);
    assert_eq!((split(0), split(1)), (vec![8.0, 4.0, 2.0, 1.0], vec![1.0, 0.0]));
    assert_eq!(of("FlipSigmas", vec![("sigmas", all.clone())], 0), [0.0001, 1.0, 2.0, 4.0, 8.0]);
    assert_eq!(of("SetFirstSigma", vec![("sigmas", all), ("sigma", 9.0.into())], 0)[..2], [9.0, 4.0]);
    let even = vec![("steps", 3.into()), ("sigma_max", 4.0.into()), ("sigma_min", 1.0.into())];
    for (found, expected) in of("ExponentialScheduler", even, 0).into_iter().zip([4.0, 2.0, 1.0, 0.0]) {
        assert!((found - expected).abs() < 1e-9);
    }
    let (model, ..) = base(&ctx);
    let turbo = vec![("model", value(&model)), ("steps", 2.into()), ("denoise", 0.5.into())];
    let table = model.sigma_table();
    assert_eq!(of("SDTurboScheduler", turbo, 0), [table.sigma(499.0), table.sigma(399.0), 0.0]);
    let beta = vec![("model", value(&model)), ("steps", 9.into()), ("alpha", 0.6.into()), ("beta", 0.6.into())];
    let basic =
        vec![("model", value(&model)), ("scheduler", "beta".into()), ("steps", 9.into()), ("denoise", 1.0.into())];
    assert_eq!(of("BetaSamplingScheduler", beta, 0), of("BasicScheduler", basic, 0));
}

/// What a model is said to be changes its noise levels, and what does not fit is told.
#[test]
fn models_are_told_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let (model, ..) = base(&ctx);
    let told = |zsnr: bool| -> Arc<Model> {
        let inputs = vec![("model", value(&model)), ("sampling", "v_prediction".into()), ("zsnr", zsnr.into())];
        output(&run(&ctx, "ModelSamplingDiscrete", inputs).unwrap(), 0)
    };
    assert_eq!(told(false).prediction, models::Prediction::Velocity);
    assert!((told(false).sigma_table().max() - 14.6146).abs() < 1e-3);
    assert!(told(true).sigma_table().max() > 4000.0);
    let flux = vec![("model", value(&model)), ("max_shift", 1.15.into()), ("base_shift", 0.5.into())];
    let flux = [flux, vec![("width", 1024.into()), ("height", 1024.into())]].concat();
    assert!(run(&ctx, "ModelSamplingFlux", flux).unwrap_err().to_string().starts_with("expected a flow model"));
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
