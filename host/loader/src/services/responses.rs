//! Answers of servers that said how long they may be used again: kept in memory, for all plugins of a loader, each for
//! the plugin that asked. Only whole answers to plain GETs without keys, cookies or redirects.

use super::http::{Method, Request, Response};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Bytes of one answer that is kept.
const ONE: usize = 2 << 20;
/// Bytes of all.
const ALL: usize = 32 << 20;
/// Longest time that a server's word is taken for.
const LONGEST: u64 = 7 * 24 * 3600;
/// Headers of a request that speak for somebody, or ask for a part.
const PERSONAL: [&str; 4] = ["authorization", "cookie", "range", "cache-control"];

/// What tells one answer from another: who asked, the address, and every header of the request, so that whatever an answer
/// may vary by is in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    plugin: String,
    url: String,
    headers: Vec<(String, String)>,
}

#[derive(Default)]
pub(crate) struct Responses(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    entries: HashMap<Key, Entry>,
    bytes: usize,
    clock: u64,
}

struct Entry {
    response: Response,
    until: Instant,
    /// For asking whether it is still good.
    tag: Option<String>,
    used: u64,
}

impl Kept {
    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.response.body.len();
        }
    }
}

/// What is known of an answer before asking.
pub(crate) enum Known {
    Nothing,
    /// Good as it is.
    Fresh(Response),
    /// Good if the server says 304 to this tag.
    Stale(String, Response),
}

impl Responses {
    /// None: the answer to this request is never kept. `personal`: it carries a key.
    pub(crate) fn key(plugin: &str, request: &Request, personal: bool) -> Option<Key> {
        let mut headers: Vec<(String, String)> =
            request.headers.iter().map(|(n, v)| (n.to_ascii_lowercase(), v.clone())).collect();
        let own = headers.iter().any(|(n, _)| PERSONAL.contains(&n.as_str()) || n.starts_with("if-"));
        if request.method != Method::Get || personal || own {
            return None;
        }
        headers.sort();
        let url = request.url.split('#').next().unwrap_or_default().to_owned();
        Some(Key { plugin: plugin.to_owned(), url, headers })
    }

    pub(crate) fn known(&self, key: &Key) -> Known {
        let mut kept = self.0.lock();
        kept.clock += 1;
        let clock = kept.clock;
        let Some(entry) = kept.entries.get_mut(key) else { return Known::Nothing };
        entry.used = clock;
        match &entry.tag {
            _ if Instant::now() < entry.until => Known::Fresh(entry.response.clone()),
            Some(tag) => Known::Stale(tag.clone(), entry.response.clone()),
            None => {
                kept.remove(key);
                Known::Nothing
            }
        }
    }

    /// Keeps an answer if its server allows that, and forgets the old one if not.
    pub(crate) fn keep(&self, key: Key, response: &Response) {
        let mut kept = self.0.lock();
        kept.remove(&key);
        let Some(time) = lifetime(response).filter(|_| response.body.len() <= ONE) else { return };
        let tag = header(response, "etag").map(str::to_owned);
        if time.is_zero() && tag.is_none() {
            return;
        }
        kept.clock += 1;
        kept.bytes += response.body.len();
        let used = kept.clock;
        kept.entries.insert(key, Entry { response: response.clone(), until: Instant::now() + time, tag, used });
        while kept.bytes > ALL || kept.entries.len() > 1000 {
            let oldest = kept.entries.iter().min_by_key(|(_, e)| e.used).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            kept.remove(&oldest);
        }
    }
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

/// How long an answer may be used without asking; none: it must not be kept.
fn lifetime(response: &Response) -> Option<Duration> {
    let vary = header(response, "vary").unwrap_or_default();
    if response.status != 200 || vary.contains('*') || header(response, "set-cookie").is_some() {
        return None;
    }
    // Several headers of this name count as one list.
    let all = response.headers.iter().filter(|(n, _)| n == "cache-control");
    let directives: Vec<String> =
        all.flat_map(|(_, value)| value.split(',')).map(|d| d.trim().to_ascii_lowercase()).collect();
    if directives.iter().any(|d| d == "no-store") {
        return None;
    }
    if directives.iter().any(|d| d == "no-cache" || d.starts_with("no-cache=")) {
        return Some(Duration::ZERO);
    }
    let seconds = |d: &String| d.strip_prefix("max-age=")?.trim_matches('"').parse::<u64>().ok();
    let age = header(response, "age").and_then(|a| a.trim().parse::<u64>().ok()).unwrap_or(0);
    let stated = directives.iter().find_map(seconds).unwrap_or(0);
    Some(Duration::from_secs(stated.min(LONGEST).saturating_sub(age)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(headers: &[(&str, &str)], body: usize) -> Response {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Response { status: 200, headers, body: vec![0; body] }
    }

    fn request(url: &str, headers: &[(&str, &str)]) -> Request {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Request { method: Method::Get, url: url.into(), headers, body: None, timeout_ms: None, max_bytes: None }
    }

    fn key(url: &str) -> Key {
        Responses::key("a.b", &request(url, &[]), false).unwrap()
    }

    #[test]
    fn what_a_server_allows_is_kept_and_no_more() {
        let time = |headers: &[(&str, &str)]| lifetime(&response(headers, 1)).map(|t| t.as_secs());
        assert_eq!(time(&[("cache-control", "public, max-age=60")]), Some(60));
        assert_eq!(time(&[("cache-control", "max-age=60"), ("age", "50")]), Some(10));
        assert_eq!(time(&[("cache-control", "max-age=60"), ("cache-control", "no-store")]), None);
        assert_eq!(time(&[("cache-control", "max-age=60, No-Cache")]), Some(0));
        assert_eq!(time(&[("cache-control", "max-age=99999999999")]), Some(LONGEST));
        assert_eq!(time(&[("cache-control", "max-age=60"), ("vary", "*")]), None);
        assert_eq!(time(&[("cache-control", "max-age=60"), ("set-cookie", "a=b")]), None);
        assert_eq!(time(&[]), Some(0));
    }

    #[test]
    fn personal_requests_have_no_key_and_all_headers_tell_apart() {
        assert!(Responses::key("a", &request("u", &[("Authorization", "x")]), false).is_none());
        assert!(Responses::key("a", &request("u", &[("If-None-Match", "x")]), false).is_none());
        assert!(Responses::key("a", &request("u", &[]), true).is_none());
        assert!(Responses::key("a", &Request { method: Method::Post, ..request("u", &[]) }, false).is_none());
        let one = Responses::key("a", &request("u#x", &[("Accept", "a"), ("B", "b")]), false);
        assert_eq!(one, Responses::key("a", &request("u", &[("b", "b"), ("accept", "a")]), false));
        assert_ne!(one, Responses::key("a", &request("u", &[("accept", "b"), ("b", "b")]), false));
        assert_ne!(one, Responses::key("c", &request("u", &[("accept", "a"), ("b", "b")]), false));
    }

    #[test]
    fn old_answers_go_first_and_changed_ones_at_once() {
        let kept = Responses::default();
        let long = response(&[("cache-control", "max-age=60")], ONE);
        for n in 0..=ALL / ONE {
            kept.keep(key(&n.to_string()), &long);
            assert!(matches!(kept.known(&key("0")), Known::Fresh(_)) || n > ALL / ONE, "{n}");
        }
        assert!(matches!(kept.known(&key("1")), Known::Nothing), "the one that was longest unused");
        assert!(matches!(kept.known(&key("2")), Known::Fresh(_)));
        kept.keep(key("2"), &response(&[("cache-control", "no-store")], 1));
        assert!(matches!(kept.known(&key("2")), Known::Nothing));
        kept.keep(key("big"), &response(&[("cache-control", "max-age=60")], ONE + 1));
        assert!(matches!(kept.known(&key("big")), Known::Nothing));
        kept.keep(key("tag"), &response(&[("etag", "\"1\"")], 1));
        assert!(matches!(kept.known(&key("tag")), Known::Stale(tag, _) if tag == "\"1\""));
    }
}
