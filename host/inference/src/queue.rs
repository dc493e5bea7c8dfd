//! Callers of one network, in turn. What waits while it computes is laid together along the first dimension and computed as one
//! run, and each caller gets the rows that are its own.

use data::{Array, IoDesc, Network};
use parking_lot::{Condvar, Mutex};
use spec::{ErrorKind, PluginError};
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How much is computed at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Runs side by side; callers beyond them wait.
    pub(crate) runs: usize,
    /// Rows of one run of several callers. What one caller brings is never cut.
    pub(crate) rows: usize,
}

impl Room {
    /// For a device of this name. Calls that each find a core gain nothing by waiting for each other. A card is one for all, and
    /// quicker with many rows; two runs, so that one is brought while the other is computed.
    pub(crate) fn of(device: &str) -> Self {
        if device.starts_with("cpu") {
            return Self { runs: std::thread::available_parallelism().map_or(1, usize::from), rows: 8 };
        }
        Self { runs: 2, rows: 32 }
    }
}

/// How often a caller that waits looks whether it shall go on.
const POLL: Duration = Duration::from_millis(10);

type Answer = Result<Vec<Array>, PluginError>;

/// The callers of one network.
pub(crate) struct Queue {
    network: Arc<dyn Network>,
    room: Room,
    state: Mutex<State>,
    /// Told when a run has ended.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    waiting: VecDeque<Arc<Request>>,
    /// The outputs of a joined run were no rows: this network's runs stay apart.
    apart: bool,
}

struct Request {
    inputs: Vec<Array>,
    rows: usize,
    answer: OnceLock<Answer>,
}

impl Queue {
    pub(crate) fn new(network: Arc<dyn Network>, room: Room) -> Self {
        Self { network, room, state: Mutex::default(), ended: Condvar::new() }
    }

    /// Runs the network, alone or with what others ask of it meanwhile. `go_on` is asked while the inputs wait.
    ///
    /// # Errors
    /// The run failed, or `go_on` said no.
    pub(crate) fn run(&self, inputs: Vec<Array>, go_on: &dyn Fn() -> bool) -> Answer {
        let Some(rows) = self.rows(&inputs) else { return self.network.run(&inputs) };
        let mine = Arc::new(Request { inputs, rows, answer: OnceLock::new() });
        let mut state = self.state.lock();
        if state.apart {
            drop(state);
            return self.network.run(&mine.inputs);
        }
        state.waiting.push_back(mine.clone());
        loop {
            if let Some(answer) = mine.answer.get() {
                return answer.clone();
            }
            if !go_on() && state.leave(&mine) {
                return Err(PluginError::new(ErrorKind::Cancelled, "the run was given up while it waited"));
            }
            if state.running < self.room.runs
                && let Some(requests) = state.next(self.room.rows)
            {
                // The oldest come first, so this may be the run of others; then this caller's turn comes after it.
                state.running += 1;
                drop(state);
                Turn { queue: self, requests }.compute();
                state = self.state.lock();
            } else {
                self.ended.wait_for(&mut state, POLL);
            }
        }
    }

    /// How many rows the inputs have, if they may lie behind those of others.
    fn rows(&self, inputs: &[Array]) -> Option<usize> {
        let free = |all: &[IoDesc]| all.iter().all(|io| io.shape.first().is_some_and(Option::is_none));
        if !self.network.joins() || !free(self.network.inputs()) || !free(self.network.outputs()) {
            return None;
        }
        let rows = *inputs.first()?.shape.first()?;
        inputs.iter().all(|input| input.shape.first() == Some(&rows)).then_some(rows)
    }
}

impl State {
    /// The oldest request and those that fit behind it, of at most so many rows together.
    fn next(&mut self, most: usize) -> Option<Vec<Arc<Request>>> {
        let mut taken = vec![self.waiting.pop_front()?];
        let mut rows = taken[0].rows;
        self.waiting.retain(|request| {
            let joins = request.fits(&taken[0]) && rows + request.rows <= most;
            if joins {
                rows += request.rows;
                taken.push(request.clone());
            }
            !joins
        });
        Some(taken)
    }

    /// Takes a request back; false if it is being computed.
    fn leave(&mut self, request: &Arc<Request>) -> bool {
        let at = self.waiting.iter().position(|r| Arc::ptr_eq(r, request));
        at.is_some_and(|at| self.waiting.remove(at).is_some())
    }
}

impl Request {
    /// Do the inputs differ in their rows alone?
    fn fits(&self, other: &Self) -> bool {
        let same = |(a, b): (&Array, &Array)| a.dtype() == b.dtype() && a.shape.get(1..) == b.shape.get(1..);
        self.inputs.iter().zip(&other.inputs).all(same)
    }
}

/// A run on its way. However it ends, its requests have answers and the next one may begin.
struct Turn<'a> {
    queue: &'a Queue,
    requests: Vec<Arc<Request>>,
}

impl Turn<'_> {
    fn compute(&self) {
        if self.requests.len() > 1 {
            match self.together() {
                Ok(answers) => {
                    for (request, answer) in self.requests.iter().zip(answers) {
                        let _ = request.answer.set(Ok(answer));
                    }
                    return;
                }
                // What is wrong with one must not become the others' error.
                Err(e) => tracing::debug!("{} runs were not computed as one: {e}", self.requests.len()),
            }
        }
        for request in &self.requests {
            let _ = request.answer.set(self.queue.network.run(&request.inputs));
        }
    }

    /// The outputs of each request, from one run.
    fn together(&self) -> Result<Vec<Vec<Array>>, String> {
        let count = self.requests[0].inputs.len();
        let input = |i: usize| Array::stacked(&self.requests.iter().map(|r| &r.inputs[i]).collect::<Vec<_>>());
        let inputs = (0..count).map(input).collect::<Result<Vec<_>, _>>()?;
        let outputs = self.queue.network.run(&inputs).map_err(|e| e.to_string())?;
        let all: usize = self.requests.iter().map(|r| r.rows).sum();
        if let Some(output) = outputs.iter().find(|output| output.shape.first() != Some(&all)) {
            self.queue.state.lock().apart = true;
            return Err(format!("of {all} rows the network made an output of shape {:?}", output.shape));
        }
        let mut from = 0;
        let mut own = |request: &Arc<Request>| {
            let rows = outputs.iter().map(|output| output.rows(from, request.rows)).collect();
            from += request.rows;
            rows
        };
        self.requests.iter().map(&mut own).collect()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        for request in &self.requests {
            // Only a panic leaves a request without an answer.
            request.answer.get_or_init(|| Err(PluginError::new(ErrorKind::Internal, "the network gave up")));
        }
        self.queue.state.lock().running -= 1;
        self.queue.ended.notify_all();
    }
}

#[cfg(test)]
mod tests;
