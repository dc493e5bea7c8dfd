//! Translations of custom nodes: there are none.

use super::{Call, Route};
use crate::http::{Reply, Response};
use serde_json::json;

pub(super) const ROUTES: &[Route] = &[Route::get("/i18n", get)];

fn get(_: &Call) -> Reply {
    Ok(Response::json(&json!({})))
}
