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
    for metric in ["palette_distance", "dataset_gap", "lora_effect"] {
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
