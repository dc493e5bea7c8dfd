//! The evaluator as the host calls it.

use super::*;
use plugin_test::{FakeHost, image_from_rgb, open_evaluator};
use serde_json::json;

fn grey(value: u8) -> Image {
    image_from_rgb(64, 64, &[value; 64 * 64 * 3]).unwrap()
}

fn sample(prompt: &str, image: Image, extra: Option<Value>) -> Sample {
    Sample { id: "1".into(), image, prompt: prompt.into(), reference: None, seed: None, extra }
}

fn value(scores: &[Score], metric: &str) -> Option<f64> {
    scores.iter().find(|s| s.metric == metric).map(|s| s.value)
}

#[test]
fn what_needs_a_comparison_is_left_out_without_one() {
    let _host = FakeHost::new().install();
    let mut plugin: ImageStats = open_evaluator(json!({})).unwrap();
    let scores = plugin.add(vec![sample("a", grey(100), None)]).unwrap().remove(0);
    assert_eq!(scores.iter().map(|s| s.metric.as_str()).collect::<Vec<_>>(), ["sharpness", "clipping", "saturation"]);
    assert!(plugin.finish().unwrap().is_empty(), "one seed has no diversity");
    let known: Vec<_> = plugin.metrics().into_iter().map(|m| m.name).collect();
    assert!(scores.iter().all(|s| known.contains(&s.metric)));
}

#[test]
fn distances_to_the_data_set_and_to_the_picture_without_lora() {
    let _host = FakeHost::new().install();
    let mut plugin: ImageStats = open_evaluator(json!({})).unwrap();
    plugin.reference(vec![grey(100)]).unwrap();
    plugin.reference(vec![grey(100)]).unwrap();
    let near = Sample { reference: Some(grey(100)), ..sample("a", grey(100), None) };
    let far = Sample { reference: Some(grey(100)), ..sample("a", grey(255), None) };
    let scores = plugin.add(vec![near, far]).unwrap();
    for metric in ["palette_distance", "burnt", "dataset_gap", "lora_effect"] {
        assert_eq!(value(&scores[0], metric), Some(0.0), "{metric}");
        assert!(value(&scores[1], metric).unwrap() > 0.3, "{metric}");
    }
    assert_eq!(value(&scores[1], "clipping"), Some(1.0));
}

#[test]
fn diversity_is_between_seeds_of_one_prompt_and_checkpoint() {
    let _host = FakeHost::new().install();
    let mut plugin: ImageStats = open_evaluator(json!({})).unwrap();
    let at = |step: u32| Some(json!({"checkpoint": step, "strength": 1.0}));
    let batch = vec![
        sample("a", grey(50), at(100)),
        sample("a", grey(50), at(100)),
        sample("b", grey(250), at(100)),
        sample("a", grey(200), at(200)),
    ];
    plugin.add(batch).unwrap();
    assert_eq!(value(&plugin.finish().unwrap(), "diversity"), Some(0.0));
    plugin.add(vec![sample("a", grey(50), None), sample("a", grey(200), None)]).unwrap();
    assert!(value(&plugin.finish().unwrap(), "diversity").unwrap() > 0.3, "the first set is forgotten");
}

/// 64×64 pixels, stripes of 8 pixels along or across.
fn stripes(upright: bool) -> Image {
    let light = |i: usize| if upright { i % 64 } else { i / 64 } / 8 % 2 == 0;
    let rgb: Vec<u8> = (0..64 * 64).flat_map(|i| [if light(i) { 200 } else { 60 }; 3]).collect();
    image_from_rgb(64, 64, &rgb).unwrap()
}

#[test]
fn lines_that_run_otherwise_are_seen_where_colours_are_the_same() {
    let _host = FakeHost::new().install();
    let mut plugin: ImageStats = open_evaluator(json!({})).unwrap();
    plugin.reference(vec![stripes(true)]).unwrap();
    let scores = plugin.add(vec![sample("a", stripes(true), None), sample("a", stripes(false), None)]).unwrap();
    assert_eq!((value(&scores[0], "edge_distance"), value(&scores[0], "palette_distance")), (Some(0.0), Some(0.0)));
    assert!(value(&scores[1], "palette_distance").unwrap() < 1e-6);
    // 14 of 62 inner columns lie beside a step; all of these edges are others.
    let distance = value(&scores[1], "edge_distance").unwrap();
    assert!((distance - 14.0 / 62.0).abs() < 1e-6, "{distance}");
}

#[test]
fn burnt_is_what_the_data_set_has_not() {
    let _host = FakeHost::new().install();
    let mut plugin: ImageStats = open_evaluator(json!({})).unwrap();
    // Half of the paper is white, as in the data set; then a quarter of the picture is pure red as well.
    let picture = |red: bool| {
        let pixel = |i: usize| match i / 1024 {
            0 | 1 => [255, 255, 255],
            2 if red => [255, 0, 0],
            _ => [120, 130, 140],
        };
        image_from_rgb(64, 64, &(0..64 * 64).flat_map(pixel).collect::<Vec<u8>>()).unwrap()
    };
    plugin.reference(vec![picture(false)]).unwrap();
    let scores = plugin.add(vec![sample("a", picture(false), None), sample("a", picture(true), None)]).unwrap();
    assert_eq!((value(&scores[0], "burnt"), value(&scores[0], "clipping")), (Some(0.0), Some(0.5)));
    assert_eq!(value(&scores[1], "burnt"), Some(0.25));
    // What the base makes of the prompt is not the LoRA's fault, with a data set and without one.
    let beside = |off: Image, made: Image| Sample { reference: Some(off), ..sample("a", made, None) };
    let pairs = || vec![beside(picture(true), picture(true)), beside(grey(90), picture(true))];
    let scores = plugin.add(pairs()).unwrap();
    assert_eq!([value(&scores[0], "burnt"), value(&scores[1], "burnt")], [Some(0.0), Some(0.25)]);
    let mut alone: ImageStats = open_evaluator(json!({})).unwrap();
    let scores = alone.add(pairs()).unwrap();
    assert_eq!([value(&scores[0], "burnt"), value(&scores[1], "burnt")], [Some(0.0), Some(0.75)]);
}

#[test]
fn a_lora_that_changes_prompts_without_its_tag_leaks() {
    let _host = FakeHost::new().install();
    let changed = |prompt: &str, to: u8| Sample { reference: Some(grey(100)), ..sample(prompt, grey(to), None) };
    let share = |without: u8, activation: &str| {
        let mut plugin: ImageStats = open_evaluator(json!({"activation": activation})).unwrap();
        plugin.add(vec![changed("ohwx, hat", 200), changed("hat", without)]).unwrap();
        let share = value(&plugin.finish().unwrap(), "effect_leakage");
        assert_eq!(value(&plugin.finish().unwrap(), "effect_leakage"), None, "the next set starts anew");
        share
    };
    assert_eq!(share(100, "ohwx"), Some(0.0));
    assert_eq!(share(200, "ohwx"), Some(1.0));
    let some = share(130, "ohwx").unwrap();
    assert!(some > 0.1 && some < 0.9, "{some}");
    assert_eq!(share(200, ""), None, "without an activation tag nothing can leak");
    // Without a picture made without the LoRA nothing is known of its effect.
    let mut plugin: ImageStats = open_evaluator(json!({"activation": "ohwx"})).unwrap();
    plugin.add(vec![sample("ohwx", grey(1), None), sample("hat", grey(9), None)]).unwrap();
    assert_eq!(value(&plugin.finish().unwrap(), "effect_leakage"), None);
}
