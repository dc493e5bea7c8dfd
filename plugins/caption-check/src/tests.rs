//! The captioner as the host calls it.

use super::*;
use plugin_test::{FakeHost, annotation, image_from_rgb, open_captioner};

fn check(settings: Value, known: Annotation) -> (Annotation, Value) {
    let _host = FakeHost::new().install();
    let image = image_from_rgb(200, 100, &[200, 30, 30].repeat(20_000)).unwrap();
    let mut plugin: CaptionCheck = open_captioner(settings).unwrap();
    let found = plugin.caption(vec![CaptionRequest { image, known }]).unwrap().remove(0).unwrap();
    let extra = serde_json::from_str(found.extra.as_deref().unwrap()).unwrap();
    (found, extra)
}

#[test]
fn nothing_is_changed_and_the_worst_comes_first() {
    let known = Annotation {
        text: Some("A greyscale picture of two girls and a".into()),
        extra: Some(r#"{"credits": "x", "captioner": {"cut_off": true}}"#.into()),
        ..annotation(&["solo", "red_wall"])
    };
    let (found, extra) = check(json!({}), known.clone());
    assert_eq!((found.text, found.tags), (known.text, known.tags));
    assert_eq!(extra["credits"], "x");
    let problems: Vec<&str> =
        extra["caption_check"]["problems"].as_array().unwrap().iter().flat_map(|p| p.as_str()).collect();
    assert_eq!(
        problems,
        [
            "it says `greyscale`, but 100 % of the picture is coloured",
            "it breaks off after `a`",
            "it speaks of `two girls`, the tags say `solo`",
            "the captioner ran into its limit of tokens",
        ]
    );
    assert_eq!(extra["caption_check"]["suspicion"], 0.995);
}

#[test]
fn good_captions_have_no_suspicion_and_parts_can_be_left_out() {
    let (_, extra) = check(json!({}), annotation(&["solo", "red wall"]));
    assert_eq!(extra["caption_check"], json!({"suspicion": 0.0, "problems": [], "tokens": 4}));
    let text = Annotation { text: Some("A greyscale photo of two girls.".into()), ..annotation(&["solo"]) };
    let off = json!({"picture": false, "tags": false});
    assert_eq!(check(off, text).1["caption_check"]["problems"], json!([]));
    assert_eq!(check(json!({}), Annotation::default()).1["caption_check"]["suspicion"], 1.0);
}
