//! Where each node of a run stands, and which is next.

use crate::live::{Live, LiveGraph};
use crate::{CacheLevel, Outputs, RunOptions};
use serde_json::{Map, Value as Json, json};
use spec::{Feed, Hidden, Value, Values};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Where a node stands.
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
    pub(crate) fn outputs(&self) -> Option<&Arc<Outputs>> {
        match self {
            Self::Cached { outputs, .. } | Self::Ran { outputs, .. } => Some(outputs),
            _ => None,
        }
    }

    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting)
    }
}

/// What a node waits for whose calls have expanded.
pub(crate) struct Pending {
    /// One row of outputs for each call.
    pub(crate) rows: Vec<Vec<Feed>>,
    pub(crate) mapped: bool,
    pub(crate) ui: Map<String, Json>,
}

/// The changing part of a node.
pub(crate) struct Slot {
    pub(crate) state: NodeState,
    /// How many sources still have to run.
    missing: usize,
    /// The waiting nodes that this one feeds, once per link.
    feeds: Vec<usize>,
    /// The lazy inputs that the node has asked for.
    pulled: BTreeSet<String>,
    pub(crate) pending: Option<Pending>,
    /// How long it has worked so far.
    pub(crate) seconds: f64,
    /// Memory had a result when the node was first wanted, but it could not be used.
    pub(crate) refused: bool,
}

impl Slot {
    fn new() -> Self {
        Self {
            state: NodeState::NotNeeded,
            missing: 0,
            feeds: Vec::new(),
            pulled: BTreeSet::new(),
            pending: None,
            seconds: 0.0,
            refused: false,
        }
    }
}

/// What asking a cache came to.
pub(crate) enum Asked {
    Has(Arc<Outputs>, CacheLevel),
    /// It has a result that cannot be used.
    Refused,
    Nothing,
}

/// What became of nodes that something wanted.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) cached: Vec<usize>,
    pub(crate) needed: Vec<usize>,
    /// Blocked, because a node failed before: which, by which.
    pub(crate) blocked: Vec<(usize, usize)>,
}

/// The state of a run.
pub(crate) struct Board {
    pub(crate) graph: LiveGraph,
    pub(crate) slots: Vec<Slot>,
    /// How many nodes are still waiting or running.
    pub(crate) left: usize,
    pub(crate) running: usize,
    /// What is shown soonest comes first, then the plan's order, which goes depth first.
    ready: BTreeSet<(u8, usize)>,
    /// Of classes with a limit: how many run, and who waits for a place.
    busy: HashMap<Arc<str>, (u32, Vec<usize>)>,
}

impl Board {
    pub(crate) fn new(graph: LiveGraph) -> Self {
        let slots = graph.nodes.iter().map(|_| Slot::new()).collect();
        Self { graph, slots, left: 0, running: 0, ready: BTreeSet::new(), busy: HashMap::new() }
    }

    pub(crate) fn live(&self, index: usize) -> &Arc<Live> {
        &self.graph.nodes[index]
    }

    /// The graph has grown.
    pub(crate) fn grow(&mut self) {
        self.slots.resize_with(self.graph.nodes.len(), Slot::new);
    }

    /// Pulls: a node that a cache has pulls nothing, lazy inputs are not pulled.
    pub(crate) fn want(&mut self, first: &[usize], ask: &dyn Fn(usize, &Live) -> Asked) -> Wanted {
        let mut wanted = Wanted::default();
        let mut stack: Vec<usize> = first.iter().rev().copied().collect();
        let mut waiting = Vec::new();
        while let Some(index) = stack.pop() {
            if !matches!(self.slots[index].state, NodeState::NotNeeded) {
                continue;
            }
            let live = self.graph.nodes[index].clone();
            match ask(index, &live) {
                Asked::Has(outputs, from) => {
                    self.slots[index].state = NodeState::Cached { outputs, from };
                    wanted.cached.push(index);
                    continue;
                }
                Asked::Refused => self.slots[index].refused = true,
                Asked::Nothing => {}
            }
            self.slots[index].state = NodeState::Waiting;
            self.left += 1;
            wanted.needed.push(index);
            waiting.push(index);
            stack.extend(live.links.iter().rev().filter(|(name, _)| !live.is_lazy(name)).map(|(_, l)| l.node));
        }
        for &index in &waiting {
            let live = self.graph.nodes[index].clone();
            for (_, link) in live.links.iter().filter(|(name, _)| !live.is_lazy(name)) {
                self.depend(index, link.node, &mut wanted);
            }
        }
        for index in waiting {
            self.offer(index);
        }
        wanted
    }

    /// `node` waits for `source`, which something wants.
    pub(crate) fn depend(&mut self, node: usize, source: usize, wanted: &mut Wanted) {
        let by = match self.slots[source].state {
            NodeState::Waiting => {
                self.slots[source].feeds.push(node);
                self.slots[node].missing += 1;
                return;
            }
            NodeState::Failed(_) => source,
            NodeState::Blocked { by } => by,
            _ => return,
        };
        if self.slots[node].state.is_waiting() {
            wanted.blocked.push((node, by));
            wanted.blocked.extend(self.give_up(node, NodeState::Blocked { by }).into_iter().map(|n| (n, by)));
        }
    }

    /// The node's lazy input becomes one that it waits for.
    pub(crate) fn pull(&mut self, node: usize, input: &str) -> Option<usize> {
        let source = self.graph.nodes[node].links.iter().find(|(name, _)| name == input)?.1.node;
        self.slots[node].pulled.insert(input.to_owned());
        Some(source)
    }

    /// The node is ready if it waits for nothing.
    pub(crate) fn offer(&mut self, index: usize) {
        if self.slots[index].missing == 0 && self.slots[index].state.is_waiting() {
            self.ready.insert((self.rank(index), index));
        }
    }

    /// As ComfyUI: outputs and what mostly waits first, then what feeds an output, then what is two steps away.
    fn rank(&self, index: usize) -> u8 {
        let output = |&i: &usize| self.graph.nodes[i].spec().output_node;
        let feeds = &self.slots[index].feeds;
        if output(&index) || self.graph.nodes[index].spec().behaviour.asynchronous {
            0
        } else if feeds.iter().any(output) {
            1
        } else if feeds.iter().take(32).any(|&f| self.slots[f].feeds.iter().take(32).any(output)) {
            2
        } else {
            3
        }
    }

    /// The next node to run.
    pub(crate) fn take(&mut self) -> Option<usize> {
        while let Some((_, index)) = self.ready.pop_first() {
            if !self.slots[index].state.is_waiting() {
                continue;
            }
            let live = &self.graph.nodes[index];
            let limit = live.spec().behaviour.concurrency;
            if limit > 0 {
                let (running, parked) = self.busy.entry(live.reference.class_type.clone()).or_default();
                if *running >= limit {
                    parked.push(index);
                    continue;
                }
                *running += 1;
            }
            self.running += 1;
            return Some(index);
        }
        None
    }

    /// The node does not run any more.
    pub(crate) fn leave(&mut self, index: usize) {
        self.running -= 1;
        let live = &self.graph.nodes[index];
        if live.spec().behaviour.concurrency > 0
            && let Some((running, parked)) = self.busy.get_mut(&live.reference.class_type)
        {
            *running -= 1;
            let parked = std::mem::take(parked);
            parked.into_iter().for_each(|p| self.offer(p));
        }
    }

    /// Constants, what comes through links, and what the host puts in; and the lazy inputs that are not there.
    pub(crate) fn inputs(&self, index: usize, options: &RunOptions) -> (Values, BTreeSet<String>) {
        let live = &self.graph.nodes[index];
        let behaviour = &live.spec().behaviour;
        let (mut values, mut absent) = (live.constants.clone(), BTreeSet::new());
        for (name, link) in &live.links {
            let source = &self.graph.nodes[link.node];
            let value = if behaviour.is_raw(name) {
                Some(Value::Data(json!([&*source.reference.id, link.slot])))
            } else if live.is_lazy(name) && !self.slots[index].pulled.contains(name) {
                absent.insert(name.clone());
                Some(Value::Data(Json::Null))
            } else {
                self.slots[link.node].state.outputs().and_then(|o| o.values.get(link.slot)).cloned()
            };
            values.extend(value.map(|v| (name.clone(), v)));
        }
        for (name, hidden) in &behaviour.hidden {
            let json = match hidden {
                Hidden::UniqueId => json!(&*live.reference.id),
                Hidden::ExtraPngInfo => options.extra_pnginfo.clone(),
                Hidden::Prompt if !options.prompt.is_null() => options.prompt.clone(),
                Hidden::Prompt | Hidden::DynPrompt => self.graph.to_json(),
            };
            values.insert(name.clone(), Value::Data(json));
        }
        (values, absent)
    }

    /// The outputs of a node whose expansions are done, a row for each call. Lists that came through a link to an
    /// output that is none are taken apart.
    pub(crate) fn rows(&self, pending: &Pending) -> Vec<Vec<Value>> {
        let value = |feed: &Feed| match feed {
            Feed::Value(value) => value.clone(),
            Feed::Link { node, slot } => {
                let outputs = self.graph.find(node).ok().and_then(|i| self.slots[i].state.outputs());
                match outputs.and_then(|o| o.values.get(*slot)) {
                    Some(Value::List(items)) if items.len() == 1 => items[0].clone(),
                    Some(value) => value.clone(),
                    None => Value::Data(Json::Null),
                }
            }
        };
        pending.rows.iter().map(|row| row.iter().map(value).collect()).collect()
    }

    pub(crate) fn finish(&mut self, index: usize, state: NodeState) {
        self.slots[index].state = state;
        self.left -= 1;
        for next in std::mem::take(&mut self.slots[index].feeds) {
            self.slots[next].missing -= 1;
            self.offer(next);
        }
    }

    /// Gives up on a node and on everything that needs it; names those.
    pub(crate) fn give_up(&mut self, index: usize, state: NodeState) -> Vec<usize> {
        let by = match state {
            NodeState::Blocked { by } => by,
            _ => index,
        };
        self.slots[index].state = state;
        self.left -= 1;
        let (mut blocked, mut stack) = (Vec::new(), std::mem::take(&mut self.slots[index].feeds));
        while let Some(next) = stack.pop() {
            if self.slots[next].state.is_waiting() {
                self.slots[next].state = NodeState::Blocked { by };
                self.left -= 1;
                stack.append(&mut self.slots[next].feeds);
                blocked.push(next);
            }
        }
        blocked.sort_unstable();
        blocked
    }

    /// Nothing runs and nothing can: some nodes need their own output. Gives the node to blame, which is the one that
    /// expanded into the cycle, and all that wait.
    pub(crate) fn cycle(&self) -> Option<(usize, Vec<usize>)> {
        let waiting: Vec<usize> = (0..self.slots.len()).filter(|&i| self.slots[i].state.is_waiting()).collect();
        let mut seen = HashMap::new();
        let (mut path, mut at) = (Vec::new(), *waiting.first()?);
        while !seen.contains_key(&at) {
            seen.insert(at, path.len());
            path.push(at);
            at = self.waits_for(at)?;
        }
        let cycle = &path[seen[&at]..];
        let origin = cycle.iter().find_map(|&i| self.graph.nodes[i].reference.origin.clone());
        let blamed = origin.and_then(|o| self.graph.find(&o.display).or_else(|_| self.graph.find(&o.parent)).ok());
        let blamed = blamed.filter(|&b| self.slots[b].state.is_waiting()).or(cycle.first().copied())?;
        Some((blamed, waiting.into_iter().filter(|&i| i != blamed).collect()))
    }

    fn waits_for(&self, index: usize) -> Option<usize> {
        let (live, slot) = (&self.graph.nodes[index], &self.slots[index]);
        let strong = |name: &str| !live.is_lazy(name) || slot.pulled.contains(name);
        let links = live.links.iter().filter(|(name, _)| strong(name)).map(|(_, l)| l.node);
        let results = slot.pending.iter().flat_map(|p| p.rows.iter().flatten()).filter_map(|feed| match feed {
            Feed::Link { node, .. } => self.graph.find(node).ok(),
            Feed::Value(_) => None,
        });
        links.chain(results).find(|&source| self.slots[source].state.is_waiting())
    }
}
