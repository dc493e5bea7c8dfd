//! `anagama run`: validates, runs, and tells what came of it.

use super::{say_problems, say_warnings};
use crate::cli::Run;
use crate::device::Device;
use crate::exit::{Exit, Fail, invalid};
use crate::host::{Host, RunFolders};
use crate::interrupt::cancel_on_ctrl_c;
use crate::show::{Show, print_json};
use crate::text::{columns, duration};
use anyhow::Context;
use engine::{CancelToken, RunReport, Status};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;

pub(crate) fn run(args: &Run, config: Option<&Path>, device: Device, verbose: bool) -> Result<Exit, Fail> {
    let mut host = Host::open(config, args.source.file(), args.prefer_native)?;
    let workflow = args.source.read(&host.registry)?;
    if let Some(amount) = &args.memory {
        host.set_memory(crate::memory::parse(amount).context("--memory").map_err(invalid)?);
    }
    let plan = match graph::validate(&workflow, &host.registry) {
        Ok(plan) => plan,
        Err(problems) => {
            if args.json {
                let mut object = problems.to_json();
                object["event"] = json!("invalid");
                print_json(&object);
            } else {
                say_problems(&problems);
            }
            return Ok(Exit::Invalid);
        }
    };
    say_warnings(&plan);
    let folders = RunFolders {
        out: args.out.clone(),
        input: args.source.folder(&host.places.current),
        store: args.store.clone(),
        device,
    };
    let running = host.engine(folders, workflow.to_json())?;
    let cancel = CancelToken::new();
    cancel_on_ctrl_c(cancel.clone());
    let show = Show::choose(args.json, verbose);
    let report = running.engine.run(&plan, &|event| show.event(&event), &cancel);
    show.finish();
    running.keep_durations();
    let report = report?;
    if args.json {
        print_json(
            &json!({ "event": "run-finished", "ok": report.succeeded(), "files": files(&report), "report": report }),
        );
    } else {
        tell(&report, &host.places.current);
    }
    Ok(match (report.cancelled, report.failures().next()) {
        (_, Some(_)) => Exit::Failed,
        (true, None) => Exit::Cancelled,
        (false, None) => Exit::Ok,
    })
}

/// The files that output and other nodes wrote, in the order of the nodes.
fn files(report: &RunReport) -> Vec<String> {
    let outputs = report.nodes.iter().filter_map(|n| n.outputs.as_ref());
    let files = outputs.filter_map(|o| o.ui.get("files")?.as_array()).flatten();
    let mut seen = BTreeSet::new();
    files.filter_map(|f| Some(f.get("path")?.as_str()?.to_owned())).filter(|p| seen.insert(p.clone())).collect()
}

fn tell(report: &RunReport, current: &Path) {
    let count = |which: fn(&Status) -> bool| report.nodes.iter().filter(|n| which(&n.status)).count();
    let parts = [
        (count(|s| matches!(s, Status::Ran { .. })), "ran"),
        (count(|s| matches!(s, Status::Cached { .. })), "from the cache"),
        (count(|s| matches!(s, Status::NotNeeded)), "not needed"),
        (count(|s| matches!(s, Status::Failed { .. })), "failed"),
        (count(|s| matches!(s, Status::Blocked { .. })), "skipped"),
        (count(|s| matches!(s, Status::Cancelled)), "left when stopped"),
    ];
    let shown: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    println!("{} nodes in {}: {}", report.nodes.len(), duration(report.seconds), shown.join(", "));
    let mut slowest: Vec<(f64, String)> = report
        .nodes
        .iter()
        .filter_map(|n| match n.status {
            Status::Ran { seconds } if seconds >= 0.05 => Some((seconds, n.node.to_string())),
            _ => None,
        })
        .collect();
    slowest.sort_by(|a, b| b.0.total_cmp(&a.0));
    if !slowest.is_empty() {
        let rows: Vec<Vec<String>> = slowest.iter().map(|(s, n)| vec![format!("  {n}"), duration(*s)]).collect();
        println!("time:\n{}", columns(&rows));
    }
    let files = files(report);
    if !files.is_empty() {
        let short =
            |f: &String| Path::new(f).strip_prefix(current).map_or_else(|_| f.clone(), |p| p.display().to_string());
        println!("files:\n{}", files.iter().map(|f| format!("  {}", short(f))).collect::<Vec<_>>().join("\n"));
    }
    for failure in report.failures() {
        eprintln!("error: {}", failure.message);
    }
    if report.cancelled {
        eprintln!("stopped; the same command goes on from here");
    }
}
