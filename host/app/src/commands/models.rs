//! `anagama models`: what model files the configured folders hold, and what files are read.

use crate::exit::{Exit, Fail};
use crate::host::Host;
use crate::show::print_json;
use crate::text::{bytes, columns};
use serde_json::json;
use std::path::Path;

pub(crate) fn list(json: bool, config: Option<&Path>) -> Result<Exit, Fail> {
    let host = Host::open(config, None, false)?;
    let entries = host.models.entries();
    if json {
        let entry = |e: &nodes::ModelEntry| json!({ "kind": e.kind, "name": e.name, "path": e.path, "bytes": e.bytes, "family": e.family });
        print_json(&entries.iter().map(entry).collect::<Vec<_>>());
        return Ok(Exit::Ok);
    }
    if entries.is_empty() {
        let folders: Vec<String> = host.config.models.iter().map(|p| p.display().to_string()).collect();
        let looked = if folders.is_empty() { "no folder is configured".to_owned() } else { folders.join(", ") };
        println!("no models; looked in: {looked}");
        return Ok(Exit::Ok);
    }
    let row = |e: &nodes::ModelEntry| {
        let family = e.family.clone().unwrap_or_default();
        vec![e.kind.clone(), e.name.clone(), bytes(e.bytes), family, e.path.display().to_string()]
    };
    println!("{}", columns(&entries.iter().map(row).collect::<Vec<_>>()));
    Ok(Exit::Ok)
}

/// The reference page of model files, as `docs/models.md` has it.
pub(crate) fn formats() -> Result<Exit, Fail> {
    print!("{}", nodes::model_formats());
    Ok(Exit::Ok)
}
