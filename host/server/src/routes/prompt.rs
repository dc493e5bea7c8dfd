//! A prompt is sent, or the length of the queue asked for.

use super::{Call, Route};
use crate::http::{Reply, Response};
use crate::ids::{is_uuid, new_uuid};
use crate::jobs::{Accepted, New, now, number_json};
use crate::prompt;
use crate::room::no_room;
use serde_json::{Map, Value, json};

pub(super) const ROUTES: &[Route] =
    &[Route::get("/prompt", get), Route { limit: |_| 256 << 20, ..Route::post("/prompt", post).slow() }];

/// Words for other services, which have no business in a file.
const SECRETS: [&str; 3] = ["auth_token_comfy_org", "api_key_comfy_org", "comfy_usage_source"];

fn get(call: &Call) -> Reply {
    Ok(Response::json(&json!({ "exec_info": { "queue_remaining": call.app.jobs.remaining() } })))
}

fn post(call: &Call) -> Reply {
    let Value::Object(mut body) =
        call.request.json().map_err(|e| refusal("invalid_prompt", &format!("the body is not JSON: {e}")))?
    else {
        return Err(refusal("no_prompt", "the body is no object"));
    };
    let Some(prompt) = body.remove("prompt").filter(|p| !p.is_null()) else {
        return Err(refusal("no_prompt", "No prompt provided"));
    };
    let id = match body.get("prompt_id").filter(|v| !v.is_null()) {
        None => new_uuid(),
        Some(Value::String(id)) if is_uuid(id) => id.clone(),
        Some(other) => {
            let details = format!("expected a UUID in small letters with its dashes, found {other}");
            return Err(refusal("invalid_prompt_id", &details));
        }
    };
    let targets = body.get("partial_execution_targets").and_then(Value::as_array);
    let targets = targets.map(|t| t.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect());
    let checked = prompt::check(&call.app, prompt, targets).map_err(|body| Response::json(&body).status(400))?;
    let client = body.get("client_id").and_then(Value::as_str).map(str::to_owned);
    let mut extra = match body.remove("extra_data") {
        Some(Value::Object(extra)) => extra,
        _ => Map::new(),
    };
    extra.retain(|name, _| !SECRETS.contains(&name.as_str()));
    if let Some(client) = &client {
        extra.insert("client_id".into(), client.clone().into());
    }
    extra.insert("create_time".into(), now().into());
    let new = New {
        id: id.clone(),
        number: body.get("number").and_then(Value::as_f64).filter(|n| n.is_finite()),
        front: body.get("front") == Some(&Value::Bool(true)),
        client,
        prompt: checked.prompt,
        extra: Value::Object(extra),
        targets: checked.outputs,
    };
    let number = match call.app.jobs.accept(&new).map_err(|e| unaccepted(&e))? {
        Accepted::Number(number) | Accepted::Again(number) => number,
        Accepted::Taken => return Err(refusal("invalid_prompt_id", "another job of this id waits or runs")),
    };
    call.app.tell_status();
    call.app.runner.wake();
    Ok(Response::json(&json!({ "prompt_id": id, "number": number_json(number), "node_errors": checked.node_errors })))
}

/// What is not on the disk is not promised.
fn unaccepted(error: &anyhow::Error) -> Response {
    let Some(words) = no_room(error) else { return Response::fault(error) };
    tracing::error!("a prompt is refused: {error:#}");
    refusal("no_room", &format!("{error:#}: {words}; make room and send the prompt again")).status(507)
}

fn refusal(kind: &str, details: &str) -> Response {
    let message = match kind {
        "no_prompt" => "No prompt provided",
        "invalid_prompt_id" => "Prompt ID is not valid",
        "no_room" => "The disk is full",
        _ => "Prompt is not valid",
    };
    let error = json!({ "type": kind, "message": message, "details": details, "extra_info": {} });
    Response::json(&json!({ "error": error, "node_errors": {} })).status(400)
}
