//! The nodes that plugins become: the host supplies the wiring of each role, the plugin the work.
//!
//! Start at [`PluginNode`]; each role has a file with its sockets and its run.

mod captioner;
mod config;
mod dataset_source;
mod evaluator;
mod fetched;
mod node;
mod remember;
mod tag_filter;

use config::Settings;
use engine::{Context, Level, Outputs, Refusal};
use loader::{CallContext, Loader, Plugin};
use spec::{Input, Output, Role, Socket, Values, Widget};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A node of each plugin that could be loaded.
pub fn plugin_nodes(loader: &Arc<Loader>) -> Vec<Arc<dyn engine::Node>> {
    let mut nodes: Vec<Arc<dyn engine::Node>> = Vec::new();
    for plugin in loader.plugins() {
        for described in &plugin.info().nodes {
            let spec = wired(described.clone());
            nodes.push(Arc::new(PluginNode {
                loader: loader.clone(),
                plugin: plugin.id().to_owned(),
                spec,
                settings: described.inputs.clone(),
            }));
        }
    }
    nodes
}

/// One node of one plugin. The plugin is looked up for every run, so that a changed artefact is picked up.
struct PluginNode {
    loader: Arc<Loader>,
    plugin: String,
    /// With the sockets that the host adds.
    spec: spec::Node,
    /// What the plugin itself declared.
    settings: Vec<Input>,
}

/// How one role meets the graph.
struct Wiring {
    role: Role,
    /// Inputs in front of the settings.
    before: fn() -> Vec<Input>,
    /// Inputs behind the settings.
    after: fn() -> Vec<Input>,
    /// The outputs; none keeps those that the plugin declared.
    outputs: Option<fn() -> Vec<Output>>,
    run: fn(&Job, Values) -> anyhow::Result<Outputs>,
}

const WIRINGS: &[Wiring] =
    &[captioner::WIRING, tag_filter::WIRING, dataset_source::WIRING, evaluator::WIRING, node::WIRING];

/// One execution of a plugin's node.
struct Job<'a> {
    ctx: &'a Context,
    node: &'a PluginNode,
    plugin: Arc<Plugin>,
    settings: Settings,
}

fn wiring(role: Role) -> &'static Wiring {
    // The last row, `node`, wires nothing: it fits any role that has no row of its own.
    WIRINGS.iter().find(|w| w.role == role).unwrap_or(&node::WIRING)
}

fn wired(mut spec: spec::Node) -> spec::Node {
    let wiring = wiring(spec.role);
    let mut inputs = (wiring.before)();
    inputs.append(&mut spec.inputs);
    inputs.append(&mut (wiring.after)());
    spec.inputs = inputs;
    if let Some(outputs) = wiring.outputs {
        spec.outputs = outputs();
    }
    spec.strict = true;
    spec
}

impl engine::Node for PluginNode {
    fn spec(&self) -> &spec::Node {
        &self.spec
    }

    fn fingerprint(&self, ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        let plugin = self.find()?;
        let settings = Settings::new(ctx, &self.settings, constants)?;
        let own = match self.spec.behaviour.fingerprints {
            true => node::fingerprint(self, ctx, constants)?,
            false => String::new(),
        };
        Ok(format!("{} {} {}{own}", plugin.sha256(), self.spec.revision, settings.files_digest(ctx)?))
    }

    fn validate(&self, inputs: &Values, types: &BTreeMap<String, String>) -> anyhow::Result<Option<Refusal>> {
        node::validate(self, inputs, types)
    }

    fn check_lazy(&self, ctx: &Context, inputs: &Values) -> anyhow::Result<Vec<String>> {
        node::check_lazy(self, ctx, inputs)
    }

    fn persistent(&self) -> bool {
        self.spec.deterministic && self.spec.outputs.iter().all(|o| crate::codecs::can_store(&o.socket))
    }

    fn run(&self, ctx: &Context, inputs: Values) -> anyhow::Result<Outputs> {
        let settings = Settings::new(ctx, &self.settings, &inputs)?;
        let job = Job { ctx, node: self, plugin: self.find()?, settings };
        (wiring(self.spec.role).run)(&job, inputs)
    }
}

impl PluginNode {
    fn find(&self) -> anyhow::Result<Arc<Plugin>> {
        Ok(self.loader.plugin(&self.plugin)?)
    }
}

impl Job<'_> {
    /// The plugin's view of this run, without its progress: the host counts items itself.
    fn call(&self) -> CallContext {
        let (cancel, log) = (self.ctx.clone(), self.ctx.clone());
        CallContext {
            cancelled: Arc::new(move || cancel.cancelled()),
            log: Arc::new(move |level, message| log.log(engine_level(level), message)),
            seed: self.settings.seed,
            folders: self.settings.folders.clone(),
            ..CallContext::default()
        }
    }

    /// The same, with the plugin's own progress shown.
    fn call_with_progress(&self) -> CallContext {
        let ctx = self.ctx.clone();
        CallContext {
            progress: Arc::new(move |done, total, message| ctx.progress(done, total.unwrap_or(0), message)),
            ..self.call()
        }
    }

    /// Who is at work, for messages.
    fn who(&self) -> String {
        format!("{} {}", self.plugin.id(), self.plugin.version())
    }
}

fn engine_level(level: loader::Level) -> Level {
    match level {
        loader::Level::Trace | loader::Level::Debug => Level::Debug,
        loader::Level::Info => Level::Info,
        loader::Level::Warn => Level::Warn,
        loader::Level::Error => Level::Error,
    }
}

/// An input that must be linked.
fn link(name: &str, socket: &str, required: bool, tooltip: &str) -> Input {
    Input {
        name: name.to_owned(),
        socket: Socket::from_name(socket),
        widget: Widget::None,
        required,
        is_list: false,
        lazy: false,
        tooltip: Some(tooltip.to_owned()),
    }
}

/// A choice between going on and stopping.
fn stop_or_skip(name: &str, tooltip: &str) -> Input {
    let options = vec!["stop".to_owned(), "skip".to_owned()];
    Input {
        name: name.to_owned(),
        socket: Socket::Text,
        widget: Widget::Combo { options, default: Some("stop".to_owned()), multiselect: false },
        required: false,
        is_list: false,
        lazy: false,
        tooltip: Some(tooltip.to_owned()),
    }
}

fn output(name: &str, socket: &str) -> Vec<Output> {
    vec![Output { name: name.to_owned(), socket: Socket::from_name(socket), is_list: false, tooltip: None }]
}

/// Does this choice say to go on?
fn skips(inputs: &Values, name: &str) -> bool {
    matches!(inputs.get(name), Some(spec::Value::Data(serde_json::Value::String(s))) if s == "skip")
}

/// A linked object.
fn object<T: spec::ObjectType>(inputs: &Values, name: &str) -> anyhow::Result<Arc<T>> {
    let value =
        inputs.get(name).ok_or_else(|| anyhow::anyhow!("input `{name}`: expected {}, found nothing", T::SOCKET))?;
    spec::FromValue::from_value(value).map_err(|e| anyhow::anyhow!("input `{name}`: {e}"))
}

/// One output.
fn single<T: spec::ObjectType>(value: T) -> Outputs {
    Outputs { values: vec![spec::Value::object(value)], ..Outputs::default() }
}
