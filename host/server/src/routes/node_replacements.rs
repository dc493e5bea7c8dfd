//! Nodes that took the place of others: there are none.

use super::{Call, Route};
use crate::http::{Reply, Response};
use serde_json::json;

pub(super) const ROUTES: &[Route] = &[Route::get("/node_replacements", get)];

fn get(_: &Call) -> Reply {
    Ok(Response::json(&json!({})))
}
