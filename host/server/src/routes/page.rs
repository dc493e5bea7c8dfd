//! The small page of our own, and what only it asks: state, pause, plugins.

use super::{At, Call, Route};
use crate::http::{Reply, Response};
use serde_json::{Value, json};

pub(super) const ROUTES: &[Route] = &[
    Route::get("/anagama", page).only(At::Bare),
    Route::get("/anagama/state", state).only(At::Bare),
    Route::get("/anagama/plugins", plugins).only(At::Bare),
    Route::post("/anagama/pause", pause).only(At::Bare),
    Route::post("/anagama/resume", resume).only(At::Bare),
];

const PAGE: &str = include_str!("../page/index.html");
const POLICY: &str = include_str!("../page/policy.txt");

/// The page, with what a browser may do on it.
pub(super) fn page(_: &Call) -> Reply {
    let page = Response::new(200, "text/html; charset=utf-8", PAGE).with("cache-control", "no-store");
    Ok(page.with("content-security-policy", POLICY.trim_end()))
}

fn state(call: &Call) -> Reply {
    let app = &call.app;
    Ok(Response::json(&json!({
        "version": app.config.version,
        "paused": app.runner.is_paused(),
        "no_room": app.room.short(),
        "remaining": app.jobs.remaining(),
        "running": app.running.describe(),
        "clients": app.hub.count(),
        "front_end": app.config.front_end.is_some(),
    })))
}

fn plugins(call: &Call) -> Reply {
    let plugins = call.app.host.plugins();
    let item = |p: &crate::Plugin| json!({ "id": p.id, "version": p.version, "title": p.title, "description": p.description, "nodes": p.nodes });
    Ok(Response::json(&plugins.iter().map(item).collect::<Vec<Value>>().into()))
}

fn pause(call: &Call) -> Reply {
    call.app.jobs.set("paused", "1")?;
    call.app.runner.set_paused(true);
    Ok(Response::json(&json!({ "paused": true })))
}

fn resume(call: &Call) -> Reply {
    call.app.jobs.set("paused", "0")?;
    call.app.runner.set_paused(false);
    Ok(Response::json(&json!({ "paused": false })))
}
