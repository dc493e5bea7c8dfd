//! The threads that run nodes.

use crate::board::{Asked, Board, NodeState, Pending, Wanted};
use crate::calls::{self, Call};
use crate::context::{Over, Told};
use crate::guard::guard;
use crate::identity::Identity;
use crate::live::Live;
use crate::{
    CacheLevel, CachePolicy, CancelToken, Cancelled, Context, Engine, Level, NodeError, Outputs, Raised, RunOptions,
};
use parking_lot::{Condvar, Mutex};
use serde_json::{Map, Value as Json};
use spec::{Expansion, Feed, Value, Values};
use std::collections::BTreeSet;
use std::sync::{Arc, mpsc};
use std::thread::Scope;
use std::time::Instant;

/// Autograd recurses along the network, so a node's thread gets a big stack. It is address space until it is used.
const STACK_BYTES: usize = 256 << 20;

/// What the threads of a run share.
pub(crate) struct Job<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) options: Arc<RunOptions>,
    /// The user's.
    pub(crate) cancel: &'a CancelToken,
    /// Also cancelled when the run ends early because a node failed.
    pub(crate) part: CancelToken,
    pub(crate) board: Mutex<Board>,
    pub(crate) changed: Condvar,
    pub(crate) sender: mpsc::Sender<(usize, Told)>,
}

/// How far a node got.
enum Step {
    /// An equal node ran meanwhile.
    Known(Arc<Outputs>),
    /// Needs these lazy inputs first.
    Ask(BTreeSet<String>),
    Done(Outputs),
    Expanded(Vec<Call>, bool, Map<String, Json>),
}

/// Starts a worker; false if no thread could be started.
pub(crate) fn start<'s>(scope: &'s Scope<'s, '_>, job: &'s Job<'_>) -> std::io::Result<()> {
    let thread = std::thread::Builder::new().name("node".into()).stack_size(STACK_BYTES);
    thread.spawn_scoped(scope, move || work(scope, job)).map(drop)
}

/// One worker: takes nodes that are ready until none is left.
fn work<'s>(scope: &'s Scope<'s, '_>, job: &'s Job<'_>) {
    let mut board = job.board.lock();
    while board.left > 0 && !job.part.is_cancelled() {
        let Some(index) = board.take() else {
            if board.running == 0 {
                job.report_cycle(&mut board);
            } else {
                job.changed.wait(&mut board);
            }
            continue;
        };
        let beside = board.live(index).spec().behaviour.asynchronous && board.slots[index].pending.is_none();
        drop(board);
        if !beside || !job.beside(scope, index) {
            job.step(index);
        }
        board = job.board.lock();
    }
    drop(board);
    job.changed.notify_all();
    job.tell(0, Told::WorkerLeft);
}

impl Job<'_> {
    fn tell(&self, node: usize, told: Told) {
        // The receiver is gone only once the run is over.
        let _ = self.sender.send((node, told));
    }

    /// A thread of its own for a node that mostly waits.
    fn beside<'s>(&'s self, scope: &'s Scope<'s, '_>, index: usize) -> bool {
        self.tell(index, Told::WorkerCame);
        let thread = std::thread::Builder::new().name("waiting node".into()).stack_size(STACK_BYTES);
        let work = move || {
            self.step(index);
            self.tell(index, Told::WorkerLeft);
        };
        let started = thread.spawn_scoped(scope, work).is_ok();
        if !started {
            self.tell(index, Told::WorkerLeft);
        }
        started
    }

    /// Takes a node as far as it gets.
    fn step(&self, index: usize) {
        let board = self.board.lock();
        let live = board.live(index).clone();
        let resumed = board.slots[index].pending.is_some();
        let started = Instant::now();
        let result = if resumed {
            let resumed = guard(|| Self::resume(&board, index, &live)).map(Step::Done);
            drop(board);
            resumed
        } else {
            let (inputs, absent) = board.inputs(index, &self.options);
            let refused = board.slots[index].refused;
            drop(board);
            guard(|| self.attempt(index, &live, inputs, &absent, refused))
        };
        // Results are remembered before the board is locked: a store writes files.
        let result = result.map(|step| match step {
            Step::Done(outputs) => (Some(self.remember(index, &live, outputs)), None),
            other => (None, Some(other)),
        });
        let mut board = self.board.lock();
        board.slots[index].seconds += started.elapsed().as_secs_f64();
        board.leave(index);
        let seconds = board.slots[index].seconds;
        let next = match result {
            Ok((Some(outputs), _)) => {
                self.tell(index, Told::Over(Over::Finished { seconds, ui: outputs.ui.clone() }));
                board.finish(index, NodeState::Ran { outputs, seconds });
                Ok(())
            }
            Ok((_, Some(Step::Known(outputs)))) => {
                self.tell(index, Told::Cached { from: CacheLevel::Memory, outputs: outputs.clone() });
                board.finish(index, NodeState::Cached { outputs, from: CacheLevel::Memory });
                Ok(())
            }
            Ok((_, Some(Step::Ask(names)))) => {
                self.pull(&mut board, index, names);
                Ok(())
            }
            Ok((_, Some(Step::Expanded(calls, mapped, ui)))) => self.expand(&mut board, index, calls, mapped, ui),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = next {
            self.failed(&mut board, index, &live, &error);
        }
        drop(board);
        self.changed.notify_all();
    }

    fn attempt(
        &self,
        index: usize,
        live: &Live,
        inputs: Values,
        absent: &BTreeSet<String>,
        refused: bool,
    ) -> anyhow::Result<Step> {
        let mut ctx = self.engine.context(live, &self.part, &self.options);
        let known = live.identity.cacheable().filter(|_| !refused);
        let known = known.and_then(|signature| self.engine.memory.lock().get(signature));
        if let Some(outputs) = known.filter(|o| live.node.restore(&ctx, o).unwrap_or(false)) {
            return Ok(Step::Known(outputs));
        }
        ctx.sink = Some((index, self.sender.clone()));
        self.tell(index, Told::Started);
        if let Identity::Failed(message) = &live.identity {
            anyhow::bail!("{message}");
        }
        let lazy = live.spec().inputs.iter().filter(|i| i.lazy);
        if lazy.into_iter().any(|i| absent.contains(&i.name) || !inputs.contains_key(&i.name)) {
            let mut names = calls::wanted(&*live.node, &ctx, inputs.clone())?;
            if let Some(name) = names.iter().find(|name| !inputs.contains_key(*name)) {
                let message = format!(
                    "Node {} says it needs input {name}, but there is no input to that node at all",
                    live.reference.id
                );
                anyhow::bail!(Raised::new("comfy_execution.graph.NodeInputError", message));
            }
            names.retain(|name| absent.contains(name));
            if !names.is_empty() {
                return Ok(Step::Ask(names));
            }
        }
        let blocked = |message: &str| self.tell(index, Told::Blocked(message.to_owned()));
        let called = calls::call(&*live.node, &ctx, inputs, &blocked)?;
        if called.calls.iter().any(|c| matches!(c, Call::Expanded(_))) {
            return Ok(Step::Expanded(called.calls, called.mapped, called.ui));
        }
        let values = called.calls.into_iter().filter_map(|call| match call {
            Call::Values(values) => Some(values),
            Call::Expanded(_) => None,
        });
        let values = calls::join(live.spec(), values.collect(), called.mapped)?;
        Ok(Step::Done(Outputs { values, ui: called.ui, expand: None }))
    }

    /// The nodes that this one expanded into are done.
    fn resume(board: &Board, index: usize, live: &Live) -> anyhow::Result<Outputs> {
        let Some(pending) = &board.slots[index].pending else { return Ok(Outputs::default()) };
        let values = calls::join(live.spec(), board.rows(pending), pending.mapped)?;
        let flat = |value: Value| match value {
            Value::List(items) if pending.mapped => {
                let flat = items.into_iter().flat_map(|item| match item {
                    Value::List(inner) => inner,
                    one => vec![one],
                });
                Value::List(flat.collect())
            }
            other => other,
        };
        Ok(Outputs { values: values.into_iter().map(flat).collect(), ui: pending.ui.clone(), expand: None })
    }

    fn remember(&self, index: usize, live: &Live, outputs: Outputs) -> Arc<Outputs> {
        let blocked = |value: &Value| match value {
            Value::List(items) => items.iter().any(|v| v.as_blocker().is_some()),
            one => one.as_blocker().is_some(),
        };
        let outputs = Arc::new(outputs);
        let Some(signature) = live.identity.cacheable() else { return outputs };
        if let Some(store) = self.engine.store_for(&*live.node).filter(|_| !outputs.values.iter().any(blocked))
            && let Err(error) = guard(|| store.put(signature, live.spec(), &outputs))
        {
            self.tell(index, Told::Log(Level::Warn, format!("the result could not be stored: {error:#}")));
        }
        self.engine.memory.lock().put(&self.engine.policy, signature, outputs.clone());
        outputs
    }

    fn pull(&self, board: &mut Board, index: usize, names: BTreeSet<String>) {
        let sources: Vec<usize> = names.iter().filter_map(|name| board.pull(index, name)).collect();
        self.want(board, index, &sources, &[]);
    }

    /// `index` waits for `sources`; `more` run too, but nothing waits for them.
    fn want(&self, board: &mut Board, index: usize, sources: &[usize], more: &[usize]) {
        let mut wanted: Wanted = board.want(&[sources, more].concat(), &|node, live| self.ask(node, live));
        for &source in sources {
            board.depend(index, source, &mut wanted);
        }
        for &node in &wanted.needed {
            self.tell(node, Told::Needed);
        }
        for &node in &wanted.cached {
            if let NodeState::Cached { outputs, from } = &board.slots[node].state {
                self.tell(node, Told::Cached { from: *from, outputs: outputs.clone() });
            }
        }
        for (node, by) in wanted.blocked {
            self.tell(node, Told::Over(Over::Blocked { by }));
        }
        board.offer(index);
    }

    fn ask(&self, index: usize, live: &Live) -> Asked {
        let warn = |message: String| self.tell(index, Told::Log(Level::Warn, message));
        self.engine.ask(live, &self.part, &self.options, &warn)
    }

    fn expand(
        &self,
        board: &mut Board,
        index: usize,
        calls: Vec<Call>,
        mapped: bool,
        ui: Map<String, Json>,
    ) -> anyhow::Result<()> {
        let engine = self.engine;
        let expected = board.live(index).spec().outputs.len();
        let (mut rows, mut outputs) = (Vec::with_capacity(calls.len()), Vec::new());
        for call in calls {
            let Expansion { nodes, result } = match call {
                Call::Values(values) => {
                    rows.push(values.into_iter().map(Feed::Value).collect::<Vec<_>>());
                    continue;
                }
                Call::Expanded(expansion) => expansion,
            };
            let found = result.len();
            anyhow::ensure!(expected == found, "expected {expected} outputs as the node describes them, found {found}");
            let expansion = Expansion { nodes, result: Vec::new() };
            let new = board.graph.expand(index, expansion, &engine.registry, &engine.services, &self.part)?;
            board.grow();
            let refs = board.graph.nodes[new.clone()].iter().map(|l| l.reference.clone()).collect();
            self.tell(index, Told::Added(refs));
            outputs.extend(new.filter(|&i| board.live(i).spec().output_node));
            rows.push(result);
        }
        let mut sources = Vec::new();
        for feed in rows.iter().flatten() {
            if let Feed::Link { node, .. } = feed {
                sources.push(board.graph.find(node)?);
            }
        }
        board.slots[index].pending = Some(Pending { rows, mapped, ui });
        self.want(board, index, &sources, &outputs);
        Ok(())
    }

    fn failed(&self, board: &mut Board, index: usize, live: &Live, error: &anyhow::Error) {
        if error.is::<Cancelled>() || self.part.is_cancelled() {
            if !self.part.is_cancelled() || self.cancel.is_cancelled() {
                self.tell(index, Told::Over(Over::Cancelled));
                self.cancel.cancel();
            }
            // The rest stays waiting, and nobody takes it.
            board.slots[index].state = NodeState::Cancelled;
            return;
        }
        let (inputs, _) = board.inputs(index, &self.options);
        let detail = describe(error, &inputs);
        let message = format!("{}: {}", live.reference, detail.message);
        self.tell(index, Told::Over(Over::Failed { message: message.clone(), error: detail }));
        for blocked in board.give_up(index, NodeState::Failed(message)) {
            self.tell(blocked, Told::Over(Over::Blocked { by: index }));
        }
        if self.options.fail_fast {
            self.part.cancel();
        }
    }

    fn report_cycle(&self, board: &mut Board) {
        let Some((blamed, rest)) = board.cycle() else {
            // Nothing waits for anything: that would be a fault of the engine; better to stop than to hang.
            board.left = 0;
            return;
        };
        let live = board.live(blamed).clone();
        let error = Raised::new("graph.DependencyCycleError", "Dependency cycle detected");
        self.failed(board, blamed, &live, &error.into());
        for index in rest {
            if board.slots[index].state.is_waiting() {
                self.tell(index, Told::Over(Over::Blocked { by: blamed }));
                for more in board.give_up(index, NodeState::Blocked { by: blamed }) {
                    self.tell(more, Told::Over(Over::Blocked { by: blamed }));
                }
            }
        }
    }
}

/// An error as programs read it.
fn describe(error: &anyhow::Error, inputs: &Values) -> NodeError {
    let raised = error.chain().find_map(|cause| cause.downcast_ref::<Raised>());
    let short = |value: &Value| match value {
        Value::Data(v @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_))) => v.clone(),
        other => other.describe().into(),
    };
    let listed = |value: &Value| match value {
        Value::List(items) => items.iter().map(short).collect(),
        one => Json::Array(vec![short(one)]),
    };
    let no_room = crate::no_room(error);
    let advice = no_room.map_or_else(String::new, |words| format!(": {words}; make room and start it again"));
    NodeError {
        message: format!("{error:#}{advice}"),
        kind: raised.map_or("RuntimeError", |r| &r.kind).to_owned(),
        traceback: error.chain().map(ToString::to_string).collect(),
        inputs: inputs.iter().map(|(name, value)| (name.clone(), listed(value))).collect(),
        no_room: no_room.is_some(),
    }
}

impl Engine {
    pub(crate) fn context(&self, live: &Live, cancel: &CancelToken, options: &Arc<RunOptions>) -> Context {
        let (id, class_type) = (&live.reference.id, &live.reference.class_type);
        let mut ctx = Context::new(id, class_type, self.services.clone(), cancel.clone());
        ctx.options = options.clone();
        if let Identity::Known { signature, .. } = &live.identity {
            ctx.signature.clone_from(signature);
        }
        ctx
    }

    /// The store, if results of this node go there.
    pub(crate) fn store_for(&self, node: &dyn crate::Node) -> Option<&Arc<dyn crate::ResultCache>> {
        let stored = !matches!(self.policy, CachePolicy::None) && !node.spec().behaviour.memory_only;
        self.store.as_ref().filter(|_| stored && node.persistent())
    }

    /// Asks memory, then the store.
    pub(crate) fn ask(
        &self,
        live: &Live,
        cancel: &CancelToken,
        options: &Arc<RunOptions>,
        warn: &dyn Fn(String),
    ) -> Asked {
        let Some(signature) = live.identity.cacheable().filter(|_| !cancel.is_cancelled()) else {
            return Asked::Nothing;
        };
        let restore = |outputs: &Outputs| {
            guard(|| live.node.restore(&self.context(live, cancel, options), outputs)).unwrap_or_else(|error| {
                warn(format!("could not restore the stored result, running again: {error:#}"));
                false
            })
        };
        let remembered = self.memory.lock().get(signature);
        let refused = remembered.is_some();
        if let Some(outputs) = remembered.filter(|o| restore(o)) {
            return Asked::Has(outputs, CacheLevel::Memory);
        }
        let nothing = if refused { Asked::Refused } else { Asked::Nothing };
        let Some(store) = self.store_for(&*live.node) else { return nothing };
        let outputs = match guard(|| store.get(signature, live.spec())) {
            Ok(Some(found)) => Arc::new(found),
            Ok(None) => return nothing,
            Err(error) => {
                warn(format!("stored result is unusable, running again: {error:#}"));
                return nothing;
            }
        };
        if outputs.values.len() != live.spec().outputs.len() || !restore(&outputs) {
            return nothing;
        }
        self.memory.lock().put(&self.policy, signature, outputs.clone());
        Asked::Has(outputs, CacheLevel::Store)
    }
}
