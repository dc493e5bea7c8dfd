//! The captioner on a pretend model whose scores are the mean colours of the picture.

use super::*;
use plugin_sdk::inference::IoDesc;
use plugin_sdk::{Dtype, ErrorKind};
use plugin_test::{Array, FakeHost, FakeModel, image_from_rgb, open_captioner};
use serde_json::{Value, json};

const LABELS: &[u8] =
    b"tag_id,name,category,count\n0,safe,9,1\n1,risky,9,1\n2,blue_light,0,1\n3,^_^,0,1\n4,mister_red,4,1\n";

/// A model of 8 pixels whose labels score (0.2, 0.7, blue, green, red).
fn model() -> FakeModel {
    let input = IoDesc { name: "input".into(), dtype: Dtype::Float32, shape: vec![None, Some(8), Some(8), Some(3)] };
    FakeModel::new("taggers/mean").asset("selected_tags.csv", LABELS).input(input).run(|inputs| {
        let images = inputs[0].1.data.chunks_exact(8 * 8 * 3);
        let mean = |image: &[f32], c: usize| image.iter().skip(c).step_by(3).sum::<f32>() / 64.0 / 255.0;
        let n = images.len() as u32;
        let scores = images.flat_map(|i| [0.2, 0.7, mean(i, 0), mean(i, 1), mean(i, 2)]).collect();
        Ok(vec![("output".into(), Array::new(&[n, 5], scores)?)])
    })
}

/// The tags of pictures of one colour each.
fn tags(settings: Value, sizes: &[(u32, u32)], rgb: [u8; 3]) -> Result<Vec<Vec<Tag>>> {
    let _host = FakeHost::new().model(model()).install();
    let request = |&(w, h): &(u32, u32)| -> Result<CaptionRequest> {
        Ok(CaptionRequest { image: image_from_rgb(w, h, &rgb.repeat((w * h) as usize))?, known: Annotation::default() })
    };
    let batch = sizes.iter().map(request).collect::<Result<_>>()?;
    let mut plugin: WdTagger = open_captioner(settings)?;
    plugin.caption(batch)?.into_iter().map(|a| a.map(|a| a.tags)).collect()
}

fn names(tags: &[Tag]) -> Vec<&str> {
    tags.iter().map(|t| t.name.as_str()).collect()
}

#[test]
fn channels_thresholds_and_order() {
    let found = tags(json!({}), &[(8, 8)], [250, 100, 200]).unwrap();
    assert_eq!(names(&found[0]), ["mister red", "blue light", "^_^"]);
    assert_eq!(found[0][0].category.as_deref(), Some("character"));
    assert!((found[0][1].score.unwrap() - 200.0 / 255.0).abs() < 1e-5, "blue comes first in BGR");
    let strict = json!({"general_threshold": 0.5, "character_threshold": 0.99, "underscores": "underscores"});
    assert_eq!(names(&tags(strict, &[(8, 8)], [250, 100, 200]).unwrap()[0]), ["blue_light"]);
}

#[test]
fn narrow_pictures_are_padded_with_white() {
    let found = tags(json!({"general_threshold": 0.0}), &[(4, 8), (8, 4)], [0, 0, 0]).unwrap();
    for tags in found {
        assert!((tags[0].score.unwrap() - 0.5).abs() < 1e-5, "half of the square is white: {tags:?}");
    }
}

#[test]
fn rating_limit_and_exclusion() {
    let settings = json!({"rating": true, "max_tags": 1, "exclude": "mister*"});
    let found = tags(settings, &[(8, 8)], [255, 255, 255]).unwrap();
    assert_eq!(names(&found[0]), ["blue light", "risky"]);
    assert_eq!(found[0][1].category.as_deref(), Some("rating"));
}

#[test]
fn the_model_must_be_there() {
    let e = tags(json!({"model": "taggers/other"}), &[(8, 8)], [0; 3]).unwrap_err();
    assert_eq!(e.kind, ErrorKind::NotFound);
    let _host = FakeHost::new().install();
    let e = open_captioner::<WdTagger>(json!({})).err().unwrap();
    assert!(e.message.contains("no tagger is installed"), "{}", e.message);
}
