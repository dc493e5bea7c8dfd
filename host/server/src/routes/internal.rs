//! What ComfyUI's own tools ask.

use super::{At, Call, Route};
use crate::http::{Reply, Response};
use serde_json::json;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/internal/logs", text).only(At::Bare),
    Route::get("/internal/logs/raw", raw).only(At::Bare),
    Route::new("PATCH", "/internal/logs/subscribe", subscribe).only(At::Bare),
    Route::get("/internal/folder_paths", folders).only(At::Bare),
    Route::get("/internal/files/{type}", files).only(At::Bare).slow(),
];

fn text(call: &Call) -> Reply {
    Ok(Response::json(&call.app.logs.text().into()))
}

fn raw(call: &Call) -> Reply {
    Ok(Response::json(&json!({ "entries": call.app.logs.entries(), "size": { "cols": 120, "rows": 40 } })))
}

fn subscribe(_: &Call) -> Reply {
    Ok(Response::empty(200))
}

fn folders(call: &Call) -> Reply {
    Ok(Response::json(&call.app.host.model_folders().into_iter().map(|(k, f)| (k, json!(f))).collect()))
}

fn files(call: &Call) -> Reply {
    let folder = super::upload::folder(&call.app, call.param("type"))?;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(facts) = entry.metadata() else { continue };
        if facts.is_file() {
            files.push((facts.modified().ok(), entry.file_name().to_string_lossy().into_owned()));
        }
    }
    // The newest first.
    files.sort_by(|a, b| b.cmp(a));
    Ok(Response::json(&files.into_iter().map(|(_, name)| name).collect::<Vec<_>>().into()))
}
