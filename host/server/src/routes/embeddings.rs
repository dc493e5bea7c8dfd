//! Names that prompts may call up, without their endings.

use super::{Call, Route};
use crate::http::{Reply, Response};
use serde_json::json;

pub(super) const ROUTES: &[Route] = &[Route::get("/embeddings", get).slow()];

fn get(call: &Call) -> Reply {
    let names = call.app.host.models("embeddings");
    let bare = names.iter().map(|n| n.rsplit_once('.').map_or(n.as_str(), |(stem, _)| stem));
    Ok(Response::json(&json!(bare.collect::<Vec<_>>())))
}
