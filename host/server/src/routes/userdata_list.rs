//! Lists of the user's files.

use super::userdata::{below, described, root};
use super::{Call, Route};
use crate::http::{Reply, Response};
use crate::paths;
use anyhow::Context as _;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub(super) const ROUTES: &[Route] = &[Route::get("/userdata", list).slow(), Route::get("/v2/userdata", tree).slow()];

/// More files are not listed.
const MAX_FILES: usize = 50_000;

fn list(call: &Call) -> Reply {
    let dir = call.query("dir").unwrap_or("");
    if dir.is_empty() {
        return Err(Response::text(400, "Directory not provided"));
    }
    let folder = match paths::existing(&root(&call.app), dir) {
        // A new user has none of the folders that the front end asks for.
        Err(paths::Refused::Absent) => return Ok(Response::json(&json!([]))),
        _ => folder(call, dir)?,
    };
    let yes = |name: &str| call.query(name).is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let mut files = Vec::new();
    walk(&folder, yes("recurse"), &mut files);
    files.retain(|f| f.is_file());
    files.sort();
    let item = |file: &PathBuf| -> Value {
        if yes("full_info") {
            return described(&folder, file);
        }
        let path = below(&folder, file);
        if yes("split") {
            let mut parts: Vec<&str> = vec![&path];
            parts.extend(path.split('/'));
            return json!(parts);
        }
        path.into()
    };
    Ok(Response::json(&files.iter().map(item).collect::<Vec<_>>().into()))
}

fn tree(call: &Call) -> Reply {
    let base = root(&call.app);
    std::fs::create_dir_all(&base).context("the user's folder cannot be made")?;
    let folder = folder(call, call.query("path").unwrap_or(""))?;
    let base = base.canonicalize().context("the user's folder")?;
    let mut entries = Vec::new();
    walk(&folder, false, &mut entries);
    let folders = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path()).filter(|p| p.is_dir());
    entries.extend(folders);
    entries.sort();
    let item = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            return json!({ "name": name, "path": below(&base, path), "type": "directory" });
        }
        let facts = described(&base, path);
        json!({ "name": name, "path": facts["path"], "type": "file", "size": facts["size"], "modified": facts["modified"] })
    };
    Ok(Response::json(&entries.iter().map(item).collect::<Vec<_>>().into()))
}

fn folder(call: &Call, dir: &str) -> Result<PathBuf, Response> {
    match paths::existing(&root(&call.app), dir) {
        Ok(folder) if folder.is_dir() => Ok(folder),
        Ok(_) | Err(paths::Refused::Absent) => Err(Response::text(404, "Directory not found")),
        Err(_) => Err(Response::text(403, "Invalid directory")),
    }
}

/// Files only; links are not followed.
fn walk(folder: &Path, recurse: bool, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if files.len() >= MAX_FILES {
            return;
        }
        if kind.is_dir() && recurse {
            walk(&entry.path(), recurse, files);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
}
