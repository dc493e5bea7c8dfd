//! The engine: asks the caches, then runs what is left.

use crate::board::{Asked, Board, NodeState};
use crate::cache::Memory;
use crate::context::{Over, Told};
use crate::live::LiveGraph;
use crate::workers::{Job, start};
use crate::{
    CachePolicy, CancelToken, Event, History, Level, NodeRef, NodeReport, Registry, ResultCache, RunReport, Services,
    Status, clock::Clock,
};
use anyhow::Context as _;
use graph::Plan;
use parking_lot::{Condvar, Mutex};
use std::collections::HashSet;
use std::sync::{Arc, mpsc};
use std::time::Instant;

/// Runs plans and remembers their results from run to run.
pub struct Engine {
    pub(crate) registry: Registry,
    pub(crate) services: Arc<Services>,
    pub(crate) store: Option<Arc<dyn ResultCache>>,
    pub(crate) memory: Arc<Mutex<Memory>>,
    pub(crate) policy: CachePolicy,
    history: Arc<Mutex<History>>,
    threads: usize,
}

/// What one run knows besides its plan.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The workflow in API form as it was sent, for nodes that keep it.
    pub prompt: serde_json::Value,
    /// What the front end wants saved in pictures.
    pub extra_pnginfo: serde_json::Value,
    /// Ends the run at the first node that fails, as ComfyUI does; else only what needs it does not run.
    pub fail_fast: bool,
}

impl Engine {
    /// An engine with an empty memory; results also go to `store` if there is one.
    pub fn new(registry: Registry, services: Services, store: Option<Arc<dyn ResultCache>>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            registry,
            services: Arc::new(services),
            store,
            memory: Arc::default(),
            policy: CachePolicy::default(),
            history: Arc::default(),
            threads: cores.min(2),
        }
    }

    /// How many nodes may run side by side; by default two, or one on a single core. Nodes that mostly wait run
    /// besides.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// What stays in memory from run to run.
    #[must_use]
    pub fn with_cache(mut self, policy: CachePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Durations of earlier processes, for estimates.
    #[must_use]
    pub fn with_history(self, history: History) -> Self {
        *self.history.lock() = history;
        self
    }

    /// An engine that lends other services, and shares memory, store and durations with this one.
    #[must_use]
    pub fn with_services(&self, services: Services) -> Self {
        Self {
            registry: self.registry.clone(),
            services: Arc::new(services),
            store: self.store.clone(),
            memory: self.memory.clone(),
            policy: self.policy.clone(),
            history: self.history.clone(),
            threads: self.threads,
        }
    }

    /// This engine with other nodes.
    #[must_use]
    pub fn with_registry(mut self, registry: Registry) -> Self {
        self.registry = registry;
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
        self.run_with(plan, &RunOptions::default(), events, cancel)
    }

    /// [`Engine::run`] with options.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn run_with(
        &self,
        plan: &Plan,
        options: &RunOptions,
        events: &dyn Fn(Event),
        cancel: &CancelToken,
    ) -> anyhow::Result<RunReport> {
        let started = Instant::now();
        self.memory.lock().begin();
        let part = cancel.part();
        let graph = LiveGraph::of_plan(plan, &self.registry, &self.services, &part)?;
        let refs = graph.nodes.iter().map(|n| n.reference.clone()).collect();
        let mut run = Run { engine: self, refs, events, started, clock: Clock::new(&[]) };
        let (sender, receiver) = mpsc::channel();
        let options = Arc::new(options.clone());
        let board = run.ask_caches(plan, graph, &part, &options);
        let waiting = board.left;
        let (board, changed) = (Mutex::new(board), Condvar::new());
        let job = Job { engine: self, options, cancel, part, board, changed, sender };
        if waiting > 0 {
            run.execute(&job, &receiver, self.threads)?;
        }
        let board = job.board.into_inner();
        // A cancelled run may not know all its identities, and is likely to be started again.
        if !cancel.is_cancelled() {
            let used: HashSet<&str> = board.graph.nodes.iter().filter_map(|n| n.identity.cacheable()).collect();
            self.memory.lock().end(&self.policy, &used);
        }
        Ok(run.report(plan, board, cancel.is_cancelled()))
    }
}

/// One run, as the thread sees it that reports.
struct Run<'a> {
    engine: &'a Engine,
    /// By index in the running graph.
    refs: Vec<NodeRef>,
    events: &'a dyn Fn(Event),
    started: Instant,
    clock: Clock,
}

impl Run<'_> {
    fn emit(&self, event: Event) {
        (self.events)(event);
    }

    /// Pulls from the outputs: a cached node pulls nothing.
    fn ask_caches(
        &mut self,
        plan: &Plan,
        graph: LiveGraph,
        part: &CancelToken,
        options: &Arc<crate::RunOptions>,
    ) -> Board {
        let mut board = Board::new(graph);
        let ask = |index: usize, live: &crate::live::Live| -> Asked {
            let warn = |message: String| {
                tracing::warn!(node = %live.reference.id, "{message}");
                self.emit(Event::Log { node: Some(self.refs[index].clone()), level: Level::Warn, message });
            };
            self.engine.ask(live, part, options, &warn)
        };
        board.want(&plan.outputs, &ask);
        let count = |which: fn(&NodeState) -> bool| board.slots.iter().filter(|s| which(&s.state)).count();
        self.emit(Event::RunStarted {
            run: count(NodeState::is_waiting),
            cached: count(|s| matches!(s, NodeState::Cached { .. })),
            not_needed: count(|s| matches!(s, NodeState::NotNeeded)),
        });
        self.emit(Event::Cached { nodes: self.at_hand(&board) });
        for (slot, node) in board.slots.iter().zip(&self.refs) {
            if let NodeState::Cached { outputs, from } = &slot.state {
                self.emit(Event::NodeCached { node: node.clone(), from: *from, ui: outputs.ui.clone() });
            }
        }
        let history = self.engine.history.lock();
        let expected = |(slot, node): (&crate::board::Slot, &NodeRef)| {
            slot.state.is_waiting().then(|| history.expected(&node.class_type, &node.id))
        };
        self.clock = Clock::new(&board.slots.iter().zip(&self.refs).map(expected).collect::<Vec<_>>());
        drop(history);
        board
    }

    /// What is cached, needed or not.
    fn at_hand(&self, board: &Board) -> Vec<Arc<str>> {
        let memory = self.engine.memory.lock();
        let at_hand = |(slot, live): (&crate::board::Slot, &Arc<crate::live::Live>)| {
            let cached = match slot.state {
                NodeState::Cached { .. } => true,
                NodeState::NotNeeded => live.identity.cacheable().is_some_and(|s| memory.has(s)),
                _ => false,
            };
            cached.then(|| live.reference.id.clone())
        };
        board.slots.iter().zip(&board.graph.nodes).filter_map(at_hand).collect()
    }

    /// Workers run nodes; this thread reports.
    fn execute(&mut self, job: &Job, receiver: &mpsc::Receiver<(usize, Told)>, threads: usize) -> anyhow::Result<()> {
        std::thread::scope(|scope| {
            let mut running = 0;
            for _ in 0..threads {
                match start(scope, job) {
                    Ok(()) => running += 1,
                    // One worker is enough to go on.
                    Err(_) if running > 0 => {}
                    Err(error) => return Err(error).context("could not start a thread for nodes"),
                }
            }
            while running > 0 {
                let Ok((node, told)) = receiver.recv() else { break };
                match told {
                    Told::WorkerCame => running += 1,
                    Told::WorkerLeft => running -= 1,
                    told => self.tell(node, told),
                }
            }
            Ok(())
        })
    }

    fn tell(&mut self, index: usize, told: Told) {
        let now = self.started.elapsed().as_secs_f64();
        let node = self.refs[index].clone();
        match told {
            Told::Started => {
                self.clock.started(index, now);
                self.emit(Event::NodeStarted { node, overall: self.clock.overall(now) });
            }
            Told::Progress { value, max, message } => {
                let (done, total) = (value as u64, max as u64);
                self.clock.progress(index, now, done, total);
                let (eta, overall) = (self.clock.eta(index, now), self.clock.overall(now));
                self.emit(Event::Progress { node, done, total, value, max, message, eta, overall });
            }
            Told::Preview(png) => self.emit(Event::Preview { node, png }),
            Told::Text(text) => self.emit(Event::Text { node, text }),
            Told::Log(level, message) => self.emit(Event::Log { node: Some(node), level, message }),
            Told::Blocked(message) => self.emit(Event::Blocked { node, message }),
            Told::Cached { from, outputs } => {
                self.clock.over(index);
                self.emit(Event::NodeCached { node, from, ui: outputs.ui.clone() });
            }
            Told::Added(more) => {
                self.clock.add(more.len());
                self.refs.extend(more);
            }
            Told::Needed => {
                let expected = self.engine.history.lock().expected(&node.class_type, &node.id);
                self.clock.needed(index, expected);
            }
            Told::Over(over) => {
                self.clock.over(index);
                let overall = self.clock.overall(now);
                match over {
                    Over::Finished { seconds, ui } => {
                        let mut history = self.engine.history.lock();
                        match node.origin {
                            None => history.record(&node.class_type, &node.id, seconds),
                            Some(_) => history.record_class(&node.class_type, seconds),
                        }
                        drop(history);
                        self.emit(Event::NodeFinished { node, seconds, ui, overall });
                    }
                    Over::Failed { message, error } => {
                        self.emit(Event::NodeFailed { node, message, error, overall });
                    }
                    Over::Blocked { by } => self.emit(Event::NodeBlocked { node, by: self.refs[by].clone() }),
                    Over::Cancelled => self.emit(Event::NodeCancelled { node }),
                }
            }
            Told::WorkerCame | Told::WorkerLeft => {}
        }
    }

    fn report(self, plan: &Plan, board: Board, was_cancelled: bool) -> RunReport {
        let mut unfinished = false;
        let mut outputs = vec![false; board.slots.len()];
        plan.outputs.iter().for_each(|&o| outputs[o] = true);
        let nodes = board.slots.into_iter().zip(self.refs.clone()).zip(outputs).map(|((slot, node), output)| {
            let (status, result) = match slot.state {
                NodeState::NotNeeded => (Status::NotNeeded, None),
                NodeState::Cached { outputs, from } => (Status::Cached { from }, Some(outputs)),
                NodeState::Ran { outputs, seconds } => (Status::Ran { seconds }, Some(outputs)),
                NodeState::Failed(message) => (Status::Failed { message }, None),
                NodeState::Blocked { by } => (Status::Blocked { by: self.refs[by].clone() }, None),
                NodeState::Waiting | NodeState::Cancelled => {
                    unfinished = true;
                    (Status::Cancelled, None)
                }
            };
            NodeReport { node, status, output, outputs: result }
        });
        let nodes = nodes.collect();
        RunReport { nodes, cancelled: was_cancelled && unfinished, seconds: self.started.elapsed().as_secs_f64() }
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "semantics_tests.rs"]
mod semantics;
