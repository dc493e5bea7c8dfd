//! Users: one, whose data the server keeps.

use super::{Call, Route};
use crate::http::{Reply, Response};
use serde_json::json;

pub(super) const ROUTES: &[Route] = &[Route::get("/users", get), Route::post("/users", post)];

fn get(_: &Call) -> Reply {
    Ok(Response::json(&json!({ "storage": "server", "migrated": true })))
}

fn post(_: &Call) -> Reply {
    Err(Response::error(400, "this server keeps the data of one user"))
}
