//! The name that a request is addressed to, and the page that it comes from.

use crate::http::Head;
use std::net::IpAddr;

/// Without a token only this machine may ask; a page of another site that had its own name resolved to this machine
/// would give itself away by that name.
pub(super) fn host_is_ours(head: &Head, allowed: &[String]) -> bool {
    let Some(host) = head.header("host") else { return head.http_1_0 };
    let name = name_of(host);
    is_loopback(&name) || allowed.contains(&name)
}

/// A page may ask if it is ours, or if its origin is allowed. What is no page sends no origin.
pub(super) fn page_may_ask(head: &Head, cors: Option<&str>) -> bool {
    if cors == Some("*") {
        return true;
    }
    if let Some(origin) = head.header("origin") {
        if cors == Some(origin) {
            return true;
        }
        // A sandboxed frame says «null».
        let Some((_, authority)) = origin.split_once("://") else { return false };
        return head.header("host").is_some_and(|host| authority.eq_ignore_ascii_case(host));
    }
    match head.header("sec-fetch-site") {
        // Links from elsewhere may lead to our pages, but no other request may come from there.
        Some("cross-site") => head.method == "GET" && head.header("sec-fetch-mode") == Some("navigate"),
        _ => true,
    }
}

/// The host without its port, in small letters.
fn name_of(host: &str) -> String {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn is_loopback(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
