//! The captioner as the host calls it, on a server that is a page in memory. Statuses, pauses and both forms are tested
//! under the real loader, in `tests/captions`.

use super::*;
use plugin_test::{FakeHost, Running, annotation, image_from_rgb, open_captioner};

const URL: &str = "http://127.0.0.1:8080/v1";

fn host(answer: &Value) -> Running {
    let models = json!({"object": "list", "data": [{"id": "joy", "object": "model"}]}).to_string();
    FakeHost::new()
        .page(&format!("{URL}/models"), models.as_bytes())
        .page(&format!("{URL}/chat/completions"), answer.to_string().as_bytes())
        .install()
}

fn chat(text: &str, reason: &str) -> Value {
    json!({
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100},
    })
}

fn caption(settings: Value, known: Annotation) -> Result<Annotation> {
    let image = image_from_rgb(4, 4, &[90; 48])?;
    let mut plugin: VlmCaptioner = open_captioner(settings)?;
    plugin.caption(vec![CaptionRequest { image, known }])?.remove(0)
}

fn facts(annotation: &Annotation) -> Value {
    serde_json::from_str::<Value>(annotation.extra.as_deref().unwrap()).unwrap()
}

#[test]
fn a_sentence_is_a_text_and_says_what_it_took() {
    let _host = host(&chat("A hat.", "stop"));
    let known = Annotation { extra: Some(r#"{"credits": "x"}"#.into()), ..annotation(&["hat"]) };
    let found = caption(json!({"price_in": 0.5, "price_out": 5.0}), known.clone()).unwrap();
    assert_eq!((found.text.as_deref(), found.tags.len()), (Some("A hat."), 0));
    let facts = facts(&found);
    assert_eq!(facts["credits"], "x");
    assert_eq!(facts["captioner"], json!({"model": "joy", "tokens_in": 1000, "tokens_out": 100, "cost": 0.001}));
    assert_eq!(caption(json!({"keep_tags": true}), known).unwrap().tags[0].name, "hat");
}

#[test]
fn a_list_is_tags() {
    let _host = host(&chat("1girl, hat, Red Dress.", "stop"));
    let found = caption(json!({"kind": "danbooru tags", "start": "ohwx", "keep_tags": true}), annotation(&["hat"]));
    let found = found.unwrap();
    let names: Vec<_> = found.tags.iter().map(|t| t.name.as_str()).collect();
    assert_eq!((names, found.text), (vec!["hat", "ohwx", "1girl", "Red Dress"], None));
}

#[test]
fn what_was_cut_off_is_marked_and_treated_as_asked() {
    let host = host(&chat("A hat. A cat on a", "length"));
    let found = caption(json!({}), Annotation::default()).unwrap();
    assert_eq!(found.text.as_deref(), Some("A hat."));
    assert_eq!(facts(&found)["captioner"]["cut_off"], true);
    assert!(host.logs()[0].1.contains("max_tokens"), "{:?}", host.logs());
    let kept = caption(json!({"cut_off": "keep"}), Annotation::default()).unwrap();
    assert_eq!(kept.text.as_deref(), Some("A hat. A cat on a"));
    let error = caption(json!({"cut_off": "error", "max_tokens": 6}), Annotation::default()).unwrap_err();
    assert!(error.message.contains("cut off at 6 tokens: \"A hat. A cat on a\""), "{error}");
}

#[test]
fn a_word_to_avoid_is_asked_for_again_and_then_an_error() {
    let _host = host(&chat("A vibrant hat.", "stop"));
    let error = caption(json!({"avoid": "Vibrant", "tries": 2}), Annotation::default()).unwrap_err();
    assert!(error.message.contains("found `vibrant`") && error.message.ends_with("(after 2 tries)"), "{error}");
    assert!(caption(json!({"avoid": "vib, ant"}), Annotation::default()).is_ok(), "only whole words");
}

#[test]
fn without_a_grant_the_host_explains() {
    let _host = FakeHost::new().install();
    let error = caption(json!({"model": "joy"}), Annotation::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(open_captioner::<VlmCaptioner>(json!({"url": "localhost"})).is_err());
}
