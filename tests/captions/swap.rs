//! One captioner for another is one word in the workflow; and a server is asked several things at a time.

use std::path::Path;
use std::time::Duration;
use tests::chat::{Answer, Chat};
use tests::{Anagama, Finished, root, skip};

const WORKFLOW: &str = r#"{
  "1": {"class_type": "anagama.folder-source", "inputs": {"folder": "FOLDER"}},
  "2": {"class_type": "anagama.wd-tagger", "inputs": {"dataset": ["1", 0]}},
  "3": {"class_type": "anagama.tag-edit", "inputs": {"dataset": ["2", 0], "activation": "ohwx"}},
  "4": {"class_type": "SaveDataset", "inputs": {"dataset": ["3", 0], "folder": "set", "kohya_folders": false}}
}"#;

fn run(workflow: &str, chat: &Chat, dir: &Path, set: &[&str]) -> Finished {
    let folder = root().join("examples/datasets/ohwx-character");
    let workflow = workflow.replace("FOLDER", folder.to_str().unwrap());
    let config = format!(
        "models = [{models:?}]\nplugins = [{plugins:?}, {own:?}]\n[grants.plugins.\"anagama.vlm-captioner\"]\n\
         http = [\"{base}/*\", \"POST {base}/*\"]\n",
        models = root().join("examples/models"),
        plugins = root().join("target/plugins"),
        own = dir.join("own"),
        base = chat.base,
    );
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (workflow, config) = (file("workflow.json", &workflow), file("anagama.toml", &config));
    let mut call = Anagama::workflow(&workflow, &config, dir);
    call.command().env("XDG_CACHE_HOME", dir.join("cache"));
    for value in set {
        call.command().arg("--set").arg(value);
    }
    call.run()
}

fn captions(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir.join("out/set")).unwrap().map(|e| e.unwrap().path());
    let mut texts: Vec<_> = files.filter(|p| p.extension().is_some_and(|e| e == "txt")).collect();
    texts.sort();
    texts.iter().map(|p| std::fs::read_to_string(p).unwrap().trim().to_owned()).collect()
}

#[test]
fn another_captioner_is_one_word() {
    let chat = Chat::start("vllm", Duration::ZERO, |_, _| Answer::file("vllm/200_chat.json"));
    let (tagged, described) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(WORKFLOW, &chat, tagged.path(), &[]).expect(0);
    assert!(chat.asked().is_empty());
    let tags = captions(tagged.path());
    assert!(tags.len() >= 10 && tags.iter().all(|t| t.starts_with("ohwx, ")), "{tags:?}");

    let swapped = WORKFLOW.replace("wd-tagger", "vlm-captioner");
    assert_eq!(WORKFLOW.matches("wd-tagger").count(), 1);
    // The server of this test has another port each time; in use the default address, or the input `url`, names it.
    let url = format!("2.url={}", chat.base);
    let text = run(&swapped, &chat, described.path(), &[&url]).expect(0).text();
    let sentences = captions(described.path());
    assert_eq!(sentences.len(), tags.len(), "{text}");
    assert!(sentences.iter().all(|s| s.starts_with("ohwx, A girl with short teal hair")), "{sentences:?}");
    let asked = chat.chats().len();
    assert_eq!(asked, tags.len());

    // What was described is never asked for again, also if other settings of the run change.
    run(&swapped, &chat, described.path(), &[&url, "2.parallel=3", "3.activation=sks"]).expect(0);
    assert_eq!(chat.chats().len(), asked);
    assert!(captions(described.path()).iter().all(|s| s.starts_with("sks, ")));
}

#[test]
fn a_captioner_in_python_is_one_word_too() {
    if let Err(e) = tests::languages::tool("python") {
        return skip("a_captioner_in_python_is_one_word_too", &format!("{e:#}"));
    }
    let chat = Chat::start("vllm", Duration::ZERO, |_, _| Answer::file("vllm/200_chat.json"));
    let dir = tempfile::tempdir().unwrap();
    // What is built lies in the folder's `dist`, so the folder can stand among those of plugins.
    let folder = kit::create(loader::Kind::Captioner, "anagama.shade", kit::Lang::Python, dir.path(), None).unwrap();
    std::fs::rename(&folder, dir.path().join("own")).unwrap();
    let project = kit::Project::open(&dir.path().join("own")).unwrap();
    kit::build(&project, &tests::languages::making()).unwrap();
    let text = run(&WORKFLOW.replace("wd-tagger", "shade"), &chat, dir.path(), &[]).expect(0).text();
    assert_eq!(text.matches("that is done once").count(), 1, "compiling is said\n{text}");
    let tags = captions(dir.path());
    assert!(tags.len() >= 10 && tags.iter().all(|t| t == "ohwx, dark" || t == "ohwx, bright"), "{tags:?}");
    assert!(chat.asked().is_empty());

    // Compiled and answered: the same again costs nothing of either.
    let text = run(&WORKFLOW.replace("wd-tagger", "shade"), &chat, dir.path(), &[]).expect(0).text();
    assert!(!text.contains("that is done once"), "{text}");
    assert_eq!(captions(dir.path()), tags);
}

#[test]
fn a_server_is_asked_several_things_at_a_time() {
    let chat = Chat::start("vllm", Duration::from_millis(150), |_, _| Answer::file("vllm/200_chat.json"));
    let dir = tempfile::tempdir().unwrap();
    let swapped = WORKFLOW.replace("wd-tagger", "vlm-captioner");
    let url = format!("2.url={}", chat.base);
    let text = run(&swapped, &chat, dir.path(), &[&url, "2.parallel=5"]).expect(0).text();
    let most = chat.chats().iter().map(|c| c.together).max().unwrap();
    assert!((3..=5).contains(&most), "{most} at a time\n{text}");
    assert!(text.contains("in all") && text.contains("thousand tokens"), "an estimate is given\n{text}");
}
