//! The form for the token.

use super::{At, Call, Route};
use crate::http::Reply;

pub(super) const ROUTES: &[Route] = &[Route::post("/anagama/login", post).only(At::Bare)];

fn post(call: &Call) -> Reply {
    Ok(call.app.guard.login(&call.request))
}
