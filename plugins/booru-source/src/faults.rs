//! What is wrong with an answer: found out once, said with what was found and what to do.

use crate::fields;
use plugin_sdk::{Error, ErrorKind};
use serde_json::Value;

/// What went wrong, and what the site said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) what: What,
    /// What was found, in words.
    pub(crate) found: String,
    /// The site's own wish, in milliseconds.
    pub(crate) wait: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Key,
    Challenge,
    Forbidden,
    NotFound,
    TooDeep,
    TooManyTags,
    BadQuery,
    TooFast,
    TimeOut,
    Down,
    TakenDown,
    Odd,
}

/// One kind of fault: the error the host sees, whether to try again, and what the user can do.
struct Row {
    what: What,
    kind: ErrorKind,
    /// Milliseconds until it is worth trying again; none: never by itself.
    again: Option<u64>,
    advice: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        what: What::Key,
        kind: ErrorKind::Denied,
        again: None,
        advice: "the site wants a valid key: make one in your account's settings there, set `login` (a name) or \
                 `user_id` (Gelbooru's kind: the number, not the name), and give the key to the host as the secret \
                 that `secret` names",
    },
    Row {
        what: What::Challenge,
        kind: ErrorKind::Denied,
        again: None,
        advice: "the site refused the program itself, not the search: the User-Agent must name a contact that \
                 its owners accept (`contact` under [grants]); pretending to be a browser makes it worse; some networks \
                 are refused altogether",
    },
    Row {
        what: What::Forbidden,
        kind: ErrorKind::Denied,
        again: None,
        advice: "this account or network may not see that; sign in with `login` or `user_id` and a key, or ask for less",
    },
    Row {
        what: What::NotFound,
        kind: ErrorKind::NotFound,
        again: None,
        advice: "check `base` and `family`: another kind of site has its list under another path",
    },
    Row {
        what: What::TooDeep,
        kind: ErrorKind::InvalidInput,
        again: None,
        advice: "the site lists no further with this order; leave out `order:` or `sort:` so that the list can go on by \
                 ids, or narrow the search with `before` and `after`",
    },
    Row {
        what: What::TooManyTags,
        kind: ErrorKind::InvalidInput,
        again: None,
        advice: "set `tag_limit` to what your account may send; the other tags are then filtered here",
    },
    Row {
        what: What::BadQuery,
        kind: ErrorKind::InvalidInput,
        again: None,
        advice: "the site does not understand the search; check `tags` for brackets and metatags",
    },
    Row {
        what: What::TooFast,
        kind: ErrorKind::RateLimited,
        again: Some(5_000),
        advice: "others may be using the site from the same address; try again later, or raise the interval between requests",
    },
    Row {
        what: What::TimeOut,
        kind: ErrorKind::Timeout,
        again: Some(2_000),
        advice: "the search is too heavy for the site: use rarer tags, fewer metatags or a shorter time",
    },
    Row {
        what: What::Down,
        kind: ErrorKind::Unavailable,
        again: Some(2_000),
        advice: "the site has trouble of its own; try again later, the run goes on where it stopped",
    },
    Row {
        what: What::TakenDown,
        kind: ErrorKind::Denied,
        again: None,
        advice: "this was removed for legal reasons; nothing helps",
    },
    Row {
        what: What::Odd,
        kind: ErrorKind::Unavailable,
        again: Some(2_000),
        advice: "check `family` and `base`; if they are right, the site may have had a hiccup: try again later",
    },
];

impl Fault {
    pub(crate) fn new(what: What, found: impl Into<String>) -> Self {
        Self { what, found: found.into(), wait: None }
    }

    /// The error for the host; `site` is the family and address.
    pub(crate) fn error(&self, site: &str) -> Error {
        let row = ROWS.iter().find(|r| r.what == self.what).unwrap_or(&ROWS[ROWS.len() - 1]);
        let mut error = Error::new(row.kind, format!("{site}: {}; {}", self.found, row.advice));
        error.retry_after_ms = row.again.map(|usual| self.wait.unwrap_or(usual));
        error
    }
}

/// The fault of an answer whose status is not 200.
pub(crate) fn of_status(status: u16, headers: &[(String, String)], body: &[u8]) -> Fault {
    let header = |name: &str| headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
    let said = said(body);
    let lower = said.to_lowercase();
    let challenged = header("cf-mitigated").is_some()
        || lower.contains("user-agent")
        || (lower.contains("challenge") || lower.contains("not a robot")) && lower.contains('<');
    let what = match status {
        _ if challenged && [403, 429, 501, 503].contains(&status) => What::Challenge,
        400 | 406 => What::BadQuery,
        401 => What::Key,
        403 => What::Forbidden,
        404 => What::NotFound,
        410 => What::TooDeep,
        421 | 429 => What::TooFast,
        422 if lower.contains("timed out") || lower.contains("timeout") => What::TimeOut,
        422 if lower.contains("tags") => What::TooManyTags,
        422 => What::BadQuery,
        451 => What::TakenDown,
        500 if lower.contains("timed out") || lower.contains("timeout") => What::TimeOut,
        500..=599 => What::Down,
        _ => What::Odd,
    };
    let said = if said.is_empty() { "an empty answer".to_owned() } else { format!("\"{said}\"") };
    let wait = header("retry-after").and_then(|v| v.trim().parse::<u64>().ok()).map(|s| s.saturating_mul(1000));
    Fault { what, found: format!("expected a list of posts, found status {status} with {said}"), wait }
}

/// The JSON of an answer with status 200, or what the body says instead.
pub(crate) fn json(body: &[u8]) -> Result<Value, Fault> {
    let value = match serde_json::from_slice::<Value>(body) {
        Ok(value) => value,
        Err(_) => return Err(of_body(body)),
    };
    let failed = value.get("success").is_some_and(|s| *s == Value::Bool(false) || s == "false");
    if failed { Err(of_body(body)) } else { Ok(value) }
}

/// The fault of a body that should not have come with status 200.
pub(crate) fn of_body(body: &[u8]) -> Fault {
    let said = said(body);
    if said.is_empty() {
        return Fault::new(What::Down, "expected a list of posts, found an empty answer with status 200");
    }
    let lower = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    let what = if has(&["too deep"]) {
        What::TooDeep
    } else if has(&["authentication", "api key", "api_key", "credentials"]) {
        What::Key
    } else if has(&["abuse", "throttled", "too fast", "too many requests", "rate limit", "api limited"]) {
        What::TooFast
    } else if has(&["timed out", "timeout"]) {
        What::TimeOut
    } else if has(&["down", "unavailable", "maintenance", "overloaded"]) {
        What::Down
    } else {
        What::Odd
    };
    Fault::new(what, format!("expected a list of posts, found \"{said}\" with status 200"))
}

/// Longest quotation of a site.
const QUOTED: usize = 160;

/// What a body says in words: the message of a JSON or XML error, else its beginning.
fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim();
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        for key in ["message", "reason", "error"] {
            if let Some(message) = fields::text(&value, key) {
                return shortened(message);
            }
        }
    }
    let is_xml = ["<?xml", "<response", "<error"].iter().any(|mark| text.starts_with(mark));
    if let Some(message) = crate::xml::message(text).filter(|_| is_xml) {
        return shortened(&message);
    }
    shortened(text)
}

/// One line, cut at a character, without control characters.
fn shortened(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let clean: String = line.chars().filter(|c| !c.is_control()).collect();
    match clean.char_indices().nth(QUOTED) {
        Some((cut, _)) => format!("{}…", &clean[..cut]),
        None => clean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Fault {
        of_status(status, &[], body.as_bytes())
    }

    #[test]
    fn every_kind_of_fault_has_one_row_with_advice() {
        for row in ROWS {
            assert_eq!(ROWS.iter().filter(|r| r.what == row.what).count(), 1);
            let error = Fault::new(row.what, "found x").error("e621 at https://e");
            assert!(error.message.starts_with("e621 at https://e: found x; "), "{error}");
            assert_eq!(error.kind, row.kind);
            assert!(!row.advice.ends_with('.') && row.advice.len() > 30, "{}", row.advice);
        }
    }

    #[test]
    fn a_status_is_read_with_its_body() {
        let cases = [
            (401, "", What::Key),
            (403, r#"{"success":false,"message":"Access denied"}"#, What::Forbidden),
            (403, "Please set a descriptive User-Agent header", What::Challenge),
            (403, "<html>Checking that you are not a robot</html>", What::Challenge),
            (410, "{}", What::TooDeep),
            (421, r#"{"success":false,"reason":"User Throttled"}"#, What::TooFast),
            (422, r#"{"message":"You cannot search for more than 2 tags at a time."}"#, What::TooManyTags),
            (422, r#"{"message":"search timed out"}"#, What::TimeOut),
            (429, "Too Many Requests", What::TooFast),
            (451, "", What::TakenDown),
            (500, r#"{"message":"The database timed out running your query."}"#, What::TimeOut),
            (503, "<html>x</html>", What::Down),
            (404, "", What::NotFound),
            (400, r#"{"error":"Imbalanced parentheses."}"#, What::BadQuery),
            (302, "", What::Odd),
        ];
        for (status, body, what) in cases {
            assert_eq!(of(status, body).what, what, "{status} {body}");
        }
        let found = of(400, r#"{"error":"Imbalanced parentheses."}"#).found;
        assert_eq!(found, "expected a list of posts, found status 400 with \"Imbalanced parentheses.\"");
    }

    #[test]
    fn a_header_says_how_long_to_wait_and_who_was_refused() {
        let headers = [("Retry-After".to_owned(), "3".to_owned())];
        let fault = of_status(503, &headers, b"");
        assert_eq!(fault.error("x").retry_after_ms, Some(3_000));
        assert_eq!(of(410, "").error("x").retry_after_ms, None);
        let headers = [("cf-mitigated".to_owned(), "challenge".to_owned())];
        assert_eq!(of_status(403, &headers, b"").what, What::Challenge);
    }

    #[test]
    fn a_body_with_status_200_may_be_a_fault() {
        let cases = [
            ("", What::Down),
            ("  \n", What::Down),
            ("Too deep! Pull it back some.", What::TooDeep),
            (r#"{"success":"false","message":"search down"}"#, What::Down),
            ("<?xml version=\"1.0\"?>\n<error>Missing authentication. Create a key.</error>", What::Key),
            ("<response success=\"false\" reason=\"Search error: API limited due to abuse.\"/>", What::TooFast),
            ("hello", What::Odd),
        ];
        for (body, what) in cases {
            assert_eq!(json(body.as_bytes()).unwrap_err().what, what, "{body}");
        }
        assert!(json(b"[]").is_ok() && json(br#"{"success": true}"#).is_ok());
        assert!(of_body(&[b'x'; 500]).found.len() < 300);
        assert!(!of_body(b"a\x1b[31mb").found.contains('\u{1b}'));
    }
}
