//! What the host does for a source: keys that it never shows, pauses, downloads that go on, checksums, nothing twice.

use super::*;
use spec::ErrorKind;
use std::time::Duration;
use tests::{Anagama, root};

#[test]
fn a_contact_and_a_key_must_be_set() {
    let board = Board::start("gelbooru", manners("gelbooru"));
    let main = board.recorded.main("gelbooru").tags().unwrap();
    let settings = settings(&board, "gelbooru", main);
    let refused = |grants: Grants, settings: &Value| {
        let opened = Installed::new(Form::Wasm, grants);
        let error = opened.open(settings).unwrap().next_page(None, 256).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
        error.message
    };
    let message = refused(Grants { contact: None, ..grants(&board) }, &settings);
    assert!(message.contains("no contact is set") && message.contains("[grants]"), "{message}");
    let mut other = settings.clone();
    other["secret"] = json!("other");
    let message = refused(grants(&board), &other);
    assert!(message.contains("secret `other` is not set") && message.contains(&board.base), "{message}");
    assert!(board.seen().is_empty(), "nothing was asked");

    // A wrong key: the site's 401 has an empty body.
    let mut wrong = settings.clone();
    wrong["user_id"] = json!("99");
    let message = refused(grants(&board), &wrong);
    assert!(message.contains("401") && message.contains("user_id"), "{message}");
    for seen in board.seen() {
        assert_eq!(seen.query["api_key"], KEY, "the board got it");
    }
    assert!(!message.contains(KEY), "and nobody else: {message}");
}

#[test]
fn lists_are_a_second_apart() {
    let board = Board::start("danbooru", Manners::default());
    let mut grants = grants(&board);
    grants.plugins.get_mut("anagama.booru-source").unwrap().http_interval_ms = None;
    let installed = Installed::new(Form::Wasm, grants);
    let settings = settings(&board, "danbooru", board.recorded.main("danbooru").tags().unwrap());
    let mut source = installed.open(&settings).unwrap();
    let page = source.next_page(None, 256).unwrap();
    source.next_page(page.next, 256).unwrap();
    let times: Vec<_> = board.lists().iter().map(|s| s.at).collect();
    assert!(times.len() >= 3);
    for pair in times.windows(2) {
        let apart = pair[1] - pair[0];
        assert!(apart >= Duration::from_millis(950), "{apart:?}");
    }
}

#[test]
fn broken_downloads_go_on_where_they_broke_and_two_run_at_a_time() {
    let board =
        Board::start("danbooru", Manners { breaks: true, slow: Duration::from_millis(30), ..Manners::default() });
    let installed = Installed::for_board(&board);
    let whole = board
        .recorded
        .files
        .iter()
        .filter(|(_, (status, file, note))| *status == 200 && note == "plain picture" && file.is_some());
    let whole: Vec<_> = whole.take(6).collect();
    assert!(whole.len() >= 3);
    std::thread::scope(|scope| {
        for (path, (_, file, _)) in &whole {
            let (installed, base) = (&installed, &board.base);
            scope.spawn(move || {
                let bytes = installed.plugin.download(&format!("{base}{path}"), &installed.call()).unwrap();
                assert_eq!(bytes, std::fs::read(file.as_ref().unwrap()).unwrap(), "{path}");
            });
        }
    });
    let files = board.files();
    assert_eq!(files.iter().filter(|s| s.status == 206 && s.range.is_some()).count(), whole.len());
    assert!(files.iter().all(|s| s.together <= 2), "{files:?}");
    assert!(files.iter().any(|s| s.together == 2), "they do run side by side");
}

/// A run of the program on a board, with a store that stays.
fn run(board: &Board, api: &str, dir: &std::path::Path, change: &[(&str, Value)]) -> tests::Finished {
    run_granted(board, api, dir, change, &format!("{}/*", board.base))
}

fn run_granted(
    board: &Board,
    api: &str,
    dir: &std::path::Path,
    change: &[(&str, Value)],
    granted: &str,
) -> tests::Finished {
    let mut inputs = settings(board, api, board.recorded.main(api).tags().unwrap());
    inputs["on_broken"] = json!("skip");
    for (key, value) in change {
        inputs[*key] = value.clone();
    }
    let workflow = json!({
        "1": {"class_type": "anagama.booru-source", "inputs": inputs},
        "2": {"class_type": "SaveDataset", "inputs": {"dataset": ["1", 0], "folder": "set", "kohya_folders": false}},
    });
    let config = format!(
        "plugins = [{plugins:?}]\n[grants]\ncontact = \"tests@anagama.example\"\n\
         [grants.plugins.\"anagama.booru-source\"]\nhttp = [\"{granted}\"]\nhttp-interval-ms = 0\nstorage-mib = 4\n\
         [grants.plugins.\"anagama.booru-source\".secrets]\nboard = {{ env = \"BOARD_KEY\", to = [\"{base}/*\"] }}\n",
        plugins = root().join("target/plugins"),
        base = board.base,
    );
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (workflow, config) = (file("workflow.json", &workflow.to_string()), file("anagama.toml", &config));
    let mut call = Anagama::workflow(&workflow, &config, dir);
    call.command().env("BOARD_KEY", KEY).env("XDG_CACHE_HOME", dir.join("cache"));
    call.run()
}

/// Posts whose picture comes as it was described, and those whose picture does not.
fn sorted(recorded: &Recorded, api: &str) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let good = |e: &Expected| {
        let (status, file, _) = &recorded.files[path(&e.url)];
        let Some(bytes) = file.as_ref().filter(|_| *status == 200).map(|f| std::fs::read(f).unwrap()) else {
            return false;
        };
        data::checksum::check(&e.digest, &bytes).is_ok()
    };
    let (good, bad): (Vec<_>, Vec<_>) = expected(recorded, api).into_values().partition(good);
    let ids = |all: Vec<Expected>| all.iter().map(|e| e.id).collect();
    (ids(good), ids(bad))
}

fn saved(dir: &std::path::Path) -> usize {
    let files = std::fs::read_dir(dir.join("out/set")).unwrap().flatten();
    files.filter(|f| f.path().extension().is_some_and(|e| e != "txt" && e != "json" && e != "jsonl")).count()
}

#[test]
fn a_run_takes_what_is_whole_names_what_is_not_and_fetches_nothing_twice() {
    for (api, family) in [("danbooru", "danbooru"), ("gelbooru", "gelbooru")] {
        let board = Board::start(api, manners(api));
        let dir = tempfile::tempdir().unwrap();
        let finished = run(&board, api, dir.path(), &[]).expect(0);
        let text = finished.text();
        let (good, bad) = sorted(&board.recorded, api);
        assert_eq!(saved(dir.path()), good.len(), "{text}");
        assert!(!bad.is_empty(), "{api}: every picture is whole");
        for id in &bad {
            assert!(text.contains(&format!("{family}-{id}:")), "{id} is not named in\n{text}");
        }
        assert!(text.contains("to fetch for") && !text.contains(KEY), "{text}");
        assert!(
            board.files().iter().all(|s| s.agent.ends_with("(tests@anagama.example)")),
            "downloads name the contact"
        );
        for (path, (status, _, note)) in board.recorded.files.iter().filter(|(_, (_, _, note))| note.contains("twice"))
        {
            let asked: Vec<u16> = board.files().iter().filter(|s| s.path == *path).map(|s| s.status).collect();
            assert!(asked.is_empty() || asked == [503, 503, *status], "{path} ({note}): {asked:?}");
        }

        let before = board.files().len();
        let text = run(&board, api, dir.path(), &[("refresh", json!(1))]).expect(0).text();
        assert_eq!(saved(dir.path()), good.len(), "{text}");
        let again = board.files().into_iter().skip(before).map(|s| s.path).collect::<BTreeSet<_>>();
        assert_eq!(again.len(), bad.len(), "only what failed is fetched again: {again:?}");
    }
}

#[test]
fn a_run_waits_as_long_as_a_board_asks_and_goes_on() {
    let recorded = recorded();
    let passing = recorded.routes.iter().find(|r| r.passes() && r.status == 429).unwrap();
    let board = Board::start(&passing.api, manners(&passing.api));
    let dir = tempfile::tempdir().unwrap();
    let text = run(&board, &passing.api, dir.path(), &[("tags", json!(passing.tags().unwrap()))]).expect(0).text();
    assert!(text.contains("429") && text.contains("trying again in"), "{text}");
    assert_eq!(saved(dir.path()), sorted(&board.recorded, &passing.api).0.len(), "{text}");
}

#[test]
fn a_run_that_must_not_skip_says_what_is_broken() {
    let board = Board::start("danbooru", Manners::default());
    let dir = tempfile::tempdir().unwrap();
    let text = run(&board, "danbooru", dir.path(), &[("on_broken", json!("stop"))]).expect(1).text();
    assert!(text.contains("cannot be read") && text.contains("it was cut off or replaced"), "{text}");
}

#[test]
fn a_picture_at_an_address_that_was_not_granted_is_said_once() {
    let board = Board::start("danbooru", Manners::default());
    let dir = tempfile::tempdir().unwrap();
    let lists = format!("{}/*.json*", board.base);
    let text = run_granted(&board, "danbooru", dir.path(), &[], &lists).expect(1).text();
    let said = text.matches("is not granted: grant `http").count();
    assert!((1..=2).contains(&said), "in the log and at the end, not for each picture\n{text}");
    assert!(board.files().is_empty());
}

#[test]
fn another_run_can_leave_out_what_one_took() {
    let board = Board::start("e621", Manners::default());
    let installed = Installed::for_board(&board);
    let mut settings = settings(&board, "e621", board.recorded.main("e621").tags().unwrap());
    let all = installed.all(&settings, false).len();
    settings["skip_done"] = json!(true);
    assert!(all > 0 && installed.all(&settings, false).is_empty());
    assert!(installed.log().contains(&format!("{all} left out: taken by an earlier run")), "{}", installed.log());
}
