//! Transparency, blurring, and pictures through networks.

use super::{batch, grey, mask};
use crate::testing::{host, output, repository, run, value};
use crate::types::{ImageBatch, Mask};
use candle_core::{Device, Tensor};
use std::sync::Arc;

#[test]
fn alpha_is_put_on_pictures_and_taken_off_again() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let line = batch(vec![grey(2, 1, &[10, 20])]);
    let half = Arc::new(Mask(Tensor::new(&[[[0.0f32, 1.0]]], &Device::Cpu).unwrap()));
    let joined = run(&ctx, "JoinImageWithAlpha", vec![("image", value(&line)), ("alpha", value(&half))]).unwrap();
    let joined: Arc<ImageBatch> = output(&joined, 0);
    assert_eq!(joined.images()[0].pixels[..], [10, 10, 10, 255, 20, 20, 20, 0]);
    assert_eq!(joined.pixels().unwrap()[0].dims(), [3, 1, 2], "other nodes see colours alone");
    let split = || vec![("image", value(&joined))];
    assert_eq!(mask(&ctx, "SplitImageWithAlpha", split(), 1), (vec![1, 1, 2], vec![0.0, 1.0]));
    let colours: Arc<ImageBatch> = output(&run(&ctx, "SplitImageWithAlpha", split()).unwrap(), 0);
    assert_eq!(colours.images()[0].pixels, line.images()[0].pixels);
    assert_eq!(mask(&ctx, "SplitImageWithAlpha", vec![("image", value(&line))], 1).1, [0.0, 0.0]);
    // A saved file has it too.
    run(&ctx, "SaveImage", vec![("images", value(&joined)), ("filename_prefix", "clear".into())]).unwrap();
    let file = dir.path().join("out/clear_00001_.png").display().to_string();
    assert_eq!(mask(&ctx, "LoadImage", vec![("image", file.as_str().into())], 1).1, [0.0, 1.0]);
}

#[test]
fn pictures_are_blurred_and_sharpened() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let mut values = [0u8; 25];
    values[12] = 255;
    let dot = batch(vec![grey(5, 5, &values)]);
    let through = |class: &str| -> Vec<f32> {
        let made: Arc<ImageBatch> = output(&run(&ctx, class, vec![("image", value(&dot))]).unwrap(), 0);
        made.pixels().unwrap()[0].get(0).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    let blurred = through("ImageBlur");
    assert!((blurred[12] - 0.204_18).abs() < 1e-4 && (blurred[6] - 0.075_11).abs() < 1e-4, "{blurred:?}");
    assert!((blurred.iter().sum::<f32>() - 1.0).abs() < 1e-4);
    let sharpened = through("ImageSharpen");
    assert_eq!((sharpened[12], sharpened[11]), (1.0, 0.0));
}

#[test]
fn networks_enlarge_pictures_and_look_at_them() {
    let dir = tempfile::tempdir().unwrap();
    for (kind, name) in [("upscale_models", "esrgan_x4.safetensors"), ("clip_vision", "vision_clip_openai.safetensors")]
    {
        let to = dir.path().join("models").join(kind);
        std::fs::create_dir_all(&to).unwrap();
        std::fs::copy(repository("host/models/tests/data").join(name), to.join(name)).unwrap();
    }
    let ctx = host(dir.path());
    let picture = batch(vec![grey(12, 8, &(0..96).map(|i| (i * 2) as u8).collect::<Vec<_>>()); 2]);
    let model = run(&ctx, "UpscaleModelLoader", vec![("model_name", "esrgan_x4.safetensors".into())]).unwrap();
    let inputs = vec![("upscale_model", model.values[0].clone()), ("image", value(&picture))];
    let large: Arc<ImageBatch> = output(&run(&ctx, "ImageUpscaleWithModel", inputs).unwrap(), 0);
    let sizes: Vec<_> = large.images().iter().map(|i| (i.width, i.height)).collect();
    assert_eq!(sizes, [(48, 32), (48, 32)]);
    let vision = run(&ctx, "CLIPVisionLoader", vec![("clip_name", "vision_clip_openai.safetensors".into())]).unwrap();
    let inputs = vec![("clip_vision", vision.values[0].clone()), ("image", value(&picture))];
    let seen: Arc<crate::types::ClipVisionOutput> = output(&run(&ctx, "CLIPVisionEncode", inputs).unwrap(), 0);
    assert_eq!(seen.0.embeds.dims(), [2, 24]);
    let wrong = run(&ctx, "UpscaleModelLoader", vec![("model_name", "no.safetensors".into())]).unwrap_err().to_string();
    assert!(wrong.contains("esrgan_x4.safetensors"), "{wrong}");
}
