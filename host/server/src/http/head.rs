//! Request heads from bytes, strictly: what two servers could read differently is refused.

use super::{Head, Response};
use std::net::SocketAddr;

const MAX_HEADERS: usize = 100;
/// Request line and headers together.
pub(super) const MAX_HEAD: usize = 64 << 10;

/// How the body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// A head, its framing, and how many bytes it took.
pub(super) type Parsed = (Head, Framing, usize);

/// None if more bytes are needed.
///
/// # Errors
/// The refusal to send; the connection then ends.
pub(super) fn parse(bytes: &[u8], peer: SocketAddr) -> Result<Option<Parsed>, Response> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let used = match request.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) if bytes.len() >= MAX_HEAD => {
            return Err(Response::text(431, "the request's headers are too long"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Response::text(431, "too many headers")),
        Err(httparse::Error::Version) => return Err(Response::text(505, "expected HTTP/1.1")),
        Err(error) => return Err(Response::text(400, format!("malformed request: {error}"))),
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(Response::text(400, "malformed request"));
    };
    let mut owned = Vec::with_capacity(request.headers.len());
    for header in request.headers.iter() {
        let Ok(value) = std::str::from_utf8(header.value) else {
            return Err(Response::text(400, format!("header `{}` is not UTF-8", header.name)));
        };
        owned.push((header.name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    // The absolute form that proxies are sent.
    let target = target.strip_prefix("http://").map_or(target, |rest| rest.find('/').map_or("/", |at| &rest[at..]));
    if !target.starts_with('/') && target != "*" {
        return Err(Response::text(400, "expected a path that begins with /"));
    }
    let mut head = Head::new(method, target, owned, peer);
    head.http_1_0 = request.version == Some(0);
    let framing = framing(&head)?;
    Ok(Some((head, framing, used)))
}

fn framing(head: &Head) -> Result<Framing, Response> {
    let bad = |why: &str| Response::text(400, why.to_owned());
    let mut codings = head.headers("transfer-encoding");
    let coding = codings.next();
    let mut lengths = head.headers("content-length");
    let length = lengths.next();
    if codings.next().is_some() || lengths.any(|other| Some(other) != length) {
        return Err(bad("the body's length is given twice"));
    }
    match (coding, length) {
        (Some(_), Some(_)) => Err(bad("the body has both a length and a transfer coding")),
        (Some(c), None) if c.eq_ignore_ascii_case("chunked") && !head.http_1_0 => Ok(Framing::Chunked),
        (Some(_), None) => Err(Response::text(501, "the only transfer coding is chunked")),
        (None, Some(l)) if !l.is_empty() && l.bytes().all(|b| b.is_ascii_digit()) => {
            l.parse().map(Framing::Length).map_err(|_| bad("the body's length is no number"))
        }
        (None, Some(_)) => Err(bad("the body's length is no number")),
        (None, None) => Ok(Framing::Length(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Parsed>, u16> {
        parse(text.as_bytes(), ([127, 0, 0, 1], 1).into()).map_err(|r| r.status)
    }

    #[test]
    fn heads_are_read_once_they_are_whole() {
        let text = "POST /api/prompt?a=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n";
        assert!(read(&text[..text.len() - 1]).unwrap().is_none());
        let (head, framing, used) = read(&format!("{text}hello")).unwrap().unwrap();
        assert_eq!((head.method.as_str(), head.path.as_str(), used), ("POST", "/api/prompt", text.len()));
        assert_eq!(head.header("host"), Some("x"));
        assert_eq!(framing, Framing::Length(5));
        let chunked = read("POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n").unwrap().unwrap();
        assert_eq!(chunked.1, Framing::Chunked);
    }

    #[test]
    fn what_servers_could_read_differently_is_refused() {
        for (headers, status) in [
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
            ("Content-Length: 5\r\nContent-Length: 6", 400),
            ("Content-Length: +5", 400),
            ("Content-Length: 99999999999999999999999", 400),
            ("Transfer-Encoding: gzip", 501),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
            ("Content-Length : 5", 400),
            (" folded: x", 400),
        ] {
            let found = read(&format!("POST / HTTP/1.1\r\n{headers}\r\n\r\n"));
            assert_eq!(found.unwrap_err(), status, "{headers}");
        }
        assert_eq!(read("GET / HTTP/3.0\r\n\r\n").unwrap_err(), 505);
        assert_eq!(read("GET nowhere HTTP/1.1\r\n\r\n").unwrap_err(), 400);
        assert_eq!(read(&format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(MAX_HEAD))).unwrap_err(), 431);
        assert_eq!(read(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101))).unwrap_err(), 431);
    }
}
