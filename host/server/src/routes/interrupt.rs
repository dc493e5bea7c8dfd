//! Stops what runs.

use super::{Call, Route};
use crate::http::{Reply, Response};

pub(super) const ROUTES: &[Route] = &[Route::post("/interrupt", post)];

fn post(call: &Call) -> Reply {
    // Clients send no body, an empty one, or one job's id; of another job nothing is stopped.
    let body = call.request.json().unwrap_or_default();
    call.app.running.interrupt(body["prompt_id"].as_str());
    Ok(Response::ok())
}
