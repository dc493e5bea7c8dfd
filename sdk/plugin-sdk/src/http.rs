//! HTTP through the host: allow-list, proxy, rate limit, retry, cache and log are the host's.

use crate::host::with_host;
use crate::{Image, Result};
use serde::{Deserialize, Serialize};

/// What to do with the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
}

/// A request. Without time and size limits the host's own apply.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Request {
    pub method: Method,
    pub url: String,
    pub headers: Vec<(String, String)>,
    #[serde(default, skip)]
    pub body: Option<Vec<u8>>,
    #[serde(default)]
    pub timeout_ms: Option<u32>,
    #[serde(default)]
    pub max_bytes: Option<u64>,
}

/// The answer, whatever its status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    #[serde(default, skip)]
    pub body: Vec<u8>,
}

/// Fetches an address.
///
/// `{secret:NAME}` in the query or in a header is the place of a key: the host puts it there, if the user granted it for
/// that address.
///
/// After 429, 502, 503, 504 or a lost connection the host asks again, three times in all unless the user or the manifest
/// (`http-tries`) says otherwise; a POST only after 429 or 503 with `Retry-After`. An error of kind `RateLimited` is a host
/// that asked for a longer pause; given on, it makes this host wait and call again.
///
/// ```
/// use plugin_sdk::http::{self, Request};
///
/// let _host = plugin_test::FakeHost::new().page("https://example.org/tags", b"tree").install();
/// let response = http::fetch(&Request { url: "https://example.org/tags".into(), ..Request::default() })?;
/// assert_eq!((response.status, response.body.as_slice()), (200, &b"tree"[..]));
/// # Ok::<(), plugin_sdk::Error>(())
/// ```
///
/// # Errors
/// No grant allows the address, or it did not answer.
pub fn fetch(request: &Request) -> Result<Response> {
    with_host(|h| h.http_fetch(request))
}

/// Fetches and decodes without the bytes passing through the plugin.
///
/// # Errors
/// No grant allows the address, it did not answer, or the answer is no good image.
pub fn fetch_image(request: &Request) -> Result<Image> {
    with_host(|h| h.http_fetch_image(request)).map(Image::from_raw)
}
