//! The text messages of the WebSocket.

use serde_json::{Map, Value, json};

/// `{"type": …, "data": …}`
pub(crate) fn message(kind: &str, data: &Value) -> String {
    json!({ "type": kind, "data": data }).to_string()
}

/// How many jobs are left. The first one to a client also names it.
pub(crate) fn status(remaining: usize, sid: Option<&str>) -> String {
    let mut data = json!({ "status": { "exec_info": { "queue_remaining": remaining } } });
    if let Some(sid) = sid {
        data["sid"] = sid.into();
    }
    message("status", &data)
}

/// A node that runs; none at the end of a job.
pub(crate) fn executing(prompt_id: &str, node: Option<(&str, &str)>) -> String {
    let data = match node {
        Some((id, display)) => json!({ "node": id, "display_node": display, "prompt_id": prompt_id }),
        None => json!({ "node": null, "prompt_id": prompt_id }),
    };
    message("executing", &data)
}

/// `data` with the job and the time.
pub(crate) fn stamped(prompt_id: &str, mut data: Map<String, Value>) -> Value {
    data.insert("prompt_id".into(), prompt_id.into());
    data.insert("timestamp".into(), crate::jobs::now().into());
    Value::Object(data)
}
