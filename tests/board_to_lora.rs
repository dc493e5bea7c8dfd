//! From a search on an image board to a chosen LoRA with its report, on a board that replays recorded answers; and
//! another captioner is one word.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tests::board::{Board, Manners, posts};
use tests::chat::{Answer, Chat};
use tests::{Anagama, Finished, root};

const API: &str = "danbooru";

fn workflow() -> String {
    std::fs::read_to_string(root().join("examples/board-to-lora/workflow.json")).unwrap()
}

/// What the example is cut to, so that it takes seconds.
const CUTS: &[&str] = &[
    "source.max_rating=explicit",
    "source.skip_ai=false",
    "source.max_posts=0",
    "source.tag_limit=1000",
    "train.steps=2",
    "train.save_every=1",
    "train.batch_size=1",
    "validation.validation_every=1",
    "validation.validation_images=2",
    "validation.validation_times=1",
    "grid.steps=2",
    "grid.strengths=\"1\"",
];

fn run(workflow: &str, board: &Board, chat: &Chat, dir: &Path, more: &[String]) -> Finished {
    let config = format!(
        "models = [{models:?}]\nplugins = [{plugins:?}]\n[grants]\ncontact = \"tests@anagama.example\"\n\
         [grants.plugins.\"anagama.booru-source\"]\nhttp = [\"{board}/*\"]\nhttp-interval-ms = 0\n\
         [grants.plugins.\"anagama.vlm-captioner\"]\nhttp = [\"{chat}/*\", \"POST {chat}/*\"]\n",
        models = root().join("examples/models"),
        plugins = root().join("target/plugins"),
        board = board.base,
        chat = chat.base,
    );
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (workflow, config) = (file("workflow.json", workflow), file("anagama.toml", &config));
    let mut call = Anagama::workflow(&workflow, &config, dir);
    call.command().env("XDG_CACHE_HOME", dir.join("cache"));
    let tags = board.recorded.main(API).tags().unwrap();
    let own = [format!("source.base={}", board.base), format!("source.tags={tags}")];
    for value in CUTS.iter().copied().chain(own.iter().chain(more).map(String::as_str)) {
        call.command().arg("--set").arg(value);
    }
    call.run()
}

fn json(dir: &Path, name: &str) -> Value {
    let path = dir.join("out").join(name);
    serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

/// By checksum, which drawing a picture shows.
fn groups(board: &Board) -> BTreeMap<String, String> {
    let text = std::fs::read(board.recorded.root.join("images/manifest.json")).unwrap();
    let all: Vec<Value> = serde_json::from_slice(&text).unwrap();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    all.iter().map(|p| (text(&p["md5"]), text(&p["group"]))).collect()
}

/// A row of a table of numbers, by column; what is empty is left out.
fn rows(dir: &Path) -> Vec<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(dir.join("out/scores.csv")).unwrap();
    let mut lines = text.lines().map(|l| l.split(',').map(str::to_owned).collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let row = |values: Vec<String>| names.iter().cloned().zip(values).filter(|(_, v)| !v.is_empty()).collect();
    lines.map(row).collect()
}

#[test]
fn a_search_becomes_a_judged_lora_and_another_captioner_is_one_word() {
    let board = Board::start(API, Manners::default());
    let chat = Chat::start("vllm", Duration::ZERO, |_, _| Answer::file("vllm/200_chat.json"));
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let text = run(&workflow(), &board, &chat, dir, &[]).expect(0).text();

    // Each drawing once: what was left out is a copy of what its cluster keeps, and no other drawing.
    let groups = groups(&board);
    let all: BTreeMap<String, String> = board
        .recorded
        .of(API)
        .filter(|r| r.status == 200)
        .flat_map(|r| posts(&r.body))
        .filter_map(|p| Some((p["id"].to_string(), groups.get(p["md5"].as_str()?)?.clone())))
        .collect();
    let drawing = |id: &Value| {
        let id = id.as_str().unwrap();
        all.iter()
            .find(|(post, _)| id.contains(post.as_str()))
            .map(|(_, g)| g.clone())
            .unwrap_or_else(|| panic!("{id}"))
    };
    let mut copies = 0;
    for cluster in json(dir, "duplicates.json").as_array().unwrap() {
        for other in cluster["others"].as_array().unwrap() {
            assert_eq!(drawing(&other["id"]), drawing(&cluster["best"]), "{cluster}");
            copies += usize::from(["file", "pixels", "copy"].iter().any(|r| other["relation"] == **r));
        }
    }
    assert!(copies > 0, "the recorded board has copies\n{text}");
    let trained = usize::try_from(json(dir, "dataset.json")["images"].as_u64().unwrap()).unwrap();
    let fetched: std::collections::BTreeSet<String> =
        board.files().into_iter().filter(|f| f.status == 200).map(|f| f.path).collect();
    assert!(trained >= 10 && trained + copies <= fetched.len(), "{trained} + {copies} of {}\n{text}", fetched.len());
    assert!(chat.asked().is_empty());

    // Every evaluator has its say about every checkpoint.
    let rows = rows(dir);
    assert_eq!(rows.iter().map(|r| r["checkpoint"].as_str()).collect::<Vec<_>>(), ["base", "1", "2"]);
    let (base, last) = (&rows[0], &rows[2]);
    let value = |name: &str| last.get(name).unwrap_or_else(|| panic!("no {name} in {last:?}")).parse::<f64>().unwrap();
    for name in ["tag_recall", "trigger_margin", "burnt", "palette_distance", "edge_distance", "diversity", "memorised"]
    {
        assert!((-1.0..=1.0).contains(&value(name)), "{name} {}", value(name));
        assert!(base.contains_key(name), "{name} of the base");
    }
    assert!(value("held_out_loss") > 0.0 && value("nearest_distance") > 0.0 && value("lora_effect") > 0.0);
    assert!(value("effect_leakage") > 0.0);
    for name in ["lora_effect", "effect_leakage", "held_out_loss"] {
        assert!(!base.contains_key(name), "the base has no {name}");
    }
    assert_eq!(json(dir, "nearest.json").as_array().unwrap().len(), 3 * 4, "a line for each picture");
    let lora = std::fs::read(dir.join("out/lighthouse.safetensors")).unwrap();
    assert!(lora.len() > 1000);
    let report = std::fs::read_to_string(dir.join("out/report.html")).unwrap();
    for said in ["memorised", "held out loss", "burnt", "edge distance", "effect leakage", "validation loss by step"] {
        assert!(report.contains(said), "the report says nothing of `{said}`");
    }

    // The same workflow with another captioner: nothing is fetched again, every picture is described by the server.
    let (workflow, before) = (workflow(), board.seen().len());
    assert_eq!(workflow.matches("wd-tagger").count(), 1);
    let swapped = workflow.replace("wd-tagger", "vlm-captioner");
    // The server of this test has another port each time; in use the default address, or the input `url`, names it.
    let text = run(&swapped, &board, &chat, dir, &[format!("caption.url={}", chat.base)]).expect(0).text();
    assert_eq!(board.seen().len(), before, "the board was asked again\n{text}");
    assert_eq!(chat.chats().len(), trained, "{text}");
    let described = std::fs::read_to_string(dir.join("out/report.html")).unwrap();
    assert!(described.contains("A girl with short teal hair") && !report.contains("A girl with short teal hair"));
}
