//! `anagama check`: validation without running.

use super::{say_problems, say_warnings};
use crate::cli::Check;
use crate::exit::{Exit, Fail};
use crate::host::Host;
use crate::show::print_json;
use serde_json::json;
use std::path::Path;

pub(crate) fn check(args: &Check, config: Option<&Path>) -> Result<Exit, Fail> {
    let host = Host::open(config, args.source.file(), false)?;
    let workflow = args.source.read(&host.registry)?;
    match graph::validate(&workflow, &host.registry) {
        Ok(plan) => {
            if args.json {
                let warnings: Vec<_> = plan.warnings.iter().map(graph::Problem::to_json).collect();
                print_json(&json!({ "nodes": plan.nodes.len(), "outputs": plan.outputs.len(), "warnings": warnings }));
            } else {
                say_warnings(&plan);
                println!("{} nodes, {} outputs: nothing wrong", plan.nodes.len(), plan.outputs.len());
            }
            Ok(Exit::Ok)
        }
        Err(problems) => {
            if args.json {
                print_json(&problems.to_json());
            } else {
                say_problems(&problems);
            }
            Ok(Exit::Invalid)
        }
    }
}
