//! A response as handlers make it.

use crate::room::no_room;
use serde_json::{Value, json};
use std::sync::Arc;

/// What a handler gives; `?` leaves it early with a refusal.
pub(crate) type Reply = Result<Response, Response>;

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
}

pub(crate) enum Body {
    Bytes(Vec<u8>),
    Shared(Arc<[u8]>),
    /// An open file and its length.
    File(std::fs::File, u64),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

impl Body {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Shared(bytes) => bytes.len() as u64,
            Self::File(_, length) => *length,
        }
    }
}

impl Response {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers =
            if content_type.is_empty() { Vec::new() } else { vec![("content-type", content_type.to_owned())] };
        Self { status, headers, body: Body::Bytes(body.into()) }
    }

    /// 200 without a body, as most of ComfyUI's POSTs answer.
    pub(crate) fn ok() -> Self {
        Self::new(200, "application/octet-stream", Vec::new())
    }

    /// A status without more words; refusals say their phrase, as browsers want a type with everything.
    pub(crate) fn empty(status: u16) -> Self {
        match status {
            400.. => Self::text(status, format!("{status}: {}", reason(status))),
            _ => Self::new(status, "", Vec::new()),
        }
    }

    pub(crate) fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.into())
    }

    pub(crate) fn json(value: &Value) -> Self {
        Self::raw_json(value.to_string())
    }

    /// JSON that is already written.
    pub(crate) fn raw_json(text: String) -> Self {
        Self::new(200, "application/json; charset=utf-8", text)
    }

    /// `{"error": …}`
    pub(crate) fn error(status: u16, message: impl Into<String>) -> Self {
        Self { status, ..Self::json(&json!({ "error": message.into() })) }
    }

    /// The server's own fault; the details go to the log. A full disk is said: only the user can make room.
    pub(crate) fn fault(error: &anyhow::Error) -> Self {
        tracing::error!("{error:#}");
        if let Some(words) = no_room(error) {
            return Self::text(507, format!("{error:#}: {words}"));
        }
        Self::text(500, "500 Internal Server Error\n\nServer got itself in trouble")
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(n, _)| *n != name);
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    #[cfg(test)]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }
}

impl From<anyhow::Error> for Response {
    fn from(error: anyhow::Error) -> Self {
        Self::fault(&error)
    }
}

/// The phrase behind a status.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        206 => "Partial Content",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "Status",
    }
}
