//! The checks, in the order in which they are reported. Each is the same for every kind.

use super::{Answers, Items, Outcome, Refusal, Subject, settings, shown};
use loader::{Form, Kind, Limits};
use serde_json::Value;
use spec::ErrorKind;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What it is called, and what runs it.
type Check = (&'static str, fn(&Subject<'_>) -> Outcome);

pub(crate) const CHECKS: [Check; 9] = [
    ("schema", schema),
    ("settings", wrong_settings),
    ("answers", answers),
    ("determinism", determinism),
    ("batches", batches),
    ("odd inputs", odd_inputs),
    ("limits", limits),
    ("cancelling", cancelling),
    ("time", time),
];

/// What no answer may say: the instance died or lied.
const FAULTS: [&str; 4] = ["crashed: ", "broke the contract", "could not be instantiated", "took longer than"];

pub(crate) fn is_fault(message: &str) -> bool {
    FAULTS.iter().any(|fault| message.contains(fault))
}

/// Does the plugin describe itself so that menus, pages and the host's own checks can use it?
fn schema(subject: &Subject<'_>) -> Outcome {
    let (node, info) = (subject.node, subject.plugin.info());
    let mut problems = Vec::new();
    if info.version != subject.plugin.version() {
        problems.push(format!("it calls itself {}, plugin.toml says {}", info.version, subject.plugin.version()));
    }
    let texts = [("title", &info.title), ("display name", &node.display_name), ("description", &node.description)];
    problems.extend(texts.iter().filter(|(_, t)| t.trim().is_empty()).map(|(what, _)| format!("no {what}")));
    let mut names = BTreeSet::new();
    for input in &node.inputs {
        if !names.insert(&input.name) {
            problems.push(format!("two inputs are named `{}`", input.name));
        }
        if input.tooltip.as_deref().is_none_or(|t| t.trim().is_empty()) {
            problems.push(format!("input `{}` has no tooltip", input.name));
        }
        problems.extend(widget_problem(&input.widget).map(|p| format!("input `{}`: {p}", input.name)));
    }
    let outputs: BTreeSet<&str> = node.outputs.iter().map(|o| o.name.as_str()).collect();
    if outputs.len() != node.outputs.len() {
        problems.push("two outputs have one name".to_owned());
    }
    if node.role == Kind::Node && node.outputs.is_empty() && !node.output_node {
        problems.push("it has no output, and is no output node either".to_owned());
    }
    if problems.is_empty() {
        passed(format!("{} inputs", node.inputs.len()))
    } else {
        Outcome::Failed(problems.join("; "))
    }
}

fn widget_problem(widget: &spec::Widget) -> Option<String> {
    match widget {
        spec::Widget::Int { default, min, max, .. } if !(min..=max).contains(&default) => {
            Some(format!("its default {default} is not within {min} to {max}"))
        }
        spec::Widget::Float { default, min, max, .. } if !(*min..=*max).contains(default) => {
            Some(format!("its default {default} is not within {min} to {max}"))
        }
        spec::Widget::Combo { options, default: Some(default), .. } if !options.contains(default) => {
            Some(format!("its default {default:?} is none of its choices"))
        }
        spec::Widget::Combo { options, .. } if options.is_empty() => Some("it has no choices".to_owned()),
        _ => None,
    }
}

/// Are wrong settings refused, in words, one by one?
fn wrong_settings(subject: &Subject<'_>) -> Outcome {
    if subject.node.role == Kind::Node {
        return Outcome::Skipped("the host checks a node's inputs itself, by its description".to_owned());
    }
    let few = Items { pictures: Items::usual().pictures.into_iter().take(1).collect(), ..Items::usual() };
    let wrong = settings::wrong(subject.node, &subject.settings[0]);
    for (settings, what) in &wrong {
        match subject.run(settings, subject.call(), &few, 1) {
            Ok(_) => return Outcome::Failed(format!("{what} is accepted: {}", shown(settings))),
            Err(e) if is_fault(&e.message) => return Outcome::Failed(format!("{what}: {}", e.message)),
            Err(_) => {}
        }
    }
    passed(format!("{} wrong ones", wrong.len()))
}

/// Does it work at all?
fn answers(subject: &Subject<'_>) -> Outcome {
    let mut count = 0;
    for settings in &subject.settings {
        match subject.run(settings, subject.call(), &Items::usual(), 4) {
            Ok(answers) if !answers.errors.is_empty() => return failed(settings, &answers.errors[0]),
            Ok(answers) if answers.lines.is_empty() => return failed(settings, "no answers"),
            Ok(answers) => count += answers.lines.len(),
            Err(e) => return untried(settings, &e),
        }
    }
    passed(format!("{count}"))
}

/// Are the answers of two instances the same to the last bit?
fn determinism(subject: &Subject<'_>) -> Outcome {
    if !subject.node.deterministic {
        return Outcome::Skipped("it says that its answers change".to_owned());
    }
    each(subject, |settings| {
        let first = subject.run(settings, subject.call(), &Items::usual(), 4)?;
        let second = subject.run(settings, subject.call(), &Items::usual(), 4)?;
        Ok(difference(&first, &second).map(|d| format!("a second instance answers differently: {d}")))
    })
}

/// Is an answer the same whatever else is in the batch?
fn batches(subject: &Subject<'_>) -> Outcome {
    if !subject.node.deterministic || subject.node.role == Kind::Node {
        return Outcome::Skipped("it has none, or answers that change".to_owned());
    }
    each(subject, |settings| {
        let together = subject.run(settings, subject.call(), &Items::usual(), 100)?;
        let alone = subject.run(settings, subject.call(), &Items::usual(), 1)?;
        Ok(difference(&together, &alone).map(|d| format!("in one batch and one by one: {d}")))
    })
}

/// Does it give answers or errors, whatever comes?
fn odd_inputs(subject: &Subject<'_>) -> Outcome {
    let mut errors = 0;
    let outcome = each(subject, |settings| match subject.run(settings, subject.call(), &Items::odd(), 3) {
        Ok(answers) => {
            errors += answers.errors.len();
            Ok(answers.errors.into_iter().find(|e| is_fault(e)))
        }
        // To refuse as a whole is an answer too.
        Err(e) if e.kind.is_some() && !is_fault(&e.message) => {
            errors += 1;
            Ok(None)
        }
        Err(e) => Err(e),
    });
    match outcome {
        Outcome::Passed(_) => passed(format!("{errors} refused")),
        other => other,
    }
}

/// Does it give back what it holds, and get by with little?
fn limits(subject: &Subject<'_>) -> Outcome {
    if subject.plugin.form() == Form::Native {
        return Outcome::Skipped("limits do not bind native code".to_owned());
    }
    // Evaluators may keep pictures until they are done.
    let handles = if subject.node.role == Kind::Evaluator { 1000 } else { 48 };
    let limits = Limits { handles, memory: 64 << 20, ..Limits::default() };
    let outcome = each(subject, |settings| {
        let call = loader::CallContext { limits: Some(limits), ..subject.call() };
        let answers = subject.run(settings, call, &Items::many(150), 8)?;
        Ok(answers.errors.into_iter().next().map(|e| format!("with 64 MiB and {handles} handles: {e}")))
    });
    match outcome {
        Outcome::Passed(_) => passed(format!("150 items with 64 MiB and {handles} handles")),
        other => other,
    }
}

/// Does it end soon when the user cancels?
fn cancelling(subject: &Subject<'_>) -> Outcome {
    const SOON: Duration = Duration::from_secs(3);
    each(subject, |settings| {
        let begun = Instant::now();
        // From the first moment on, and from the middle of the work.
        for after in [Duration::ZERO, Duration::from_millis(5)] {
            let from = Instant::now() + after;
            let cancelled = Arc::new(move || Instant::now() >= from);
            let call = loader::CallContext { cancelled, ..subject.call() };
            match subject.run(settings, call, &Items::usual(), 2) {
                Err(e)
                    if e.kind.is_some_and(|k| k != ErrorKind::Cancelled)
                        || e.kind.is_none() && is_fault(&e.message) =>
                {
                    return Ok(Some(format!("expected to be cancelled, found: {}", e.message)));
                }
                // Done before it was asked, or cancelled.
                _ => {}
            }
        }
        let took = begun.elapsed();
        Ok((took > SOON).then(|| format!("it took {:.1} s to end", took.as_secs_f64())))
    })
}

/// How long an instance takes to open and to answer one large picture. Judged by the deadline of a call alone.
fn time(subject: &Subject<'_>) -> Outcome {
    let settings = &subject.settings[0];
    let items = Items::large();
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        if let Err(e) = subject.run(settings, subject.call(), &items, 1) {
            return untried(settings, &e);
        }
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    let first = times[0];
    times.sort_by(f64::total_cmp);
    passed(format!("{first:.1} ms the first time, {:.1} ms later, opening and one item of 1024×1024", times[2]))
}

/// Tries each of the settings; the first problem is the outcome.
fn each(subject: &Subject<'_>, mut f: impl FnMut(&Value) -> Result<Option<String>, Refusal>) -> Outcome {
    for settings in &subject.settings {
        match f(settings) {
            Ok(None) => {}
            Ok(Some(problem)) => return failed(settings, &problem),
            Err(e) => return untried(settings, &e),
        }
    }
    passed(String::new())
}

fn difference(a: &Answers, b: &Answers) -> Option<String> {
    if a.lines.len() != b.lines.len() {
        return Some(format!("{} answers and {}", a.lines.len(), b.lines.len()));
    }
    let at = a.lines.iter().zip(&b.lines).position(|(a, b)| a != b)?;
    Some(format!("answer {}: {} and {}", at + 1, a.lines[at], b.lines[at]))
}

fn passed(remark: String) -> Outcome {
    Outcome::Passed(remark)
}

fn failed(settings: &Value, problem: &str) -> Outcome {
    Outcome::Failed(format!("with {}: {problem}", shown(settings)))
}

/// It could not be tried with these settings: a fault, unless nobody said with which it can.
fn untried(settings: &Value, refusal: &Refusal) -> Outcome {
    let hint = match refusal.kind {
        Some(ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::Unsupported | ErrorKind::Denied) => {
            format!("; settings that work can be given in {}", super::FILE)
        }
        _ => String::new(),
    };
    Outcome::Failed(format!("with {}: {}{hint}", shown(settings), refusal.message))
}
