//! Models by kind.

use super::{Call, Route};
use crate::http::{Reply, Response};
use crate::paths;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub(super) const ROUTES: &[Route] = &[
    Route::get("/models", kinds),
    Route::get("/models/{folder}", names).slow(),
    Route::get("/experiment/models", folders),
    Route::get("/experiment/models/{folder}", files).slow(),
];

fn kinds(call: &Call) -> Reply {
    let kinds = call.app.host.model_folders();
    Ok(Response::json(&json!(kinds.iter().map(|(kind, _)| kind).collect::<Vec<_>>())))
}

fn names(call: &Call) -> Reply {
    let kind = call.param("folder");
    if !call.app.host.model_folders().iter().any(|(k, _)| k == kind) {
        return Err(Response::empty(404));
    }
    Ok(Response::json(&json!(call.app.host.models(kind))))
}

fn folders(call: &Call) -> Reply {
    let kinds = call.app.host.model_folders();
    let item = |(kind, folders): &(String, Vec<PathBuf>)| json!({ "name": kind, "folders": folders });
    Ok(Response::json(&kinds.iter().map(item).collect::<Vec<_>>().into()))
}

fn files(call: &Call) -> Reply {
    let kind = call.param("folder");
    let kinds = call.app.host.model_folders();
    let Some((_, folders)) = kinds.iter().find(|(k, _)| k == kind) else { return Err(Response::empty(404)) };
    let names = call.app.host.models(kind);
    let items: Vec<Value> = names.iter().filter_map(|name| described(folders, kind, name)).collect();
    Ok(Response::json(&items.into()))
}

fn described(folders: &[PathBuf], kind: &str, name: &str) -> Option<Value> {
    let bare = name.strip_prefix(kind).and_then(|n| n.strip_prefix('/')).unwrap_or(name);
    let found = |folder: &Path| paths::existing(folder, bare).ok();
    let (index, file) = folders.iter().enumerate().find_map(|(index, folder)| Some((index, found(folder)?)))?;
    let facts = file.metadata().ok()?;
    let seconds = |time: std::io::Result<SystemTime>| {
        time.ok().and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok()).map_or(0.0, |d| d.as_secs_f64())
    };
    Some(json!({
        "name": name, "pathIndex": index, "size": facts.len(), "modified": seconds(facts.modified()),
        "created": seconds(facts.created()),
    }))
}
