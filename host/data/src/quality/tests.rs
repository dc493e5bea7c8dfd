//! A painted picture has no problem; each fault that is made brings its own, and no other.

use super::*;
use crate::{Codec, Image, PixelFormat};

const SIDE: u32 = 640;

/// Discs on a gradient.
fn painted() -> Image {
    let mut pixels = Vec::new();
    for y in 0..SIDE {
        for x in 0..SIDE {
            let mut colour = [40 + (y * 120 / SIDE) as u8, 90 + (x * 80 / SIDE) as u8, 150];
            for n in 0..12u32 {
                let (cx, cy, r) = (n * 211 % SIDE, n * 137 % SIDE, 40 + n * 7);
                if x.abs_diff(cx).pow(2) + y.abs_diff(cy).pow(2) < r * r {
                    colour = [(n * 67 % 256) as u8, (n * 29 + 60) as u8, (200 - n * 13) as u8];
                }
            }
            pixels.extend(colour);
        }
    }
    Image::new(SIDE, SIDE, PixelFormat::Rgb8, pixels).unwrap()
}

fn changed(image: &Image, change: impl Fn(u32, u32, u8) -> u8) -> Image {
    let mut pixels = image.pixels.to_vec();
    for (at, v) in pixels.iter_mut().enumerate() {
        let pixel = at as u32 / 3;
        *v = change(pixel % image.width, pixel / image.width, *v);
    }
    Image::new(image.width, image.height, PixelFormat::Rgb8, pixels).unwrap()
}

/// Means over a square, twice.
fn blurred(image: &Image, radius: i64) -> Image {
    let (w, h) = (i64::from(image.width), i64::from(image.height));
    let mut pixels = image.pixels.to_vec();
    for (dx, dy) in [(1, 0), (0, 1), (1, 0), (0, 1)] {
        let from = pixels.clone();
        for y in 0..h {
            for x in 0..w {
                for c in 0..3 {
                    let sum: i64 = (-radius..=radius)
                        .map(|k| {
                            let (x, y) = ((x + k * dx).clamp(0, w - 1), (y + k * dy).clamp(0, h - 1));
                            i64::from(from[((y * w + x) * 3 + c) as usize])
                        })
                        .sum();
                    pixels[((y * w + x) * 3 + c) as usize] = (sum / (2 * radius + 1)) as u8;
                }
            }
        }
    }
    Image::new(image.width, image.height, PixelFormat::Rgb8, pixels).unwrap()
}

fn found(image: &Image, codec: Codec, quality: u8) -> Vec<&'static str> {
    let look = Look::of(&image.encode(codec, quality).unwrap(), &DecodeLimits::default()).unwrap();
    problems(&look, &Limits::default()).into_iter().map(|p| p.check).collect()
}

#[test]
fn nothing_is_said_against_a_good_picture() {
    assert_eq!(found(&painted(), Codec::Png, 0), [""; 0]);
    assert_eq!(found(&painted(), Codec::Jpeg, 90), [""; 0]);
    // Lines on white paper, with much white around.
    let drawing = changed(&painted(), |x, y, _| {
        let r = f64::from(x.abs_diff(320)).hypot(f64::from(y.abs_diff(330)));
        if (r - 150.0).abs() < 3.0 || (r - 60.0).abs() < 3.0 || (r < 200.0 && x.abs_diff(y) < 4) { 30 } else { 215 }
    });
    assert_eq!(found(&drawing, Codec::Png, 0), [""; 0]);
}

#[test]
fn each_fault_is_named_and_no_other() {
    let good = painted();
    let part = good.crop(crate::Rect { x: 0, y: 100, width: 400, height: 300 }).unwrap();
    assert_eq!(found(&part, Codec::Png, 0), ["tiny"]);
    assert_eq!(found(&blurred(&good, 6), Codec::Png, 0), ["blur"]);
    assert_eq!(found(&changed(&good, |_, _, v| v / 8), Codec::Png, 0), ["dark"]);
    assert_eq!(found(&changed(&good, |_, _, v| 235 + v / 13), Codec::Png, 0), ["bright"]);
    assert_eq!(found(&good, Codec::Jpeg, 30), ["jpeg"]);
    let boxed = changed(&good, |_, y, v| if (60..SIDE - 60).contains(&y) { v } else { 0 });
    assert_eq!(found(&boxed, Codec::Png, 0), ["border"]);
    let beside = changed(&good, |x, _, v| if (40..SIDE - 50).contains(&x) { v } else { 255 });
    assert_eq!(found(&beside, Codec::Jpeg, 90), ["border"]);
    let once = changed(&good, |_, y, v| if y > 60 { v } else { 0 });
    assert_eq!(found(&once, Codec::Png, 0), [""; 0], "a single plain strip may be the sky");
}

/// Upright strokes in rows, about as letters have them.
fn lettered(image: &Image, (left, top): (u32, u32)) -> Image {
    changed(image, |x, y, v| {
        let (Some(x), Some(y)) = (x.checked_sub(left), y.checked_sub(top)) else { return v };
        let inside = x < 170 && y < 30;
        let stroke = x % 9 < 3 || (x % 27 < 12 && (y < 3 || (13..16).contains(&y)));
        if inside && stroke { 250 } else { v }
    })
}

#[test]
fn lettering_at_the_edge_is_suspicious_and_in_the_middle_it_is_not() {
    let good = painted();
    assert_eq!(found(&lettered(&good, (450, 600)), Codec::Png, 0), ["watermark"]);
    assert_eq!(found(&lettered(&good, (20, 6)), Codec::Jpeg, 85), ["watermark"]);
    assert_eq!(found(&lettered(&good, (240, 300)), Codec::Png, 0), [""; 0]);
    // Strokes all over are the picture's own.
    let grass = changed(&good, |x, y, v| if (x * 7 + y / 3) % 8 < 3 { 250 } else { v / 2 });
    assert_eq!(found(&grass, Codec::Png, 0), [""; 0]);
}

#[test]
fn the_quality_of_a_jpeg_is_that_it_was_written_with() {
    for quality in [20, 50, 75, 90] {
        let bytes = painted().encode(Codec::Jpeg, quality).unwrap();
        let found = jpeg::quality(&bytes).unwrap();
        assert!((found - f64::from(quality)).abs() <= 2.0, "{quality}: {found}");
    }
    assert_eq!(jpeg::quality(b"\xff\xd8\xff\xdb\0\x04\0\x10"), None);
    assert_eq!(jpeg::quality(b"\x89PNG"), None);
}

#[test]
fn odd_pictures_are_measured_too() {
    for (w, h) in [(1, 1), (1, 900), (900, 1), (2, 3), (5, 5)] {
        let image = Image::new(w, h, PixelFormat::Rgba8, vec![0; (w * h * 4) as usize]).unwrap();
        let look = Look::of(&image.encode(Codec::Png, 0).unwrap(), &DecodeLimits::default()).unwrap();
        assert!(problems(&look, &Limits::default()).iter().any(|p| p.check == "tiny"), "{look:?}");
    }
}

#[test]
fn suspicion_grows_with_each_check_and_stays_below_one() {
    assert_eq!((suspicion([]), suspicion(["no such check"])), (0.0, 0.0));
    assert!((suspicion(["tiny", "jpeg"]) - (1.0 - 0.5 * 0.6)).abs() < 1e-12);
    let names = || CHECKS.iter().map(|(name, ..)| *name);
    let rising: Vec<f64> = (0..=CHECKS.len()).map(|n| suspicion(names().take(n))).collect();
    assert!(rising.windows(2).all(|pair| pair[0] < pair[1]) && rising[CHECKS.len()] < 1.0, "{rising:?}");
}
