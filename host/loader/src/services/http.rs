//! Outgoing HTTP: only granted URLs, redirects checked again, no address of the local network by name.

use super::responses::{Known, Responses};
use super::retry::retry_after;
use super::secrets::{self, Filled};
use super::{Services, refuse};
use crate::error::Fault;
use crate::grants::Rights;
use spec::{ErrorKind, PluginError};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use url::{Host, Url};

const MAX_REDIRECTS: usize = 5;
/// Time to make a connection, so that some is left for another try.
const CONNECT: Duration = Duration::from_secs(15);
/// The longest pause that a server can ask for, in seconds.
const MAX_SILENCE: u64 = 24 * 3600;
const USER_AGENT: &str = concat!("anagama/", env!("CARGO_PKG_VERSION"));
/// Headers that the host sets, or that would let a plugin speak for somebody else.
const REFUSED_HEADERS: [&str; 6] =
    ["host", "connection", "content-length", "transfer-encoding", "proxy-authorization", "upgrade"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) timeout_ms: Option<u32>,
    pub(crate) max_bytes: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// How requests name themselves, and with which secrets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agent {
    pub(crate) name: String,
    /// The plugin may not name itself otherwise.
    pub(crate) fixed: bool,
    pub(crate) secrets: std::sync::Arc<Filled>,
}

/// A body as far as it came.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) body: Vec<u8>,
    /// What tells this file from a later one at the same address.
    pub(crate) tag: Option<String>,
}

/// An answer without its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// How long the server asks to wait, in milliseconds.
    pub(crate) wait: Option<u64>,
    /// It came from another address than was asked.
    pub(crate) redirected: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: PluginError,
    /// The connection was not made in time, or broke before an answer began.
    pub(crate) lost: bool,
}

impl From<PluginError> for Failed {
    fn from(error: PluginError) -> Self {
        Self { error, lost: false }
    }
}

impl Services {
    pub(crate) fn fetch(&self, request: Request) -> Result<Result<Response, PluginError>, Fault> {
        let fetched = self.fetch_whole(request)?;
        Ok(self.note(fetched))
    }

    fn fetch_whole(&self, mut request: Request) -> Result<Result<Response, PluginError>, Fault> {
        // The checks need no thread and give the refusal at once.
        let prepared = self.agent().and_then(|agent| {
            let url = allowed(&self.rights, request.method, &request.url)?;
            Ok((agent, url))
        });
        let (mut agent, mut url) = match prepared {
            Ok(prepared) => prepared,
            Err(e) => return Ok(Err(e)),
        };
        let method = request.method.name();
        match secrets::fill(&self.rights, &self.network.env, method, &mut url, &mut request.headers) {
            Ok(filled) => agent.secrets = filled.into(),
            Err(e) => return Ok(Err(e)),
        }
        let max = request.max_bytes.unwrap_or(u64::MAX).min(self.limits.transfer);
        let key = Responses::key(&self.label, &request, !agent.secrets.is_empty());
        let mut old = None;
        match key.as_ref().map_or(Known::Nothing, |key| self.network.responses.known(key)) {
            Known::Fresh(response) if response.body.len() as u64 <= max => return Ok(Ok(response)),
            Known::Stale(tag, response) if response.body.len() as u64 <= max => {
                request.headers.push(("if-none-match".to_owned(), tag));
                old = Some(response);
            }
            _ => {}
        }
        let (answer, part) = match self.ask(&url, &request, &agent, max)? {
            Ok(found) => found,
            Err(e) => return Ok(Err(e)),
        };
        if let (304, Some(mut response), Some(key)) = (answer.status, old, &key) {
            // Still good: what is said of it anew counts.
            for (name, value) in answer.headers {
                if ["cache-control", "etag", "age", "date", "expires"].contains(&name.as_str()) {
                    response.headers.retain(|(n, _)| *n != name);
                    response.headers.push((name, value));
                }
            }
            self.network.responses.keep(key.clone(), &response);
            return Ok(Ok(response));
        }
        let body = agent.secrets.hide_bytes(part.body);
        let response = Response { status: answer.status, headers: answer.headers, body };
        if let Some(key) = key.filter(|_| !answer.redirected) {
            self.network.responses.keep(key, &response);
        }
        Ok(Ok(response))
    }

    /// How requests of this plugin name themselves.
    pub(crate) fn agent(&self) -> Result<Agent, PluginError> {
        match self.rights.contact() {
            Ok(None) => Ok(Agent { name: USER_AGENT.to_owned(), ..Agent::default() }),
            Ok(Some(contact)) => {
                Ok(Agent { name: format!("{USER_AGENT} ({contact})"), fixed: true, ..Agent::default() })
            }
            Err(missing) => Err(PluginError::new(ErrorKind::Denied, missing)),
        }
    }

    pub(crate) fn fetch_image(&self, request: Request) -> Result<Result<super::Held<data::Image>, PluginError>, Fault> {
        let url = request.url.clone();
        match self.fetch(request)? {
            Err(e) => Ok(Err(e)),
            Ok(response) if !(200..300).contains(&response.status) => {
                let kind = if response.status == 404 { ErrorKind::NotFound } else { ErrorKind::Unavailable };
                Ok(refuse(kind, format!("{url}: the server answered with status {}", response.status)))
            }
            Ok(response) => self.decode(response.body),
        }
    }
}

pub(crate) fn allowed(rights: &Rights, method: Method, url: &str) -> Result<Url, PluginError> {
    let url = Url::parse(url)
        .map_err(|e| PluginError::new(ErrorKind::InvalidInput, format!("expected a URL, found {url:?}: {e}")))?;
    rights.http(method.name(), &url).map_err(|missing| PluginError::new(ErrorKind::Denied, missing))?;
    Ok(url)
}

/// Asks and follows redirects, each of them checked as if the plugin had asked for it. The body is added to `part`, so
/// that a broken one is not lost. No message holds a secret.
pub(crate) fn exchange(
    rights: &Rights,
    url: Url,
    request: Request,
    until: Instant,
    max: u64,
    agent: &Agent,
    part: &mut Part,
) -> Result<Answer, Failed> {
    follow(rights, url, request, until, max, agent, part).map_err(|mut e| {
        e.error.message = agent.secrets.hide(&e.error.message);
        e
    })
}

fn follow(
    rights: &Rights,
    mut url: Url,
    mut request: Request,
    until: Instant,
    max: u64,
    agent: &Agent,
    part: &mut Part,
) -> Result<Answer, Failed> {
    for hop in 0..=MAX_REDIRECTS {
        let mut answer = once(&url, &request, until, max, agent, part)?;
        let location = answer.headers.iter().find(|(name, _)| name == "location").map(|(_, value)| value.clone());
        let (true, Some(location)) = ([301, 302, 303, 307, 308].contains(&answer.status), location) else {
            answer.redirected = hop > 0;
            return Ok(answer);
        };
        part.body.clear();
        let next = url
            .join(&location)
            .map_err(|e| PluginError::new(ErrorKind::Unavailable, format!("{url}: redirected to {location:?}: {e}")))?;
        if answer.status == 303 || (request.method == Method::Post && answer.status < 303) {
            request.method = if request.method == Method::Head { Method::Head } else { Method::Get };
            request.body = None;
        }
        if next.origin() != url.origin() {
            request.headers.retain(|(name, _)| {
                let name = name.to_ascii_lowercase();
                !["authorization", "cookie"].contains(&name.as_str()) && !agent.secrets.headers.contains(&name)
            });
        }
        let from = url;
        url = allowed(rights, request.method, next.as_str()).map_err(|mut e| {
            e.message = format!("{from} redirects to {next}: {}", e.message);
            e
        })?;
    }
    Err(PluginError::new(ErrorKind::Unavailable, format!("{url}: more than {MAX_REDIRECTS} redirects")).into())
}

fn once(
    url: &Url,
    request: &Request,
    until: Instant,
    max: u64,
    named: &Agent,
    part: &mut Part,
) -> Result<Answer, Failed> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(PluginError::new(ErrorKind::Timeout, format!("{url}: no answer in time")).into());
    }
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(left))
        .timeout_connect(Some(left.min(CONNECT)))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(named.name.as_str())
        .proxy(None)
        .build();
    // An address in the URL itself was granted as such; a name must not lead into the local network.
    let public_only = matches!(url.host(), Some(Host::Domain(_)) | None);
    let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), Checked { public_only });
    let mut builder = ureq::http::Request::builder().method(request.method.name()).uri(url.as_str());
    for (name, value) in &request.headers {
        let lower = name.to_ascii_lowercase();
        if REFUSED_HEADERS.contains(&lower.as_str()) || (named.fixed && lower == "user-agent") {
            return Err(
                PluginError::new(ErrorKind::InvalidInput, format!("header `{name}` is the host's to set")).into()
            );
        }
        builder = builder.header(name, value);
    }
    let bad = |e: ureq::http::Error| PluginError::new(ErrorKind::InvalidInput, format!("{url}: {e}"));
    let answer = match request.method {
        Method::Post => agent.run(builder.body(request.body.clone().unwrap_or_default()).map_err(bad)?),
        _ => agent.run(builder.body(()).map_err(bad)?),
    };
    let mut answer = answer.map_err(|e| failed(url, &e))?;
    let headers: Vec<(String, String)> = answer
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect();
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let status = answer.status().as_u16();
    if status != 206 {
        part.body.clear();
        part.tag = header("etag").filter(|tag| !tag.starts_with("W/"));
    }
    let room = max.saturating_sub(part.body.len() as u64).saturating_add(1);
    let mut reader = answer.body_mut().with_config().limit(room).reader().take(room);
    reader.read_to_end(&mut part.body).map_err(|e| PluginError::new(ErrorKind::Unavailable, format!("{url}: {e}")))?;
    if part.body.len() as u64 > max {
        return Err(
            PluginError::new(ErrorKind::TooLarge, format!("{url}: the answer is longer than {max} bytes")).into()
        );
    }
    let wait = header("retry-after").and_then(|v| retry_after(&v, header("date").as_deref()));
    let wait = wait.map(|time| time.min(MAX_SILENCE * 1000));
    Ok(Answer { status, headers, wait, redirected: false })
}

fn failed(url: &Url, error: &ureq::Error) -> Failed {
    let kind = match error {
        ureq::Error::Timeout(_) => ErrorKind::Timeout,
        ureq::Error::HostNotFound => ErrorKind::NotFound,
        ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        ureq::Error::BadUri(_) => ErrorKind::InvalidInput,
        _ => ErrorKind::Unavailable,
    };
    // A connection that is refused stays out: nobody listens there.
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let broken = [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof];
    let lost = match error {
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => true,
        ureq::Error::Io(e) => broken.contains(&e.kind()),
        _ => false,
    };
    Failed { error: PluginError::new(kind, format!("{url}: {error}")), lost }
}

/// Resolves names and refuses those that lead into the local network. The connection goes to the very addresses
/// that were checked.
#[derive(Debug)]
struct Checked {
    public_only: bool,
}

impl Resolver for Checked {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        let inner = found.iter().find(|a: &&SocketAddr| self.public_only && !is_public(a.ip()));
        if let Some(address) = inner {
            return Err(ureq::Error::Io(std::io::Error::new(
                std::io::ErrorKind::PermissionDenied,
                format!(
                    "{} leads to {}, an address of the local network, which must be granted by its number",
                    uri.host().unwrap_or_default(),
                    address.ip()
                ),
            )));
        }
        Ok(found)
    }
}

/// Is this an address of the internet at large?
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4() {
            // Mapped and compatible addresses reach the IPv4 network; ::1 and :: are the exceptions below.
            Some(v4) if !v6.is_loopback() && !v6.is_unspecified() => is_public_v4(v4),
            _ => is_public_v6(v6),
        },
    }
}

fn is_public_v4(a: Ipv4Addr) -> bool {
    let [x, y, ..] = a.octets();
    !(a.is_loopback()
        || a.is_private()
        || a.is_link_local()
        || a.is_unspecified()
        || a.is_broadcast()
        || a.is_documentation()
        || a.is_multicast()
        || x == 0
        || x >= 240
        || (x == 100 && (64..128).contains(&y)) // carrier-grade NAT
        || (x == 198 && (18..20).contains(&y)) // benchmarking
        || (x == 192 && y == 0 && a.octets()[2] == 0))
}

fn is_public_v6(a: Ipv6Addr) -> bool {
    let first = a.segments()[0];
    // Global unicast only, without documentation, Teredo and 6to4, which can carry an inner IPv4 address.
    first & 0xe000 == 0x2000 && first != 0x2002 && !(first == 0x2001 && [0, 0xdb8].contains(&a.segments()[1]))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::CallContext;
    use crate::grants::{Grant, Grants};
    use crate::manifest::Requests;
    use crate::services::tests::services;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    /// Answers each connection with the next of `answers`; sends back what was asked.
    pub(crate) fn server(answers: Vec<String>) -> (u16, std::sync::mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut asked, mut length) = (String::new(), 0);
                for line in reader.by_ref().lines().map_while(Result::ok).take_while(|l| !l.is_empty()) {
                    if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = n.trim().parse().unwrap();
                    }
                    asked.push_str(&line);
                    asked.push('\n');
                }
                // A socket that is closed with something unread resets the connection.
                reader.read_exact(&mut vec![0; length]).unwrap();
                let _ = sender.send(asked);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        (port, receiver)
    }

    pub(crate) fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    }

    fn redirect(to: &str) -> String {
        format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    }

    fn granted(patterns: &[String]) -> Services {
        let requests = Requests { http: patterns.to_vec(), ..Requests::default() };
        let grants = Grants { default: Grant { http: patterns.to_vec(), ..Grant::default() }, ..Grants::default() };
        services(&requests, &grants, CallContext::default(), &std::env::temp_dir())
    }

    pub(crate) fn get(url: impl Into<String>) -> Request {
        Request {
            method: Method::Get,
            url: url.into(),
            headers: vec![],
            body: None,
            timeout_ms: Some(5000),
            max_bytes: None,
        }
    }

    #[test]
    fn a_host_that_is_not_granted_is_refused_with_the_missing_grant() {
        let s = granted(&["https://booru.example/*".into()]);
        let e = s.fetch(get("https://evil.example/x")).unwrap().unwrap_err();
        assert_eq!(e.kind, ErrorKind::Denied);
        assert!(e.message.contains("http = [\"https://evil.example/*\"]"), "{e}");
        assert_eq!(s.fetch(get("file:///etc/passwd")).unwrap().unwrap_err().kind, ErrorKind::Denied);
        assert_eq!(s.fetch(get("no url")).unwrap().unwrap_err().kind, ErrorKind::InvalidInput);
    }

    #[test]
    fn a_name_must_not_lead_into_the_local_network() {
        let (port, asked) = server(vec![ok("secret")]);
        let s = granted(&[format!("http://localhost:{port}/*")]);
        let e = s.fetch(get(format!("http://localhost:{port}/x"))).unwrap().unwrap_err();
        assert_eq!(e.kind, ErrorKind::Denied, "{e}");
        assert!(asked.try_recv().is_err());
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "100.64.0.1",
            "::1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fd00::1",
            "0.0.0.0",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "93.184.216.34", "2606:4700::1111"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn fetches_what_is_granted_by_address_and_checks_redirects() {
        let (port, asked) =
            server(vec![ok("hello"), redirect("/b"), ok("moved"), redirect("http://127.0.0.1:1/x"), ok("0123456789")]);
        let s = granted(&[format!("http://127.0.0.1:{port}/*")]);
        let url = |path: &str| format!("http://127.0.0.1:{port}/{path}");
        let mut request = get(url("a?q=1"));
        request.headers.push(("x-test".into(), "1".into()));
        let r = s.fetch(request).unwrap().unwrap();
        assert_eq!((r.status, r.body.as_slice()), (200, b"hello".as_slice()));
        let line = asked.recv().unwrap().to_ascii_lowercase();
        assert!(
            line.starts_with("get /a?q=1 http/1.1") && line.contains("x-test: 1") && line.contains("anagama/"),
            "{line}"
        );

        assert_eq!(s.fetch(get(url("a"))).unwrap().unwrap().body, b"moved");
        let e = s.fetch(get(url("a"))).unwrap().unwrap_err();
        assert_eq!(e.kind, ErrorKind::Denied);
        assert!(e.message.contains("redirects to http://127.0.0.1:1/x"), "{e}");

        let mut request = get(url("big"));
        request.max_bytes = Some(5);
        assert_eq!(s.fetch(request).unwrap().unwrap_err().kind, ErrorKind::TooLarge);
        let mut request = get(url("x"));
        request.headers.push(("Host".into(), "other".into()));
        assert_eq!(s.fetch(request).unwrap().unwrap_err().kind, ErrorKind::InvalidInput);
    }

    #[test]
    fn answers_are_used_again_as_long_as_their_server_says() {
        let answer = |headers: &str, body: &str| {
            format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        };
        let (port, asked) = server(vec![
            answer("cache-control: max-age=60\r\n", "kept"),
            answer("cache-control: no-store\r\n", "first"),
            answer("cache-control: no-store\r\n", "second"),
            answer("etag: \"1\"\r\n", "tagged"),
            "HTTP/1.1 304 Not Modified\r\nconnection: close\r\ncache-control: max-age=60\r\n\r\n".into(),
            redirect("/b"),
            answer("cache-control: max-age=60\r\n", "elsewhere"),
            ok("again"),
        ]);
        let s = granted(&[format!("http://127.0.0.1:{port}/*")]);
        let body = |path: &str| {
            let response = s.fetch(get(format!("http://127.0.0.1:{port}/{path}"))).unwrap().unwrap();
            (response.status, String::from_utf8(response.body).unwrap())
        };
        let is = |text: &str| (200, text.to_owned());
        assert_eq!([body("a"), body("a"), body("a")], [is("kept"), is("kept"), is("kept")]);
        assert_eq!([body("s"), body("s")], [is("first"), is("second")], "no-store");
        assert_eq!([body("t"), body("t"), body("t")], [is("tagged"), is("tagged"), is("tagged")]);
        assert_eq!([body("r"), body("r")], [is("elsewhere"), is("again")], "a redirect may lead elsewhere tomorrow");
        let lines: Vec<String> = asked.iter().collect();
        assert_eq!(lines.len(), 8);
        assert!(lines[4].contains("if-none-match: \"1\""), "{}", lines[4]);
        let mut short = get(format!("http://127.0.0.1:{port}/a"));
        short.max_bytes = Some(2);
        assert!(s.fetch(short).unwrap().is_err(), "a kept answer is no way around a limit");
    }

    #[test]
    fn posting_needs_its_own_grant() {
        let (port, asked) = server(vec![ok("posted")]);
        let s = granted(&[format!("http://127.0.0.1:{port}/a"), format!("POST http://127.0.0.1:{port}/p")]);
        let post = |path: &str| Request {
            method: Method::Post,
            body: Some(b"x".to_vec()),
            ..get(format!("http://127.0.0.1:{port}/{path}"))
        };
        let e = s.fetch(post("a")).unwrap().unwrap_err();
        assert!(e.message.contains("POST http://127.0.0.1"), "{e}");
        assert_eq!(s.fetch(post("p")).unwrap().unwrap().body, b"posted");
        assert!(asked.recv().unwrap().starts_with("POST /p"));
    }
}
