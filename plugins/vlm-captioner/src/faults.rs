//! What is wrong with an answer: found out once, said with what was found and what to do.

use plugin_sdk::{Error, ErrorKind};
use serde_json::Value;

/// What went wrong, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) what: What,
    pub(crate) found: String,
    /// The server's own wish, in milliseconds.
    pub(crate) wait: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    NoModel,
    NoVision,
    Context,
    Key,
    Refused,
    WrongPlace,
    TooFast,
    Loading,
    Trouble,
    Unreachable,
    Slow,
    Empty,
    Thinking,
    CutOff,
    Avoided,
    Odd,
    BadRequest,
    /// The host's own refusal, such as a missing grant; it explains itself.
    Host(ErrorKind),
}

struct Row {
    what: What,
    kind: ErrorKind,
    /// Is it worth asking again?
    again: bool,
    advice: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        what: What::NoModel,
        kind: ErrorKind::NotFound,
        again: false,
        advice: "load the model at the server, or set `model` to one that it has",
    },
    Row {
        what: What::NoVision,
        kind: ErrorKind::Unsupported,
        again: false,
        advice: "the server's model sees no pictures: take a vision model; llama.cpp also needs its projector (`--mmproj`)",
    },
    Row {
        what: What::Context,
        kind: ErrorKind::TooLarge,
        again: false,
        advice: "give the server a larger context (vLLM `--max-model-len`, llama.cpp `-c`, Ollama `num_ctx`), or set \
                 `megapixels` or `max_tokens` lower",
    },
    Row {
        what: What::Key,
        kind: ErrorKind::Denied,
        again: false,
        advice: "give the key to the host as a secret and set `secret` to its name",
    },
    Row {
        what: What::Refused,
        kind: ErrorKind::InvalidInput,
        again: false,
        advice: "the server does not describe this picture; leave it out with `on_error`, or take another model",
    },
    Row {
        what: What::WrongPlace,
        kind: ErrorKind::NotFound,
        again: false,
        advice: "check `url`: it should lead to what the server offers as `/v1`",
    },
    Row {
        what: What::TooFast,
        kind: ErrorKind::RateLimited,
        again: true,
        advice: "set `parallel` lower, or `http-interval-ms` under the plugin's grants higher",
    },
    Row {
        what: What::Loading,
        kind: ErrorKind::Unavailable,
        again: true,
        advice: "the server is busy or still loads its model; try again in a while",
    },
    Row {
        what: What::Trouble,
        kind: ErrorKind::Unavailable,
        again: true,
        advice: "look at the server's own log; it often has too little memory for the picture",
    },
    Row {
        what: What::Unreachable,
        kind: ErrorKind::Unavailable,
        again: true,
        advice: "start the server, or check `url`",
    },
    Row {
        what: What::Slow,
        kind: ErrorKind::Timeout,
        again: false,
        advice: "set `timeout` higher, or `parallel`, `megapixels` or `max_tokens` lower",
    },
    Row {
        what: What::Empty,
        kind: ErrorKind::Unavailable,
        again: true,
        advice: "the model may not fit the server's chat template, or its `temperature` is too low",
    },
    Row {
        what: What::Thinking,
        kind: ErrorKind::InvalidInput,
        again: false,
        advice: "set `max_tokens` higher, or switch the model's thinking off at the server",
    },
    Row {
        what: What::CutOff,
        kind: ErrorKind::InvalidInput,
        again: false,
        advice: "set `max_tokens` higher or `length` shorter, or `cut_off` to `keep`",
    },
    Row {
        what: What::Avoided,
        kind: ErrorKind::InvalidInput,
        again: true,
        advice: "set `temperature` or `tries` higher, or take the word out of `avoid`",
    },
    Row {
        what: What::Odd,
        kind: ErrorKind::Unavailable,
        again: true,
        advice: "check that `url` is that of an OpenAI-compatible server; something else may answer in its place",
    },
    Row {
        what: What::BadRequest,
        kind: ErrorKind::InvalidInput,
        again: false,
        advice: "the server does not take this request; its words say why",
    },
];

impl Fault {
    pub(crate) fn new(what: What, found: impl Into<String>) -> Self {
        Self { what, found: found.into(), wait: None }
    }

    fn row(&self) -> &'static Row {
        ROWS.iter().find(|r| r.what == self.what).unwrap_or(&ROWS[ROWS.len() - 1])
    }

    /// Is it worth asking again?
    pub(crate) fn again(&self) -> bool {
        !matches!(self.what, What::Host(_)) && self.row().again
    }

    /// The error for the host; `server` is its address and model.
    pub(crate) fn error(&self, server: &str) -> Error {
        if let What::Host(kind) = self.what {
            return Error::new(kind, self.found.clone());
        }
        let row = self.row();
        let mut error = Error::new(row.kind, format!("{server}: {}; {}", self.found, row.advice));
        error.retry_after_ms = self.wait;
        error
    }

    /// What the host says of a request that got no answer.
    pub(crate) fn of_error(error: Error) -> Self {
        let what = match error.kind {
            ErrorKind::RateLimited => What::TooFast,
            ErrorKind::Unavailable => What::Unreachable,
            ErrorKind::Timeout => What::Slow,
            _ => What::Host(error.kind),
        };
        Self { what, found: error.message, wait: error.retry_after_ms }
    }
}

/// The fault of an answer that says so, by its status and its words.
pub(crate) fn of_answer(status: u16, body: &[u8]) -> Fault {
    let (said, code) = said(body);
    let lower = format!("{said} {code}").to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    let missing = ["not found", "does not exist", "not loaded", "no models loaded", "unloaded", "no such model"];
    let what = if has(&["context length", "context size", "context window", "exceed_context", "too many tokens"]) {
        What::Context
    } else if has(&[
        "image input is not supported",
        "mmproj",
        "not a multimodal",
        "does not support image",
        "no vision",
    ]) || has(&["image_url"]) && has(&["not supported", "unsupported", "only supported"])
    {
        What::NoVision
    } else if has(&["loading model", "is loading"]) {
        What::Loading
    } else if has(&["model"]) && has(&missing) {
        What::NoModel
    } else if has(&["unexpected endpoint"]) {
        What::WrongPlace
    } else {
        match status {
            401 | 403 => What::Key,
            404 | 405 => What::WrongPlace,
            408 | 504 => What::Slow,
            413 => What::Context,
            429 => What::TooFast,
            503 => What::Loading,
            500..=599 => What::Trouble,
            400..=499 => What::BadRequest,
            _ => What::Odd,
        }
    };
    let said = if said.is_empty() { "an empty answer".to_owned() } else { format!("\"{said}\"") };
    Fault::new(what, format!("expected a caption, found status {status} with {said}"))
}

/// What a body says in words, and the name of the fault if it has one: vLLM, llama.cpp, Ollama and LM Studio each put
/// them elsewhere.
fn said(body: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(body);
    let Ok(value) = serde_json::from_str::<Value>(text.trim()) else { return (shortened(&text), String::new()) };
    let code = |v: &Value| v["type"].as_str().unwrap_or_default().to_owned();
    let found = match &value["error"] {
        Value::String(message) => Some((message.clone(), String::new())),
        error => error["message"].as_str().map(|m| (m.to_owned(), code(error))),
    };
    let found = found.or_else(|| value["message"].as_str().map(|m| (m.to_owned(), code(&value))));
    let found = found.or_else(|| value["detail"].as_str().map(|m| (m.to_owned(), String::new())));
    let (message, code) = found.unwrap_or_else(|| (text.to_string(), String::new()));
    (shortened(&message), code)
}

/// Longest quotation.
const QUOTED: usize = 200;

/// One line, cut at a character, without control characters.
pub(crate) fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let clean: String = line.chars().filter(|c| !c.is_control()).collect();
    match clean.char_indices().nth(QUOTED) {
        Some((cut, _)) => format!("{}…", &clean[..cut]),
        None => clean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_fault_has_one_row_with_advice() {
        for row in ROWS {
            assert_eq!(ROWS.iter().filter(|r| r.what == row.what).count(), 1);
            let error = Fault::new(row.what, "found x").error("http://s");
            assert!(error.message.starts_with("http://s: found x; "), "{error}");
            assert!(!row.advice.ends_with('.') && row.advice.len() > 20, "{}", row.advice);
        }
    }

    #[test]
    fn servers_say_the_same_in_different_words() {
        let cases = [
            (
                404,
                r#"{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","code":404}"#,
                What::NoModel,
            ),
            (
                404,
                r#"{"error":{"message":"model \"x\" not found, try pulling it first","type":"api_error"}}"#,
                What::NoModel,
            ),
            (404, r#"{"error":"No models loaded. Please load a model in the developer page."}"#, What::NoModel),
            (404, r#"{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}"#, What::WrongPlace),
            (404, r#"{"detail":"Not Found"}"#, What::WrongPlace),
            (200, r#"{"error":"Unexpected endpoint or method. (POST /chat/completions)"}"#, What::WrongPlace),
            (
                400,
                r#"{"object":"error","message":"This model's maximum context length is 2048 tokens.","code":400}"#,
                What::Context,
            ),
            (
                400,
                r#"{"error":{"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#,
                What::Context,
            ),
            (
                500,
                r#"{"error":{"message":"image input is not supported - hint: if this is unexpected, you may need to provide the mmproj","type":"server_error"}}"#,
                What::NoVision,
            ),
            (503, r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#, What::Loading),
            (503, "", What::Loading),
            (500, "Internal Server Error", What::Trouble),
            (502, "<html>Bad Gateway</html>", What::Trouble),
            (429, r#"{"error":{"message":"Rate limit reached"}}"#, What::TooFast),
            (401, r#"{"error":{"message":"Invalid API key"}}"#, What::Key),
            (400, r#"{"error":{"message":"top_p must be in (0, 1]"}}"#, What::BadRequest),
            (200, "<html>a router's page</html>", What::Odd),
        ];
        for (status, body, what) in cases {
            assert_eq!(of_answer(status, body.as_bytes()).what, what, "{status} {body}");
        }
        let found = of_answer(503, cases[9].1.as_bytes()).found;
        assert_eq!(found, "expected a caption, found status 503 with \"Loading model\"");
        assert!(!of_answer(500, b"a\x1b[31mb").found.contains('\u{1b}'));
        assert!(of_answer(500, &[b'x'; 900]).found.len() < 300);
    }

    #[test]
    fn only_troubles_of_the_server_are_tried_again() {
        let fault = |kind| Fault::of_error(Error::new(kind, "x"));
        assert!(fault(ErrorKind::Unavailable).again());
        assert!(!fault(ErrorKind::Timeout).again(), "the next would take as long");
        let denied = fault(ErrorKind::Denied);
        assert!(!denied.again());
        assert_eq!(denied.error("http://s"), Error::new(ErrorKind::Denied, "x"), "the host explains it");
    }
}
