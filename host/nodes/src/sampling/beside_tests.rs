//! What networks see beside the noise, on the references' small models with more channels.

use super::beside::{Scene, channels};
use super::leads::Sides;
use crate::testing::{host, output, prompt, repository, run, value};
use crate::types::{
    Beside, Clip, ClipVisionOutput, Cond, Conditioning, ImageBatch, Latent, Mask, Model, PictureText, VaeModel,
};
use candle_core::{DType, Device, Tensor};
use data::{Image, PixelFormat};
use engine::Context;
use spec::Value;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

struct Bench {
    _dir: tempfile::TempDir,
    ctx: Context,
    model: Arc<Model>,
    clip: Arc<Clip>,
    vae: Arc<VaeModel>,
}

const SIDE: usize = 64;
const SIDES: Sides = Sides { b: 1, h: SIDE / 8, w: SIDE / 8 };

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.as_ref().unwrap().file_name());
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

impl Bench {
    /// A reference's model whose first layer takes `more` channels, with weights of `fill` for them.
    fn new(family: &str, more: usize, fill: f32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("models/diffusers/wide");
        copy(&repository(&format!("tests/reference/models/{family}")), &folder);
        let (part, key, packed) =
            if family == "flux" { ("transformer", "x_embedder.weight", 4) } else { ("unet", "conv_in.weight", 1) };
        let file = folder.join(part).join("diffusion_pytorch_model.safetensors");
        let mut tensors = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
        let old = tensors[key].to_dtype(DType::F32).unwrap();
        let wide = match more {
            0 => old.clone(),
            _ => {
                let mut shape = old.dims().to_vec();
                shape[1] = more * packed;
                Tensor::cat(&[&old, &Tensor::full(fill, shape, &Device::Cpu).unwrap()], 1).unwrap()
            }
        };
        tensors.insert(key.to_owned(), wide.clone());
        std::fs::remove_file(&file).unwrap();
        candle_core::safetensors::save(&tensors, &file).unwrap();
        let path = folder.join(part).join("config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let out = old.dim(1).unwrap();
        config["in_channels"] = wide.dim(1).unwrap().into();
        config["out_channels"] = out.into();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(path, config.to_string()).unwrap();
        let ctx = host(dir.path());
        let loaded = run(&ctx, "DiffusersLoader", vec![("model_path", "wide".into())]).unwrap();
        let (model, clip, vae) = (output(&loaded, 0), output(&loaded, 1), output(&loaded, 2));
        Self { _dir: dir, ctx, model, clip, vae }
    }

    /// (positive, negative, latent) with a picture, and a mask whose left half is to be made anew.
    fn inpainting(&self, noise_mask: bool) -> (Arc<Conditioning>, Arc<Conditioning>, Arc<Latent>) {
        let text = |text| prompt(&self.ctx, &self.clip, text);
        let inputs = vec![
            ("positive", value(&text("a tree"))),
            ("negative", value(&text(""))),
            ("vae", value(&self.vae)),
            ("pixels", value(&picture())),
            ("mask", value(&mask())),
            ("noise_mask", noise_mask.into()),
        ];
        let made = run(&self.ctx, "InpaintModelConditioning", inputs).unwrap();
        (output(&made, 0), output(&made, 1), output(&made, 2))
    }

    fn sampled(&self, positive: &Arc<Conditioning>, negative: &Arc<Conditioning>, latent: &Arc<Latent>) -> Vec<f32> {
        let inputs = vec![
            ("model", value(&self.model)),
            ("seed", 7.into()),
            ("steps", 3.into()),
            ("cfg", 2.0.into()),
            ("sampler_name", "euler".into()),
            ("scheduler", "normal".into()),
            ("positive", value(positive)),
            ("negative", value(negative)),
            ("latent_image", value(latent)),
            ("denoise", 1.0.into()),
        ];
        let made: Arc<Latent> = output(&run(&self.ctx, "KSampler", inputs).unwrap(), 0);
        made.samples.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn channels(&self, cond: &Cond, scene: Scene<'_>) -> Tensor {
        channels(cond, &self.model, SIDES, scene, &Device::Cpu).unwrap().unwrap()
    }
}

fn picture() -> Arc<ImageBatch> {
    let pixels: Vec<u8> = (0..SIDE * SIDE).map(|i| (i % SIDE * 4) as u8).collect();
    let ramp = Image::new(SIDE as u32, SIDE as u32, PixelFormat::L8, pixels).unwrap().convert(PixelFormat::Rgb8);
    Arc::new(ImageBatch::new(vec![ramp]))
}

fn mask() -> Arc<Mask> {
    let half = (0..SIDE * SIDE).map(|i| if i % SIDE < SIDE / 2 { 1.0 } else { 0.25f32 }).collect();
    Arc::new(Mask(Tensor::from_vec(half, (1, SIDE, SIDE), &Device::Cpu).unwrap()))
}

fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn off(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// What ComfyUI's own code makes (tests/peers/make_beside.py).
fn theirs() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(repository("host/nodes/tests/data/beside.safetensors"), &Device::Cpu).unwrap()
}

/// Pictures and masks of other shapes, sizes and numbers than what is made.
#[test]
fn channels_are_those_of_comfyui() {
    let wanted = theirs();
    let there = |name: &str| wanted[name].clone();
    let sides = Sides { b: 3, h: 8, w: 8 };
    let cond = |latent: Option<&str>| {
        let beside = latent.map(|latent| Beside { latent: there(latent), mask: Some(there("mask")) });
        Cond { beside, ..Cond::new(Tensor::zeros((1, 1, 1), DType::F32, &Device::Cpu).unwrap(), None) }
    };
    let same = |bench: &Bench, cond: &Cond, scene: Scene<'_>, name: &str| {
        let found = channels(cond, &bench.model, sides, scene, &Device::Cpu).unwrap().unwrap();
        assert_eq!(found.dims(), wanted[name].dims(), "{name}");
        let off = off(&flat(&found), &flat(&wanted[name]));
        assert!(off < 1e-5, "{name}: off by {off}");
    };
    let inpaint = Bench::new("sd15", 5, 0.0);
    let (own, own_mask) = (there("inpaint.own"), there("inpaint.own_mask"));
    let scene = Scene { latent: Some(&own), mask: None, seed: 0 };
    same(&inpaint, &cond(Some("inpaint.latent")), scene, "inpaint.prompt");
    same(&inpaint, &cond(None), Scene { mask: Some(&own_mask), ..scene }, "inpaint.walk");
    same(&inpaint, &cond(None), scene, "inpaint.nothing");
    for (name, more) in [("fill", 80), ("edges", 16)] {
        let flux = Bench::new("flux", more, 0.0);
        same(&flux, &cond(Some("flux.latent")), Scene::default(), &format!("flux.{name}.prompt"));
        same(&flux, &cond(None), Scene::default(), &format!("flux.{name}.nothing"));
    }
}

#[test]
fn pictures_as_texts_are_those_of_comfyui() {
    let wanted = theirs();
    let seen = |row: usize, strength: f64, noise: f64| {
        let embeds = wanted["picture.embeds"].narrow(0, row, 1).unwrap();
        PictureText { embeds, strength, noise }
    };
    let one = vec![seen(0, 0.75, 0.3)];
    let two = vec![seen(0, 0.75, 0.0), seen(1, 0.5, 0.2)];
    for (name, pictures) in [("picture.one", one), ("picture.two", two)] {
        let found = super::unclip::pooled(&pictures, 1280, 5).unwrap();
        let off = off(&flat(&found), &flat(&wanted[name]));
        assert!(off < 1e-5, "{name}: off by {off}");
    }
}

#[test]
fn inpainting_networks_see_the_mask_and_what_it_was_cut_out_of() {
    let bench = Bench::new("sd15", 5, 0.05);
    let (positive, negative, latent) = bench.inpainting(true);
    let cond = positive.first().unwrap();
    let found = bench.channels(cond, Scene::default());
    assert_eq!(found.dims(), [1, 5, 8, 8]);
    let columns: Vec<f32> = (0..8).map(|x| if x < 4 { 1.0 } else { 0.0 }).collect();
    assert_eq!(flat(&found.narrow(1, 0, 1).unwrap()), columns.repeat(8));
    let cut = bench.model.latent.scale(&cond.beside.as_ref().unwrap().latent).unwrap();
    assert!(off(&flat(&found.narrow(1, 1, 4).unwrap()), &flat(&cut)) < 1e-6);
    // What was cut out is grey in one, and not in the other.
    let whole = bench.model.latent.scale(&latent.samples).unwrap();
    assert!(off(&flat(&whole), &flat(&cut)) > 0.01);
    // The walk's own picture and mask, if the prompt has none; without a mask, all is grey and to be made.
    let own = Cond { beside: None, ..cond.clone() };
    let ones = Tensor::ones((1, 1, 8, 8), DType::F32, &Device::Cpu).unwrap();
    let scene = Scene { latent: Some(&whole), mask: Some(&ones), seed: 0 };
    assert!(off(&flat(&bench.channels(&own, scene).narrow(1, 1, 4).unwrap()), &flat(&whole)) < 1e-6);
    let grey = bench.channels(&own, Scene { mask: None, ..scene });
    assert_eq!(flat(&grey.narrow(1, 0, 2).unwrap())[56..72], [[1.0; 8], [0.8223; 8]].concat());

    // A walk gets through, and greys of the mask that are moments are another walk.
    let made = bench.sampled(&positive, &negative, &latent);
    let inputs = vec![("model", value(&bench.model)), ("strength", 1.0.into())];
    let model = output(&run(&bench.ctx, "DifferentialDiffusion", inputs).unwrap(), 0);
    let other = Bench { model, ..bench }.sampled(&positive, &negative, &latent);
    assert!(made.iter().chain(&other).all(|v| v.is_finite()));
    assert!(off(&made, &flat(&latent.samples)) > 0.01 && off(&made, &other) > 1e-3);
}

#[test]
fn channels_without_weight_change_nothing_and_others_do() {
    let made = |fill: f32| {
        let bench = Bench::new("sd15", 5, fill);
        let (positive, negative, latent) = bench.inpainting(false);
        assert!(latent.noise_mask.is_none());
        bench.sampled(&positive, &negative, &latent)
    };
    let plain = {
        let bench = Bench::new("sd15", 0, 0.0);
        let (positive, negative, latent) = bench.inpainting(false);
        bench.sampled(&positive, &negative, &latent)
    };
    assert!(off(&made(0.0), &plain) < 1e-5);
    assert!(off(&made(0.05), &plain) > 1e-3);
}

#[test]
fn networks_for_edits_see_the_picture_alone() {
    let bench = Bench::new("sd15", 4, 0.05);
    let text = prompt(&bench.ctx, &bench.clip, "a tree");
    let inputs = vec![
        ("positive", value(&text)),
        ("negative", value(&text)),
        ("vae", value(&bench.vae)),
        ("pixels", value(&picture())),
    ];
    let made = run(&bench.ctx, "InstructPixToPixConditioning", inputs).unwrap();
    let (positive, latent): (Arc<Conditioning>, Arc<Latent>) = (output(&made, 0), output(&made, 2));
    let cond = positive.first().unwrap();
    let raw = &cond.beside.as_ref().unwrap().latent;
    assert!(off(&flat(&bench.channels(cond, Scene::default())), &flat(raw)) < 1e-6);
    assert!(flat(&latent.samples).iter().all(|v| *v == 0.0));
    assert_eq!(latent.samples.dims(), raw.dims());
}

#[test]
fn flux_fill_sees_every_pixel_of_the_mask() {
    let bench = Bench::new("flux", 16 + 64, 0.0);
    let (positive, negative, latent) = bench.inpainting(false);
    let cond = positive.first().unwrap();
    let found = bench.channels(cond, Scene::default());
    assert_eq!(found.dims(), [1, 80, 8, 8]);
    let cut = bench.model.latent.scale(&cond.beside.as_ref().unwrap().latent).unwrap();
    assert!(off(&flat(&found.narrow(1, 0, 16).unwrap()), &flat(&cut)) < 1e-6);
    // The mask's pixels are not rounded; those of one column of the latent are equal here.
    let columns: Vec<f32> = (0..8).map(|x| if x < 4 { 1.0 } else { 0.25 }).collect();
    assert_eq!(flat(&found.narrow(1, 16, 64).unwrap()), columns.repeat(8 * 64));
    let made = bench.sampled(&positive, &negative, &latent);
    let plain = Bench::new("flux", 0, 0.0);
    assert!(off(&made, &plain.sampled(&positive, &negative, &latent)) < 1e-4);
}

#[test]
fn pictures_stand_in_for_the_pooled_text_of_sdxl() {
    let bench = Bench::new("sdxl", 0, 0.0);
    let text = prompt(&bench.ctx, &bench.clip, "a tree");
    let width = bench.model.network.takes().pooled.unwrap();
    let seen = |value: f32, width: usize| {
        let embeds = Tensor::full(value, (1, width), &Device::Cpu).unwrap();
        let states = embeds.unsqueeze(1).unwrap();
        let seen = models::VisionOutput { last_hidden: states.clone(), penultimate: states, embeds };
        Arc::new(ClipVisionOutput(seen))
    };
    let with = |seen: &Arc<ClipVisionOutput>, strength: f64| -> Arc<Conditioning> {
        let inputs =
            vec![("conditioning", value(&text)), ("clip_vision_output", value(seen)), ("strength", strength.into())];
        output(&run(&bench.ctx, "unCLIPConditioning", inputs).unwrap(), 0)
    };
    let size = |n: u32| Value::from(n);
    let empty = vec![("width", size(64)), ("height", size(64)), ("batch_size", size(1))];
    let latent: Arc<Latent> = output(&run(&bench.ctx, "EmptyLatentImage", empty).unwrap(), 0);
    let made = |positive: &Arc<Conditioning>| bench.sampled(positive, &text, &latent);
    let plain = made(&text);
    assert_eq!(made(&with(&seen(1.0, width), 0.0)), plain, "a strength of 0 is none");
    assert!(off(&made(&with(&seen(1.0, width), 1.0)), &plain) > 1e-5);
    let narrow = with(&seen(1.0, width + 1), 1.0);
    let error = run(
        &bench.ctx,
        "KSampler",
        vec![
            ("model", value(&bench.model)),
            ("steps", 1.into()),
            ("positive", value(&narrow)),
            ("negative", value(&text)),
            ("latent_image", value(&latent)),
        ],
    );
    assert!(error.unwrap_err().to_string().contains("clip_vision_g"));
}
