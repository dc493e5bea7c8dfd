//! The threads that run nodes, and the board that says which node is next.

use crate::context::{Over, Told};
use crate::run::Job;
use crate::{CacheLevel, Cancelled, Outputs};
use graph::Plan;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// Where a node of the plan stands.
pub(crate) enum NodeState {
    NotNeeded,
    Cached {
        outputs: Arc<Outputs>,
        from: CacheLevel,
    },
    /// Has to run, or runs.
    Waiting,
    Ran {
        outputs: Arc<Outputs>,
        seconds: f64,
    },
    /// The message begins with the node.
    Failed(String),
    Blocked {
        by: usize,
    },
    Cancelled,
}

impl NodeState {
    fn outputs(&self) -> Option<&Arc<Outputs>> {
        match self {
            Self::Cached { outputs, .. } | Self::Ran { outputs, .. } => Some(outputs),
            _ => None,
        }
    }
}

/// The state of a run. All lists are parallel to the plan's nodes.
pub(crate) struct Board {
    pub(crate) states: Vec<NodeState>,
    /// How many nodes are still waiting or running.
    pub(crate) left: usize,
    /// In the plan's order, which goes depth first: a branch is finished before the next begins.
    ready: BTreeSet<usize>,
    /// How many sources of each node still have to run.
    missing: Vec<usize>,
    /// The waiting nodes that each node feeds, once per link.
    feeds: Vec<Vec<usize>>,
}

impl Board {
    pub(crate) fn new(plan: &Plan) -> Self {
        let count = plan.nodes.len();
        Self {
            states: (0..count).map(|_| NodeState::NotNeeded).collect(),
            left: 0,
            ready: BTreeSet::new(),
            missing: vec![0; count],
            feeds: vec![Vec::new(); count],
        }
    }

    /// Called once every node is either waiting, cached or not needed.
    pub(crate) fn queue(&mut self, plan: &Plan) {
        for (index, node) in plan.nodes.iter().enumerate() {
            if !matches!(self.states[index], NodeState::Waiting) {
                continue;
            }
            self.left += 1;
            for (_, link) in &node.links {
                if matches!(self.states[link.node], NodeState::Waiting) {
                    self.missing[index] += 1;
                    self.feeds[link.node].push(index);
                }
            }
            if self.missing[index] == 0 {
                self.ready.insert(index);
            }
        }
    }

    /// Constants, and the outputs that the links name.
    fn inputs(&self, plan: &Plan, index: usize) -> spec::Values {
        let node = &plan.nodes[index];
        let mut values = node.constants.clone();
        for (name, link) in &node.links {
            let value = self.states[link.node].outputs().and_then(|o| o.values.get(link.slot));
            values.extend(value.map(|v| (name.clone(), v.clone())));
        }
        values
    }

    fn finish(&mut self, index: usize, outputs: Arc<Outputs>, seconds: f64) {
        self.states[index] = NodeState::Ran { outputs, seconds };
        self.left -= 1;
        for next in std::mem::take(&mut self.feeds[index]) {
            self.missing[next] -= 1;
            if self.missing[next] == 0 && matches!(self.states[next], NodeState::Waiting) {
                self.ready.insert(next);
            }
        }
    }

    /// Gives up on a node and on everything that needs it; names those.
    fn give_up(&mut self, index: usize, state: NodeState) -> Vec<usize> {
        self.states[index] = state;
        self.left -= 1;
        let (mut blocked, mut stack) = (Vec::new(), std::mem::take(&mut self.feeds[index]));
        while let Some(next) = stack.pop() {
            if matches!(self.states[next], NodeState::Waiting) {
                self.states[next] = NodeState::Blocked { by: index };
                self.left -= 1;
                stack.append(&mut self.feeds[next]);
                blocked.push(next);
            }
        }
        blocked.sort_unstable();
        blocked
    }
}

/// One worker: takes nodes that are ready until none is left.
pub(crate) fn work(job: &Job<'_>, board: &Mutex<Board>, changed: &Condvar) {
    let mut held = board.lock();
    while held.left > 0 && !job.cancel.is_cancelled() {
        let Some(index) = held.ready.pop_first() else {
            changed.wait(&mut held);
            continue;
        };
        let inputs = held.inputs(job.plan, index);
        drop(held);
        let tell = |node: usize, told: Told| drop(job.sender.send((node, told)));
        tell(index, Told::Started);
        let started = Instant::now();
        let result = job.run(index, inputs);
        let seconds = started.elapsed().as_secs_f64();
        held = board.lock();
        match result {
            Ok(outputs) => {
                tell(index, Told::Over(Over::Finished { seconds, ui: outputs.ui.clone() }));
                held.finish(index, outputs, seconds);
            }
            Err(error) if error.is::<Cancelled>() || job.cancel.is_cancelled() => {
                tell(index, Told::Over(Over::Cancelled));
                held.states[index] = NodeState::Cancelled;
                // The rest stays waiting, and nobody takes it.
                job.cancel.cancel();
            }
            Err(error) => {
                let node = &job.plan.nodes[index];
                let message = format!("node {} ({}): {error:#}", node.id, node.class_type);
                tell(index, Told::Over(Over::Failed { message: message.clone() }));
                for blocked in held.give_up(index, NodeState::Failed(message)) {
                    tell(blocked, Told::Over(Over::Blocked { by: index }));
                }
            }
        }
        changed.notify_all();
    }
    drop(held);
    changed.notify_all();
    let _ = job.sender.send((0, Told::WorkerLeft));
}
