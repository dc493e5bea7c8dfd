mod batches;
mod networks;

use crate::testing::{host, output, run, value};
use crate::types::{ImageBatch, Mask};
use data::{Codec, Image, PixelFormat};
use engine::Context;
use spec::Value;
use std::sync::Arc;

fn grey(width: u32, height: u32, values: &[u8]) -> Image {
    Image::new(width, height, PixelFormat::L8, values.to_vec()).unwrap().convert(PixelFormat::Rgb8)
}

fn batch(images: Vec<Image>) -> Arc<ImageBatch> {
    Arc::new(ImageBatch::new(images))
}

fn image(ctx: &Context, class: &str, inputs: Vec<(&str, Value)>) -> Image {
    output::<ImageBatch>(&run(ctx, class, inputs).unwrap(), 0).images()[0].clone()
}

fn reds(image: &Image) -> Vec<u8> {
    image.pixels.chunks_exact(3).map(|p| p[0]).collect()
}

fn mask(ctx: &Context, class: &str, inputs: Vec<(&str, Value)>, n: usize) -> (Vec<usize>, Vec<f32>) {
    let mask = output::<Mask>(&run(ctx, class, inputs).unwrap(), n);
    (mask.0.dims().to_vec(), mask.0.flatten_all().unwrap().to_vec1().unwrap())
}

#[test]
fn what_is_transparent_is_the_mask_and_colours_stay_below_it() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let clear = Image::new(2, 1, PixelFormat::Rgba8, vec![10, 20, 30, 0, 40, 50, 60, 255]).unwrap();
    std::fs::write(dir.path().join("clear.png"), clear.encode(Codec::Png, 100).unwrap()).unwrap();
    std::fs::write(dir.path().join("full.png"), grey(3, 1, &[1, 2, 3]).encode(Codec::Png, 100).unwrap()).unwrap();
    let file = |name: &str| vec![("image", name.into())];
    assert_eq!(image(&ctx, "LoadImage", file("clear.png")).pixels[..], [10, 20, 30, 40, 50, 60]);
    assert_eq!(mask(&ctx, "LoadImage", file("clear.png"), 1), (vec![1, 1, 2], vec![1.0, 0.0]));
    assert_eq!(mask(&ctx, "LoadImage", file("full.png"), 1).0, [1, 64, 64]);
    let channel = |name: &str, channel: &str| {
        mask(&ctx, "LoadImageMask", vec![("image", name.into()), ("channel", channel.into())], 0)
    };
    assert_eq!(channel("clear.png", "alpha").1, [1.0, 0.0]);
    assert_eq!(channel("clear.png", "green").1, [20.0 / 255.0, 50.0 / 255.0]);
    assert_eq!(channel("full.png", "red").1, [1.0 / 255.0, 2.0 / 255.0, 3.0 / 255.0]);
}

#[test]
fn pictures_are_turned_inverted_joined_and_scaled() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    // 1 2 3      4 1
    // 4 5 6  →   5 2
    //            6 3
    let six = batch(vec![grey(3, 2, &[1, 2, 3, 4, 5, 6])]);
    let turned = image(&ctx, "ImageRotate", vec![("image", value(&six)), ("rotation", "90 degrees".into())]);
    assert_eq!((turned.width, turned.height, reds(&turned)), (2, 3, vec![4, 1, 5, 2, 6, 3]));
    let inverted = image(&ctx, "ImageInvert", vec![("image", value(&six))]);
    assert!(reds(&inverted).iter().zip(1..).all(|(found, v): (&u8, i32)| (i32::from(*found) - (255 - v)).abs() <= 1));
    let scale = |width: u32, height: u32, way: &str, crop: &str| {
        let inputs = vec![
            ("image", value(&six)),
            ("width", width.into()),
            ("height", height.into()),
            ("upscale_method", way.into()),
            ("crop", crop.into()),
        ];
        image(&ctx, "ImageScale", inputs)
    };
    assert_eq!(reds(&scale(6, 2, "nearest-exact", "disabled")), [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]);
    assert_eq!(reds(&scale(1, 2, "nearest-exact", "center")), [2, 5]);
    for way in ["bilinear", "area", "bicubic", "lanczos"] {
        assert_eq!((scale(5, 7, way, "disabled").width, scale(0, 4, way, "center").width), (5, 6));
    }
    let by = vec![("image", value(&six)), ("scale_by", 2.0.into())];
    assert_eq!(image(&ctx, "ImageScaleBy", by).pixels.len(), 6 * 4 * 3);
    let total = vec![("image", value(&six)), ("megapixels", 0.01.into())];
    assert_eq!(image(&ctx, "ImageScaleToTotalPixels", total).width, 125);
    let pair = vec![("image1", value(&six)), ("image2", value(&batch(vec![grey(6, 4, &[9; 24])])))];
    let both = output::<ImageBatch>(&run(&ctx, "ImageBatch", pair).unwrap(), 0);
    assert_eq!((both.images().len(), both.images()[1].width, both.images()[1].pixels[0]), (2, 3, 9));
}

#[test]
fn borders_are_grey_and_masked() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let inputs = |feathering: u32| {
        vec![
            ("image", value(&batch(vec![grey(5, 5, &[200; 25])]))),
            ("right", 8.into()),
            ("feathering", feathering.into()),
        ]
    };
    let padded = image(&ctx, "ImagePadForOutpaint", inputs(0));
    assert_eq!((padded.width, reds(&padded)[4], reds(&padded)[5]), (13, 200, 127));
    assert_eq!(mask(&ctx, "ImagePadForOutpaint", inputs(0), 1).1[..7], [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    // One pixel before the border of two soft ones: ((2 − 1) / 2)².
    assert_eq!(mask(&ctx, "ImagePadForOutpaint", inputs(2), 1).1[..7], [0.0, 0.0, 0.0, 0.0, 0.25, 1.0, 1.0]);
}

#[test]
fn masks_are_made_grown_and_softened() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let spot = batch(vec![grey(3, 3, &[0, 0, 0, 0, 255, 0, 0, 0, 0])]);
    let red = vec![("image", value(&spot)), ("channel", "red".into())];
    let of: Arc<Mask> = output(&run(&ctx, "ImageToMask", red).unwrap(), 0);
    let grow = |by: i32, tapered: bool| {
        mask(
            &ctx,
            "GrowMask",
            vec![("mask", value(&of)), ("expand", by.into()), ("tapered_corners", tapered.into())],
            0,
        )
        .1
    };
    assert_eq!(grow(1, true), [0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0]);
    assert_eq!((grow(1, false), grow(-1, true)), (vec![1.0; 9], vec![0.0; 9]));
    assert_eq!(mask(&ctx, "InvertMask", vec![("mask", value(&of))], 0).1[4], 0.0);
    assert_eq!(reds(&image(&ctx, "MaskToImage", vec![("mask", value(&of))]))[4], 255);
    let solid = vec![("value", 0.5.into()), ("width", 4.into()), ("height", 1.into())];
    let half: Arc<Mask> = output(&run(&ctx, "SolidMask", solid).unwrap(), 0);
    let soft = |side: &'static str| mask(&ctx, "FeatherMask", vec![("mask", value(&half)), (side, 2.into())], 0).1;
    assert_eq!(soft("left"), [0.25, 0.5, 0.5, 0.5]);
    assert_eq!(soft("right"), [0.25, 0.5, 0.5, 0.5]);
}

#[test]
fn masks_and_pictures_are_laid_over_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let solid = |v: f64, side: u32| -> Arc<Mask> {
        let inputs = vec![("value", v.into()), ("width", side.into()), ("height", side.into())];
        output(&run(&ctx, "SolidMask", inputs).unwrap(), 0)
    };
    let lay = |operation: &str| {
        let inputs = vec![
            ("destination", value(&solid(0.75, 2))),
            ("source", value(&solid(0.5, 2))),
            ("x", 1.into()),
            ("operation", operation.into()),
        ];
        mask(&ctx, "MaskComposite", inputs, 0).1
    };
    assert_eq!((lay("multiply"), lay("add")), (vec![0.75, 0.375, 0.75, 0.375], vec![0.75, 1.0, 0.75, 1.0]));
    assert_eq!((lay("subtract")[1], lay("and")[1], lay("or")[1], lay("xor")[1]), (0.25, 0.0, 1.0, 1.0));
    let crop = vec![("mask", value(&solid(0.6, 4))), ("x", 3.into()), ("y", 1.into())];
    assert_eq!(mask(&ctx, "CropMask", crop, 0).0, [1, 3, 1]);
    assert_eq!(mask(&ctx, "ThresholdMask", vec![("mask", value(&solid(0.6, 1)))], 0).1, [1.0]);
    let picture = |v: u8| value(&batch(vec![grey(2, 2, &[v; 4])]));
    let over = |more: Vec<(&'static str, Value)>| {
        let mut inputs = vec![("destination", picture(100)), ("source", picture(200))];
        inputs.extend(more);
        reds(&image(&ctx, "ImageCompositeMasked", inputs))
    };
    assert_eq!(over(vec![("x", 1.into())]), [100, 200, 100, 200]);
    assert_eq!(over(vec![("mask", value(&solid(0.5, 8)))]), [150; 4]);
    assert_eq!(over(vec![("x", 9.into())]), [100; 4]);
}
