//! The filter as the host calls it.

use super::*;
use plugin_sdk::{Annotation, ErrorKind};
use plugin_test::{FakeHost, annotation, open_tag_filter};

fn request(text: &str) -> FilterRequest {
    let annotation = Annotation { text: Some(text.into()), ..Annotation::default() };
    FilterRequest { id: "x/1.png".into(), annotation, ..FilterRequest::default() }
}

fn run(settings: Value, text: &str) -> Result<Verdict> {
    let mut filter: CaptionClean = open_tag_filter(settings)?;
    Ok(filter.apply(vec![request(text)])?.remove(0))
}

#[test]
fn what_was_cut_is_noted_and_shown() {
    let host = FakeHost::new().install();
    let Verdict::Keep(found) = run(json!({}), "The image shows a girl in a hat.").unwrap() else { panic!() };
    assert_eq!(found.text.as_deref(), Some("A girl in a hat."));
    let extra: Value = serde_json::from_str(found.extra.as_deref().unwrap()).unwrap();
    assert_eq!(extra["caption_clean"]["cut"], json!(["The image shows"]));
    assert_eq!(host.logs()[0].1, "x/1.png: \"The image shows a girl in a hat.\" became \"A girl in a hat.\"");
}

#[test]
fn more_than_it_may_is_never_cut() {
    let host = FakeHost::new().install();
    let text = "A cat. The scene exudes a deep and lasting tranquility.";
    let Verdict::Keep(found) = run(json!({}), text).unwrap() else { panic!() };
    assert_eq!((found.text.as_deref(), found.extra), (Some(text), None));
    let (level, line) = host.logs().remove(0);
    assert_eq!(level, Level::Warn);
    assert!(
        line.starts_with("x/1.png: left as it was; 89 % of the caption would be cut, more than 60 %: \"The"),
        "{line}"
    );
    let Verdict::Drop(why) = run(json!({"too_much": "drop"}), text).unwrap() else { panic!() };
    assert!(why.contains("more than 60 %"), "{why}");
    let error = run(json!({"too_much": "error"}), text).unwrap_err();
    assert!(error.kind == ErrorKind::InvalidInput && error.message.contains("`x/1.png`"), "{error}");
    let Verdict::Keep(found) = run(json!({"max_cut": 0.9}), text).unwrap() else { panic!() };
    assert_eq!(found.text.as_deref(), Some("A cat."));
    let Verdict::Keep(all) = run(json!({"max_cut": 0.95}), "The mood is calm.").unwrap() else { panic!() };
    assert_eq!(all.text.as_deref(), Some("The mood is calm."), "a caption is never emptied");
}

#[test]
fn tags_and_clean_captions_come_back_as_they_were() {
    let _host = FakeHost::new().install();
    let mut filter: CaptionClean = open_tag_filter(json!({})).unwrap();
    let tags = FilterRequest { annotation: annotation(&["the image shows", "hat"]), ..FilterRequest::default() };
    let plain = request("A  cat \n sleeps .");
    let kept = filter.apply(vec![tags.clone(), plain.clone()]).unwrap();
    assert_eq!(kept, [Verdict::Keep(tags.annotation), Verdict::Keep(plain.annotation)]);
}
