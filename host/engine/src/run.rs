//! The engine: asks the caches, then runs what is left.

use crate::context::{Over, Told};
use crate::guard::guard;
use crate::identity::{Identity, identify};
use crate::workers::{Board, NodeState, work};
use crate::{
    CacheLevel, CancelToken, Context, Event, History, Level, Node, NodeRef, NodeReport, Outputs, Registry, ResultCache,
    RunReport, Services, Status, clock::Clock,
};
use anyhow::Context as _;
use graph::Plan;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, mpsc};
use std::time::Instant;

/// Autograd recurses along the network, so a node's thread gets a big stack. It is address space until it is used.
const STACK_BYTES: usize = 256 << 20;

/// Runs plans and remembers their results from run to run.
pub struct Engine {
    registry: Registry,
    services: Arc<Services>,
    store: Option<Arc<dyn ResultCache>>,
    memory: Mutex<HashMap<String, Arc<Outputs>>>,
    history: Mutex<History>,
    threads: usize,
}

impl Engine {
    /// An engine with an empty memory; results also go to `store` if there is one.
    pub fn new(registry: Registry, services: Services, store: Option<Arc<dyn ResultCache>>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            registry,
            services: Arc::new(services),
            store,
            memory: Mutex::default(),
            history: Mutex::default(),
            threads: cores.min(2),
        }
    }

    /// How many nodes may run side by side; by default two, or one on a single core.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Durations of earlier processes, for estimates.
    #[must_use]
    pub fn with_history(self, history: History) -> Self {
        *self.history.lock() = history;
        self
    }

    /// Durations of all runs so far.
    pub fn history(&self) -> History {
        self.history.lock().clone()
    }

    /// The nodes.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What the host lends to nodes.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Forgets the results in memory.
    pub fn forget(&self) {
        self.memory.lock().clear();
    }

    /// Runs what the plan's outputs need and no cache has. `events` is called on this thread, in order.
    /// A node that fails stops only what needs it; the report names every failure.
    ///
    /// # Errors
    /// If nothing could start: the plan was made with another registry, or no thread could be started.
    pub fn run(&self, plan: &Plan, events: &dyn Fn(Event), cancel: &CancelToken) -> anyhow::Result<RunReport> {
        let started = Instant::now();
        let nodes = self.nodes(plan)?;
        let identities = identify(plan, &nodes, &self.services, cancel);
        let run = Run { engine: self, plan, nodes: &nodes, identities: &identities, refs: refs(plan), events, cancel };
        let board = run.ask_caches();
        run.announce(&board);
        let board = run.execute(board, started)?;
        // A cancelled run may not know all its identities, and is likely to be started again.
        if !cancel.is_cancelled() {
            self.keep_only(&identities);
        }
        Ok(run.report(board, started.elapsed().as_secs_f64()))
    }

    fn nodes(&self, plan: &Plan) -> anyhow::Result<Vec<Arc<dyn Node>>> {
        let find = |n: &graph::PlanNode| {
            let node = self.registry.get(&n.class_type).cloned();
            node.with_context(|| format!("node {} ({}): there is no such node in this host", n.id, n.class_type))
        };
        plan.nodes.iter().map(find).collect()
    }

    /// Memory holds what the last plan could use, as ComfyUI's classic cache does.
    fn keep_only(&self, identities: &[Identity]) {
        let used: HashSet<&str> = identities.iter().filter_map(Identity::cacheable).collect();
        self.memory.lock().retain(|signature, _| used.contains(signature.as_str()));
    }
}

fn refs(plan: &Plan) -> Vec<NodeRef> {
    let reference = |n: &graph::PlanNode| NodeRef {
        id: n.id.as_str().into(),
        class_type: n.class_type.as_str().into(),
        title: n.title.as_deref().map(Into::into),
    };
    plan.nodes.iter().map(reference).collect()
}

/// One run of one plan. All lists are parallel to the plan's nodes.
struct Run<'a> {
    engine: &'a Engine,
    plan: &'a Plan,
    nodes: &'a [Arc<dyn Node>],
    identities: &'a [Identity],
    refs: Vec<NodeRef>,
    events: &'a dyn Fn(Event),
    cancel: &'a CancelToken,
}

impl Run<'_> {
    fn emit(&self, event: Event) {
        (self.events)(event);
    }

    fn context(&self, node: usize) -> Context {
        let planned = &self.plan.nodes[node];
        let services = self.engine.services.clone();
        let mut ctx = Context::new(&planned.id, &planned.class_type, services, self.cancel.clone());
        if let Identity::Known { signature, .. } = &self.identities[node] {
            ctx.signature.clone_from(signature);
        }
        ctx
    }

    /// Pulls from the outputs: a cached node pulls nothing.
    fn ask_caches(&self) -> Board {
        let mut board = Board::new(self.plan);
        let mut stack: Vec<usize> = self.plan.outputs.clone();
        while let Some(node) = stack.pop() {
            if !matches!(board.states[node], NodeState::NotNeeded) {
                continue;
            }
            board.states[node] = match self.cached(node) {
                Some((outputs, from)) => NodeState::Cached { outputs, from },
                None => {
                    stack.extend(self.plan.nodes[node].links.iter().map(|(_, link)| link.node));
                    NodeState::Waiting
                }
            };
        }
        board.queue(self.plan);
        board
    }

    fn cached(&self, node: usize) -> Option<(Arc<Outputs>, CacheLevel)> {
        let signature = self.identities[node].cacheable()?;
        if self.cancel.is_cancelled() {
            return None;
        }
        let remembered = self.engine.memory.lock().get(signature).cloned();
        if let Some(outputs) = remembered.filter(|o| self.restore(node, o)) {
            return Some((outputs, CacheLevel::Memory));
        }
        let node_impl = &self.nodes[node];
        let store = self.engine.store.as_ref().filter(|_| node_impl.persistent())?;
        let outputs = match guard(|| store.get(signature, node_impl.spec())) {
            Ok(found) => Arc::new(found?),
            Err(error) => {
                self.warn(node, format!("stored result is unusable, running again: {error:#}"));
                return None;
            }
        };
        if outputs.values.len() != node_impl.spec().outputs.len() || !self.restore(node, &outputs) {
            return None;
        }
        self.engine.memory.lock().insert(signature.to_owned(), outputs.clone());
        Some((outputs, CacheLevel::Store))
    }

    fn restore(&self, node: usize, outputs: &Outputs) -> bool {
        guard(|| self.nodes[node].restore(&self.context(node), outputs)).unwrap_or_else(|error| {
            self.warn(node, format!("could not restore the stored result, running again: {error:#}"));
            false
        })
    }

    fn warn(&self, node: usize, message: String) {
        tracing::warn!(node = %self.refs[node].id, "{message}");
        self.emit(Event::Log { node: Some(self.refs[node].clone()), level: Level::Warn, message });
    }

    fn announce(&self, board: &Board) {
        let count = |which: fn(&NodeState) -> bool| board.states.iter().filter(|s| which(s)).count();
        self.emit(Event::RunStarted {
            run: count(|s| matches!(s, NodeState::Waiting)),
            cached: count(|s| matches!(s, NodeState::Cached { .. })),
            not_needed: count(|s| matches!(s, NodeState::NotNeeded)),
        });
        for (state, node) in board.states.iter().zip(&self.refs) {
            if let NodeState::Cached { outputs, from } = state {
                self.emit(Event::NodeCached { node: node.clone(), from: *from, ui: outputs.ui.clone() });
            }
        }
    }

    /// Workers run nodes; this thread reports.
    fn execute(&self, board: Board, started: Instant) -> anyhow::Result<Board> {
        let mut clock = {
            let history = self.engine.history.lock();
            let expected = |(state, node): (&NodeState, &NodeRef)| {
                matches!(state, NodeState::Waiting).then(|| history.expected(&node.class_type, &node.id))
            };
            Clock::new(&board.states.iter().zip(&self.refs).map(expected).collect::<Vec<_>>())
        };
        let waiting = board.left;
        let shared = (Mutex::new(board), parking_lot::Condvar::new());
        let (sender, receiver) = mpsc::channel();
        let workers = self.engine.threads.min(waiting);
        // `events` need not be shareable between threads: workers get only what they need.
        let job = Job {
            plan: self.plan,
            nodes: self.nodes,
            identities: self.identities,
            engine: self.engine,
            cancel: self.cancel,
            sender,
        };
        std::thread::scope(|scope| {
            let mut running = 0;
            for _ in 0..workers {
                let (job, shared) = (job.clone(), &shared);
                let thread = std::thread::Builder::new().name("node".into()).stack_size(STACK_BYTES);
                match thread.spawn_scoped(scope, move || work(&job, &shared.0, &shared.1)) {
                    Ok(_) => running += 1,
                    // One worker is enough to go on.
                    Err(_) if running > 0 => {}
                    Err(error) => return Err(error).context("could not start a thread for nodes"),
                }
            }
            drop(job);
            while running > 0 {
                let Ok((node, told)) = receiver.recv() else { break };
                if matches!(told, Told::WorkerLeft) {
                    running -= 1;
                } else {
                    self.tell(node, told, &mut clock, started.elapsed().as_secs_f64());
                }
            }
            Ok(())
        })?;
        Ok(shared.0.into_inner())
    }

    fn tell(&self, index: usize, told: Told, clock: &mut Clock, now: f64) {
        let node = self.refs[index].clone();
        match told {
            Told::Started => {
                clock.started(index, now);
                self.emit(Event::NodeStarted { node, overall: clock.overall(now) });
            }
            Told::Progress { done, total, message } => {
                clock.progress(index, now, done, total);
                let (eta, overall) = (clock.eta(index, now), clock.overall(now));
                self.emit(Event::Progress { node, done, total, message, eta, overall });
            }
            Told::Preview(png) => self.emit(Event::Preview { node, png }),
            Told::Log(level, message) => self.emit(Event::Log { node: Some(node), level, message }),
            Told::Over(over) => {
                clock.over(index);
                let overall = clock.overall(now);
                match over {
                    Over::Finished { seconds, ui } => {
                        self.engine.history.lock().record(&node.class_type, &node.id, seconds);
                        self.emit(Event::NodeFinished { node, seconds, ui, overall });
                    }
                    Over::Failed { message } => self.emit(Event::NodeFailed { node, message, overall }),
                    Over::Blocked { by } => self.emit(Event::NodeBlocked { node, by: self.refs[by].clone() }),
                    Over::Cancelled => {}
                }
            }
            Told::WorkerLeft => {}
        }
    }

    fn report(&self, board: Board, seconds: f64) -> RunReport {
        let mut cancelled = false;
        let mut outputs = vec![false; self.plan.nodes.len()];
        self.plan.outputs.iter().for_each(|&o| outputs[o] = true);
        let nodes = board
            .states
            .into_iter()
            .enumerate()
            .map(|(index, state)| {
                let (status, result) = match state {
                    NodeState::NotNeeded => (Status::NotNeeded, None),
                    NodeState::Cached { outputs, from } => (Status::Cached { from }, Some(outputs)),
                    NodeState::Ran { outputs, seconds } => (Status::Ran { seconds }, Some(outputs)),
                    NodeState::Failed(message) => (Status::Failed { message }, None),
                    NodeState::Blocked { by } => (Status::Blocked { by: self.refs[by].clone() }, None),
                    NodeState::Waiting | NodeState::Cancelled => {
                        cancelled = true;
                        (Status::Cancelled, None)
                    }
                };
                NodeReport { node: self.refs[index].clone(), status, output: outputs[index], outputs: result }
            })
            .collect();
        RunReport { nodes, cancelled, seconds }
    }
}

/// What the workers share of a run.
#[derive(Clone)]
pub(crate) struct Job<'a> {
    pub(crate) plan: &'a Plan,
    nodes: &'a [Arc<dyn Node>],
    identities: &'a [Identity],
    engine: &'a Engine,
    pub(crate) cancel: &'a CancelToken,
    pub(crate) sender: mpsc::Sender<(usize, Told)>,
}

impl Job<'_> {
    /// Runs one node and stores its result. The error is the node's own, without the node's name.
    pub(crate) fn run(&self, index: usize, inputs: spec::Values) -> anyhow::Result<Arc<Outputs>> {
        let (planned, node) = (&self.plan.nodes[index], &self.nodes[index]);
        let mut ctx = Context::new(&planned.id, &planned.class_type, self.engine.services.clone(), self.cancel.clone());
        ctx.sink = Some((index, self.sender.clone()));
        match &self.identities[index] {
            Identity::Known { signature, .. } => ctx.signature.clone_from(signature),
            Identity::Failed(message) => anyhow::bail!("{message}"),
            Identity::Unknown => {}
        }
        let outputs = guard(|| crate::lists::run(&**node, &ctx, inputs))?;
        let (expected, found) = (node.spec().outputs.len(), outputs.values.len());
        anyhow::ensure!(expected == found, "expected {expected} outputs as the node describes them, found {found}");
        if let Some(signature) = self.identities[index].cacheable() {
            if let Some(store) = self.engine.store.as_ref().filter(|_| node.persistent())
                && let Err(error) = guard(|| store.put(signature, node.spec(), &outputs))
            {
                ctx.log(Level::Warn, &format!("the result could not be stored: {error:#}"));
            }
            let outputs = Arc::new(outputs);
            self.engine.memory.lock().insert(signature.to_owned(), outputs.clone());
            return Ok(outputs);
        }
        Ok(Arc::new(outputs))
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
