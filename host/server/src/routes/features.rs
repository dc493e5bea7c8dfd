//! What clients may expect.

use super::{Call, Route};
use crate::http::{Reply, Response};

pub(super) const ROUTES: &[Route] = &[Route::get("/features", get)];

fn get(call: &Call) -> Reply {
    Ok(Response::json(&call.app.features()))
}
