//! A request as handlers see it.

use std::net::SocketAddr;

/// Request line and headers.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// As sent: still percent-encoded, without the query.
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    /// Names in small letters.
    headers: Vec<(String, String)>,
    pub(crate) peer: SocketAddr,
    /// Did it come through TLS?
    pub(crate) secure: bool,
    pub(crate) http_1_0: bool,
}

/// A whole request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Head {
    pub(crate) fn new(method: &str, target: &str, headers: Vec<(String, String)>, peer: SocketAddr) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: pairs(query),
            headers,
            peer,
            secure: false,
            http_1_0: false,
        }
    }

    /// The first header of this name, which must be in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The value of a query parameter.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A cookie.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let cookies = self.headers("cookie").flat_map(|line| line.split(';'));
        cookies.filter_map(|c| c.trim().split_once('=')).find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

impl Request {
    /// The body as JSON; an empty body is null.
    ///
    /// # Errors
    /// It is no JSON.
    pub(crate) fn json(&self) -> Result<serde_json::Value, serde_json::Error> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(serde_json::Value::Null);
        }
        serde_json::from_slice(&self.body)
    }
}

/// Name-value pairs of a query or of a form.
fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|p| !p.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_plus(name), decode_plus(value))
        })
        .collect()
}

/// Percent-decoded; bytes that are no UTF-8 become replacement characters.
pub(crate) fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The same, where `+` is a space.
pub(crate) fn decode_plus(text: &str) -> String {
    if text.contains('+') { decode(&text.replace('+', " ")) } else { decode(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_cookies_are_decoded() {
        let headers = vec![("cookie".into(), "a=1; token=x=y".into())];
        let head = Head::new("GET", "/view?filename=a+b%2Fc.png&empty&e%3D=1", headers, ([127, 0, 0, 1], 1).into());
        assert_eq!(head.path, "/view");
        assert_eq!(head.query("filename"), Some("a b/c.png"));
        assert_eq!(head.query("empty"), Some(""));
        assert_eq!(head.query("e="), Some("1"));
        assert_eq!(head.cookie("token"), Some("x=y"));
        assert_eq!(head.cookie("oken"), None);
    }
}
