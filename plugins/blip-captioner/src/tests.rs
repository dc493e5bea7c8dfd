//! The captioner on a pretend model. The real one is run in `tests/conformance`.

use super::*;
use plugin_sdk::ErrorKind;
use plugin_test::{FakeHost, annotation, image_from_rgb, open_captioner};
use std::cell::RefCell;
use std::rc::Rc;

/// Captions one picture with a model that answers this.
fn caption(text: &'static str, finished: bool, settings: Value) -> (Result<Annotation>, Prompt) {
    let asked = Rc::new(RefCell::new(None));
    let seen = asked.clone();
    let _host = FakeHost::new()
        .writer(move |prompt, images| {
            assert_eq!(images, 1);
            *seen.borrow_mut() = Some(prompt.clone());
            Ok(Reply { text: text.into(), tokens: 4, finished })
        })
        .install();
    let known = Annotation { extra: Some(r#"{"credits": "x"}"#.into()), ..annotation(&["hat"]) };
    let request = CaptionRequest { image: image_from_rgb(2, 2, &[9; 12]).unwrap(), known };
    let mut plugin: BlipCaptioner = open_captioner(settings).unwrap();
    let found = plugin.caption(vec![request]).unwrap().remove(0);
    (found, asked.take().unwrap())
}

#[test]
fn a_caption_goes_on_from_its_prompt() {
    let (found, asked) = caption(" a cat on  a hat", true, json!({"model": "captioners/b", "prompt": "a photo of "}));
    let found = found.unwrap();
    assert_eq!((found.text.as_deref(), found.tags.len()), (Some("a photo of a cat on a hat"), 0));
    assert_eq!((asked.model.as_str(), asked.prompt.as_str()), ("captioners/b", "a photo of"));
    let extra: Value = serde_json::from_str(&asked.extra.unwrap()).unwrap();
    assert_eq!(extra, json!({"min-tokens": 5, "repetition-penalty": 1.1}));
    let facts: Value = serde_json::from_str(&found.extra.unwrap()).unwrap();
    assert_eq!(facts, json!({"credits": "x", "captioner": {"model": "captioners/b", "tokens_out": 4}}));
}

#[test]
fn a_prompt_can_be_left_out_and_tags_kept() {
    let settings = json!({"prompt": "a photo of", "drop_prompt": true, "keep_tags": true});
    let (found, _) = caption(" a cat", false, settings);
    let found = found.unwrap();
    assert_eq!((found.text.as_deref(), found.tags[0].name.as_str()), (Some("a cat"), "hat"));
    assert!(found.extra.unwrap().contains("\"cut_off\":true"));
}

#[test]
fn an_empty_caption_is_an_error() {
    for (text, words) in [("", 0), (" . ,", 0), (" cat .", 1)] {
        let (found, _) = caption(text, true, json!({"prompt": "a photo of"}));
        let message = found.unwrap_err().message;
        assert!(
            message.contains(&format!("wrote {words} words")) && message.contains("expected 2 or more"),
            "{message}"
        );
    }
    assert!(caption("cat", true, json!({"min_words": 0})).0.is_ok());
    assert!(caption("", true, json!({"min_words": 0})).0.is_err());
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let _host = FakeHost::new().install();
    let error = open_captioner::<BlipCaptioner>(json!({"min_tokens": 40})).err().unwrap();
    assert!(error.kind == ErrorKind::InvalidInput && error.message.contains("at most max_tokens (30)"), "{error}");
}
