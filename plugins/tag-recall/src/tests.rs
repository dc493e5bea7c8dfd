//! The evaluator on a pretend model whose scores are the mean colours of the picture.

use super::*;
use plugin_sdk::Dtype;
use plugin_sdk::inference::IoDesc;
use plugin_test::{Array, FakeHost, FakeModel, image_from_rgb, open_evaluator};
use serde_json::json;

/// Labels score (blue, green, red).
fn model() -> FakeModel {
    let input = IoDesc { name: "input".into(), dtype: Dtype::Float32, shape: vec![None, Some(4), Some(4), Some(3)] };
    let labels = b"tag_id,name,category,count\n0,blue_light,0,1\n1,grass,0,1\n2,ohwx,4,1\n";
    FakeModel::new("taggers/mean").asset("selected_tags.csv", labels).input(input).run(|inputs| {
        let images = inputs[0].1.data.chunks_exact(4 * 4 * 3);
        let n = images.len() as u32;
        let scores = images.flat_map(|i| [i[0] / 255.0, i[1] / 255.0, i[2] / 255.0]).collect();
        Ok(vec![("output".into(), Array::new(&[n, 3], scores)?)])
    })
}

fn sample(prompt: &str, rgb: [u8; 3]) -> Sample {
    let image = image_from_rgb(4, 4, &rgb.repeat(16)).unwrap();
    Sample { id: prompt.into(), image, prompt: prompt.into(), reference: None, seed: None, extra: None }
}

#[test]
fn strength_leakage_recall_and_margin() {
    let _host = FakeHost::new().model(model()).install();
    let mut plugin: TagRecall = open_evaluator(json!({"activation": "ohwx", "batch_size": 2})).unwrap();
    let batch = vec![
        sample("ohwx, blue light, grass", [255, 0, 255]),
        sample("blue light", [51, 0, 255]),
        sample("something else", [102, 0, 0]),
    ];
    let scores = plugin.add(batch).unwrap();
    let read = |i: usize| -> Vec<(&str, f64)> {
        scores[i].iter().map(|s| (s.metric.as_str(), (s.value * 1000.0).round() / 1000.0)).collect()
    };
    assert_eq!(read(0), [("tag_recall", 0.5), ("tag_confidence", 0.5), ("trigger_strength", 1.0)]);
    assert_eq!(read(1), [("tag_recall", 1.0), ("tag_confidence", 1.0), ("trigger_leakage", 0.2)]);
    assert_eq!(read(2), [("trigger_leakage", 0.4)]);
    let end = plugin.finish().unwrap();
    assert_eq!(end[0].metric, "trigger_margin");
    assert!((end[0].value - 0.7).abs() < 1e-6);
    assert!(plugin.finish().unwrap().is_empty(), "the samples are forgotten");
    let known: Vec<_> = plugin.metrics().into_iter().map(|m| m.name).collect();
    assert!(scores.iter().flatten().chain(&end).all(|s| known.contains(&s.metric)));
}

#[test]
fn an_activation_tag_that_nobody_knows_needs_traits() {
    let _host = FakeHost::new().model(model()).install();
    let e = open_evaluator::<TagRecall>(json!({"activation": "sks"})).err().unwrap();
    assert!(e.message.contains("set `traits`"), "{}", e.message);
    assert!(open_evaluator::<TagRecall>(json!({"activation": "sks", "traits": "grass"})).is_ok());
}
