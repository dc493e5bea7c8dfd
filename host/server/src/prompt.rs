//! From what a client sent to what can be queued.

use crate::app::App;
use crate::{ids, input_files};
use graph::{Options, ParseError, Workflow, ui};
use serde_json::{Value, json};

/// A prompt of which at least one output can run.
pub(crate) struct Checked {
    /// In API form.
    pub(crate) prompt: Value,
    /// The output nodes that can run.
    pub(crate) outputs: Vec<String>,
    /// What is wrong with the others.
    pub(crate) node_errors: Value,
}

/// Checks a prompt.
///
/// # Errors
/// The body of the refusal, in ComfyUI's form.
pub(crate) fn check(app: &App, prompt: Value, targets: Option<Vec<String>>) -> Result<Checked, Value> {
    let registry = app.host.registry();
    let prompt = if ui::is_ui(&prompt) {
        // Choices in prompts are made anew each time, as the editor does.
        let sending = ui::Sending { now: (app.config.now)(), seed: u64::from_le_bytes(ids::random()) };
        ui::to_api(&prompt, &ui::FromCatalog(&*registry), &sending).map_err(|e| e.to_json())?
    } else {
        prompt
    };
    let workflow = Workflow::from_json(prompt.clone()).map_err(|e| unreadable(&e))?;
    let checked = graph::check(&workflow, &*registry, &Options { targets });
    let Some(mut plan) = checked.plan else { return Err(checked.problems.to_json()) };
    let mut node_errors = checked.problems.node_errors();
    node_errors.extend(input_files::check(app, &mut plan));
    if plan.outputs.is_empty() {
        let details =
            node_errors.values().filter_map(|e| e["errors"][0]["details"].as_str()).collect::<Vec<_>>().join("\n");
        let mut body = refusal("prompt_outputs_failed_validation", "Prompt outputs failed validation", &details);
        body["node_errors"] = Value::Object(node_errors);
        return Err(body);
    }
    let outputs = plan.outputs.iter().map(|&o| plan.nodes[o].id.clone()).collect();
    Ok(Checked { prompt, outputs, node_errors: Value::Object(node_errors) })
}

fn unreadable(error: &ParseError) -> Value {
    refusal("invalid_prompt", "Cannot execute because the prompt is not valid", &error.to_string())
}

fn refusal(kind: &str, message: &str, details: &str) -> Value {
    let error = json!({ "type": kind, "message": message, "details": details, "extra_info": {} });
    json!({ "error": error, "node_errors": {} })
}
