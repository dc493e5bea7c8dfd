//! The nodes.

use super::{Call, Route};
use crate::http::{Body, Reply, Response};

pub(super) const ROUTES: &[Route] =
    &[Route::get("/object_info", all).slow(), Route::get("/object_info/{class}", one).slow()];

fn all(call: &Call) -> Reply {
    let text = call.app.object_info.all(&call.app);
    Ok(Response { body: Body::Shared(text), ..Response::raw_json(String::new()) })
}

fn one(call: &Call) -> Reply {
    Ok(Response::json(&call.app.object_info.one(&call.app, call.param("class"))))
}
