//! Every recorded answer that is no list of posts: what was found is said, and whether it is worth trying again.

use super::*;
use spec::{ErrorKind, PluginError};

/// What the words of a body are: the message of an error in JSON or XML, else the text.
fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body).trim().to_owned();
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let message = ["message", "reason", "error"].iter().find_map(|k| value[*k].as_str());
    let xml = text.split("reason=\"").nth(1).and_then(|r| r.split('"').next());
    let inner = text.rsplit_once("</error>").and_then(|(t, _)| t.rsplit_once('>')).map(|(_, t)| t);
    message.or(xml).or(inner).map_or_else(|| text.chars().take(60).collect(), str::to_owned)
}

/// Is this answer with status 200 a fault? Judged by the raw text.
fn is_fault(api: &str, route: &Route) -> bool {
    let text = String::from_utf8_lossy(&route.body).trim().to_owned();
    let value: Option<Value> = serde_json::from_str(&text).ok();
    let failed = value.as_ref().is_some_and(|v| v["success"] == false || v["success"] == "false");
    let error = ["<error", "<response"].iter().any(|mark| text.contains(mark));
    let plain = value.is_none() && !text.is_empty() && !text.contains('<');
    failed || error || plain || text.is_empty() && api != "safebooru"
}

/// Opens the recorded search of a route at its page.
fn ask(installed: &Installed, board: &Board, api: &str, route: &Route) -> Result<data::Page, PluginError> {
    let mut settings = settings(board, api, route.tags().unwrap());
    if !route.query.contains_key("json") && route.path == "/index.php" {
        settings["answers"] = json!("xml");
    }
    let number = ["page", "pid"].iter().find_map(|k| route.query.get(*k)?.parse::<u32>().ok());
    let limit = settings.get("page_size").cloned().unwrap_or(json!(20));
    let from = number.filter(|n| *n > 100).map(|n| {
        json!({"at": {"page": n}, "limit": limit, "low": null, "listed": 0, "given": 0, "total": null}).to_string()
    });
    installed.open(&settings).unwrap().next_page(from, 256)
}

#[test]
fn every_recorded_fault_is_explained() {
    for (api, _) in APIS {
        let recorded = recorded();
        let mut tested = 0;
        for route in lists(&recorded, api).filter(|r| r.status != 200 || is_fault(api, r)) {
            // One board for each: a host that asked for a pause gets it.
            let board = Board::start(api, manners(api));
            let installed = Installed::for_board(&board);
            let error = ask(&installed, &board, api, route).err().unwrap_or_else(|| panic!("{}: no error", route.file));
            let name = &route.file;
            assert!(error.message.contains(&board.base), "{name}: {error}");
            assert!(error.message.contains(&route.status.to_string()), "{name}: {error}");
            // The host answers 429 before the plugin sees the body.
            if route.status != 429 {
                let words = said(&route.body);
                let words: String = words.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(error.message.contains(&words), "{name}: `{words}` is not in {error}");
            }
            if route.body.is_empty() && route.status == 200 {
                assert!(error.message.contains("an empty answer"), "{name}: {error}");
            }
            let again = matches!(route.status, 421 | 429 | 500..=599) || route.status == 200 && !needs_you(&route.body);
            assert_eq!(error.retry_after_ms.is_some(), again, "{name}: {error}");
            let wait =
                route.headers.iter().find(|(n, _)| n == "retry-after").map(|(_, v)| v.parse::<u64>().unwrap() * 1000);
            if wait.is_some() {
                assert_eq!(error.retry_after_ms, wait, "{name}");
            }
            assert_eq!(
                error.kind == ErrorKind::Denied,
                [401, 403].contains(&route.status) || wants_key(&route.body),
                "{name}: {error}"
            );
            assert!(!error.message.contains(KEY) && !installed.log().contains(KEY), "{name}");
            tested += 1;
        }
        assert!(tested > 0, "{api}: no recorded fault");
    }
}

/// Nothing but the user can help.
fn needs_you(body: &[u8]) -> bool {
    wants_key(body) || String::from_utf8_lossy(body).to_lowercase().contains("too deep")
}

fn wants_key(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_lowercase();
    text.contains("authentication") || text.contains("api key") && text.contains("invalid")
}

#[test]
fn searches_without_a_result_end_and_single_posts_are_taken() {
    for (api, _) in APIS {
        let recorded = recorded();
        for route in lists(&recorded, api).filter(|r| r.status == 200 && !is_fault(api, r)) {
            let tags = route.tags().unwrap();
            let count = tests::board::ids(&route.body).len();
            if count > 1 || tags.starts_with(recorded.main(api).tags().unwrap()) {
                continue;
            }
            let board = Board::start(api, manners(api));
            let page = ask(&Installed::for_board(&board), &board, api, route);
            let page = page.unwrap_or_else(|e| panic!("{}: {e}", route.file));
            assert_eq!(page.items.len(), count, "{}", route.file);
        }
    }
}

#[test]
fn what_passes_is_asked_again_after_the_time_the_site_named() {
    let recorded = recorded();
    let passing: Vec<&Route> = recorded.routes.iter().filter(|r| r.passes() && r.status != 200).collect();
    assert!(!passing.is_empty());
    for route in passing {
        let (api, _) = APIS.iter().find(|(a, _)| *a == route.api).unwrap();
        let board = Board::start(api, manners(api));
        let installed = Installed::for_board(&board);
        let settings = settings(&board, api, route.tags().unwrap());
        let mut source = installed.open(&settings).unwrap();
        let error = source.next_page(None, 256).unwrap_err();
        let page = source.next_page(None, 256).unwrap();
        assert!(!page.items.is_empty(), "{}", route.file);
        let lists: Vec<_> = board.lists().into_iter().filter(|s| s.path == route.path).collect();
        let pause = (lists[1].at - lists[0].at).as_millis() as u64;
        assert!(pause + 50 >= error.retry_after_ms.unwrap(), "{pause} ms");
    }
}

#[test]
fn numbered_pages_that_shift_repeat_nothing() {
    // With an order of its own a list can only be numbered; the recording of page 2 repeats a post of page 1.
    let recorded = recorded();
    for (api, _) in APIS {
        let main = recorded.main(api);
        let Some(shifted) = lists(&recorded, api).find(|r| r.note.contains("already on page 1")) else { continue };
        let board = Board::start(api, manners(api));
        let tags = format!("{} order:score", main.tags().unwrap());
        let mut source = Installed::for_board(&board).open(&settings(&board, api, &tags)).unwrap();
        let first = source.next_page(None, 256).unwrap();
        let second = source.next_page(first.next.clone(), 256).unwrap();
        let ids = |page: &data::Page| page.items.iter().map(|i| i.id.clone()).collect::<BTreeSet<_>>();
        assert!(ids(&first).is_disjoint(&ids(&second)), "{}", shifted.file);
        let again = posts(&shifted.body).len() - second.items.len();
        assert!(again > 0 && !second.items.is_empty());
    }
}
