//! How far a run is and how long it will take, from the progress of its nodes and from how long they took before.

use crate::RunProgress;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many seconds nodes took in earlier runs, by class and by `class#id`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(BTreeMap<String, f64>);

impl History {
    /// The node of this workflow if it ran before, else any of its class.
    pub fn expected(&self, class_type: &str, id: &str) -> Option<f64> {
        self.0.get(&format!("{class_type}#{id}")).or_else(|| self.0.get(class_type)).copied()
    }

    /// A node took this long. Half of the old value stays, so that one slow run does not spoil the estimate.
    pub fn record(&mut self, class_type: &str, id: &str, seconds: f64) {
        self.record_class(class_type, seconds);
        self.note(format!("{class_type}#{id}"), seconds);
    }

    /// [`History::record`] for a node whose id will not come again.
    pub(crate) fn record_class(&mut self, class_type: &str, seconds: f64) {
        self.note(class_type.to_owned(), seconds);
    }

    fn note(&mut self, key: String, seconds: f64) {
        self.0.entry(key).and_modify(|old| *old = (*old + seconds) / 2.0).or_insert(seconds);
    }
}

/// Follows the nodes that have to run. `now` is in seconds since the run began.
pub(crate) struct Clock {
    /// By index in the plan; none: does not run.
    nodes: Vec<Option<Timed>>,
    running: Vec<usize>,
    total: usize,
    over: usize,
    weight: f64,
    weight_over: f64,
    /// What a node of unknown duration counts for.
    usual: f64,
    /// Of the nodes that have not started: the sum of known durations, and how many are unknown.
    waiting_seconds: f64,
    waiting_unknown: usize,
}

struct Timed {
    expected: Option<f64>,
    weight: f64,
    started: Option<f64>,
    /// The first report and the latest: when, steps done, steps in all.
    first: Option<(f64, u64)>,
    latest: Option<(f64, u64, u64)>,
}

impl Clock {
    /// `expected` per node of the plan: none if it does not run, else its duration if known.
    pub(crate) fn new(expected: &[Option<Option<f64>>]) -> Self {
        let known: Vec<f64> = expected.iter().flatten().flatten().copied().collect();
        let usual = if known.is_empty() { 1.0 } else { known.iter().sum::<f64>() / known.len() as f64 };
        let timed = |e: &Option<f64>| Timed {
            expected: *e,
            // Even the quickest node counts for something.
            weight: e.unwrap_or(usual).max(1e-3),
            started: None,
            first: None,
            latest: None,
        };
        let nodes: Vec<Option<Timed>> = expected.iter().map(|e| e.as_ref().map(timed)).collect();
        Self {
            running: Vec::new(),
            total: nodes.iter().flatten().count(),
            over: 0,
            weight: nodes.iter().flatten().map(|n| n.weight).sum(),
            weight_over: 0.0,
            usual,
            waiting_seconds: known.iter().sum(),
            waiting_unknown: nodes.iter().flatten().filter(|n| n.expected.is_none()).count(),
            nodes,
        }
    }

    /// More nodes, behind those known so far; they do not run unless [`Clock::needed`] says so.
    pub(crate) fn add(&mut self, count: usize) {
        self.nodes.resize_with(self.nodes.len() + count, || None);
    }

    /// This node has to run after all.
    pub(crate) fn needed(&mut self, node: usize, expected: Option<f64>) {
        let weight = expected.unwrap_or(self.usual).max(1e-3);
        self.nodes[node] = Some(Timed { expected, weight, started: None, first: None, latest: None });
        self.total += 1;
        self.weight += weight;
        match expected {
            Some(seconds) => self.waiting_seconds += seconds,
            None => self.waiting_unknown += 1,
        }
    }

    pub(crate) fn started(&mut self, node: usize, now: f64) {
        let Some(timed) = &mut self.nodes[node] else { return };
        // A node that goes on with lazy inputs starts once.
        if timed.started.is_none() {
            timed.started = Some(now);
            self.running.push(node);
            self.leave_queue(node);
        }
    }

    fn leave_queue(&mut self, node: usize) {
        match self.nodes[node].as_ref().and_then(|t| t.expected) {
            Some(seconds) => self.waiting_seconds -= seconds,
            None => self.waiting_unknown -= 1,
        }
    }

    pub(crate) fn progress(&mut self, node: usize, now: f64, done: u64, total: u64) {
        let Some(timed) = &mut self.nodes[node] else { return };
        // A new count (a second phase of the same node) begins a new estimate.
        if timed.latest.is_some_and(|(_, d, t)| t != total || d > done) {
            timed.first = None;
        }
        timed.first.get_or_insert((now, done));
        timed.latest = Some((now, done, total));
    }

    pub(crate) fn over(&mut self, node: usize) {
        let Some(timed) = &self.nodes[node] else { return };
        self.weight_over += timed.weight;
        self.over += 1;
        if timed.started.is_none() {
            self.leave_queue(node);
        }
        self.running.retain(|r| *r != node);
    }

    /// Seconds that a running node still needs.
    pub(crate) fn eta(&self, node: usize, now: f64) -> Option<f64> {
        let timed = self.nodes[node].as_ref()?;
        let started = timed.started?;
        if let (Some((first, begun)), Some((at, done, total))) = (timed.first, timed.latest)
            && total > 0
        {
            // Steps since the first report, so that what comes before the first step does not count as slow steps.
            let (from, steps) = if done > begun { (first, done - begun) } else { (started, done) };
            if steps > 0 {
                let left = (at - from) / steps as f64 * total.saturating_sub(done) as f64;
                return Some((left - (now - at)).max(0.0));
            }
        }
        timed.expected.map(|e| (e - (now - started)).max(0.0))
    }

    pub(crate) fn overall(&self, now: f64) -> RunProgress {
        let mut eta = (self.waiting_unknown == 0).then_some(self.waiting_seconds.max(0.0));
        let mut weight = self.weight_over;
        for &node in &self.running {
            eta = eta.zip(self.eta(node, now)).map(|(a, b)| a + b);
            weight += self.nodes[node].as_ref().map_or(0.0, |t| t.weight * t.fraction(now));
        }
        let fraction = if self.weight > 0.0 { (weight / self.weight).clamp(0.0, 1.0) } else { 1.0 };
        RunProgress { done: self.over, total: self.total, fraction, eta }
    }
}

impl Timed {
    fn fraction(&self, now: f64) -> f64 {
        match (self.latest, self.started, self.expected) {
            (Some((_, done, total)), ..) if total > 0 => (done as f64 / total as f64).min(1.0),
            // Without progress reports: by time, but never quite there.
            (_, Some(started), Some(expected)) if expected > 0.0 => ((now - started) / expected).min(0.95),
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_node_is_measured_by_its_own_steps() {
        let mut clock = Clock::new(&[Some(None)]);
        clock.started(0, 0.0);
        assert_eq!(clock.eta(0, 1.0), None);
        // Ten seconds of preparation, then two seconds a step.
        clock.progress(0, 10.0, 0, 10);
        clock.progress(0, 12.0, 1, 10);
        assert_eq!(clock.eta(0, 12.0), Some(18.0));
        assert_eq!(clock.eta(0, 13.0), Some(17.0));
        assert_eq!(clock.overall(12.0), RunProgress { done: 0, total: 1, fraction: 0.1, eta: Some(18.0) });
        clock.over(0);
        assert_eq!(clock.overall(30.0), RunProgress { done: 1, total: 1, fraction: 1.0, eta: Some(0.0) });
    }

    #[test]
    fn a_second_phase_begins_a_new_estimate() {
        let mut clock = Clock::new(&[Some(None)]);
        clock.started(0, 0.0);
        clock.progress(0, 1.0, 100, 100);
        clock.progress(0, 2.0, 0, 10);
        clock.progress(0, 5.0, 1, 10);
        assert_eq!(clock.eta(0, 5.0), Some(27.0));
    }

    #[test]
    fn waiting_nodes_count_by_what_they_took_before() {
        let mut clock = Clock::new(&[Some(Some(30.0)), None, Some(Some(10.0))]);
        assert_eq!(clock.overall(0.0).eta, Some(40.0));
        clock.started(2, 0.0);
        assert_eq!(clock.overall(4.0).eta, Some(36.0));
        clock.over(2);
        assert_eq!(clock.overall(10.0), RunProgress { done: 1, total: 2, fraction: 0.25, eta: Some(30.0) });
    }

    #[test]
    fn nobody_guesses_while_an_unknown_node_waits() {
        let mut clock = Clock::new(&[Some(None), Some(Some(5.0))]);
        assert_eq!(clock.overall(0.0).eta, None);
        clock.over(0); // Blocked: it never started.
        assert_eq!(clock.overall(0.0).eta, Some(5.0));
    }

    #[test]
    fn history_prefers_the_same_node() {
        let mut history = History::default();
        history.record("TrainLora", "5", 100.0);
        history.record("TrainLora", "6", 10.0);
        assert_eq!(history.expected("TrainLora", "6"), Some(10.0));
        assert_eq!(history.expected("TrainLora", "9"), Some(55.0));
        assert_eq!(history.expected("KSampler", "1"), None);
    }
}
