//! Captions that are cleaned and checked: in both forms, and in a run that ends with a review.

use super::{Installed, picture};
use loader::{Form, Grants};
use serde_json::{Value, json};
use spec::{Annotation, Tag};
use tests::{Anagama, root};

#[test]
fn both_forms_check_alike() {
    let known = |text: &str, tags: &[&str]| Annotation {
        text: Some(text.to_owned()).filter(|t| !t.is_empty()),
        tags: tags.iter().map(|t| Tag { name: (*t).into(), ..Tag::default() }).collect(),
        extra: None,
    };
    let cases = || {
        [
            ("ohwx-character/001.png", known("A black and white photo of two girls in", &["solo"])),
            ("ohwx-character/002.png", known("A girl.", &["1girl", "greyscale"])),
            ("pixel-style/001.png", known("", &["pixel_art", "transparent background"])),
            ("pixel-style/017.png", Annotation::default()),
        ]
        .map(|(name, known)| (picture(name), known))
        .to_vec()
    };
    let found = [Form::Wasm, Form::Native].map(|form| {
        let installed = Installed::new("caption-check", form, Grants::default());
        installed.captions(&json!({"min_words": 3}), cases()).unwrap()
    });
    assert_eq!(found[0], found[1], "component and library differ");
    let checks: Vec<Value> = found[0]
        .iter()
        .map(|a| {
            let extra: Value = serde_json::from_str(a.as_ref().unwrap().extra.as_deref().unwrap()).unwrap();
            extra["caption_check"].clone()
        })
        .collect();
    let text = checks[0]["problems"].to_string();
    for part in ["black and white", "breaks off after `in`", "two girls"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(checks[1]["problems"].to_string().contains("only 2 words"), "{}", checks[1]);
    assert!(checks[2]["problems"].to_string().contains("nothing of it is transparent"), "{}", checks[2]);
    assert_eq!(checks[3]["suspicion"], 1.0);
}

#[test]
fn a_run_cleans_checks_and_lists_the_worst_first() {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("set");
    std::fs::create_dir_all(&set).unwrap();
    let captions = [
        ("001", "The image shows a figure with teal hair in front of a wall, creating a sense of calm."),
        ("002", "This picture depicts a figure that appears to be tall, in a black and white photograph of a"),
        ("003", "A figure in a coat. The mood is calm. The mood is calm and serene, and the scene exudes tranquility."),
    ];
    for (name, text) in captions {
        let from = root().join(format!("examples/datasets/ohwx-character/{name}.png"));
        std::fs::copy(from, set.join(format!("{name}.png"))).unwrap();
        std::fs::write(set.join(format!("{name}.txt")), text).unwrap();
    }
    let workflow = json!({
        "1": {"class_type": "anagama.folder-source", "inputs": {"folder": set, "format": "text"}},
        "2": {"class_type": "anagama.caption-clean", "inputs": {"dataset": ["1", 0]}},
        "3": {"class_type": "anagama.caption-check", "inputs": {"dataset": ["2", 0]}},
        "4": {"class_type": "ReviewCaptions", "inputs": {"dataset": ["3", 0], "filename": "review.json"}},
        "5": {"class_type": "SaveDataset", "inputs": {"dataset": ["4", 0], "folder": "saved", "kohya_folders": false}},
    });
    let config = format!("plugins = [{:?}]\n", root().join("target/plugins"));
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (workflow, config) = (file("workflow.json", &workflow.to_string()), file("anagama.toml", &config));
    let mut call = Anagama::workflow(&workflow, &config, dir.path());
    call.command().env("XDG_CACHE_HOME", dir.path().join("cache"));
    let text = call.run().expect(0).text();
    let saved = |name: &str| std::fs::read_to_string(dir.path().join(format!("out/saved/{name}.txt"))).unwrap();
    assert_eq!(saved("001").trim(), "A figure with teal hair in front of a wall.");
    assert_eq!(saved("002").trim(), "A figure that is tall, in a black and white photograph of a");
    assert_eq!(saved("003").trim(), captions[2].1, "too much would have been cut\n{text}");
    assert!(text.contains("left as it was") && text.contains("more than 60 %"), "{text}");
    let review: Value = serde_json::from_slice(&std::fs::read(dir.path().join("out/review.json")).unwrap()).unwrap();
    assert_eq!(review[0]["id"].as_str().unwrap().trim_end_matches(".png"), "002", "{review}");
    assert!(review[0]["problems"].to_string().contains("black and white"), "{review}");
}
