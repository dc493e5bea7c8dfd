//! The evaluator as the host calls it, and its numbers against those of the peer (tests/peers/make_brisque.py).

use super::*;
use plugin_sdk::Image;
use plugin_test::{FakeHost, image_from_rgb, open_evaluator};
use serde_json::{Value, json};

/// A number of 0…255 for each place.
fn noise(x: u32, y: u32, seed: u32) -> u32 {
    let n = x
        .wrapping_mul(374_761_393)
        .wrapping_add(y.wrapping_mul(668_265_263))
        .wrapping_add(seed.wrapping_mul(2_246_822_519));
    let n = (n ^ (n >> 13)).wrapping_mul(1_274_126_177);
    (n ^ (n >> 16)) & 0xff
}

/// The pictures of the goldens, as make_brisque.py paints them.
fn grey(width: u32, height: u32, kind: &str) -> Vec<u8> {
    let wave = |x: u32, y: u32| ((x * x / 9 + y * y / 17 + x * y / 11) % 256).abs_diff(128) + 60;
    let octaves =
        |x: u32, y: u32| (0..6).map(|o| noise(x >> o, y >> o, o) * [1, 1, 2, 4, 6, 10][o as usize]).sum::<u32>() / 24;
    let pixel = |x: u32, y: u32| match kind {
        "grainy" => wave(x, y) * 7 / 10 + noise(x, y, 1) / 8,
        "smooth" => wave(x, y) + noise(x, y, 2) / 64,
        "octaves" => octaves(x, y),
        other => panic!("no picture is called {other}"),
    };
    (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| pixel(x, y).min(255) as u8).collect()
}

#[test]
fn features_and_scores_are_those_of_the_peer() {
    let golden: Value = serde_json::from_str(include_str!("golden.json")).unwrap();
    let rows = golden.as_array().unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        let size = |key: &str| row[key].as_u64().unwrap() as u32;
        let (width, height, kind) = (size("width"), size("height"), row["kind"].as_str().unwrap());
        let found = features(&grey(width, height, kind), width as usize, height as usize).unwrap();
        for (i, (found, wanted)) in found.iter().zip(row["features"].as_array().unwrap()).enumerate() {
            // Both are f64; the peer finds shapes by another method.
            let wanted = wanted.as_f64().unwrap();
            assert!((found - wanted).abs() < 1e-9, "{kind}: feature {i}: {found}, the peer has {wanted}");
        }
        // Support vectors have six digits; as f32 they are off in the eighth, times 1024.
        let (found, wanted) = (score(&found), row["score"].as_f64().unwrap());
        assert!((found - wanted).abs() < 1e-3, "{kind}: {found}, the peer has {wanted}");
    }
}

fn sample(image: Image) -> Sample {
    Sample { id: "s".into(), image, prompt: String::new(), reference: None, seed: None, extra: None }
}

/// The scores of grey pictures.
fn brisque(pictures: &[Vec<u8>], width: u32, height: u32) -> Vec<Option<f64>> {
    let mut plugin: Brisque = open_evaluator(json!({})).unwrap();
    let batch = pictures.iter().map(|grey| {
        let rgb: Vec<u8> = grey.iter().flat_map(|v| [*v; 3]).collect();
        sample(image_from_rgb(width, height, &rgb).unwrap())
    });
    let scores = plugin.add(batch.collect()).unwrap();
    assert_eq!(plugin.finish().unwrap(), []);
    scores
        .iter()
        .map(|scores| {
            assert!(scores.iter().all(|s| s.metric == plugin.metrics()[0].name));
            scores.first().map(|s| s.value)
        })
        .collect()
}

#[test]
fn noise_and_blur_are_worse_and_scores_stay_on_the_scale() {
    let _host = FakeHost::new().install();
    let (width, height) = (256, 192);
    let good = grey(width, height, "octaves");
    let at = |x: u32, y: u32| u32::from(good[(y.min(height - 1) * width + x.min(width - 1)) as usize]);
    let each = |pixel: &dyn Fn(u32, u32) -> u32| -> Vec<u8> {
        (0..width * height).map(|i| pixel(i % width, i / width).min(255) as u8).collect()
    };
    let grainy = each(&|x, y| (at(x, y) + noise(x, y, 77) * 3 / 4).saturating_sub(96));
    let blurred = each(&|x, y| (0..81).map(|i| at(x + i % 9, y + i / 9)).sum::<u32>() / 81);
    let scores = brisque(&[good.clone(), grainy, blurred, vec![200; good.len()]], width, height);
    let value = |at: usize| scores[at].unwrap();
    assert!(value(0) + 5.0 < value(1) && value(0) + 5.0 < value(2), "{scores:?}");
    assert!(scores.iter().flatten().all(|s| (0.0..=100.0).contains(s)), "{scores:?}");
    assert_eq!(scores[3], None, "a flat picture has no statistics");
}
