//! Gives memory back.

use super::{Call, Route};
use crate::http::{Reply, Response};

pub(super) const ROUTES: &[Route] = &[Route::post("/free", post).slow()];

fn post(call: &Call) -> Reply {
    let body = call.json()?;
    let (models, memory) = (body["unload_models"] == true, body["free_memory"] == true);
    if models || memory {
        call.app.host.free(models, memory);
    }
    Ok(Response::ok())
}
