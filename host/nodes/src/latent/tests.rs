use crate::testing::{base, difference, host, output, run, value};
use crate::types::{ImageBatch, Latent, Mask};
use candle_core::{Device, Tensor};
use engine::Context;
use spec::Value;
use std::sync::Arc;

/// Latents that count upwards.
fn counting(shape: (usize, usize, usize, usize)) -> Arc<Latent> {
    let n = shape.0 * shape.1 * shape.2 * shape.3;
    Arc::new(Latent::new(Tensor::arange(0f32, n as f32, &Device::Cpu).unwrap().reshape(shape).unwrap()))
}

fn made(ctx: &Context, class: &str, latent: &Arc<Latent>, more: Vec<(&'static str, Value)>) -> Arc<Latent> {
    let mut inputs = vec![("samples", value(latent))];
    inputs.extend(more);
    output(&run(ctx, class, inputs).unwrap(), 0)
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn batches_keep_the_numbers_of_their_noise() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let four = counting((4, 1, 1, 1));
    let two = made(&ctx, "LatentFromBatch", &four, vec![("batch_index", 1.into()), ("length", 2.into())]);
    assert_eq!((flat(&two.samples), two.batch_index.clone()), (vec![1.0, 2.0], Some(vec![1, 2])));
    let one = made(&ctx, "LatentFromBatch", &two, vec![("batch_index", 9.into()), ("length", 9.into())]);
    assert_eq!((flat(&one.samples), one.batch_index.clone()), (vec![2.0], Some(vec![2])));
    let again = made(&ctx, "RepeatLatentBatch", &two, vec![("amount", 2.into())]);
    assert_eq!((flat(&again.samples), again.batch_index.clone()), (vec![1.0, 2.0, 1.0, 2.0], Some(vec![1, 2, 3, 4])));
    let inputs = vec![("samples1", value(&one)), ("samples2", value(&four))];
    let joined: Arc<Latent> = output(&run(&ctx, "LatentBatch", inputs).unwrap(), 0);
    assert_eq!(joined.batch_index, Some(vec![2, 0, 1, 2, 3]));
}

#[test]
fn latents_are_turned_mirrored_cropped_and_enlarged() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    // 0 1 2
    // 3 4 5
    let x = counting((1, 1, 2, 3));
    let turn = |angle: &str| flat(&made(&ctx, "LatentRotate", &x, vec![("rotation", angle.into())]).samples);
    assert_eq!(turn("90 degrees"), [3.0, 0.0, 4.0, 1.0, 5.0, 2.0]);
    assert_eq!(turn("180 degrees"), [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]);
    assert_eq!(turn("270 degrees"), [2.0, 5.0, 1.0, 4.0, 0.0, 3.0]);
    let flip = |way: &str| flat(&made(&ctx, "LatentFlip", &x, vec![("flip_method", way.into())]).samples);
    assert_eq!(flip("x-axis: vertically"), [3.0, 4.0, 5.0, 0.0, 1.0, 2.0]);
    assert_eq!(flip("y-axis: horizontally"), [2.0, 1.0, 0.0, 5.0, 4.0, 3.0]);
    let large = counting((1, 1, 16, 24));
    let crop = vec![("width", 64.into()), ("height", 64.into()), ("x", 8.into()), ("y", 1000.into())];
    let cropped = made(&ctx, "LatentCrop", &large, crop);
    assert_eq!((cropped.samples.dims(), flat(&cropped.samples)[0]), (&[1, 1, 8, 8][..], 8.0 * 24.0 + 1.0));
    let dims = |class, more| made(&ctx, class, &large, more).samples.dims()[2..].to_vec();
    assert_eq!(dims("LatentUpscale", vec![("width", 0.into()), ("height", 256.into())]), [32, 48]);
    assert_eq!(
        dims("LatentUpscale", vec![("width", 128.into()), ("height", 128.into()), ("crop", "center".into())]),
        [16, 16]
    );
    assert_eq!(dims("LatentUpscaleBy", vec![("scale_by", 1.5.into())]), [24, 36]);
}

#[test]
fn what_is_laid_over_has_soft_edges_inside_of_the_picture() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let constant =
        |v: f32, side: usize| Arc::new(Latent::new(Tensor::full(v, (1, 1, side, side), &Device::Cpu).unwrap()));
    let lay = |feather: u32| -> Vec<f32> {
        let inputs = vec![
            ("samples_to", value(&constant(0.0, 4))),
            ("samples_from", value(&constant(1.0, 4))),
            ("x", 8.into()),
            ("feather", feather.into()),
        ];
        flat(&output::<Latent>(&run(&ctx, "LatentComposite", inputs).unwrap(), 0).samples)[..4].to_vec()
    };
    assert_eq!(lay(0), [0.0, 1.0, 1.0, 1.0]);
    // The right side lies over the border, so that only the left one is soft.
    assert_eq!(lay(16), [0.0, 0.5, 1.0, 1.0]);
}

#[test]
fn tiles_give_nearly_the_same_picture_and_latent() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let (_, _, vae) = base(&ctx);
    let wave: Vec<f32> = (0..4 * 24 * 16).map(|i| (i as f32 * 0.37).sin()).collect();
    let latent = Arc::new(Latent::new(Tensor::from_vec(wave, (1, 4, 24, 16), &Device::Cpu).unwrap()));
    let decode = |class: &str, more: Vec<(&'static str, Value)>| -> Arc<ImageBatch> {
        let mut inputs = vec![("samples", value(&latent)), ("vae", value(&vae))];
        inputs.extend(more);
        output(&run(&ctx, class, inputs).unwrap(), 0)
    };
    let whole = decode("VAEDecode", vec![]);
    let fits = decode("VAEDecodeTiled", vec![("tile_size", 512.into())]);
    assert!(difference(&whole.images()[0], &fits.images()[0]) <= 1);
    let tiled = decode("VAEDecodeTiled", vec![("tile_size", 96.into()), ("overlap", 32.into())]);
    let mean = |a: &ImageBatch, b: &ImageBatch| -> f32 {
        let off = (&a.pixels().unwrap()[0] - &b.pixels().unwrap()[0]).unwrap().abs().unwrap().mean_all().unwrap();
        off.to_scalar().unwrap()
    };
    let off = mean(&whole, &tiled);
    assert!(off > 0.0 && off < 0.05, "off by {off}");
    let encode = |class: &str, more: Vec<(&'static str, Value)>| -> Arc<Latent> {
        let mut inputs = vec![("pixels", value(&whole)), ("vae", value(&vae))];
        inputs.extend(more);
        output(&run(&ctx, class, inputs).unwrap(), 0)
    };
    let (back, tiled) = (encode("VAEEncode", vec![]), encode("VAEEncodeTiled", vec![("tile_size", 96.into())]));
    assert_eq!((back.samples.dims(), tiled.samples.dims()), (&[1, 4, 24, 16][..], &[1, 4, 24, 16][..]));
    let off = (&back.samples - &tiled.samples).unwrap().abs().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
    let size = back.samples.abs().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(off < 0.2 * size, "off by {off} of {size}");
}

#[test]
fn what_is_painted_anew_is_grey_under_a_grown_mask() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let (_, _, vae) = base(&ctx);
    let picture =
        run(&ctx, "EmptyImage", vec![("width", 33.into()), ("height", 32.into()), ("color", 0xff_0000.into())]);
    let pixels = picture.unwrap().values[0].clone();
    let mut spot = vec![0f32; 33 * 32];
    spot[16 * 33 + 16] = 1.0;
    let mask = Arc::new(Mask(Tensor::from_vec(spot, (1, 32, 33), &Device::Cpu).unwrap()));
    let encode = |grow: u32| -> Arc<Latent> {
        let inputs = vec![
            ("pixels", pixels.clone()),
            ("vae", value(&vae)),
            ("mask", value(&mask)),
            ("grow_mask_by", grow.into()),
        ];
        output(&run(&ctx, "VAEEncodeForInpaint", inputs).unwrap(), 0)
    };
    let grown = encode(6);
    let white = |latent: &Latent| flat(latent.noise_mask.as_ref().unwrap()).iter().filter(|v| **v == 1.0).count();
    assert_eq!(
        (grown.noise_mask.as_ref().unwrap().dims(), grown.samples.dims()),
        (&[1, 1, 32, 32][..], &[1, 4, 4, 4][..])
    );
    assert_eq!((white(&grown), white(&encode(0))), (36, 1));
    let masked = made(&ctx, "SetLatentNoiseMask", &grown, vec![("mask", value(&mask))]);
    assert_eq!((white(&masked), masked.samples.dims()), (1, grown.samples.dims()));
}

#[test]
fn latents_are_added_subtracted_multiplied_and_mixed() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let latent = |values: &[f32]| {
        let samples = Tensor::from_slice(values, (1, 4, 1, 1), &Device::Cpu).unwrap();
        value(&Arc::new(Latent::new(samples)))
    };
    let (a, b) = ([3.0, 0.0, 4.0, 0.0], [0.0, 6.0, 0.0, 8.0]);
    let two = |class: &str, more: Vec<(&'static str, spec::Value)>| {
        let mut inputs = vec![("samples1", latent(&a)), ("samples2", latent(&b))];
        inputs.extend(more);
        let made = output::<Latent>(&run(&ctx, class, inputs).unwrap(), 0);
        made.samples.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(two("LatentAdd", vec![]), [3.0, 6.0, 4.0, 8.0]);
    assert_eq!(two("LatentSubtract", vec![]), [3.0, -6.0, 4.0, -8.0]);
    assert_eq!(two("LatentBlend", vec![("blend_factor", 0.25.into())]), [0.75, 4.5, 1.0, 6.0]);
    // Directions (0.6, 0, 0.8, 0) and (0, 0.6, 0, 0.8), half of each: length √½; lengths 5 and 10, half of each: 7.5.
    let half = two("LatentInterpolate", vec![("ratio", 0.5.into())]);
    let expected = [0.6, 0.6, 0.8, 0.8].map(|v: f32| v * 0.5f32.sqrt() * 7.5);
    assert!(half.iter().zip(expected).all(|(found, v)| (found - v).abs() < 1e-5), "{half:?}");
    assert_eq!(two("LatentInterpolate", vec![("ratio", 1.0.into())]), a);
    let inputs = vec![("samples", latent(&a)), ("multiplier", (-2.0).into())];
    let made = output::<Latent>(&run(&ctx, "LatentMultiply", inputs).unwrap(), 0);
    assert_eq!(made.samples.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [-6.0, 0.0, -8.0, 0.0]);
}

#[test]
fn a_batch_gets_one_noise_or_one_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let samples = Tensor::zeros((3, 4, 1, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
    let numbered = Arc::new(Latent { batch_index: Some(vec![7, 8, 9]), ..Latent::new(samples) });
    let numbers = |behaviour: &str| {
        let inputs = vec![("samples", value(&numbered)), ("seed_behavior", behaviour.into())];
        output::<Latent>(&run(&ctx, "LatentBatchSeedBehavior", inputs).unwrap(), 0).numbers().unwrap()
    };
    assert_eq!((numbers("fixed"), numbers("random")), (vec![7, 7, 7], vec![0, 1, 2]));
}
