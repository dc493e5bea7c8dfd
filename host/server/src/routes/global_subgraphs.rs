//! Subgraphs for everybody: there are none.

use super::{Call, Route};
use crate::http::{Reply, Response};
use serde_json::json;

pub(super) const ROUTES: &[Route] = &[Route::get("/global_subgraphs", get), Route::get("/global_subgraphs/{id}", one)];

fn get(_: &Call) -> Reply {
    Ok(Response::json(&json!({})))
}

fn one(_: &Call) -> Reply {
    Ok(Response::json(&json!(null)))
}
