//! The image-board source against boards that replay a folder of recorded answers. What is expected is computed from
//! that folder, so that another one of the same layout passes too (`ANAGAMA_BOORU`).

mod answers;
mod host;
mod lists;

use loader::{CallContext, Form, Grant, Grants, Limits, Loader, LoaderConfig, Plugin, SecretGrant};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tests::board::{Board, Manners, Recorded, Route, folder, posts};

/// Interface of the recordings and family of the plugin.
const APIS: &[(&str, &str)] = &[
    ("danbooru", "danbooru"),
    ("gelbooru", "gelbooru"),
    ("safebooru", "gelbooru-0.2"),
    ("e621", "e621"),
    ("moebooru", "moebooru"),
    ("philomena", "philomena"),
];

const USER: &str = "123456";
const KEY: &str = "k3y-th&t-m%st n0t leak";

fn recorded() -> Recorded {
    Recorded::read(&folder())
}

fn manners(api: &str) -> Manners {
    let account = (api == "gelbooru").then(|| (USER.to_owned(), KEY.to_owned()));
    Manners { account, ..Manners::default() }
}

/// What the user grants for a board.
fn grants(board: &Board) -> Grants {
    let to = vec![format!("{}/*", board.base)];
    let secret = SecretGrant { env: Some("BOARD_KEY".into()), to: to.clone(), ..SecretGrant::default() };
    let grant = Grant {
        http: to,
        secrets: [("board".to_owned(), secret)].into(),
        storage_mib: 4,
        http_interval_ms: Some(0),
        ..Grant::default()
    };
    let plugins = [("anagama.booru-source".to_owned(), grant)].into();
    Grants { plugins, contact: Some("tests@anagama.example".into()), ..Grants::default() }
}

/// An installed plugin with its log.
struct Installed {
    plugin: Arc<Plugin>,
    log: Arc<Mutex<Vec<String>>>,
    _dir: tempfile::TempDir,
}

impl Installed {
    fn new(form: Form, grants: Grants) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plugin = tests::install("plugins/booru-source", dir.path());
        let config = LoaderConfig {
            plugin_dirs: vec![dir.path().join("plugins")],
            cache_dir: dir.path().join("cache"),
            lock_file: dir.path().join("lock.json"),
            prefer_native: form == Form::Native,
            limits: Limits::default(),
            grants,
            env: Arc::new(|name| (name == "BOARD_KEY").then(|| KEY.to_owned())),
            ..LoaderConfig::default()
        };
        if form == Form::Native {
            loader::approve(&config.lock_file, &plugin).unwrap();
        }
        let loader = Loader::new(config).unwrap();
        assert!(loader.problems().is_empty(), "{:?}", loader.problems());
        let plugin = loader.plugin("anagama.booru-source").unwrap();
        assert_eq!(plugin.form(), form);
        Self { plugin, log: Arc::default(), _dir: dir }
    }

    fn for_board(board: &Board) -> Self {
        Self::new(Form::Wasm, grants(board))
    }

    fn call(&self) -> CallContext {
        let log = self.log.clone();
        CallContext {
            log: Arc::new(move |_, line| log.lock().unwrap().push(line.to_owned())),
            ..CallContext::default()
        }
    }

    fn open(&self, settings: &Value) -> Result<Box<dyn data::DatasetSource>, loader::LoadError> {
        self.plugin.open_dataset_source(settings, self.call())
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Every item, each page from a new instance when `fresh`.
    fn all(&self, settings: &Value, fresh: bool) -> Vec<data::SourceItem> {
        let mut source = self.open(settings).unwrap();
        let (mut out, mut from) = (Vec::new(), None);
        for _ in 0..50 {
            let page = source.next_page(from, 256).unwrap();
            out.extend(page.items);
            from = page.next;
            if from.is_none() {
                return out;
            }
            if fresh {
                source = self.open(settings).unwrap();
            }
        }
        panic!("the list does not end");
    }
}

/// Settings that let everything through, for a search of an interface.
fn settings(board: &Board, api: &str, tags: &str) -> Value {
    let family = APIS.iter().find(|(a, _)| *a == api).unwrap().1;
    let mut all = json!({
        "family": family, "base": board.base, "tags": tags, "max_rating": "explicit", "skip_ai": false, "side": 0,
        "max_posts": 0, "tag_limit": 1000,
    });
    if api == "gelbooru" {
        all["user_id"] = json!(USER);
        all["secret"] = json!("board");
    }
    if let Some(size) = page_size(&board.recorded, api) {
        all["page_size"] = json!(size);
    }
    all
}

/// Posts of a page, if the recorded requests say so.
fn page_size(recorded: &Recorded, api: &str) -> Option<u32> {
    let main = recorded.main(api);
    ["limit", "per_page"].iter().find_map(|key| main.query.get(*key)).and_then(|n| n.parse().ok())
}

/// A recorded post, as far as the tests compare it; read from the raw JSON without the plugin.
struct Expected {
    id: u64,
    url: String,
    digest: String,
    raw: Value,
}

/// Posts of the recorded search whose picture can be fetched, by id.
fn expected(recorded: &Recorded, api: &str) -> BTreeMap<u64, Expected> {
    expected_of(api, all_posts(recorded, api, true))
}

fn expected_of(api: &str, posts: Vec<Value>) -> BTreeMap<u64, Expected> {
    posts.into_iter().filter_map(|p| Some((p["id"].as_u64()?, one(api, p)?))).collect()
}

/// All posts of the recorded search, in JSON or in XML.
fn all_posts(recorded: &Recorded, api: &str, json: bool) -> Vec<Value> {
    let main = recorded.main(api);
    let base = |t: Option<&str>| t.map(|t| t.split(" id:<").next().unwrap().to_owned());
    let pages =
        recorded.of(api).filter(|r| r.status == 200 && r.path == main.path && base(r.tags()) == base(main.tags()));
    let pages = pages.filter(|r| r.body.trim_ascii_start().starts_with(b"<") != json);
    let mut seen = BTreeSet::new();
    pages.flat_map(|r| posts(&r.body)).filter(|p| seen.insert(p["id"].as_u64())).collect()
}

fn one(api: &str, raw: Value) -> Option<Expected> {
    let text = |v: &Value| v.as_str().filter(|s| !s.is_empty()).map(str::to_owned);
    let (url, digest) = match api {
        "e621" if raw["flags"]["deleted"] == true => return None,
        "e621" => (text(&raw["file"]["url"])?, format!("md5:{}", text(&raw["file"]["md5"])?)),
        "philomena" if raw["hidden_from_users"] == true => return None,
        "philomena" => (text(&raw["view_url"])?, format!("sha512:{}", text(&raw["sha512_hash"])?)),
        "moebooru" if raw["status"] == "deleted" => return None,
        "safebooru" => (text(&raw["file_url"])?, format!("md5:{}", text(&raw["hash"]).or(text(&raw["md5"]))?)),
        _ => (text(&raw["file_url"])?, format!("md5:{}", text(&raw["md5"])?)),
    };
    let ending = url.rsplit('.').next()?.to_lowercase();
    let picture = ["png", "jpg", "jpeg", "webp", "gif"].contains(&ending.as_str());
    picture.then(|| Expected { id: raw["id"].as_u64().unwrap(), url, digest, raw })
}

/// The path of an address.
fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("/", |at| &rest[at..])
}

/// Routes of lists of an interface.
fn lists<'a>(recorded: &'a Recorded, api: &'a str) -> impl Iterator<Item = &'a Route> {
    let main = recorded.main(api).path.clone();
    recorded.of(api).filter(move |r| r.path == main && r.tags().is_some())
}
