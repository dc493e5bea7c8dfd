//! Pictures that a prompt names: they must lie in the server's folders, and be there.

use crate::app::App;
use crate::paths;
use graph::{Catalog, Plan};
use serde_json::{Map, Value, json};
use spec::Widget;
use std::collections::BTreeSet;

/// Takes the outputs out of a plan that need a picture which is not there. Gives their `node_errors`.
pub(crate) fn check(app: &App, plan: &mut Plan) -> Map<String, Value> {
    let mut errors = Map::new();
    let registry = app.host.registry();
    // By index in the plan: the bad nodes that each node needs, itself included.
    let mut needs: Vec<BTreeSet<usize>> = Vec::with_capacity(plan.nodes.len());
    for (index, node) in plan.nodes.iter().enumerate() {
        let mut bad: BTreeSet<usize> = node.links.iter().flat_map(|(_, link)| needs[link.node].clone()).collect();
        let spec = registry.node(&node.class_type);
        for input in spec.into_iter().filter(|s| !s.strict).flat_map(|s| &s.inputs) {
            let Some(spec::Value::Data(Value::String(name))) = node.constants.get(&input.name) else { continue };
            if input.widget == Widget::HostList("file".to_owned()) && !is_there(app, name) {
                bad.insert(index);
                errors.insert(node.id.clone(), error(&node.class_type, &input.name, name));
            }
        }
        needs.push(bad);
    }
    for (index, node) in plan.nodes.iter().enumerate() {
        let Some(entry) = errors.get_mut(&node.id) else { continue };
        let hit = plan.outputs.iter().filter(|o| needs[**o].contains(&index));
        entry["dependent_outputs"] = hit.map(|o| plan.nodes[*o].id.clone()).collect::<Vec<_>>().into();
    }
    plan.outputs.retain(|output| needs[*output].is_empty());
    errors
}

fn is_there(app: &App, name: &str) -> bool {
    let (below, kind) = paths::noted_type(name);
    let root = match kind {
        Some("output") => &app.config.output_dir,
        Some("temp") => &app.config.temp_dir,
        _ => &app.config.input_dir,
    };
    paths::existing(root, below).is_ok_and(|file| file.is_file())
}

fn error(class: &str, input: &str, name: &str) -> Value {
    json!({
        "errors": [{
            "type": "custom_validation_failed",
            "message": "Custom validation failed for node",
            "details": format!("{input} - Invalid image file: {name}"),
            "extra_info": { "input_name": input, "received_value": name },
        }],
        "dependent_outputs": [],
        "class_type": class,
    })
}
