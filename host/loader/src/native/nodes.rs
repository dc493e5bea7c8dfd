//! The C table of nodes, as [`RawNode`].

use super::calls::{broken, give_image};
use super::objects::{Object, Objects};
use crate::error::Fault;
use crate::kinds::Answer;
use crate::kinds::node::{NewNode, NodeCall, NodeFeed, NodeReturned, NodeValue, NodeVerdict, RawNode};
use crate::services::Held;
use plugin_abi::{self as abi, Str};
use serde_json::{Value, json};

pub(super) struct NativeNode {
    table: &'static abi::NodeTable,
    objects: Objects,
}

impl NativeNode {
    pub(super) fn new(table: &'static abi::NodeTable, objects: Objects) -> Self {
        Self { table, objects }
    }
}

// SAFETY: as for `Opened`; there is no object here.
unsafe impl Send for NativeNode {}

impl RawNode for NativeNode {
    fn run(&mut self, node: &str, call: &NodeCall) -> Answer<NodeReturned> {
        self.ask(abi::NODE_RUN, node, call, &[], |s, answer| s.returned(&answer))
    }

    fn check_lazy(&mut self, node: &str, call: &NodeCall) -> Answer<Vec<String>> {
        let names = |_: &Self, answer| serde_json::from_value(answer).map_err(|e| e.to_string());
        self.ask(abi::NODE_CHECK_LAZY, node, call, &[], names)
    }

    fn validate(&mut self, node: &str, call: &NodeCall, types: &[(String, String)]) -> Answer<NodeVerdict> {
        let verdict = |_: &Self, answer: Value| match (answer.as_str(), answer.get("refused")) {
            (Some("accepted"), _) => Ok(NodeVerdict::Accepted),
            (_, Some(reason)) => Ok(NodeVerdict::Refused(reason.as_str().map(str::to_owned))),
            _ => Err(format!("expected a verdict, found {answer}")),
        };
        self.ask(abi::NODE_VALIDATE, node, call, types, verdict)
    }

    fn fingerprint(&mut self, node: &str, call: &NodeCall) -> Answer<Option<String>> {
        let text = |_: &Self, answer| serde_json::from_value(answer).map_err(|e| e.to_string());
        self.ask(abi::NODE_FINGERPRINT, node, call, &[], text)
    }
}

impl NativeNode {
    fn ask<T>(
        &self,
        what: u32,
        node: &str,
        call: &NodeCall,
        types: &[(String, String)],
        read: impl FnOnce(&Self, Value) -> Result<T, String>,
    ) -> Answer<T> {
        let mut given = Vec::new();
        for (name, list) in &call.inputs {
            let list = list.iter().map(|v| self.give(v)).collect::<Result<Vec<_>, _>>()?;
            given.push(json!([name, list]));
        }
        let place = json!({"id": call.id, "prefix": call.prefix});
        let request = json!({"node": node, "place": place, "inputs": given, "types": types}).to_string();
        let results = self.objects.enter(|sink| {
            // SAFETY: the function comes from the library's table; the string lives for the call.
            unsafe { (self.table.call)(what, Str::new(request.as_bytes()), sink) }
        })?;
        let results = match results {
            Ok(results) => results,
            Err(e) => return Ok(Err(e)),
        };
        let answer: Value = results.json(0).map_err(broken)?;
        Ok(Ok(read(self, answer).map_err(broken)?))
    }

    fn returned(&self, answer: &Value) -> Result<NodeReturned, String> {
        let list = |key: &str| answer.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let outputs = list("outputs").iter().map(|f| self.feed(f)).collect::<Result<_, _>>()?;
        let nodes = list("nodes").iter().map(|n| self.new_node(n)).collect::<Result<_, _>>()?;
        let ui = match answer.get("ui").and_then(Value::as_str) {
            Some(text) => serde_json::from_str(text).map_err(|e| format!("`ui`: {e}"))?,
            None => Value::Null,
        };
        Ok(NodeReturned { outputs, nodes, ui })
    }

    fn new_node(&self, node: &Value) -> Result<NewNode, String> {
        let text = |key: &str| node.get(key).and_then(Value::as_str).map(str::to_owned);
        let bad = || format!("a new node without id, class or inputs: {node}");
        let given = node.get("inputs").and_then(Value::as_array).ok_or_else(bad)?;
        let mut inputs = Vec::with_capacity(given.len());
        for input in given {
            let name = input.get(0).and_then(Value::as_str).ok_or_else(bad)?;
            inputs.push((name.to_owned(), self.feed(input.get(1).ok_or_else(bad)?)?));
        }
        let (id, class_type) = (text("id").ok_or_else(bad)?, text("class-type").ok_or_else(bad)?);
        Ok(NewNode { id, class_type, inputs, display_id: text("display-id") })
    }

    fn feed(&self, feed: &Value) -> Result<NodeFeed, String> {
        if let Some(values) = feed.get("values").and_then(Value::as_array) {
            return Ok(NodeFeed::Values(values.iter().map(|v| self.take(v)).collect::<Result<_, _>>()?));
        }
        let link = feed.get("link");
        let node = link.and_then(|l| l.get(0)).and_then(Value::as_str);
        let slot = link.and_then(|l| l.get(1)).and_then(Value::as_u64);
        match (node, slot) {
            (Some(node), Some(slot)) => Ok(NodeFeed::Link(node.to_owned(), slot as usize)),
            _ => Err(format!("expected values or a link, found {feed}")),
        }
    }

    fn give(&self, value: &NodeValue) -> Result<Value, Fault> {
        Ok(match value {
            NodeValue::None => json!("none"),
            NodeValue::Int(v) => json!({"int": v}),
            NodeValue::Float(v) => json!({"float": v}),
            NodeValue::Boolean(v) => json!({"boolean": v}),
            NodeValue::Text(v) => json!({"text": v}),
            NodeValue::Json(v) => json!({"json": v.to_string()}),
            NodeValue::Annotation(v) => json!({"annotation": v}),
            NodeValue::Image(v) => json!({"image": give_image(&self.objects, v)?}),
            NodeValue::Tensor(v) => {
                json!({"tensor": self.objects.give(|s| Held::lent(&s.budget, v.clone()).map(Object::Tensor))?})
            }
            NodeValue::Handle(v) => {
                json!({"handle": self.objects.give(|s| Held::lent(&s.budget, v.clone()).map(Object::Handle))?})
            }
            NodeValue::Blocker(message) => json!({"blocker": message}),
        })
    }

    fn take(&self, value: &Value) -> Result<NodeValue, String> {
        if value == "none" {
            return Ok(NodeValue::None);
        }
        let bad = || format!("an output is no value: {value}");
        let (kind, inner) = value.as_object().and_then(|o| o.iter().next()).ok_or_else(bad)?;
        let object = || inner.as_u64().and_then(|h| self.objects.take(h)).ok_or_else(bad);
        Ok(match kind.as_str() {
            "int" => NodeValue::Int(inner.as_i64().ok_or_else(bad)?),
            "float" => NodeValue::Float(inner.as_f64().ok_or_else(bad)?),
            "boolean" => NodeValue::Boolean(inner.as_bool().ok_or_else(bad)?),
            "text" => NodeValue::Text(inner.as_str().ok_or_else(bad)?.to_owned()),
            "json" => NodeValue::Json(inner.as_str().and_then(|s| serde_json::from_str(s).ok()).ok_or_else(bad)?),
            "annotation" => NodeValue::Annotation(serde_json::from_value(inner.clone()).map_err(|_| bad())?),
            "blocker" => NodeValue::Blocker(inner.as_str().map(str::to_owned)),
            "image" | "tensor" | "handle" => match (kind.as_str(), object()?) {
                ("image", Object::Image(v)) => NodeValue::Image(v.value),
                ("tensor", Object::Tensor(v)) => NodeValue::Tensor(v.value),
                ("handle", Object::Handle(v)) => NodeValue::Handle(v.value),
                _ => return Err(bad()),
            },
            _ => return Err(bad()),
        })
    }
}
