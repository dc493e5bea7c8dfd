//! Answers that are almost right: a caption or a fault with words, never a panic. See `plugin_test::fuzz`.

use crate::answer::read;
use crate::prompt::split_tags;
use plugin_test::fuzz;
use std::path::{Path, PathBuf};

/// Recorded answers of all servers.
fn recorded(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let read = |p: PathBuf| if p.is_dir() { recorded(&p) } else { vec![std::fs::read(p).unwrap()] };
    paths.into_iter().flat_map(read).collect()
}

#[test]
fn odd_answers_are_captions_or_faults() {
    let real = recorded(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vlm"));
    assert!(real.len() > 15, "{}", real.len());
    let (mut captions, mut refused) = (0, 0);
    fuzz::cases(
        6000,
        |random| (*random.one(&[200, 200, 200, 400, 404, 429, 500]), fuzz::body(random, &real), random.next(2) == 0),
        |(status, body, tags)| match read(*status, body) {
            Ok(mut answer) => {
                captions += 1;
                assert_eq!(answer.text, answer.text.split_whitespace().collect::<Vec<_>>().join(" "));
                assert!(!answer.text.is_empty());
                let whole = answer.text.clone();
                let trimmed = answer.trim(*tags);
                assert!(whole.starts_with(&answer.text), "{}", answer.text);
                let blank = answer.text.trim_matches([',', ' ']).is_empty();
                assert!(trimmed.is_none() || !blank, "{whole:?} was cut to nothing");
            }
            Err(fault) => {
                refused += 1;
                let message = fault.error("http://127.0.0.1:8080/v1").message;
                assert!(message.len() > 20 && message.len() < 3000, "{message}");
            }
        },
    );
    if std::env::var_os("ANAGAMA_FUZZ_COUNT").is_none() {
        assert!(captions > 100 && refused > 300, "{captions} captions, {refused} faults");
    }
}

#[test]
fn odd_texts_around_a_caption() {
    let real =
        ["<think>a hat? yes.</think>A hat.", "```text\nA hat.\n```", "\"A hat.\"", "**Tags:** 1girl, hat, red dress."];
    fuzz::cases(
        6000,
        |random| fuzz::text(random, &real),
        |text| {
            let body = serde_json::json!({"choices": [{"message": {"content": text}, "finish_reason": "length"}]});
            if let Ok(mut answer) = read(200, body.to_string().as_bytes()) {
                assert!(answer.cut && !answer.text.is_empty());
                assert!(answer.trim(true).is_none() || !answer.text.is_empty(), "cut to nothing");
            }
            assert!(split_tags(text).iter().all(|t| !t.trim().is_empty()));
        },
    );
}
