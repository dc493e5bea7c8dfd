//! Captions that nobody would write: a suspicion from 0 to 1, and nothing changed. See `plugin_test::fuzz`.

use super::*;
use plugin_test::{FakeHost, annotation, fuzz, image_from_rgb, open_captioner};

#[test]
fn odd_captions_have_a_suspicion_and_stay_as_they_are() {
    let real = ["A greyscale picture of two girls and a", "solo, 1girl, red wall", "the the the the the the the the"];
    let _host = FakeHost::new().install();
    let mut plugin: CaptionCheck = open_captioner(serde_json::json!({})).unwrap();
    fuzz::cases(
        1500,
        |random| (fuzz::text(random, &real), fuzz::text(random, &real), random.next(2) == 0),
        |(text, tags, told)| {
            let tags: Vec<&str> = tags.split(',').collect();
            let text = told.then(|| text.clone());
            let known = Annotation { text, extra: Some("[1]".into()), ..annotation(&tags) };
            let image = image_from_rgb(8, 8, &[200, 30, 30].repeat(64)).unwrap();
            let found =
                plugin.caption(vec![CaptionRequest { image, known: known.clone() }]).unwrap().remove(0).unwrap();
            assert_eq!((&found.text, &found.tags), (&known.text, &known.tags));
            let extra: serde_json::Value = serde_json::from_str(found.extra.as_deref().unwrap()).unwrap();
            let suspicion = extra["caption_check"]["suspicion"].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&suspicion), "{suspicion}");
        },
    );
}
