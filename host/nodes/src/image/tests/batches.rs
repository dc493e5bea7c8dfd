//! Batches, and pictures side by side and over each other.

use super::{batch, grey, image, mask, reds};
use crate::testing::{host, output, run, value};
use crate::types::ImageBatch;
use candle_core::{Device, Tensor};
use engine::Context;
use spec::Value;
use std::sync::Arc;

fn with<T>(test: impl FnOnce(&Context) -> T) -> T {
    let dir = tempfile::tempdir().unwrap();
    test(&host(dir.path()))
}

fn six() -> Value {
    value(&batch(vec![grey(3, 2, &[1, 2, 3, 4, 5, 6])]))
}

#[test]
fn rectangles_are_cut_out_and_pictures_mirrored() {
    with(|ctx| {
        let crop = |x: u32, y: u32, width: u32, height: u32| {
            let numbers = [("x", x), ("y", y), ("width", width), ("height", height)];
            let inputs = numbers.map(|(name, n)| (name, n.into())).into_iter().chain([("image", six())]).collect();
            let cropped = image(ctx, "ImageCrop", inputs);
            (cropped.width, cropped.height, reds(&cropped))
        };
        assert_eq!(crop(1, 0, 2, 1), (2, 1, vec![2, 3]));
        assert_eq!(crop(1, 1, 512, 512), (2, 1, vec![5, 6]));
        assert_eq!(crop(99, 99, 5, 5), (1, 1, vec![6]), "at least the last pixel");
        let flip =
            |way: &'static str| reds(&image(ctx, "ImageFlip", vec![("image", six()), ("flip_method", way.into())]));
        assert_eq!(flip("x-axis: vertically"), [4, 5, 6, 1, 2, 3]);
        assert_eq!(flip("y-axis: horizontally"), [3, 2, 1, 6, 5, 4]);
    });
}

#[test]
fn batches_are_measured_taken_apart_repeated_and_cut_anew() {
    with(|ctx| {
        let pictures = |from: u8, to: u8| batch((from..to).map(|v| grey(2, 1, &[v, v])).collect());
        let many = value(&pictures(0, 5));
        let size = run(ctx, "GetImageSize", vec![("image", many.clone())]).unwrap().values;
        let numbers: Vec<String> = size.iter().map(Value::describe).collect();
        assert_eq!(numbers, ["2", "1", "5"]);
        let firsts = |batch: &ImageBatch| batch.images().iter().map(|i| i.pixels[0]).collect::<Vec<_>>();
        let taken = |from: u32, length: u32| {
            let inputs = vec![("image", many.clone()), ("batch_index", from.into()), ("length", length.into())];
            firsts(&output::<ImageBatch>(&run(ctx, "ImageFromBatch", inputs).unwrap(), 0))
        };
        assert_eq!((taken(1, 2), taken(3, 9), taken(99, 2)), (vec![1, 2], vec![3, 4], vec![4]));
        let inputs = vec![("image", value(&pictures(7, 9))), ("amount", 2.into())];
        assert_eq!(firsts(&output::<ImageBatch>(&run(ctx, "RepeatImageBatch", inputs).unwrap(), 0)), [7, 8, 7, 8]);
        let list = Value::List(vec![value(&pictures(0, 3)), value(&pictures(3, 5))]);
        let made = run(ctx, "RebatchImages", vec![("images", list), ("batch_size", 2.into())]).unwrap();
        let Value::List(batches) = &made.values[0] else { panic!("no list") };
        let batches: Vec<Vec<u8>> = batches
            .iter()
            .map(|b| match b {
                Value::Object(object) => firsts(&object.get::<ImageBatch>().unwrap()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(batches, [vec![0, 1], vec![2, 3], vec![4]]);
    });
}

#[test]
fn pictures_stand_beside_each_other() {
    with(|ctx| {
        let stitch = |more: Vec<(&'static str, Value)>| {
            let two = value(&batch(vec![grey(1, 1, &[9])]));
            let mut inputs = vec![("image1", six()), ("image2", two)];
            inputs.extend(more);
            let made = image(ctx, "ImageStitch", inputs);
            (made.width, made.height, reds(&made))
        };
        // The second is enlarged to the height of the first, and keeps its shape.
        assert_eq!(stitch(vec![]), (5, 2, vec![1, 2, 3, 9, 9, 4, 5, 6, 9, 9]));
        assert_eq!(stitch(vec![("direction", "left".into())]).2[..3], [9, 9, 1]);
        assert_eq!(stitch(vec![("direction", "down".into())]), (3, 5, [vec![1, 2, 3, 4, 5, 6], vec![9; 9]].concat()));
        let apart = vec![("spacing_width", 1.into()), ("spacing_color", "red".into())];
        assert_eq!(stitch(apart).2[..7], [1, 2, 3, 255, 255, 9, 9], "an odd width is one more");
        // Unmatched: one row of border below, because half of one is none.
        let border = vec![("match_image_size", false.into()), ("spacing_color", "black".into())];
        assert_eq!(stitch(border), (4, 2, vec![1, 2, 3, 9, 4, 5, 6, 0]));
        let white = vec![("match_image_size", false.into()), ("direction", "up".into())];
        assert_eq!(stitch(white), (3, 3, vec![255, 9, 255, 1, 2, 3, 4, 5, 6]));
        let alone = image(ctx, "ImageStitch", vec![("image1", six())]);
        assert_eq!(reds(&alone), [1, 2, 3, 4, 5, 6]);
    });
}

#[test]
fn sizes_are_reached_without_changing_the_shape() {
    with(|ctx| {
        let padded = |width: u32, height: u32, colour: &'static str| {
            let inputs = vec![
                ("image", six()),
                ("target_width", width.into()),
                ("target_height", height.into()),
                ("padding_color", colour.into()),
                ("interpolation", "nearest-exact".into()),
            ];
            reds(&image(ctx, "ResizeAndPadImage", inputs))
        };
        assert_eq!(padded(3, 5, "black"), [0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0]);
        assert_eq!(padded(6, 2, "white"), [255, 1, 2, 3, 255, 255, 255, 4, 5, 6, 255, 255]);
        let longest = |length: u32| {
            let inputs = vec![("image", six()), ("largest_size", length.into())];
            let made = image(ctx, "ImageScaleToMaxDimension", inputs);
            (made.width, made.height)
        };
        assert_eq!((longest(6), longest(5)), ((6, 4), (5, 3)));
        let kontext = image(ctx, "FluxKontextImageScale", vec![("image", six())]);
        assert_eq!((kontext.width, kontext.height), (1248, 832));
    });
}

#[test]
fn colours_are_mixed_by_the_formulas_of_their_modes() {
    let (a, b) = (0.2f32, 0.7f32);
    let pixel = |v: f32| {
        let picture = Tensor::full(v, (3, 1, 1), &Device::Cpu).unwrap();
        value(&Arc::new(ImageBatch::from_pixels(vec![picture]).unwrap()))
    };
    with(|ctx| {
        let mixed = |mode: &'static str, a: f32, b: f32| {
            let inputs = vec![
                ("image1", pixel(a)),
                ("image2", pixel(b)),
                ("blend_mode", mode.into()),
                ("blend_factor", 0.75.into()),
            ];
            let made = output::<ImageBatch>(&run(ctx, "ImageBlend", inputs).unwrap(), 0);
            made.exact().unwrap()[0].flatten_all().unwrap().to_vec1::<f32>().unwrap()[0]
        };
        let expect = |mode: &'static str, a: f32, b: f32, blend: f32| {
            let expected = (a * 0.25 + blend * 0.75).clamp(0.0, 1.0);
            assert!((mixed(mode, a, b) - expected).abs() < 1e-6, "{mode} {a} {b}");
        };
        expect("normal", a, b, b);
        expect("multiply", a, b, a * b);
        expect("screen", a, b, a + b - a * b);
        expect("overlay", a, b, 2.0 * a * b);
        expect("overlay", b, a, 1.0 - 2.0 * (1.0 - a) * (1.0 - b));
        expect("soft_light", a, b, a + (2.0 * b - 1.0) * (((16.0 * a - 12.0) * a + 4.0) * a - a));
        expect("soft_light", b, b, b + (2.0 * b - 1.0) * (b.sqrt() - b));
        expect("soft_light", b, a, b - (1.0 - 2.0 * a) * b * (1.0 - b));
        expect("difference", a, b, a - b);
    });
}

#[test]
fn one_colour_becomes_a_mask() {
    with(|ctx| {
        let colour = |n: u32| mask(ctx, "ImageColorToMask", vec![("image", six()), ("color", n.into())], 0);
        assert_eq!(colour(0x05_0505), (vec![1, 2, 3], vec![0.0, 0.0, 0.0, 0.0, 1.0, 0.0]));
        assert_eq!(colour(5).1, [0.0; 6]);
    });
}

#[test]
fn edges_are_drawn_white_on_black() {
    with(|ctx| {
        let step: Vec<u8> = (0..144)
            .map(|i| {
                if i % 12 < 6 {
                    0
                } else if i % 12 == 6 {
                    128
                } else {
                    255
                }
            })
            .collect();
        let edges = image(ctx, "Canny", vec![("image", value(&batch(vec![grey(12, 12, &step)])))]);
        let row: Vec<usize> = (0..12).filter(|x| reds(&edges)[5 * 12 + x] == 255).collect();
        assert_eq!(row, [6], "where the step is steepest");
    });
}
