//! Captions that nobody would write: something is left of each, and what needs no cleaning is not touched. See
//! `plugin_test::fuzz`.

use super::*;
use plugin_sdk::Annotation;
use plugin_test::{FakeHost, fuzz, open_tag_filter};

#[test]
fn odd_captions_are_never_emptied() {
    let real = [
        "The image shows a girl in a hat.",
        "The scene exudes a deep and lasting tranquility, creating a sense of calm.",
        "A cat sleeps on a mat, possibly waiting for dinner.",
        "She says \"The image shows nothing.\" and laughs.",
    ];
    let _host = FakeHost::new().install();
    let mut filter: CaptionClean = open_tag_filter(json!({"more_tails": "the end", "keep": "dinner"})).unwrap();
    let mut cleaned = 0;
    fuzz::cases(
        4000,
        |random| fuzz::text(random, &real),
        |text| {
            let annotation = Annotation { text: Some(text.clone()), ..Annotation::default() };
            let request = FilterRequest { id: "x".into(), annotation, ..FilterRequest::default() };
            let Verdict::Keep(found) = filter.apply(vec![request]).unwrap().remove(0) else { panic!("dropped") };
            let found = found.text.unwrap_or_default();
            cleaned += usize::from(found != *text);
            assert!(text.trim().is_empty() || !found.trim().is_empty());
            // At most 60 % go; what is left may be capitalised and loses blanks.
            let length = |t: &str| t.chars().filter(|c| !c.is_whitespace()).count();
            assert!(length(&found) * 10 + 20 >= length(text) * 3, "{found:?}");
        },
    );
    if std::env::var_os("ANAGAMA_FUZZ_COUNT").is_none() {
        assert!(cleaned > 20, "{cleaned} were cleaned");
    }
}
