//! The settings of the training, its files, and the workflow that made it all.

use super::html::escape;
use crate::types::Checkpoints;
use serde_json::Value as Json;
use std::fmt::Write;

pub(super) fn section(checkpoints: &Checkpoints, workflow: &Json) -> String {
    let facts = &checkpoints.facts;
    let mut out = "<div class=\"scroll\"><table class=\"settings\">".to_owned();
    let mut row = |name: &str, value: &str| {
        let _ = write!(out, "<tr><td>{}</td><td>{}</td></tr>", escape(name), escape(value));
    };
    row("base", &format!("{} ({})", facts.base_name, facts.base_digest));
    row("trained numbers", &format!("{} in {} layers", facts.parameters, facts.layers));
    if let Some(step) = facts.resumed_from {
        row("resumed from step", &step.to_string());
    }
    if let Ok(Json::Object(config)) = serde_json::to_value(&facts.config) {
        for (key, value) in config.iter().filter(|(_, v)| !v.is_null()) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            row(key, &text);
        }
    }
    out.push_str("</table></div>");
    out.push_str(
        "<h3>Checkpoints</h3><div class=\"scroll\"><table><tr><th>step</th><th>epoch</th><th>sha256</th></tr>",
    );
    for file in &checkpoints.files {
        let last = match (file.is_last, file.is_best) {
            (true, true) => " (last, lowest validation loss)",
            (true, false) => " (last)",
            (false, true) => " (lowest validation loss)",
            (false, false) => "",
        };
        let _ = write!(
            out,
            "<tr><td>{}{last}</td><td>{}</td><td><code>{}</code></td></tr>",
            file.step,
            file.epoch,
            escape(&file.sha256)
        );
    }
    out.push_str("</table></div>");
    if !workflow.is_null() {
        let text = serde_json::to_string_pretty(workflow).unwrap_or_default();
        let _ = write!(out, "<details><summary>Workflow</summary><pre>{}</pre></details>", escape(&text));
    }
    out
}
