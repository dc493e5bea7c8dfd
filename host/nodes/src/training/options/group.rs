//! A group of settings as a node.

use super::{Key, defaults, more};
use crate::types::TrainOptions;
use engine::{Context, Node, Outputs};
use spec::{FromValue, Input, ObjectType, Output, Role, Socket, Value, Values, Widget};
use std::sync::Arc;

/// Settings that belong together.
pub(super) struct Group {
    /// `class_type` in graph JSON.
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) keys: &'static [Key],
}

/// The node of a group.
pub(super) fn node(group: &'static Group) -> Arc<dyn Node> {
    let defaults = defaults();
    let mut inputs: Vec<Input> =
        group.keys.iter().map(|k| k.input(defaults.get(k.name).unwrap_or(&serde_json::Value::Null))).collect();
    let input = |name: &str, socket, widget, tooltip: &str| Input {
        name: name.to_owned(),
        socket,
        widget,
        required: false,
        is_list: false,
        lazy: false,
        tooltip: Some(tooltip.to_owned()),
    };
    let text = Widget::Text { default: String::new(), multiline: true, placeholder: None };
    let about = "Further settings of the trainer as a JSON object. They count even if they equal the defaults.";
    inputs.push(input("more", Socket::Text, text, about));
    let about = "Settings that are passed on with these.";
    inputs.push(input("options", Socket::from_name(TrainOptions::SOCKET), Widget::None, about));
    let output = Output {
        name: "options".to_owned(),
        socket: Socket::from_name(TrainOptions::SOCKET),
        is_list: false,
        tooltip: None,
    };
    let spec = spec::Node {
        id: group.id.to_owned(),
        role: Role::Node,
        display_name: group.name.to_owned(),
        category: "training/options".to_owned(),
        description: format!("{} A setting that keeps its default says nothing.", group.about),
        inputs,
        outputs: vec![output],
        output_node: false,
        deterministic: true,
        revision: 0,
        experimental: false,
        deprecated: false,
        aliases: Vec::new(),
        strict: true,
        behaviour: spec::Behaviour::default(),
    };
    Arc::new(GroupNode { group, spec })
}

struct GroupNode {
    group: &'static Group,
    spec: spec::Node,
}

impl Node for GroupNode {
    fn spec(&self) -> &spec::Node {
        &self.spec
    }

    fn run(&self, ctx: &Context, inputs: Values) -> anyhow::Result<Outputs> {
        let place = format!("node {} ({})", ctx.node_id, self.group.id);
        let defaults = defaults();
        let mut options = TrainOptions::default();
        if let Some(earlier) = inputs.get("options") {
            let earlier: Option<Arc<TrainOptions>> = FromValue::from_value(earlier)
                .map_err(|message: String| anyhow::anyhow!("input `options`: {message}"))?;
            options = earlier.map(|o| (*o).clone()).unwrap_or_default();
        }
        for key in self.group.keys {
            let default = defaults.get(key.name).unwrap_or(&serde_json::Value::Null);
            let read = inputs.get(key.name).map(|value| key.read(value, default)).transpose()?;
            if let Some(value) = read.flatten() {
                options.set(key.name, value, &place)?;
            }
        }
        let text = inputs.get("more").map(String::from_value).transpose().map_err(anyhow::Error::msg)?;
        for (key, value) in more(&text.unwrap_or_default())? {
            options.set(&key, value, &place)?;
        }
        Ok(Outputs { values: vec![Value::object(options)], ..Outputs::default() })
    }
}
