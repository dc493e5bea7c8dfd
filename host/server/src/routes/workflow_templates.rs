//! Templates of custom nodes: there are none.

use super::{Call, Route};
use crate::http::{Reply, Response};
use serde_json::json;

pub(super) const ROUTES: &[Route] = &[Route::get("/workflow_templates", get)];

fn get(_: &Call) -> Reply {
    Ok(Response::json(&json!({})))
}
