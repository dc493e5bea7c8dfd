//! Counters for Prometheus.

use super::{At, Call, Route};
use crate::http::{Reply, Response};

pub(super) const ROUTES: &[Route] = &[Route::get("/metrics", get).only(At::Bare)];

fn get(call: &Call) -> Reply {
    Ok(Response::new(200, "text/plain; version=0.0.4; charset=utf-8", call.app.metrics.page(&call.app)))
}
