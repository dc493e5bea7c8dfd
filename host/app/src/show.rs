//! Shows a run while it runs: live bars on a terminal, lines elsewhere, JSON for programs.

use crate::text::duration;
use engine::{Event, Level, NodeRef, RunProgress};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Lines of progress come at most this often per node where nothing can be drawn over.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// One way of showing events.
pub(crate) enum Show {
    Bars(Bars),
    Lines(RefCell<HashMap<Arc<str>, Instant>>),
    Json,
}

impl Show {
    /// Bars if stderr is a terminal and nothing else writes to it.
    pub(crate) fn choose(json: bool, verbose: bool) -> Self {
        if json {
            Self::Json
        } else if std::io::stderr().is_terminal() && !verbose {
            Self::Bars(Bars::new())
        } else {
            Self::Lines(RefCell::default())
        }
    }

    pub(crate) fn event(&self, event: &Event) {
        match self {
            Self::Bars(bars) => bars.event(event),
            Self::Lines(seen) => {
                if let Some(line) = progress_line(event, &mut seen.borrow_mut()).or_else(|| lasting_line(event)) {
                    eprintln!("{line}");
                }
            }
            Self::Json => print_json(event),
        }
    }

    /// Takes what is drawn off the screen.
    pub(crate) fn finish(&self) {
        if let Self::Bars(bars) = self {
            bars.overall.finish_and_clear();
            let _ = bars.all.clear();
        }
    }
}

/// One JSON object in one line on stdout. A reader that went away is no reason to stop the run.
pub(crate) fn print_json(value: &impl serde::Serialize) {
    if let Ok(line) = serde_json::to_string(value) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

fn name(node: &NodeRef) -> String {
    let called = node.title.as_ref().unwrap_or(&node.class_type);
    format!("{called} ({})", node.id)
}

/// What stays on the screen.
fn lasting_line(event: &Event) -> Option<String> {
    match event {
        Event::RunStarted { run, cached, .. } => {
            let from_cache = if *cached > 0 { format!(", {cached} from the cache") } else { String::new() };
            Some(format!("{run} nodes to run{from_cache}"))
        }
        Event::NodeFinished { node, seconds, .. } => Some(format!("  done     {}  {}", name(node), duration(*seconds))),
        Event::NodeCached { node, .. } => Some(format!("  cached   {}", name(node))),
        Event::NodeFailed { message, .. } => Some(format!("  failed   {message}")),
        Event::NodeBlocked { node, by } => Some(format!("  skipped  {}: needs {}", name(node), name(by))),
        Event::Log { node, level, message } if *level >= Level::Info => {
            let word = match level {
                Level::Error => "error: ",
                Level::Warn => "warning: ",
                _ => "",
            };
            let from = node.as_ref().map(|n| format!("{}: ", name(n))).unwrap_or_default();
            Some(format!("  {word}{from}{message}"))
        }
        _ => None,
    }
}

fn progress_line(event: &Event, seen: &mut HashMap<Arc<str>, Instant>) -> Option<String> {
    match event {
        Event::NodeStarted { node, .. } => {
            seen.insert(node.id.clone(), Instant::now());
            Some(format!("  start    {}", name(node)))
        }
        Event::Progress { node, done, total, message, eta, overall, .. } => {
            let last = seen.get_mut(&node.id)?;
            if last.elapsed() < LINE_INTERVAL {
                return None;
            }
            *last = Instant::now();
            let steps = if *total > 0 { format!("{done}/{total}") } else { done.to_string() };
            let node_eta = eta.map(|s| format!(", {} left", duration(s))).unwrap_or_default();
            let message = if message.is_empty() { String::new() } else { format!("  {message}") };
            Some(format!("  {steps:<8} {}{message}{node_eta}; {}", name(node), whole(overall)))
        }
        _ => None,
    }
}

fn whole(overall: &RunProgress) -> String {
    let eta = overall.eta.map(|s| format!(", about {} left", duration(s))).unwrap_or_default();
    format!("{}/{} nodes{eta}", overall.done, overall.total)
}

/// One bar for the run and one per running node.
pub(crate) struct Bars {
    all: MultiProgress,
    overall: ProgressBar,
    nodes: RefCell<HashMap<Arc<str>, ProgressBar>>,
}

/// The overall bar counts in thousandths.
const OVERALL: u64 = 1000;

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::new();
        let overall = all.add(ProgressBar::new(OVERALL).with_style(style("{bar:30} {msg}")));
        overall.enable_steady_tick(Duration::from_millis(250));
        Self { all, overall, nodes: RefCell::default() }
    }

    fn event(&self, event: &Event) {
        match event {
            Event::NodeStarted { node, overall } => {
                let bar =
                    ProgressBar::new(0).with_style(style("  {spinner} {prefix}  {elapsed}")).with_prefix(name(node));
                let bar = self.all.insert_before(&self.overall, bar);
                bar.enable_steady_tick(Duration::from_millis(250));
                // A node that goes on with lazy inputs starts again.
                if let Some(before) = self.nodes.borrow_mut().insert(node.id.clone(), bar) {
                    before.finish_and_clear();
                }
                self.whole(overall);
            }
            Event::Progress { node, done, total, message, eta, overall, .. } => {
                if let Some(bar) = self.nodes.borrow().get(&node.id) {
                    if bar.length() != Some(*total) {
                        bar.set_length(*total);
                        bar.set_style(style("  {spinner} {prefix}  {bar:20} {pos}/{len}  {msg}"));
                    }
                    bar.set_position(*done);
                    let eta = eta.map(|s| format!("{} left  ", duration(s))).unwrap_or_default();
                    bar.set_message(format!("{eta}{message}"));
                }
                self.whole(overall);
            }
            Event::NodeFinished { node, overall, .. } | Event::NodeFailed { node, overall, .. } => {
                if let Some(bar) = self.nodes.borrow_mut().remove(&node.id) {
                    bar.finish_and_clear();
                    self.all.remove(&bar);
                }
                self.whole(overall);
            }
            _ => {}
        }
        if let Some(line) = lasting_line(event) {
            let _ = self.all.println(line);
        }
    }

    fn whole(&self, overall: &RunProgress) {
        self.overall.set_position((overall.fraction * OVERALL as f64) as u64);
        self.overall.set_message(whole(overall));
    }
}

/// A template of ours; should it be wrong, the plain bar is better than none.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeRef {
        NodeRef::new("5", "TrainLora")
    }

    #[test]
    fn lines_say_what_happened_to_which_node() {
        let finished = Event::NodeFinished {
            node: node(),
            seconds: 125.0,
            ui: serde_json::Map::new(),
            overall: RunProgress { done: 1, total: 2, fraction: 0.5, eta: None },
        };
        assert_eq!(lasting_line(&finished).unwrap(), "  done     TrainLora (5)  2 min 05 s");
        let log = Event::Log { node: Some(node()), level: Level::Warn, message: "no captions".into() };
        assert_eq!(lasting_line(&log).unwrap(), "  warning: TrainLora (5): no captions");
    }

    #[test]
    fn progress_lines_are_rare_and_carry_both_estimates() {
        let mut seen = HashMap::new();
        let overall = RunProgress { done: 3, total: 9, fraction: 0.4, eta: Some(130.0) };
        let progress = Event::Progress {
            node: node(),
            done: 50,
            total: 400,
            value: 50.0,
            max: 400.0,
            message: "loss 0.12".into(),
            eta: Some(70.0),
            overall,
        };
        progress_line(&Event::NodeStarted { node: node(), overall }, &mut seen);
        assert_eq!(progress_line(&progress, &mut seen), None);
        seen.insert("5".into(), Instant::now().checked_sub(LINE_INTERVAL * 2).unwrap());
        assert_eq!(
            progress_line(&progress, &mut seen).unwrap(),
            "  50/400   TrainLora (5)  loss 0.12, 1 min 10 s left; 3/9 nodes, about 2 min 10 s left"
        );
    }

    #[test]
    fn every_template_is_valid() {
        for template in
            ["{bar:30} {msg}", "  {spinner} {prefix}  {elapsed}", "  {spinner} {prefix}  {bar:20} {pos}/{len}  {msg}"]
        {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
