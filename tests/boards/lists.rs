//! What searches find: all posts, once each, with checksums, credits and tags, on every page and in every form.

use super::*;

fn id(item: &data::SourceItem) -> u64 {
    item.id.rsplit('-').next().unwrap().parse().unwrap()
}

/// All posts of an interface, compared with the recording.
fn compare(form: Form, api: &str, fresh: bool, change: &[(&str, Value)]) {
    let board = Board::start(api, manners(api));
    let installed = Installed::new(form, grants(&board));
    let main = board.recorded.main(api);
    let mut settings = settings(&board, api, main.tags().unwrap());
    for (key, value) in change {
        settings[*key] = value.clone();
    }
    let items = installed.all(&settings, fresh);
    let all = all_posts(&board.recorded, api, settings.get("answers").is_none_or(|a| a != "xml"));
    let count = all.len();
    let expected = expected_of(api, all);
    let found: Vec<u64> = items.iter().map(id).collect();
    let wanted: Vec<u64> = expected.keys().rev().copied().collect();
    assert_eq!(found, wanted, "{api}: newest first, each once\n{}", installed.log());
    for item in &items {
        let e = &expected[&id(item)];
        let data::Media::Url(url) = &item.media else { panic!("{}: no address", item.id) };
        assert_eq!(path(url), path(&e.url), "{}", item.id);
        assert_eq!(item.digest.as_deref(), Some(&*e.digest), "{}", item.id);
        assert!(item.origin.as_ref().unwrap().starts_with(&board.base), "{}", item.id);
        assert!(item.origin.as_ref().unwrap().ends_with(&e.id.to_string()), "{}", item.id);
        let extra: Value = serde_json::from_str(item.annotation.extra.as_deref().unwrap()).unwrap();
        let source = e.raw["source"].as_str().or(e.raw["sources"][0].as_str()).or(e.raw["source_url"].as_str());
        assert_eq!(extra["credits"]["source"].as_str().unwrap_or_default(), source.unwrap_or_default(), "{}", item.id);
        assert!(!item.annotation.tags.is_empty() && item.annotation.tags.iter().all(|t| !t.name.contains("&gt;")));
    }
    let gone = count - expected.len();
    let log = installed.log();
    // Each instance says what it left out itself.
    assert!(fresh || (gone > 0) == log.contains("left out"), "{api}: what is left out is said\n{log}");
    assert!(
        board.seen().iter().all(|s| s.agent.starts_with("anagama/") && s.agent.ends_with("(tests@anagama.example)"))
    );
    assert!(!log.contains(KEY), "{log}");
}

#[test]
fn every_family_lists_all_posts() {
    for (api, _) in APIS {
        compare(Form::Wasm, api, false, &[]);
    }
}

#[test]
fn a_library_finds_the_same_and_new_instances_go_on() {
    for (api, _) in APIS {
        compare(Form::Native, api, true, &[]);
    }
}

#[test]
fn the_older_kind_is_read_as_xml_too() {
    compare(Form::Wasm, "safebooru", false, &[("answers", json!("xml"))]);
}

#[test]
fn artists_are_credited() {
    for (api, _) in APIS.iter().filter(|(a, _)| !["safebooru"].contains(a)) {
        let board = Board::start(api, manners(api));
        let installed = Installed::for_board(&board);
        let items = installed.all(&settings(&board, api, board.recorded.main(api).tags().unwrap()), false);
        let mut compared = 0;
        for item in &items {
            let raw = &expected(&board.recorded, api)[&id(item)].raw;
            let list =
                |v: &Value| v.as_array().map(|a| a.iter().filter_map(|t| t.as_str().map(str::to_owned)).collect());
            let artists: Option<Vec<String>> = match *api {
                "danbooru" => raw["tag_string_artist"].as_str().map(|t| t.split(' ').map(str::to_owned).collect()),
                "e621" => list(&raw["tags"]["artist"]),
                "philomena" => list(&raw["tags"]).map(|t: Vec<String>| {
                    t.iter().filter_map(|t| t.strip_prefix("artist:").map(str::to_owned)).collect()
                }),
                _ => Some(looked_up(&board.recorded, api, raw["tags"].as_str().unwrap())),
            };
            let extra: Value = serde_json::from_str(item.annotation.extra.as_deref().unwrap()).unwrap();
            let found = list(&extra["credits"]["artists"]).unwrap_or_default();
            // Only the first page of the older interface says kinds in the recordings.
            if *api == "moebooru" && found.is_empty() {
                continue;
            }
            let wanted: BTreeSet<String> = artists.unwrap_or_default().into_iter().filter(|a| !a.is_empty()).collect();
            assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), wanted, "{}", item.id);
            compared += usize::from(!wanted.is_empty());
        }
        assert!(compared > 0, "{api}: no post with an artist");
    }
}

/// Artists among tags, by the recorded answers about tags.
fn looked_up(recorded: &Recorded, api: &str, tags: &str) -> Vec<String> {
    let mut artists = BTreeSet::new();
    for route in recorded.of(api).filter(|r| r.status == 200) {
        let value: Value = serde_json::from_slice(&route.body).unwrap_or_default();
        for tag in value["tag"].as_array().into_iter().flatten().filter(|t| t["type"] == 1) {
            artists.insert(tag["name"].as_str().unwrap().to_owned());
        }
        for (name, kind) in value["tags"].as_object().into_iter().flatten() {
            if kind == "artist" {
                artists.insert(name.clone());
            }
        }
    }
    tags.split(' ').filter(|t| artists.contains(*t)).map(str::to_owned).collect()
}

#[test]
fn ratings_are_safe_unless_asked_for() {
    for (api, _) in APIS {
        let board = Board::start(api, manners(api));
        let mut settings = settings(&board, api, board.recorded.main(api).tags().unwrap());
        settings["max_rating"] = json!("general");
        let found: BTreeSet<u64> = Installed::for_board(&board).all(&settings, false).iter().map(id).collect();
        let is_safe = |raw: &Value| match *api {
            "philomena" => raw["tags"].as_array().unwrap().iter().any(|t| t == "safe"),
            "danbooru" => raw["rating"] == "g",
            "e621" | "moebooru" => raw["rating"] == "s",
            _ => ["general", "safe"].contains(&raw["rating"].as_str().unwrap()),
        };
        let expected = expected(&board.recorded, api);
        let wanted: BTreeSet<u64> = expected.values().filter(|e| is_safe(&e.raw)).map(|e| e.id).collect();
        assert_eq!(found, wanted, "{api}");
        assert!(wanted.len() < expected.len() || *api == "safebooru", "{api}: nothing to leave out");
    }
}

#[test]
fn the_rarest_tags_are_sent_and_the_rest_is_filtered_here() {
    let board = Board::start("danbooru", Manners::default());
    let installed = Installed::for_board(&board);
    let counts = board.recorded.of("danbooru").find(|r| r.path == "/tags.json").unwrap();
    let tags: Vec<Value> = serde_json::from_slice(&counts.body).unwrap();
    let mut tags: Vec<(u64, String)> =
        tags.iter().map(|t| (t["post_count"].as_u64().unwrap(), t["name"].as_str().unwrap().to_owned())).collect();
    tags.sort();
    tags.dedup_by_key(|(count, _)| *count);
    let four = [&tags[0], &tags[1], &tags[tags.len() - 2], &tags[tags.len() - 1]].map(|(_, name)| name.as_str());
    let mut settings = settings(&board, "danbooru", &format!("{} {} {} {}", four[3], four[1], four[2], four[0]));
    settings["tag_limit"] = json!(0);
    settings["max_rating"] = json!("general");
    installed.all(&settings, false);
    let sent: Vec<String> =
        board.lists().iter().filter(|s| s.path == "/posts.json").map(|s| s.query["tags"].clone()).collect();
    assert_eq!(sent, [format!("{} {} rating:g", four[0], four[1])], "the free metatag is not counted");

    // The recorded search, and another tag that may not be on a post.
    let main = board.recorded.main("danbooru").tags().unwrap();
    let expected = expected(&board.recorded, "danbooru");
    let has = |raw: &Value, tag: &str| raw["tag_string"].as_str().unwrap().split(' ').any(|t| t == tag);
    let some = |e: &&Expected, tag: &str| has(&e.raw, tag);
    let tag = tags.iter().map(|(_, t)| t).filter(|t| *t != main);
    let (tag, rest) = tag
        .map(|t| (t, expected.values().filter(|e| !some(e, t)).count()))
        .find(|(_, rest)| *rest > 0 && *rest < expected.len())
        .unwrap();
    settings["tags"] = json!(main);
    settings["exclude"] = json!(tag);
    settings["tag_limit"] = json!(1);
    settings["max_rating"] = json!("explicit");
    let items = installed.all(&settings, false);
    assert_eq!(items.len(), rest, "without {tag}");
    assert!(installed.log().contains("tags that were filtered here"), "{}", installed.log());
}

#[test]
fn count_and_size_are_said_first_and_a_preview_is_small() {
    for (api, _) in APIS {
        let board = Board::start(api, manners(api));
        let installed = Installed::for_board(&board);
        let mut settings = settings(&board, api, board.recorded.main(api).tags().unwrap());
        settings["preview_only"] = json!(true);
        let items = installed.all(&settings, false);
        let log = installed.log();
        assert!(log.contains("to fetch for"), "{api}: {log}");
        if !["e621", "moebooru"].contains(api) {
            let total = total(&board.recorded, api).unwrap();
            assert!(log.contains(&format!("{total} posts fit")), "{api}: {log}");
        }
        assert!(!items.is_empty() && items.len() < expected(&board.recorded, api).len(), "{api}: one page only");
        let lists = board.lists().into_iter().filter(|s| s.path == board.recorded.main(api).path);
        assert!(lists.filter(|s| s.query.get("s").is_none_or(|s| s == "post")).count() <= 2, "a list and a count");
    }
}

/// The number of posts that the recordings state for the main search.
fn total(recorded: &Recorded, api: &str) -> Option<u64> {
    let main = recorded.main(api).tags();
    recorded.of(api).filter(|r| r.tags() == main && r.status == 200).find_map(|r| {
        let text = String::from_utf8_lossy(&r.body);
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        let stated = [&value["counts"]["posts"], &value["@attributes"]["count"], &value["total"]];
        let xml = || text.split("<posts count=\"").nth(1)?.split('"').next()?.parse().ok();
        stated.iter().find_map(|v| v.as_u64()).or_else(xml)
    })
}
