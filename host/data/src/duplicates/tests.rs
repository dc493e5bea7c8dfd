//! On painted scenes: what was resized, recompressed and brightened is a copy, a redrawn face is a variant.

use super::*;
use crate::{Codec, DecodeLimits, Filter, Fit, Image, PixelFormat, Rect, ResizeSpec};

const SIDE: u32 = 320;

fn random(seed: &mut u32) -> u32 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    *seed
}

/// A scene of some shapes; with `face`, the mouth and eyes of its figure are drawn elsewhere.
fn scene(seed: u32, face: bool) -> Image {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    for _ in 0..4 {
        random(&mut state);
    }
    let mut pixels = vec![0u8; (SIDE * SIDE * 3) as usize];
    let base: [u32; 3] = std::array::from_fn(|_| random(&mut state) % 200 + 40);
    for y in 0..SIDE {
        for x in 0..SIDE {
            for c in 0..3 {
                pixels[((y * SIDE + x) * 3) as usize + c] = (base[c] * (SIDE + y) / (2 * SIDE)) as u8;
            }
        }
    }
    let mut disc = |cx: i64, cy: i64, r: i64, colour: [u8; 3]| {
        for y in (cy - r).max(0)..(cy + r).min(i64::from(SIDE)) {
            for x in (cx - r).max(0)..(cx + r).min(i64::from(SIDE)) {
                if (x - cx).pow(2) + (y - cy).pow(2) <= r * r {
                    let at = ((y * i64::from(SIDE) + x) * 3) as usize;
                    pixels[at..at + 3].copy_from_slice(&colour);
                }
            }
        }
    };
    for _ in 0..14 {
        let at = |s: &mut u32| i64::from(random(s) % SIDE);
        let (x, y) = (at(&mut state), at(&mut state));
        let r = i64::from(random(&mut state) % 60 + 10);
        let colour = std::array::from_fn(|_| (random(&mut state) % 256) as u8);
        disc(x, y, r, colour);
    }
    // The figure's head.
    disc(160, 150, 60, [240, 205, 180]);
    let dark = [20, 20, 40];
    if face {
        disc(128, 166, 12, [200, 30, 60]);
        disc(186, 170, 12, [200, 30, 60]);
        disc(165, 112, 16, dark);
    } else {
        disc(140, 140, 9, dark);
        disc(182, 140, 9, dark);
        disc(160, 178, 12, [180, 40, 40]);
    }
    Image::new(SIDE, SIDE, PixelFormat::Rgb8, pixels).unwrap()
}

fn resized(image: &Image, share: f64) -> Image {
    let side = |length: u32| (f64::from(length) * share).round() as u32;
    let (width, height) = (side(image.width), side(image.height));
    image.resize(&ResizeSpec { width, height, fit: Fit::Stretch, filter: Filter::Lanczos3, pad_color: 0 }).unwrap()
}

fn jpeg(image: &Image, quality: u8) -> Image {
    Image::decode(&image.encode(Codec::Jpeg, quality).unwrap(), &DecodeLimits::default()).unwrap()
}

fn brighter(image: &Image) -> Image {
    let pixels: Vec<u8> = image.pixels.iter().map(|v| (f32::from(*v) * 0.85 + 35.0).min(255.0) as u8).collect();
    Image::new(image.width, image.height, PixelFormat::Rgb8, pixels).unwrap()
}

fn cropped(image: &Image, share: f64) -> Image {
    let cut = (f64::from(SIDE) * share) as u32;
    image.crop(Rect { x: cut, y: cut, width: SIDE - cut, height: SIDE - cut }).unwrap()
}

fn prints(images: &[Image]) -> Vec<Print> {
    images.iter().enumerate().map(|(i, image)| Print::of(image, &i.to_string(), true).unwrap()).collect()
}

#[test]
fn copies_are_found_and_no_redrawn_face_is_one() {
    const SCENES: usize = 40;
    let mut images = Vec::new();
    for n in 0..SCENES {
        let original = scene(n as u32 + 1, false);
        images.extend([resized(&original, 0.7), jpeg(&original, 35), brighter(&original), scene(n as u32 + 1, true)]);
        images.push(original);
    }
    let kind = |i: usize| i % 5;
    let found = links(&prints(&images), &Limits { crops: false, ..Limits::default() });
    assert!(found.iter().all(|l| l.first / 5 == l.second / 5), "other scenes are nothing to each other");
    let (mut right, mut wrong, mut faces) = (0, Vec::new(), 0);
    for link in &found {
        let same = link.first / 5 == link.second / 5;
        let redrawn = (kind(link.first) == 3) != (kind(link.second) == 3);
        match (link.relation.is_copy(), same && !redrawn) {
            (true, true) => right += 1,
            (true, false) => wrong.push(*link),
            (false, _) => faces += usize::from(same && redrawn),
        }
    }
    let all = SCENES * 6;
    assert_eq!(wrong, [], "nothing else is called a copy");
    assert!(right as f64 >= 0.99 * all as f64, "{right} of {all} copies");
    assert!(faces > 0, "hashes alone do propose some of the faces");
}

#[test]
fn crops_are_found_as_such() {
    const SCENES: usize = 20;
    let mut images = Vec::new();
    for n in 0..SCENES {
        let original = scene(n as u32 + 100, false);
        images.push(jpeg(&cropped(&original, 0.06), 90));
        images.push(original);
    }
    let found = links(&prints(&images), &Limits::default());
    assert!(found.iter().all(|l| l.first / 2 == l.second / 2), "{found:?}");
    let crops = found.iter().filter(|l| l.relation == Relation::Crop).count();
    assert!(crops >= SCENES * 9 / 10, "{crops} of {SCENES}: {found:?}");
}

#[test]
fn files_and_pixels_are_told_apart() {
    let image = scene(1, false);
    let print = |file: &str, image: &Image| Print::of(image, file, false).unwrap();
    let see_through = image.convert(PixelFormat::Rgba8);
    let all = [print("a", &image), print("a", &image), print("b", &see_through)];
    let relations: Vec<_> =
        links(&all, &Limits::default()).into_iter().map(|l| (l.first, l.second, l.relation)).collect();
    assert_eq!(relations, [(0, 1, Relation::File), (0, 2, Relation::Pixels), (1, 2, Relation::Pixels)]);
    let flat = |v: u8| Image::new(40, 40, PixelFormat::L8, vec![v; 1600]).unwrap();
    let plain = links(&[print("c", &flat(10)), print("d", &flat(240))], &Limits::default());
    assert!(plain.iter().all(|l| !l.relation.is_copy()), "black is no copy of white: {plain:?}");
}

#[test]
fn the_nearest_picture_is_found_and_what_repeats_it_is_told_from_what_does_not() {
    let set: Vec<Image> = (0..40).map(|n| scene(n + 300, false)).collect();
    let all: Vec<Print> = set.iter().map(|i| Print::of(i, "trained", true).unwrap()).collect();
    let of = |image: &Image| nearest(&Print::of(image, "", false).unwrap(), &all, &Limits::default()).unwrap();
    for at in [0, 7, 39] {
        let copy = of(&brighter(&jpeg(&resized(&set[at], 0.4), 60)));
        assert_eq!((copy.at, copy.relation, copy.is_repeated()), (at, Some(Relation::Copy), true), "{copy:?}");
        let part = of(&jpeg(&cropped(&set[at], 0.06), 90));
        assert_eq!((part.at, part.relation, part.is_repeated()), (at, Some(Relation::Crop), true), "{part:?}");
        // The same scene with another face is near, but not by heart.
        let redrawn = of(&scene(at as u32 + 300, true));
        assert!(redrawn.at == at && !redrawn.is_repeated() && redrawn.distance > 0.7, "{redrawn:?}");
    }
    for seed in 900..910 {
        let other = of(&scene(seed, false));
        assert!(!other.is_repeated() && other.distance > 0.7, "{other:?}");
    }
    let print = Print::of(&set[0], "", false).unwrap();
    assert_eq!(nearest(&print, &all, &Limits::default()).unwrap().distance, 0.0);
    assert_eq!(nearest(&print, &[], &Limits::default()), None);
}
