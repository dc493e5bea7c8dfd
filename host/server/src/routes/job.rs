//! One job.

use super::{At, Call, Route};
use crate::http::{Reply, Response};
use serde_json::{Value, json};

pub(super) const ROUTES: &[Route] =
    &[Route::get("/jobs/{id}", get).only(At::Api), Route::post("/jobs/{id}/cancel", cancel).only(At::Api)];

fn get(call: &Call) -> Reply {
    match call.app.jobs.details(call.param("id"))? {
        Some(row) => Ok(Response::json(&Value::Object(row.json))),
        None => Err(Response::error(404, "Job not found")),
    }
}

fn cancel(call: &Call) -> Reply {
    let id = call.param("id");
    if call.app.jobs.row(id)?.is_none() {
        return Err(Response::error(404, "Job not found"));
    }
    Ok(Response::json(&json!({ "cancelled": stop(call, id)? })))
}

/// Takes a job out of the queue, or stops it. Says whether there was something to do.
pub(super) fn stop(call: &Call, id: &str) -> Result<bool, Response> {
    let waiting = call.app.jobs.delete_pending(&[id.to_owned()])? > 0;
    if waiting {
        call.app.tell_status();
    }
    // The job may have begun between the two.
    Ok(waiting || call.app.running.interrupt(Some(id)))
}
