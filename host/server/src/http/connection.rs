//! One connection: bytes to requests, responses to bytes.

use super::head::{Framing, MAX_HEAD, Parsed, parse};
use super::response::reason;
use super::{Body, Head, Response, http_date};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// How long a kept connection may say nothing.
const IDLE: Duration = Duration::from_secs(75);
/// How long a head may take once it has begun.
const HEAD: Duration = Duration::from_secs(20);
/// How long a body may pause, and how long a client may not read.
const PAUSE: Duration = Duration::from_secs(60);
const CHUNK: usize = 64 << 10;

/// A stream with what was read ahead.
pub(crate) struct Wire<S> {
    stream: S,
    ahead: Vec<u8>,
    peer: SocketAddr,
}

/// What a connection had.
pub(crate) enum Incoming {
    Request(Head, Pending),
    /// Refused before anybody saw it; the connection is of no more use.
    Refused(Response),
    Ended,
}

/// The body that has not been read yet.
pub(crate) struct Pending(Framing);

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.0 == Framing::Length(0)
    }

    /// KiB that the body will take at most.
    pub(crate) fn room(&self, limit: usize) -> usize {
        let bytes = match self.0 {
            Framing::Length(length) => usize::try_from(length).unwrap_or(limit).min(limit),
            Framing::Chunked => limit,
        };
        bytes.div_ceil(1024)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S, peer: SocketAddr) -> Self {
        Self { stream, ahead: Vec::new(), peer }
    }

    /// The stream, and what was read beyond the last request.
    pub(crate) fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, self.ahead)
    }

    /// Waits for the next request's head.
    pub(crate) async fn next(&mut self, secure: bool) -> Incoming {
        if self.ahead.is_empty() {
            match timeout(IDLE, self.fill()).await {
                Ok(Ok(true)) => {}
                _ => return Incoming::Ended,
            }
        }
        match timeout(HEAD, self.head()).await {
            Ok(Ok(Some((mut head, framing, _)))) => {
                head.secure = secure;
                Incoming::Request(head, Pending(framing))
            }
            Ok(Ok(None)) => Incoming::Ended,
            Ok(Err(refusal)) => Incoming::Refused(refusal),
            Err(_) => Incoming::Refused(Response::text(408, "the request took too long")),
        }
    }

    async fn head(&mut self) -> Result<Option<Parsed>, Response> {
        loop {
            // Empty lines before a request are tolerated, as the standard asks.
            let blank = self.ahead.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
            self.ahead.drain(..blank);
            if let Some((head, framing, used)) = parse(&self.ahead, self.peer)? {
                self.ahead.drain(..used);
                return Ok(Some((head, framing, used)));
            }
            if self.ahead.len() > MAX_HEAD {
                return Err(Response::text(431, "the request's headers are too long"));
            }
            if !self.fill().await.unwrap_or(false) {
                return Ok(None);
            }
        }
    }

    /// Reads the body, up to a limit.
    ///
    /// # Errors
    /// The refusal to send, after which the connection has to end; none if the client is gone.
    pub(crate) async fn body(
        &mut self,
        head: &Head,
        pending: Pending,
        limit: usize,
    ) -> Result<Vec<u8>, Option<Response>> {
        let too_long = || Some(Response::text(413, format!("the body is too long; at most {limit} bytes are taken")));
        if let Framing::Length(length) = pending.0
            && length > limit as u64
        {
            return Err(too_long());
        }
        match head.header("expect") {
            Some(e) if e.eq_ignore_ascii_case("100-continue") => {
                self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_| None)?;
            }
            Some(_) => return Err(Some(Response::text(417, "the only expectation is 100-continue"))),
            None => {}
        }
        match pending.0 {
            Framing::Length(length) => self.take(length as usize).await,
            Framing::Chunked => {
                let mut body = Vec::new();
                loop {
                    let line = self.line().await?;
                    let size = line.split(';').next().unwrap_or("").trim();
                    let digits = !size.is_empty() && size.len() <= 8 && size.bytes().all(|b| b.is_ascii_hexdigit());
                    let Some(size) = digits.then(|| usize::from_str_radix(size, 16).ok()).flatten() else {
                        return Err(Some(Response::text(400, "a chunk has no size")));
                    };
                    if size == 0 {
                        break;
                    }
                    if body.len() + size > limit {
                        return Err(too_long());
                    }
                    body.append(&mut self.take(size).await?);
                    if !self.line().await?.is_empty() {
                        return Err(Some(Response::text(400, "a chunk is longer than it says")));
                    }
                }
                // Trailers, which nobody needs.
                while !self.line().await?.is_empty() {}
                Ok(body)
            }
        }
    }

    async fn take(&mut self, length: usize) -> Result<Vec<u8>, Option<Response>> {
        // Not allocated at once: a client that only promises takes no memory.
        while self.ahead.len() < length {
            match timeout(PAUSE, self.fill()).await {
                Ok(Ok(true)) => {}
                Ok(_) => return Err(None),
                Err(_) => return Err(Some(Response::text(408, "the body took too long"))),
            }
        }
        let rest = self.ahead.split_off(length);
        Ok(std::mem::replace(&mut self.ahead, rest))
    }

    /// A line of the chunked coding.
    async fn line(&mut self) -> Result<String, Option<Response>> {
        loop {
            if let Some(end) = self.ahead.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.ahead.drain(..=end).collect();
                let text = String::from_utf8_lossy(&line);
                return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.ahead.len() > 4096 {
                return Err(Some(Response::text(400, "a chunk has no size")));
            }
            match timeout(PAUSE, self.fill()).await {
                Ok(Ok(true)) => {}
                _ => return Err(None),
            }
        }
    }

    /// Reads what there is; false at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        let mut part = [0; 16 << 10];
        let count = self.stream.read(&mut part).await?;
        self.ahead.extend_from_slice(&part[..count]);
        Ok(count > 0)
    }

    /// Sends a response. `head_only` leaves the body out.
    ///
    /// # Errors
    /// The client is gone, or does not read.
    pub(crate) async fn write(&mut self, response: Response, head_only: bool, close: bool) -> io::Result<()> {
        let mut text = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
        let mut line = |name: &str, value: &str| {
            // A value from a file name or a query must not become a header of its own.
            let clean: String = value.chars().filter(|c| !c.is_control()).collect();
            text.push_str(name);
            text.push_str(": ");
            text.push_str(&clean);
            text.push_str("\r\n");
        };
        response.headers.iter().for_each(|(n, v)| line(n, v));
        line("date", &http_date(SystemTime::now()));
        line("x-content-type-options", "nosniff");
        if !matches!(response.status, 101 | 204 | 304) {
            line("content-length", &response.body.len().to_string());
        }
        if response.status != 101 {
            line("connection", if close { "close" } else { "keep-alive" });
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        let silent = head_only || matches!(response.status, 101 | 204 | 304);
        match response.body {
            _ if silent => self.send(&bytes).await,
            Body::Bytes(body) => {
                bytes.extend_from_slice(&body);
                self.send(&bytes).await
            }
            Body::Shared(body) => {
                self.send(&bytes).await?;
                self.send(&body).await
            }
            Body::File(file, length) => {
                self.send(&bytes).await?;
                self.send_file(file, length).await
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(CHUNK) {
            timeout(PAUSE, self.stream.write_all(part)).await??;
        }
        timeout(PAUSE, self.stream.flush()).await?
    }

    async fn send_file(&mut self, file: std::fs::File, length: u64) -> io::Result<()> {
        let mut file = tokio::fs::File::from_std(file).take(length);
        let (mut part, mut left) = (vec![0; CHUNK], length);
        while left > 0 {
            let count = file.read(&mut part).await?;
            if count == 0 {
                // Shorter than when it was opened: the promised length cannot be kept.
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= count as u64;
            self.send(&part[..count]).await?;
        }
        Ok(())
    }

    /// Says that nothing more comes, and waits a little for the client to read the last response.
    pub(crate) async fn end(mut self) {
        if self.stream.shutdown().await.is_ok() {
            let mut rest = [0; 4096];
            let drain = async { while matches!(self.stream.read(&mut rest).await, Ok(n) if n > 0) {} };
            let _ = timeout(Duration::from_secs(1), drain).await;
        }
    }
}
