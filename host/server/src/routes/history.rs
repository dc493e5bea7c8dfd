//! What has been done.

use super::queue::ids;
use super::{Call, Route};
use crate::http::{Reply, Response};

pub(super) const ROUTES: &[Route] =
    &[Route::get("/history", all).slow(), Route::get("/history/{id}", one), Route::post("/history", post)];

fn all(call: &Call) -> Reply {
    // A negative number means no limit, as in ComfyUI.
    let number = |name: &str| call.query(name).and_then(|v| v.parse::<u32>().ok());
    Ok(Response::raw_json(call.app.jobs.history_json(number("max_items"), number("offset"))?))
}

fn one(call: &Call) -> Reply {
    Ok(Response::raw_json(call.app.jobs.history_one_json(call.param("id"))?))
}

fn post(call: &Call) -> Reply {
    let body = call.json()?;
    if body["clear"] == true {
        call.app.jobs.clear_history()?;
    }
    call.app.jobs.delete_history(&ids(&body["delete"]))?;
    Ok(Response::ok())
}
