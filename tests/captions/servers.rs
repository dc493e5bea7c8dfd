//! The captioner that asks servers, against each of them and each of their faults.

use super::{Installed, picture};
use data::{Fit, ResizeSpec};
use loader::{Form, Grant, Grants, SecretGrant};
use serde_json::{Value, json};
use spec::{Annotation, ErrorKind, PluginError};
use std::time::Duration;
use tests::chat::{Answer, Chat, folder};

pub(super) const KEY: &str = "k3y-th&t-m%st n0t leak";
const CAPTION: &str = "A girl with short teal hair stands in front of a red wall. She wears a white hat.";
const SERVERS: [(&str, &str); 4] = [
    ("vllm", "llama-joycaption-beta"),
    ("llama.cpp", "joycaption-q4_k_m.gguf"),
    ("ollama", "qwen3-vl:8b"),
    ("lmstudio", "gemma-3-12b-it"),
];

/// What the user grants for a server.
fn grants(base: &str) -> Grants {
    let (get, post) = (format!("{base}/*"), format!("POST {base}/*"));
    let secret = SecretGrant { env: Some("VLM_KEY".into()), to: vec![post.clone()], ..SecretGrant::default() };
    let grant = Grant { http: vec![get, post], secrets: [("vlm".to_owned(), secret)].into(), ..Grant::default() };
    Grants { plugins: [("anagama.vlm-captioner".to_owned(), grant)].into(), ..Grants::default() }
}

fn start(file: &'static str) -> Chat {
    let server = file.split('/').next().filter(|s| *s != "others").unwrap_or("vllm");
    Chat::start(server, Duration::ZERO, move |_, _| Answer::file(file))
}

fn settings(base: &str, server: &str, more: Value) -> Value {
    let model = SERVERS.iter().find(|(s, _)| *s == server).map_or("llama-joycaption-beta", |(_, m)| m);
    let mut all = json!({"url": base, "model": model, "tries": 2});
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}

fn ask(installed: &Installed, settings: &Value) -> Result<Annotation, PluginError> {
    let known =
        Annotation { tags: vec![spec::Tag { name: "hat".into(), ..spec::Tag::default() }], ..Annotation::default() };
    let large = ResizeSpec { width: 640, height: 320, fit: Fit::Stretch, filter: data::Filter::Triangle, pad_color: 0 };
    let image = picture("ohwx-character/001.png").resize(&large).unwrap();
    installed.captions(settings, vec![(image, known)])?.remove(0)
}

#[test]
fn every_server_is_understood_by_both_forms() {
    for (server, model) in SERVERS {
        let server_name: &'static str = server;
        let chat =
            Chat::start(server, Duration::ZERO, move |_, _| Answer::file(&format!("{server_name}/200_chat.json")));
        let own = json!({"wishes": "known tags", "name": "Mia", "seed": 5, "megapixels": 0.05});
        let settings = settings(&chat.base, server, own);
        let found: Vec<Annotation> = [Form::Wasm, Form::Native]
            .map(|form| ask(&Installed::new("vlm-captioner", form, grants(&chat.base)), &settings).unwrap())
            .into();
        assert_eq!(found[0], found[1], "{server}: component and library differ");
        assert_eq!(found[0].text.as_deref(), Some(CAPTION), "{server}");
        let extra: Value = serde_json::from_str(found[0].extra.as_deref().unwrap()).unwrap();
        assert_eq!(extra["captioner"]["model"], model);
        assert!(extra["captioner"]["tokens_in"].as_u64().unwrap() > 100, "{extra}");

        let chats = chat.chats();
        assert_eq!(chats.len(), 2);
        assert_eq!(chats[0].body, chats[1].body, "{server}: both forms ask the same, to the last pixel");
        let body = &chats[0].body;
        assert_eq!((&body["model"], &body["seed"], &body["stream"]), (&json!(model), &json!(5), &json!(false)));
        let content = &body["messages"][1]["content"];
        let text = content[0]["text"].as_str().unwrap();
        assert!(text.contains("where they help: hat.") && text.contains("call them Mia"), "{text}");
        let url = content[1]["image_url"]["url"].as_str().unwrap();
        let sent = decoded(url.strip_prefix("data:image/jpeg;base64,").unwrap());
        let image = data::Image::decode(&sent, &data::DecodeLimits::default()).unwrap();
        let pixels = image.width * image.height;
        assert!((45_000..=52_000).contains(&pixels), "{}x{}", image.width, image.height);
    }
}

fn decoded(base64: &str) -> Vec<u8> {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    let (mut bits, mut have) = (0u32, 0);
    for c in base64.trim_end_matches('=').chars() {
        bits = bits << 6 | LETTERS.find(c).unwrap() as u32;
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have & 255) as u8);
        }
    }
    out
}

/// (what a file is called, kind of the error, words of the advice, is it tried again?)
const FAULTS: &[(&str, ErrorKind, &str, bool)] = &[
    ("model", ErrorKind::NotFound, "load the model at the server", false),
    ("context", ErrorKind::TooLarge, "a larger context", false),
    ("vision", ErrorKind::Unsupported, "take a vision model", false),
    ("key", ErrorKind::Denied, "set `secret` to its name", false),
    ("endpoint", ErrorKind::NotFound, "check `url`", false),
    ("thinking", ErrorKind::InvalidInput, "still thinking", false),
    ("loading", ErrorKind::Unavailable, "still loads its model", true),
    ("trouble", ErrorKind::Unavailable, "the server's own log", true),
    ("rate", ErrorKind::RateLimited, "`parallel` lower", true),
    ("empty", ErrorKind::Unavailable, "found an empty answer", true),
    ("odd", ErrorKind::Unavailable, "something else may answer", true),
];

#[test]
fn every_fault_is_named_with_what_to_do() {
    let mut seen = Vec::new();
    for server in std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        let name = server.file_name().unwrap().to_str().unwrap().to_owned();
        for file in std::fs::read_dir(&server).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()) {
            let what = file.split(['_', '.']).nth(1).unwrap().to_owned();
            if ["models", "chat", "cut"].contains(&what.as_str()) {
                continue;
            }
            let (_, kind, advice, again) = FAULTS.iter().find(|f| f.0 == what).unwrap_or_else(|| panic!("{file}"));
            let path: &'static str = format!("{name}/{file}").leak();
            let chat = start(path);
            let installed = Installed::new("vlm-captioner", Form::Wasm, grants(&chat.base));
            let error = ask(&installed, &settings(&chat.base, &name, json!({}))).unwrap_err();
            assert_eq!(error.kind, *kind, "{path}: {error}");
            assert!(error.message.contains(advice), "{path}: {error}");
            assert_eq!(chat.chats().len(), if *again { 2 } else { 1 }, "{path}: {error}");
            seen.push(what);
        }
    }
    assert!(FAULTS.iter().all(|f| seen.iter().any(|s| s == f.0)), "only {seen:?} are recorded");
}

#[test]
fn what_was_cut_off_ends_with_a_sentence_and_is_marked() {
    let chat = start("vllm/200_cut.json");
    let installed = Installed::new("vlm-captioner", Form::Wasm, grants(&chat.base));
    let found = ask(&installed, &settings(&chat.base, "vllm", json!({}))).unwrap();
    assert_eq!(found.text.as_deref(), Some(CAPTION));
    assert!(found.extra.unwrap().contains("\"cut_off\":true") && installed.log().contains("max_tokens"));
    let strict = settings(&chat.base, "vllm", json!({"cut_off": "error"}));
    assert!(ask(&installed, &strict).unwrap_err().message.contains("cut off at 512 tokens"));
}

#[test]
fn trouble_that_passes_is_waited_for() {
    let chat = Chat::start("vllm", Duration::ZERO, |_, before| match before {
        0 => Answer::file("llama.cpp/503_loading.json"),
        1 => Answer::file("others/429_rate.json").header("retry-after", "1"),
        2 => Answer::file("llama.cpp/200_empty.json"),
        _ => Answer::file("vllm/200_chat.json"),
    });
    let installed = Installed::new("vlm-captioner", Form::Wasm, grants(&chat.base));
    let found = ask(&installed, &settings(&chat.base, "vllm", json!({"tries": 4, "seed": 7}))).unwrap();
    assert_eq!(found.text.as_deref(), Some(CAPTION));
    assert!(found.extra.unwrap().contains("\"tries\":4"));
    let chats = chat.chats();
    assert!(chats[2].at - chats[1].at >= Duration::from_millis(950), "as long as the server asked");
    let seeds: Vec<_> = chats.iter().map(|c| c.body["seed"].as_u64().unwrap()).collect();
    assert_eq!(seeds, [7, 8, 9, 10], "another try is another draw");
}

#[test]
fn the_model_is_found_if_there_is_only_one() {
    let chat = start("vllm/200_chat.json");
    let installed = Installed::new("vlm-captioner", Form::Wasm, grants(&chat.base));
    ask(&installed, &json!({"url": chat.base})).unwrap();
    assert_eq!(chat.chats()[0].body["model"], "llama-joycaption-beta");
    let chat = start("ollama/200_chat.json");
    let installed = Installed::new("vlm-captioner", Form::Wasm, grants(&chat.base));
    let error = ask(&installed, &json!({"url": chat.base})).unwrap_err();
    assert!(error.message.contains("set `model` to one of qwen3-vl:8b, llama3.2:latest"), "{error}");
    assert!(chat.chats().is_empty());
}

#[test]
fn only_a_granted_server_is_asked_and_a_key_stays_with_the_host() {
    let chat = start("vllm/200_chat.json");
    let nothing = Installed::new("vlm-captioner", Form::Wasm, Grants::default());
    let error = ask(&nothing, &settings(&chat.base, "vllm", json!({}))).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.message.contains(&format!("grant `http = [\"POST {}/*\"]`", chat.base)), "{error}");
    assert!(chat.asked().is_empty());

    let installed = Installed::new("vlm-captioner", Form::Wasm, grants(&chat.base));
    let found = ask(&installed, &settings(&chat.base, "vllm", json!({"secret": "vlm"}))).unwrap();
    assert_eq!(chat.chats()[0].authorization, format!("Bearer {KEY}"));
    assert!(!format!("{found:?} {}", installed.log()).contains(KEY));
    let error = ask(&installed, &settings(&chat.base, "vllm", json!({"secret": "other"}))).unwrap_err();
    assert!(error.message.contains("secret `other` is not set"), "{error}");
}

#[test]
fn a_server_that_is_not_there_or_too_slow_is_said_to_be() {
    let chat = Chat::start("vllm", Duration::from_millis(2500), |_, _| Answer::file("vllm/200_chat.json"));
    let installed = Installed::new("vlm-captioner", Form::Wasm, grants(&chat.base));
    let error = ask(&installed, &settings(&chat.base, "vllm", json!({"timeout": 1}))).unwrap_err();
    assert!(error.kind == ErrorKind::Timeout && error.message.contains("set `timeout` higher"), "{error}");
    assert_eq!(chat.chats().len(), 1, "the next would be as slow");

    // Any other plugin has a second here; this one asked for more, and is given what the user allows.
    let limits = loader::Limits { deadline: Duration::from_secs(1), ..loader::Limits::default() };
    let patient = Installed::limited("vlm-captioner", Form::Wasm, grants(&chat.base), limits);
    assert_eq!(ask(&patient, &settings(&chat.base, "vllm", json!({}))).unwrap().text.as_deref(), Some(CAPTION));
    let mut short = grants(&chat.base);
    short.plugins.get_mut("anagama.vlm-captioner").unwrap().deadline_seconds = Some(0);
    let hasty = Installed::limited("vlm-captioner", Form::Wasm, short, limits);
    let error = ask(&hasty, &settings(&chat.base, "vllm", json!({}))).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout, "{error}");

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = format!("http://{free}");
    let installed = Installed::new("vlm-captioner", Form::Wasm, grants(&gone));
    let error = ask(&installed, &settings(&gone, "vllm", json!({}))).unwrap_err();
    assert!(error.kind == ErrorKind::Unavailable && error.message.contains("start the server"), "{error}");
}
