//! What a model file says of itself.

use super::{Call, Route};
use crate::http::{Reply, Response};
use crate::paths;
use serde_json::Value;
use std::io::Read as _;
use std::path::Path;

pub(super) const ROUTES: &[Route] = &[Route::get("/view_metadata/{folder}", get).slow()];

/// Longer headers are not read for a client.
const MAX_HEADER: u64 = 16 << 20;

fn get(call: &Call) -> Reply {
    let Some(name) = call.query("filename").filter(|n| n.ends_with(".safetensors")) else {
        return Err(Response::empty(404));
    };
    let kinds = call.app.host.model_folders();
    let Some((_, folders)) = kinds.iter().find(|(kind, _)| kind == call.param("folder")) else {
        return Err(Response::empty(404));
    };
    let file =
        folders.iter().find_map(|folder| paths::existing(folder, name).ok()).ok_or_else(|| Response::empty(404))?;
    let metadata = metadata(&file).ok_or_else(|| Response::empty(404))?;
    Ok(Response::json(&metadata))
}

fn metadata(file: &Path) -> Option<Value> {
    let mut file = std::fs::File::open(file).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER {
        return None;
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    header.get("__metadata__").cloned()
}
