//! `anagama train`: what trainings there are, and orders to those that run.

use crate::cli::Train;
use crate::exit::{Exit, Fail, invalid};
use crate::host::Host;
use crate::show::print_json;
use crate::text::columns;
use serde_json::json;
use std::path::Path;

pub(crate) fn train(args: &Train, config: Option<&Path>) -> Result<Exit, Fail> {
    let host = Host::open(config, None, false)?;
    let store = args.store.as_ref().map_or_else(|| host.config.store.clone(), |s| host.places.current.join(s));
    let Some(order) = nodes::ORDERS.iter().find(|o| o.name == args.what) else {
        return list(args, &store);
    };
    let Some(what) = &args.job else {
        return Err(invalid(anyhow::anyhow!("`anagama train {}` needs a training: its id or its name", order.name)));
    };
    let job = nodes::find_training(&store, what).map_err(invalid)?;
    nodes::order(&job, order)?;
    println!("{} ({}): {}", job.id, job.name, order.about);
    Ok(Exit::Ok)
}

fn list(args: &Train, store: &Path) -> Result<Exit, Fail> {
    let jobs = nodes::training_jobs(store);
    let state = |j: &nodes::TrainingJob| match (&j.order, j.running) {
        (_, false) => "stands".to_owned(),
        (Some(order), true) => format!("runs, told to {order}"),
        (None, true) => "runs".to_owned(),
    };
    if args.json {
        let entry = |j: &nodes::TrainingJob| json!({ "id": j.id, "name": j.name, "step": j.step, "running": j.running, "order": j.order, "folder": j.dir });
        print_json(&jobs.iter().map(entry).collect::<Vec<_>>());
        return Ok(Exit::Ok);
    }
    if jobs.is_empty() {
        println!("no trainings in {}", store.display());
        return Ok(Exit::Ok);
    }
    let row = |j: &nodes::TrainingJob| vec![j.id.clone(), j.name.clone(), format!("step {}", j.step), state(j)];
    println!("{}", columns(&jobs.iter().map(row).collect::<Vec<_>>()));
    Ok(Exit::Ok)
}
