//! What this is and what it runs on.

use super::{Call, Route};
use crate::app::COMFYUI_VERSION;
use crate::http::{Reply, Response};
use serde_json::{Value, json};

pub(super) const ROUTES: &[Route] = &[Route::get("/system_stats", get)];

fn get(call: &Call) -> Reply {
    let app = &call.app;
    let (total, free) = app.host.memory();
    let devices: Vec<Value> = app
        .host
        .devices()
        .iter()
        // A typed client reads the index as a number, so the CPU has one too.
        .enumerate()
        .map(|(index, d)| {
            json!({
                "name": d.name, "type": d.kind, "index": index, "vram_total": d.total, "vram_free": d.free,
                "torch_vram_total": d.total, "torch_vram_free": d.free,
            })
        })
        .collect();
    Ok(Response::json(&json!({
        "system": {
            "os": if cfg!(windows) { "nt" } else { "posix" },
            "ram_total": total,
            "ram_free": free,
            "comfyui_version": COMFYUI_VERSION,
            "required_frontend_version": null,
            "installed_templates_version": null,
            "required_templates_version": null,
            "python_version": format!("none (anagama {})", app.config.version),
            "pytorch_version": "none",
            "embedded_python": false,
            "argv": app.config.arguments,
            "comfy_package_versions": [],
            "deploy_environment": "local",
        },
        "devices": devices,
    })))
}
