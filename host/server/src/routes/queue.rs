//! What runs and what waits.

use super::{Call, Route};
use crate::http::{Reply, Response};
use crate::jobs::State;
use serde_json::Value;

pub(super) const ROUTES: &[Route] = &[Route::get("/queue", get).slow(), Route::post("/queue", post)];

fn get(call: &Call) -> Reply {
    let (running, pending) = (call.app.jobs.queue_json(State::Running)?, call.app.jobs.queue_json(State::Pending)?);
    Ok(Response::raw_json(format!("{{\"queue_running\":{running},\"queue_pending\":{pending}}}")))
}

fn post(call: &Call) -> Reply {
    let body = call.json()?;
    let mut changed = 0;
    if body["clear"] == true {
        changed += call.app.jobs.clear_pending()?;
    }
    changed += call.app.jobs.delete_pending(&ids(&body["delete"]))?;
    if changed > 0 {
        call.app.tell_status();
    }
    Ok(Response::ok())
}

/// Ids in a list.
pub(super) fn ids(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
