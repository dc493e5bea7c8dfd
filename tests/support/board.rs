//! An image board on a loopback address that answers from a folder of recorded requests, as `tests/booru/INDEX.md` has
//! it, and keeps what it was asked.
//!
//! One board plays one interface, since two of them have the same paths. Start at [`Board`].

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The folder with recorded answers: `ANAGAMA_BOORU`, else the project's copy.
pub fn folder() -> PathBuf {
    std::env::var_os("ANAGAMA_BOORU").map_or_else(|| crate::root().join("tests/booru"), PathBuf::from)
}

/// One recorded request and its answer.
#[derive(Clone, Debug)]
pub struct Route {
    pub api: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// Path of the body in the folder.
    pub file: String,
    pub body: Vec<u8>,
    pub note: String,
}

impl Route {
    /// The search, under either of its names.
    pub fn tags(&self) -> Option<&str> {
        ["tags", "q"].iter().find_map(|key| self.query.get(*key)).filter(|t| *t != "index").map(String::as_str)
    }

    /// Fails at first and works when asked again.
    pub fn passes(&self) -> bool {
        self.note.contains("answer once")
    }
}

/// Everything in a folder.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub root: PathBuf,
    pub routes: Vec<Route>,
    /// Path → (status, file, note); the first entry counts.
    pub files: BTreeMap<String, (u16, Option<PathBuf>, String)>,
    hosts: BTreeSet<String>,
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

impl Recorded {
    pub fn read(root: &Path) -> Self {
        let json = |name: &str| -> Vec<Value> {
            let bytes = std::fs::read(root.join(name)).unwrap_or_else(|e| panic!("{}/{name}: {e}", root.display()));
            serde_json::from_slice(&bytes).unwrap()
        };
        let map = |value: &Value| -> BTreeMap<String, String> {
            value.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect()
        };
        let route = |r: &Value| Route {
            api: text(r, "api"),
            path: text(r, "path"),
            query: map(&r["query"]),
            status: u16::try_from(r["status"].as_u64().unwrap()).unwrap(),
            headers: map(&r["headers"]).into_iter().collect(),
            file: text(r, "body"),
            body: std::fs::read(root.join(text(r, "body"))).unwrap(),
            note: text(r, "note"),
        };
        let mut files = BTreeMap::new();
        let mut hosts = BTreeSet::new();
        for f in json("files.json") {
            hosts.insert(text(&f, "host"));
            let status = u16::try_from(f["status"].as_u64().unwrap()).unwrap();
            let file = f["file"].as_str().map(|p| root.join(p));
            files.entry(text(&f, "path")).or_insert((status, file, text(&f, "note")));
        }
        Self { root: root.to_owned(), routes: json("routes.json").iter().map(route).collect(), files, hosts }
    }

    pub fn of<'a>(&'a self, api: &str) -> impl Iterator<Item = &'a Route> + use<'a> {
        let api = api.to_owned();
        self.routes.iter().filter(move |r| r.api == api)
    }

    /// The search whose pages are recorded: that of the first list with posts.
    pub fn main(&self, api: &str) -> &Route {
        self.of(api).find(|r| r.status == 200 && r.tags().is_some() && !ids(&r.body).is_empty()).unwrap()
    }
}

/// The posts of a body: of JSON, whatever stands around them, or of XML, whose attributes are texts but for the id.
pub fn posts(body: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(body);
    if text.trim_start().starts_with('<') {
        return text.split("<post ").skip(1).filter_map(|p| element(p.split("/>").next()?)).collect();
    }
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let inner = ["posts", "post", "images"].iter().find_map(|key| value.get(*key)).cloned();
    match inner.unwrap_or(value) {
        Value::Array(all) => all.into_iter().filter(|p| p["id"].is_u64()).collect(),
        one if one["id"].is_u64() => vec![one],
        _ => Vec::new(),
    }
}

/// `a="1" b="2"` as an object.
fn element(attributes: &str) -> Option<Value> {
    let mut out = serde_json::Map::new();
    for pair in attributes.split("\" ").filter_map(|p| p.trim().trim_end_matches('"').split_once("=\"")) {
        out.insert(pair.0.to_owned(), Value::String(pair.1.replace("&amp;", "&")));
    }
    let id: u64 = out.get("id")?.as_str()?.parse().ok()?;
    out.insert("id".to_owned(), id.into());
    Some(Value::Object(out))
}

/// Ids of the posts of a body.
pub fn ids(body: &[u8]) -> Vec<u64> {
    posts(body).iter().filter_map(|p| p["id"].as_u64()).collect()
}

/// What was asked.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub agent: String,
    pub range: Option<String>,
    pub at: Instant,
    pub status: u16,
    /// A picture, not a list.
    pub file: bool,
    /// Pictures in progress when it came, itself included.
    pub together: usize,
}

/// What a board demands and does beside the recording.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// Number of the account and key without which it answers nobody.
    pub account: Option<(String, String)>,
    /// Breaks the first connection for each picture off in the middle.
    pub breaks: bool,
    /// Time that each picture takes.
    pub slow: Duration,
}

/// A running board.
pub struct Board {
    pub base: String,
    pub recorded: Recorded,
    shared: Arc<Shared>,
}

struct Shared {
    api: String,
    base: String,
    recorded: Recorded,
    manners: Manners,
    seen: Mutex<Vec<Seen>>,
    /// How often each route or file was asked for.
    counts: Mutex<BTreeMap<String, usize>>,
    downloads: Mutex<usize>,
}

impl Board {
    /// Plays one interface of the folder.
    pub fn start(api: &str, manners: Manners) -> Self {
        let recorded = Recorded::read(&folder());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            api: api.to_owned(),
            base: base.clone(),
            recorded: recorded.clone(),
            manners,
            seen: Mutex::default(),
            counts: Mutex::default(),
            downloads: Mutex::default(),
        });
        let served = shared.clone();
        // The thread ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = served.clone();
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { base, recorded, shared }
    }

    /// Everything that was asked so far, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Lists that were asked for.
    pub fn lists(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|s| !s.file).collect()
    }

    /// Pictures that were asked for.
    pub fn files(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|s| s.file).collect()
    }
}

struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Bytes that are really sent.
    sent: usize,
}

impl Reply {
    fn new(status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> Self {
        Self { status, headers, sent: body.len(), body }
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let Some(Ok(first)) = lines.next() else { return };
        let mut headers = BTreeMap::new();
        while let Some(Ok(line)) = lines.next().filter(|l| l.as_ref().is_ok_and(|l| !l.is_empty())) {
            if let Some((name, value)) = line.split_once(':') {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
        }
        let target = first.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: BTreeMap<String, String> =
            query.split('&').filter_map(|p| p.split_once('=')).map(|(k, v)| (decoded(k), decoded(v))).collect();
        let file = self.recorded.files.contains_key(path);
        let together = if file {
            let mut downloads = self.downloads.lock().unwrap();
            *downloads += 1;
            *downloads
        } else {
            0
        };
        let agent = headers.get("user-agent").cloned().unwrap_or_default();
        let reply = if file { self.file(path, &headers) } else { self.list(path, &query, &agent) };
        self.seen.lock().unwrap().push(Seen {
            path: path.to_owned(),
            query,
            agent,
            range: headers.get("range").cloned(),
            at: Instant::now(),
            status: reply.status,
            file,
            together,
        });
        let mut head =
            format!("HTTP/1.1 {} X\r\nconnection: close\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        if file {
            std::thread::sleep(self.manners.slow);
            // Before the end of the picture: its reader may come back at once.
            *self.downloads.lock().unwrap() -= 1;
        }
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&reply.body[..reply.sent]));
    }

    /// How often this was asked for before.
    fn before(&self, what: &str) -> usize {
        let mut counts = self.counts.lock().unwrap();
        let count = counts.entry(what.to_owned()).or_default();
        *count += 1;
        *count - 1
    }

    fn file(&self, path: &str, headers: &BTreeMap<String, String>) -> Reply {
        let (status, file, note) = &self.recorded.files[path];
        let Some(file) = file else { return Reply::new(*status, Vec::new(), b"gone".to_vec()) };
        let before = self.before(path);
        if let Some((status, times)) = failures(note)
            && before < times
        {
            return Reply::new(status, Vec::new(), b"busy".to_vec());
        }
        let bytes = std::fs::read(file).unwrap();
        let tag = format!("\"{}-{}\"", bytes.len(), path.len());
        let answer = vec![("etag".to_owned(), tag.clone()), ("accept-ranges".to_owned(), "bytes".to_owned())];
        let from =
            headers.get("range").and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        match from.filter(|_| headers.get("if-range") == Some(&tag)) {
            Some(from) if from < bytes.len() => {
                let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                let answer = answer.into_iter().chain([("content-range".to_owned(), range)]).collect();
                Reply::new(206, answer, bytes[from..].to_vec())
            }
            Some(_) => Reply::new(416, answer, Vec::new()),
            None if self.manners.breaks && before == 0 => {
                Reply { sent: bytes.len() / 2, ..Reply::new(200, answer, bytes) }
            }
            None => Reply::new(200, answer, bytes),
        }
    }

    fn list(&self, path: &str, query: &BTreeMap<String, String>, agent: &str) -> Reply {
        let of_status = |status: u16| {
            let route = self.recorded.of(&self.api).find(|r| r.status == status);
            route.map_or_else(|| Reply::new(status, Vec::new(), Vec::new()), |r| self.recorded_reply(r))
        };
        if !agent.starts_with("anagama/") || !agent.contains('(') {
            return of_status(403);
        }
        if let Some((user, key)) = &self.manners.account
            && (query.get("user_id").or_else(|| query.get("login")) != Some(user) || query.get("api_key") != Some(key))
        {
            return of_status(401);
        }
        let Some(route) = self.find(path, query) else {
            return self
                .beyond(path, query)
                .unwrap_or_else(|| Reply::new(404, Vec::new(), b"nothing recorded".to_vec()));
        };
        if route.passes() && self.before(&route.file) > 0 {
            let mut query = query.clone();
            self.put_main(&mut query);
            return self.find(path, &query).map_or_else(|| of_status(404), |r| self.recorded_reply(r));
        }
        self.recorded_reply(route)
    }

    fn put_main(&self, query: &mut BTreeMap<String, String>) {
        let main = self.recorded.main(&self.api).tags().unwrap_or_default();
        for key in ["tags", "q"] {
            if let Some(tags) = query.get_mut(key).filter(|t| *t != "index") {
                *tags = main.to_owned();
            }
        }
    }

    fn recorded_reply(&self, route: &Route) -> Reply {
        let mut body = route.body.clone();
        if let Ok(text) = std::str::from_utf8(&body) {
            let mut text = text.to_owned();
            for host in &self.recorded.hosts {
                text = text.replace(&format!("https://{host}/"), &format!("{}/", self.base));
            }
            body = text.into_bytes();
        }
        Reply::new(route.status, route.headers.clone(), body)
    }

    /// The most particular route whose parameters the request has. A search may have more tags than the recorded one,
    /// except for a cursor.
    fn find(&self, path: &str, query: &BTreeMap<String, String>) -> Option<&Route> {
        let json = |q: &BTreeMap<String, String>| q.contains_key("json");
        let fits = |route: &&Route| {
            let others = route.query.iter().all(|(k, v)| is_search(k, v) || query.get(k) == Some(v));
            others && (path != "/index.php" || json(&route.query) == json(query))
        };
        let mut found: Vec<(usize, usize, &Route)> = Vec::new();
        for route in self.recorded.of(&self.api).filter(|r| r.path == path).filter(fits) {
            let asked = query.iter().find(|(k, v)| is_search(k, v)).map_or("", |(_, v)| v);
            let near = match route.tags() {
                None => 1,
                Some(tags) if tags == asked => 3,
                Some(tags) if covers(asked, tags) && cursor(asked) == cursor(tags) => 2,
                Some(_) => continue,
            };
            found.push((near, route.query.len(), route));
        }
        found.into_iter().max_by_key(|(near, length, _)| (*near, *length)).map(|(_, _, r)| r)
    }

    /// A page behind those that were recorded: what is below an id, put together from all pages, or nothing; also for a
    /// search that was not recorded.
    fn beyond(&self, path: &str, query: &BTreeMap<String, String>) -> Option<Reply> {
        let asked = query.iter().find(|(k, v)| is_search(k, v)).map(|(_, v)| v.as_str())?;
        let main = self.recorded.main(&self.api);
        if path != main.path || cursor(asked).is_some() && !covers(asked, main.tags()?) {
            return None;
        }
        let json = query.contains_key("json");
        if let Some(low) = cursor(asked) {
            let limit = query.get("limit").and_then(|l| l.parse::<usize>().ok()).unwrap_or(10);
            let all = self.recorded.of(&self.api).filter(|r| r.tags() == main.tags() && r.status == 200);
            let mut below: BTreeMap<u64, Value> = BTreeMap::new();
            below.extend(
                all.flat_map(|r| posts(&r.body))
                    .filter_map(|p| Some((p["id"].as_u64()?, p)))
                    .filter(|(id, _)| *id < low),
            );
            let page: Vec<Value> = below.into_values().rev().take(limit).collect();
            let value: Value = serde_json::from_slice(&main.body).ok()?;
            let body = match value {
                Value::Array(_) => Value::Array(page),
                mut whole => {
                    let key = ["posts", "post", "images"].into_iter().find(|k| whole.get(*k).is_some())?;
                    whole[key] = Value::Array(page);
                    whole
                }
            };
            let route = Route { body: body.to_string().into_bytes(), ..main.clone() };
            return Some(self.recorded_reply(&route));
        }
        let empty = self.recorded.of(&self.api).find(|r| {
            r.path == path && r.status == 200 && r.query.contains_key("json") == json && is_empty(&r.body, &r.file)
        });
        empty.map(|r| self.recorded_reply(r))
    }
}

/// Is this recording one of a search without a result?
fn is_empty(body: &[u8], file: &str) -> bool {
    ids(body).is_empty() && ["none", "empty"].iter().any(|n| file.contains(n)) && !file.contains("error")
}

fn is_search(key: &str, value: &str) -> bool {
    key == "tags" || key == "q" && value != "index"
}

/// Has a search all tags of another?
fn covers(asked: &str, tags: &str) -> bool {
    let split = |text: &str| -> BTreeSet<String> {
        let mark = if text.contains(", ") { ", " } else { " " };
        text.split(mark).map(str::to_owned).collect()
    };
    split(tags).is_subset(&split(asked))
}

/// The id of `id:<N`.
fn cursor(tags: &str) -> Option<u64> {
    tags.split(' ').find_map(|t| t.strip_prefix("id:<")).and_then(|n| n.parse().ok())
}

/// `answer 503 twice, then …`.
fn failures(note: &str) -> Option<(u16, usize)> {
    let mut words = note.strip_prefix("answer ")?.split([' ', ',']);
    let status = words.next()?.parse().ok()?;
    let times = match words.next()? {
        "once" => 1,
        "twice" => 2,
        number => number.parse().ok()?,
    };
    Some((status, times))
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut i) = (Vec::new(), 0);
    while i < bytes.len() {
        let hex =
            (bytes[i] == b'%').then(|| text.get(i + 1..i + 3)).flatten().and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex {
            Some(byte) => {
                out.push(byte);
                i += 2;
            }
            None => out.push(if bytes[i] == b'+' { b' ' } else { bytes[i] }),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}
