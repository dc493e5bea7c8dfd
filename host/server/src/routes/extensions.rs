//! Scripts that extend the front end: only those that came with it, so no plugin runs code in the browser.

use super::{Call, Route, static_files};
use crate::http::{Reply, Response};
use serde_json::json;
use std::path::Path;

pub(super) const ROUTES: &[Route] = &[Route::get("/extensions", get).slow()];

fn get(call: &Call) -> Reply {
    let mut found = Vec::new();
    if let Some(root) = static_files::root(&call.app) {
        walk(&root.join("extensions"), "/extensions", 0, &mut found);
    }
    found.sort();
    Ok(Response::json(&json!(found)))
}

fn walk(folder: &Path, prefix: &str, depth: usize, found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            if depth < 4 {
                walk(&entry.path(), &name, depth + 1, found);
            }
        } else if name.ends_with(".js") {
            found.push(name);
        }
    }
}
