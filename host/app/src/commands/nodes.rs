//! `anagama nodes`: what nodes there are, as a list, a page or JSON.

use crate::cli::Nodes;
use crate::exit::{Exit, Fail, invalid};
use crate::host::Host;
use crate::reference;
use engine::Registry;
use std::path::Path;

pub(crate) fn nodes(args: &Nodes, config: Option<&Path>) -> Result<Exit, Fail> {
    let registry =
        if args.builtin { Registry::new(nodes::builtin()) } else { Host::open(config, None, false)?.registry };
    let mut specs: Vec<&spec::Node> = registry.nodes().map(|n| n.spec()).collect();
    if let Some(name) = &args.name {
        specs.retain(|s| s.id == *name || s.aliases.contains(name));
        if specs.is_empty() {
            let known = registry.nodes().map(|n| n.spec().id.as_str());
            let hint = graph::nearest(name, known).map(|n| format!("; did you mean `{n}`")).unwrap_or_default();
            return Err(invalid(anyhow::anyhow!("there is no node `{name}`{hint}")));
        }
    }
    let text = if args.json {
        serde_json::to_string_pretty(&specs)? + "\n"
    } else if args.markdown && args.name.is_none() {
        reference::page(&specs)
    } else if args.name.is_some() {
        specs.iter().map(|s| reference::section(s)).collect()
    } else {
        reference::list(&specs)
    };
    print!("{text}");
    Ok(Exit::Ok)
}
