//! From a job to a run of the engine.

use crate::app::App;
use crate::host::Job;
use crate::jobs::Ticket;
use engine::{CancelToken, Event, RunOptions, RunReport};
use graph::{Options, Workflow};

/// Runs a job's output nodes. The prompt was good when it was accepted; what it names may be gone since.
pub(super) fn execute(
    app: &App,
    ticket: &Ticket,
    events: &dyn Fn(Event),
    cancel: &CancelToken,
) -> anyhow::Result<RunReport> {
    let workflow = Workflow::from_json(ticket.prompt.clone())?;
    let options = Options { targets: Some(ticket.targets.clone()) };
    let registry = app.host.registry();
    let checked = graph::check(&workflow, &*registry, &options);
    let Some(plan) = checked.plan else { return Err(checked.problems.into()) };
    let extra_pnginfo = ticket.extra["extra_pnginfo"].clone();
    let preview_method = app.config.preview_method(&ticket.extra);
    let job = Job { prompt: &ticket.prompt, extra_pnginfo: &extra_pnginfo, preview_method };
    // With the nodes that it was checked against, whatever becomes of them meanwhile.
    let engine = app.host.engine(&job)?.with_registry((*registry).clone());
    let options = RunOptions { prompt: ticket.prompt.clone(), extra_pnginfo, fail_fast: true };
    engine.run_with(&plan, &options, events, cancel)
}
