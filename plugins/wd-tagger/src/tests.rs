//! The captioner on a pretend model whose scores are the mean colours of the picture.

use super::*;
use plugin_sdk::inference::IoDesc;
use plugin_sdk::{Dtype, ErrorKind};
use plugin_sdk::{FilterRequest, Tag, TagFilter, Verdict};
use plugin_test::{Array, FakeHost, FakeModel, image_from_rgb, open_captioner, open_tag_filter};
use serde_json::{Value, json};
use std::cell::Cell;
use std::rc::Rc;

const LABELS: &[u8] =
    b"tag_id,name,category,count\n0,safe,9,1\n1,risky,9,1\n2,blue_light,0,1\n3,^_^,0,1\n4,mister_red,4,1\n";

fn input() -> IoDesc {
    IoDesc { name: "input".into(), dtype: Dtype::Float32, shape: vec![None, Some(8), Some(8), Some(3)] }
}

/// A model of 8 pixels whose labels score (0.2, 0.7, blue, green, red).
fn model() -> FakeModel {
    FakeModel::new("taggers/mean").asset("selected_tags.csv", LABELS).input(input()).run(|inputs| {
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

/// A picture of one colour.
fn request(rgb: [u8; 3], extra: Option<String>) -> CaptionRequest {
    let image = image_from_rgb(8, 8, &rgb.repeat(64)).unwrap();
    CaptionRequest { image, known: Annotation { extra, ..Annotation::default() } }
}

/// The same model, one picture at a time; `runs` counts.
fn counted(name: &str, runs: &Rc<Cell<u32>>) -> FakeModel {
    let count = runs.clone();
    FakeModel::new(name).asset("selected_tags.csv", LABELS).input(input()).run(move |inputs| {
        count.set(count.get() + 1);
        let mean = |c: usize| inputs[0].1.data.iter().skip(c).step_by(3).sum::<f32>() / 64.0 / 255.0;
        Ok(vec![("output".into(), Array::new(&[1, 5], vec![0.2, 0.7, mean(0), mean(1), mean(2)])?)])
    })
}

#[test]
fn another_threshold_needs_no_other_run_but_another_picture_does() {
    let runs = Rc::new(Cell::new(0));
    let _host = FakeHost::new().model(counted("taggers/mean", &runs)).install();
    let ask = |settings: Value, rgb: [u8; 3], extra: Option<String>| {
        let mut plugin: WdTagger = open_captioner(settings).unwrap();
        plugin.caption(vec![request(rgb, extra)]).unwrap().remove(0).unwrap()
    };
    let first = ask(json!({}), [250, 100, 30], Some(r#"{"credits": "x"}"#.into()));
    assert_eq!((names(&first.tags), runs.get()), (vec!["mister red", "^_^"], 1));
    let extra: Value = serde_json::from_str(first.extra.as_deref().unwrap()).unwrap();
    assert_eq!(extra["credits"], "x");
    assert_eq!(extra["scores"]["taggers/mean"]["tags"].as_array().unwrap().len(), 5, "{extra}");

    // As the picture carries it, and as a host remembers it.
    let remembered = json!({"remembered": {"scores": extra["scores"]}}).to_string();
    for kept in [first.extra.clone().unwrap(), remembered] {
        let low = ask(json!({"general_threshold": 0.1}), [250, 100, 30], Some(kept.clone()));
        assert_eq!((names(&low.tags), runs.get()), (vec!["mister red", "^_^", "blue light"], 1));
        assert!(!low.extra.unwrap().contains("remembered"));
    }
    runs.set(0);
    assert_eq!(names(&ask(json!({}), [250, 200, 30], first.extra.clone()).tags), ["mister red", "^_^"]);
    ask(json!({"resize": "area"}), [250, 100, 30], first.extra.clone());
    ask(json!({"general_threshold": 0.01}), [250, 100, 30], first.extra.clone());
    assert_eq!(runs.get(), 3, "another picture, another resize, more scores than were kept");
    assert_eq!(ask(json!({"keep_scores": false}), [250, 100, 30], None).extra, None);
}

#[test]
fn taggers_are_united_and_intersected_by_a_second_one_or_by_the_filter() {
    let runs = Rc::new(Cell::new(0));
    let other = FakeModel::new("taggers/other")
        .asset("selected_tags.csv", b"name,category\nblue light,0\nhat,0\n")
        .input(input())
        .run(|_| Ok(vec![("output".into(), Array::new(&[1, 2], vec![0.9, 0.6])?)]));
    let _host = FakeHost::new().model(counted("taggers/mean", &runs)).model(other).install();
    let ask = |settings: Value, extra: Option<String>| {
        let mut plugin: WdTagger = open_captioner(settings).unwrap();
        plugin.caption(vec![request([20, 250, 200], extra)]).unwrap().remove(0).unwrap()
    };
    let first = ask(json!({"model": "taggers/mean"}), None);
    assert_eq!(names(&first.tags), ["^_^", "blue light"]);
    let alone = ask(json!({"model": "taggers/other"}), first.extra.clone());
    assert_eq!(names(&alone.tags), ["blue light", "hat"]);
    let both = |combine: &str| json!({"model": "taggers/other", "earlier": "use", "combine": combine});
    assert_eq!(names(&ask(both("union"), first.extra.clone()).tags), ["^_^", "blue light", "hat"]);
    let common = ask(both("intersection"), first.extra.clone()).tags;
    assert_eq!(names(&common), ["blue light"]);
    assert!((common[0].score.unwrap() - 200.0 / 255.0).abs() < 1e-5, "the lower of two");

    let choose = |settings: Value, annotation: &Annotation| {
        let mut filter: TagChoice = open_tag_filter(settings).unwrap();
        let request = FilterRequest { annotation: annotation.clone(), ..FilterRequest::default() };
        filter.apply(vec![request]).map(|mut verdicts| verdicts.remove(0))
    };
    let tags = |settings: Value, annotation: &Annotation| match choose(settings, annotation).unwrap() {
        Verdict::Keep(annotation) => annotation.tags.into_iter().map(|t| t.name).collect::<Vec<_>>(),
        Verdict::Drop(why) => panic!("{why}"),
    };
    let mut by_hand = alone.clone();
    by_hand.tags.insert(0, Tag { name: "ohwx".into(), ..Tag::default() });
    by_hand.tags.push(Tag { name: "hat".into(), ..Tag::default() });
    assert_eq!(tags(json!({"combine": "intersection"}), &by_hand), ["ohwx", "hat", "blue light"]);
    assert_eq!(tags(json!({"taggers": "taggers/mean", "general_threshold": 0.9}), &alone), ["^_^"]);
    assert_eq!(runs.get(), 1, "a choice runs no model");

    let e = choose(json!({"taggers": "taggers/x"}), &alone).unwrap_err().message;
    assert!(e.contains("`taggers/x` left no scores"), "{e}");
    let e = choose(json!({"general_threshold": 0.01}), &alone).unwrap_err().message;
    assert!(e.contains("left scores from 0.05 on"), "{e}");
    let none = Annotation::default();
    assert!(matches!(choose(json!({"missing": "drop"}), &none).unwrap(), Verdict::Drop(_)));
    assert_eq!(choose(json!({"missing": "keep"}), &none).unwrap(), Verdict::Keep(none));
}

#[test]
fn wrong_thresholds_are_refused_at_once() {
    let _host = FakeHost::new().model(model()).install();
    let e = open_captioner::<WdTagger>(json!({"thresholds": "colour = 1"})).err().unwrap();
    assert!(e.message.starts_with("`thresholds`: `colour` is no category"), "{}", e.message);
}
