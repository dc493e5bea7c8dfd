//! Who may ask: the right name, the right page, the right word, not too often.

mod origin;
mod rate;
mod token;

use crate::config::Config;
use crate::http::{Head, Request, Response};
use rate::Buckets;
use token::Token;

pub(crate) struct Guard {
    token: Option<Token>,
    allowed_hosts: Vec<String>,
    cors: Option<String>,
    requests: Buckets,
    failures: Buckets,
}

/// Where the form of [`LOGIN`] goes.
const LOGIN_PATH: &str = "/anagama/login";
const COOKIE: &str = "anagama-token";
const LOGIN: &str = include_str!("../page/login.html");
/// Wrong tokens a minute that one address may try.
const FAILURES: f64 = 10.0;

impl Guard {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            token: config.token.as_deref().map(Token::new),
            allowed_hosts: config.allowed_hosts.iter().map(|h| h.to_ascii_lowercase()).collect(),
            cors: config.cors.clone(),
            requests: Buckets::new(config.rate, config.rate * 5.0),
            failures: Buckets::new(FAILURES / 60.0, FAILURES),
        }
    }

    /// # Errors
    /// The refusal to send.
    pub(crate) fn check(&self, head: &Head) -> Result<(), Response> {
        let ip = head.peer.ip();
        if !ip.is_loopback() && !self.requests.take(ip) {
            return Err(Response::text(429, "too many requests").with("retry-after", "1"));
        }
        // With a token a strange name does no harm: no other site's page knows the word.
        if self.token.is_none() && !origin::host_is_ours(head, &self.allowed_hosts) {
            return Err(Response::text(403, "this server does not answer to that name; see --allow-host"));
        }
        if !origin::page_may_ask(head, self.cors.as_deref()) {
            return Err(Response::text(403, "pages of other origins may not ask; see --enable-cors-header"));
        }
        if head.method == "OPTIONS" {
            return Err(self.decorate(head, Response::empty(200)));
        }
        self.authorise(head)
    }

    fn authorise(&self, head: &Head) -> Result<(), Response> {
        let Some(token) = &self.token else { return Ok(()) };
        if head.path == LOGIN_PATH {
            return Ok(());
        }
        let given = token::given(head, COOKIE);
        let right = given.as_deref().is_some_and(|g| token.is(g));
        if right {
            // The word leaves the address bar at once.
            if head.method == "GET" && head.query("token").is_some() && wants_page(head) {
                return Err(self.welcome(head, given.as_deref().unwrap_or_default(), &head.path));
            }
            return Ok(());
        }
        if given.is_some() && !self.failures.take(head.peer.ip()) {
            return Err(Response::text(429, "too many wrong tokens").with("retry-after", "60"));
        }
        if wants_page(head) && head.method == "GET" {
            return Err(Response::new(401, "text/html; charset=utf-8", LOGIN).with("cache-control", "no-store"));
        }
        let hint = "a token is needed: as `Authorization: Bearer TOKEN`, as password, or as `?token=TOKEN`";
        Err(Response::error(401, hint).with("www-authenticate", "Basic realm=\"anagama\""))
    }

    /// The login form was sent.
    pub(crate) fn login(&self, request: &Request) -> Response {
        let Some(token) = &self.token else { return Response::empty(303).with("location", "/") };
        let body = String::from_utf8_lossy(&request.body);
        let given = body.split('&').find_map(|p| p.strip_prefix("token=")).map(crate::http::decode_plus);
        match given {
            Some(given) if token.is(given.trim()) => self.welcome(&request.head, given.trim(), "/"),
            _ if !self.failures.take(request.head.peer.ip()) => Response::text(429, "too many wrong tokens"),
            _ => Response::new(401, "text/html; charset=utf-8", LOGIN).with("cache-control", "no-store"),
        }
    }

    fn welcome(&self, head: &Head, token: &str, to: &str) -> Response {
        let secure = if head.secure { "; Secure" } else { "" };
        let cookie = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000{secure}");
        // A path that begins with two slashes would lead to another host.
        let to = if to.starts_with("//") { "/" } else { to };
        Response::empty(303).with("location", to).with("set-cookie", cookie)
    }

    /// Headers that every response has.
    pub(crate) fn decorate(&self, head: &Head, response: Response) -> Response {
        let Some(origin) = &self.cors else { return response };
        let allowed = if origin == "*" { "*".to_owned() } else { origin.clone() };
        let response = response
            .with("access-control-allow-origin", allowed)
            .with("access-control-allow-methods", "POST, GET, DELETE, PUT, OPTIONS, PATCH")
            .with("access-control-allow-headers", "Content-Type, Authorization");
        // The wildcard goes without credentials, whatever a page wishes.
        if origin == "*" || head.header("origin") != Some(origin) {
            return response;
        }
        response.with("access-control-allow-credentials", "true").with("vary", "Origin")
    }
}

fn wants_page(head: &Head) -> bool {
    head.header("accept").is_some_and(|a| a.contains("text/html"))
}

#[cfg(test)]
mod tests;
