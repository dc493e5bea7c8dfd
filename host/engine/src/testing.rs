//! Nodes made of closures, a store in memory, and a shop that counts what ran.

use crate::{
    CancelToken, Context, Engine, Event, Node, Outputs, Registry, ResultCache, RunOptions, RunReport, Services,
};
use parking_lot::Mutex;
use spec::{Expansion, Input, Output, Role, Socket, Value, Values, Widget};
use std::collections::HashMap;
use std::sync::Arc;

type Work = Box<dyn Fn(&Context, &Values) -> anyhow::Result<Vec<Value>> + Send + Sync>;

type Lever<T> = Option<Box<dyn Fn(&Values) -> T + Send + Sync>>;
type Grow = Option<Box<dyn Fn(&Context, &Values) -> Option<Expansion> + Send + Sync>>;

/// A node that does what a closure says and writes down that it ran.
pub(crate) struct Fake {
    pub(crate) spec: spec::Node,
    pub(crate) work: Work,
    pub(crate) persistent: bool,
    pub(crate) fingerprint: Arc<Mutex<Result<String, String>>>,
    pub(crate) restores: Arc<Mutex<bool>>,
    pub(crate) ran: Arc<Mutex<Vec<String>>>,
    /// What [`Node::check_lazy`] answers.
    pub(crate) lazy: Lever<Vec<String>>,
    /// The graph that stands in for the node; none of it: the node is `done`.
    pub(crate) expand: Grow,
    pub(crate) done: Lever<Vec<Value>>,
    /// What [`Node::fingerprint`] answers, from what it sees.
    pub(crate) changed: Lever<anyhow::Result<String>>,
    /// Shows input `a`.
    pub(crate) shows: bool,
}

impl Node for Fake {
    fn spec(&self) -> &spec::Node {
        &self.spec
    }
    fn check_lazy(&self, _: &Context, inputs: &Values) -> anyhow::Result<Vec<String>> {
        Ok(self.lazy.as_ref().map_or_else(Vec::new, |lazy| lazy(inputs)))
    }
    fn fingerprint(&self, _: &Context, constants: &Values) -> anyhow::Result<String> {
        if let Some(changed) = &self.changed {
            return changed(constants);
        }
        self.fingerprint.lock().clone().map_err(anyhow::Error::msg)
    }
    fn persistent(&self) -> bool {
        self.persistent
    }
    fn restore(&self, _: &Context, _: &Outputs) -> anyhow::Result<bool> {
        Ok(*self.restores.lock())
    }
    fn run(&self, ctx: &Context, inputs: Values) -> anyhow::Result<Outputs> {
        self.ran.lock().push(ctx.node_id.clone());
        let mut ui = serde_json::Map::new();
        ui.insert("signature".into(), ctx.signature().into());
        if let (true, Some(Value::Data(a))) = (self.shows, inputs.get("a")) {
            ui.insert("shown".into(), serde_json::json!([a]));
        }
        if let Some(expansion) = self.expand.as_ref().and_then(|e| e(ctx, &inputs)) {
            return Ok(Outputs { ui, expand: Some(expansion), ..Outputs::default() });
        }
        if let Some(done) = &self.done {
            return Ok(Outputs { values: done(&inputs), ui, expand: None });
        }
        Ok(Outputs { values: (self.work)(ctx, &inputs)?, ui, expand: None })
    }
}

pub(crate) fn input(name: &str) -> Input {
    Input {
        name: name.into(),
        socket: Socket::Int,
        widget: Widget::None,
        required: false,
        is_list: false,
        lazy: false,
        tooltip: None,
    }
}

pub(crate) fn spec_of(id: &str, outputs: usize) -> spec::Node {
    let output = Output { name: "INT".into(), socket: Socket::Int, is_list: false, tooltip: None };
    spec::Node {
        id: id.into(),
        role: Role::Node,
        display_name: id.into(),
        category: "test".into(),
        description: String::new(),
        inputs: ["a", "b"].map(input).into(),
        outputs: vec![output; outputs],
        output_node: outputs == 0,
        deterministic: true,
        revision: 0,
        experimental: false,
        deprecated: false,
        aliases: Vec::new(),
        strict: true,
        behaviour: spec::Behaviour::default(),
    }
}

pub(crate) fn int(values: &Values, name: &str) -> i64 {
    match values.get(name) {
        Some(Value::Data(v)) => v.as_i64().unwrap_or(0),
        _ => 0,
    }
}

/// What nodes did, and the levers of a test.
#[derive(Clone, Default)]
pub(crate) struct Shop {
    pub(crate) ran: Arc<Mutex<Vec<String>>>,
}

impl Shop {
    pub(crate) fn node(&self, id: &str, outputs: usize, work: Work) -> Fake {
        Fake {
            spec: spec_of(id, outputs),
            work,
            persistent: false,
            fingerprint: Arc::new(Mutex::new(Ok(String::new()))),
            restores: Arc::new(Mutex::new(true)),
            ran: self.ran.clone(),
            lazy: None,
            expand: None,
            done: None,
            changed: None,
            shows: false,
        }
    }

    /// `Add` (a + b), `Save` (an output), `Fail`, `Panic`.
    pub(crate) fn nodes(&self) -> Vec<Fake> {
        vec![
            self.node("Add", 1, Box::new(|_, v| Ok(vec![Value::from(int(v, "a") + int(v, "b"))]))),
            self.node("Save", 0, Box::new(|_, _| Ok(Vec::new()))),
            self.node("Fail", 1, Box::new(|_, _| Err(anyhow::anyhow!("disk full").context("could not write")))),
            self.node("Panic", 1, Box::new(|_, v| panic!("index {} out of bounds", int(v, "a")))),
        ]
    }

    /// The ids of the nodes that ran since the last call, sorted.
    pub(crate) fn take_ran(&self) -> Vec<String> {
        let mut ran = std::mem::take(&mut *self.ran.lock());
        ran.sort();
        ran
    }
}

pub(crate) fn engine(nodes: impl IntoIterator<Item = Fake>, store: Option<Arc<dyn ResultCache>>) -> Engine {
    let registry = Registry::new(nodes.into_iter().map(|n| Arc::new(n) as Arc<dyn Node>));
    Engine::new(registry, Services::new().with(7_u32), store).with_threads(2)
}

pub(crate) fn plan(engine: &Engine, workflow: serde_json::Value) -> graph::Plan {
    let workflow = graph::Workflow::from_json(workflow).unwrap();
    graph::validate(&workflow, engine.registry()).unwrap()
}

pub(crate) fn run(engine: &Engine, workflow: serde_json::Value) -> RunReport {
    engine.run(&plan(engine, workflow), &|_| (), &CancelToken::new()).unwrap()
}

pub(crate) fn run_with_events(engine: &Engine, workflow: serde_json::Value) -> (RunReport, Vec<Event>) {
    run_with(engine, workflow, &RunOptions::default())
}

pub(crate) fn run_with(engine: &Engine, workflow: serde_json::Value, options: &RunOptions) -> (RunReport, Vec<Event>) {
    let events = std::cell::RefCell::new(Vec::new());
    let push = |e| events.borrow_mut().push(e);
    let report = engine.run_with(&plan(engine, workflow), options, &push, &CancelToken::new()).unwrap();
    (report, events.into_inner())
}

/// A store that lives as long as the test.
#[derive(Default)]
pub(crate) struct FakeStore {
    pub(crate) entries: Mutex<HashMap<String, Outputs>>,
    pub(crate) damaged: Mutex<bool>,
    pub(crate) full: Mutex<bool>,
}

impl ResultCache for FakeStore {
    fn get(&self, signature: &str, _: &spec::Node) -> anyhow::Result<Option<Outputs>> {
        anyhow::ensure!(!*self.damaged.lock(), "checksum differs");
        Ok(self.entries.lock().get(signature).cloned())
    }
    fn put(&self, signature: &str, _: &spec::Node, outputs: &Outputs) -> anyhow::Result<()> {
        anyhow::ensure!(!*self.full.lock(), "no space left");
        self.entries.lock().insert(signature.to_owned(), outputs.clone());
        Ok(())
    }
}
