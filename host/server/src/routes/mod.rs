//! The routes, one small file each, and how a request finds its row.

mod embeddings;
mod extensions;
mod features;
mod free;
mod global_subgraphs;
mod history;
mod i18n;
mod internal;
mod interrupt;
mod job;
mod jobs;
mod login;
mod metrics;
mod models;
mod node_replacements;
mod object_info;
mod page;
mod prompt;
mod queue;
mod settings;
mod static_files;
mod system_stats;
mod upload;
mod userdata;
mod userdata_list;
mod users;
mod view;
mod view_metadata;
mod workflow_templates;

use crate::app::App;
use crate::http::{Head, Reply, Request, Response, decode};
use std::sync::Arc;

/// One row of the table.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// Segments between slashes; `{name}` stands for any one.
    pub(crate) path: &'static str,
    pub(crate) at: At,
    /// The longest body that is read.
    pub(crate) limit: fn(&App) -> usize,
    pub(crate) work: Work,
    pub(crate) handle: fn(&Call) -> Reply,
}

/// Where a route is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// With and without `/api`.
    Both,
    /// Only below `/api`.
    Api,
    /// Only without.
    Bare,
}

/// Where a handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Between other requests: memory and small files only.
    Quick,
    /// On a thread of its own.
    Slow,
}

/// A request with what all handlers need.
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    pub(crate) request: Request,
    pub(crate) params: Params,
}

/// Segments of the path by name, decoded.
pub(crate) type Params = Vec<(&'static str, String)>;

impl Call {
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(n, _)| *n == name).map_or("", |(_, v)| v)
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.request.head.query(name)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// 400: it is none.
    pub(crate) fn json(&self) -> Result<serde_json::Value, Response> {
        self.request.json().map_err(|e| Response::error(400, format!("the body is not JSON: {e}")))
    }
}

impl Route {
    const fn get(path: &'static str, handle: fn(&Call) -> Reply) -> Self {
        Self::new("GET", path, handle)
    }

    const fn post(path: &'static str, handle: fn(&Call) -> Reply) -> Self {
        Self::new("POST", path, handle)
    }

    const fn delete(path: &'static str, handle: fn(&Call) -> Reply) -> Self {
        Self::new("DELETE", path, handle)
    }

    const fn new(method: &'static str, path: &'static str, handle: fn(&Call) -> Reply) -> Self {
        Self { method, path, at: At::Both, limit: |_| 1 << 20, work: Work::Quick, handle }
    }

    const fn only(self, at: At) -> Self {
        Self { at, ..self }
    }

    const fn slow(self) -> Self {
        Self { work: Work::Slow, ..self }
    }

    /// Takes bodies as long as uploads may be.
    const fn upload(self) -> Self {
        Self { limit: |app| app.config.max_upload + (1 << 16), work: Work::Slow, ..self }
    }
}

const ALL: &[&[Route]] = &[
    features::ROUTES,
    users::ROUTES,
    settings::ROUTES,
    system_stats::ROUTES,
    i18n::ROUTES,
    extensions::ROUTES,
    workflow_templates::ROUTES,
    embeddings::ROUTES,
    userdata_list::ROUTES,
    userdata::ROUTES,
    object_info::ROUTES,
    global_subgraphs::ROUTES,
    node_replacements::ROUTES,
    prompt::ROUTES,
    queue::ROUTES,
    history::ROUTES,
    interrupt::ROUTES,
    free::ROUTES,
    jobs::ROUTES,
    job::ROUTES,
    upload::ROUTES,
    view::ROUTES,
    view_metadata::ROUTES,
    models::ROUTES,
    internal::ROUTES,
    metrics::ROUTES,
    login::ROUTES,
    page::ROUTES,
];

/// Everything else that is asked for is a file of the front end.
const FILES: Route = Route::get("/*", static_files::handle).slow();

/// The row of a request, and the segments that it names.
///
/// # Errors
/// 404 or 405.
pub(crate) fn find(head: &Head) -> Result<(&'static Route, Params), Response> {
    // HEAD is GET without the body.
    let method = if head.method == "HEAD" { "GET" } else { &head.method };
    let (bare, api) = match head.path.strip_prefix("/api/") {
        Some(_) => (&head.path["/api".len()..], true),
        None => (head.path.as_str(), false),
    };
    let mut known = Vec::new();
    for route in ALL.iter().copied().flatten() {
        let here = match route.at {
            At::Both => true,
            At::Api => api,
            At::Bare => !api,
        };
        let Some(params) = here.then(|| matches(route.path, bare)).flatten() else { continue };
        if route.method == method {
            return Ok((route, params));
        }
        known.push(route.method);
    }
    if !known.is_empty() {
        return Err(Response::text(405, "405: Method Not Allowed").with("allow", known.join(", ")));
    }
    if method == "GET" && !api {
        return Ok((&FILES, Vec::new()));
    }
    Err(Response::text(404, "404: Not Found"))
}

fn matches(pattern: &'static str, path: &str) -> Option<Params> {
    let (mut patterns, mut parts, mut params) = (pattern.split('/'), path.split('/'), Params::new());
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return Some(params),
            (Some(p), Some(part)) => match p.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
                Some(name) if !part.is_empty() => params.push((name, decode(part))),
                None if p == part => {}
                _ => return None,
            },
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn head(method: &str, target: &str) -> Head {
        Head::new(method, target, vec![], ([127, 0, 0, 1], 1).into())
    }

    #[test]
    fn every_row_is_there_once_and_can_be_found() {
        let mut seen = BTreeSet::new();
        for route in ALL.iter().copied().flatten() {
            assert!(seen.insert((route.method, route.path)), "{} {} is there twice", route.method, route.path);
            let prefix = if route.at == At::Api { "/api" } else { "" };
            let path = format!("{prefix}{}", route.path.replace(['{', '}'], ""));
            let (found, _) = find(&head(route.method, &path)).unwrap_or_else(|_| panic!("{path} is not found"));
            assert_eq!(found.path, route.path, "{path} is hidden");
        }
    }

    #[test]
    fn routes_are_found_with_and_without_api() {
        let found = |method, target| find(&head(method, target)).map(|(r, p)| (r.path, p)).map_err(|r| r.status);
        let file = vec![("file", "workflows/a b.json".to_owned())];
        assert_eq!(found("GET", "/api/userdata/workflows%2Fa%20b.json"), Ok(("/userdata/{file}", file)));
        assert_eq!(found("GET", "/queue").unwrap().0, "/queue");
        assert_eq!(found("HEAD", "/api/queue").unwrap().0, "/queue");
        assert_eq!(found("PUT", "/api/queue"), Err(405));
        assert_eq!(found("GET", "/api/jobs").unwrap().0, "/jobs");
        assert_eq!(found("GET", "/jobs").unwrap().0, "/*");
        assert_eq!(found("GET", "/api/absent"), Err(404));
        assert_eq!(found("GET", "/assets/x.js").unwrap().0, "/*");
        assert_eq!(found("POST", "/assets/x.js"), Err(404));
    }
}
