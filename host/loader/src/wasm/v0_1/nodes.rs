//! The exported interface of nodes, as [`RawNode`].

use super::exports::{Instance, ask};
use super::node;
use super::node::exports::anagama::plugin::node as wit;
use crate::error::Fault;
use crate::kinds::Answer;
use crate::kinds::node::{NewNode, NodeCall, NodeFeed, NodeReturned, NodeValue, NodeVerdict, RawNode};
use crate::services::Held;
use wasmtime::component::Resource;

type Given = Vec<(String, Vec<wit::Value>)>;

impl RawNode for Instance<node::NodePlugin> {
    fn run(&mut self, id: &str, call: &NodeCall) -> Answer<NodeReturned> {
        let given = self.given(call)?;
        let kind = self.bindings.anagama_plugin_node();
        let returned = match ask(&mut self.store, |s| kind.call_run(s, id, &place(call), &given))? {
            Ok(returned) => returned,
            Err(e) => return Ok(Err(e)),
        };
        let outputs = returned.outputs.into_iter().map(|f| self.feed(f)).collect::<Result<_, _>>()?;
        let mut nodes = Vec::with_capacity(returned.nodes.len());
        for new in returned.nodes {
            let input = |(name, feed)| Ok::<_, Fault>((name, self.feed(feed)?));
            let inputs = new.inputs.into_iter().map(input).collect::<Result<_, _>>()?;
            nodes.push(NewNode { id: new.id, class_type: new.class_type, inputs, display_id: new.display_id });
        }
        let ui = returned.ui.map_or(Ok(serde_json::Value::Null), |ui| json(&ui))?;
        Ok(Ok(NodeReturned { outputs, nodes, ui }))
    }

    fn check_lazy(&mut self, id: &str, call: &NodeCall) -> Answer<Vec<String>> {
        let given = self.given(call)?;
        let kind = self.bindings.anagama_plugin_node();
        ask(&mut self.store, |s| kind.call_check_lazy(s, id, &place(call), &given))
    }

    fn validate(&mut self, id: &str, call: &NodeCall, types: &[(String, String)]) -> Answer<NodeVerdict> {
        let given = self.given(call)?;
        let kind = self.bindings.anagama_plugin_node();
        let verdict = ask(&mut self.store, |s| kind.call_validate(s, id, &given, types))?;
        Ok(verdict.map(|v| match v {
            wit::Verdict::Accepted => NodeVerdict::Accepted,
            wit::Verdict::Refused(reason) => NodeVerdict::Refused(reason),
        }))
    }

    fn fingerprint(&mut self, id: &str, call: &NodeCall) -> Answer<Option<String>> {
        let given = self.given(call)?;
        let kind = self.bindings.anagama_plugin_node();
        ask(&mut self.store, |s| kind.call_fingerprint(s, id, &place(call), &given))
    }
}

fn place(call: &NodeCall) -> wit::Place {
    wit::Place { id: call.id.clone(), prefix: call.prefix.clone() }
}

fn json(text: &str) -> Result<serde_json::Value, Fault> {
    serde_json::from_str(text).map_err(|e| Fault::Trapped(format!("an output is no JSON: {e}")))
}

impl Instance<node::NodePlugin> {
    fn given(&mut self, call: &NodeCall) -> Result<Given, Fault> {
        let mut given = Vec::new();
        for (name, values) in &call.inputs {
            let values = values.iter().map(|v| self.give(v)).collect::<Result<_, _>>()?;
            given.push((name.clone(), values));
        }
        Ok(given)
    }

    fn feed(&mut self, feed: wit::Feed) -> Result<NodeFeed, Fault> {
        Ok(match feed {
            wit::Feed::Values(values) => {
                NodeFeed::Values(values.into_iter().map(|v| self.take(v)).collect::<Result<_, _>>()?)
            }
            wit::Feed::Link((node, slot)) => NodeFeed::Link(node, slot as usize),
        })
    }

    fn give(&mut self, value: &NodeValue) -> Result<wit::Value, Fault> {
        use wit::Value;
        Ok(match value {
            NodeValue::None => Value::None,
            NodeValue::Int(v) => Value::Int(*v),
            NodeValue::Float(v) => Value::Float(*v),
            NodeValue::Boolean(v) => Value::Boolean(*v),
            NodeValue::Text(v) => Value::Text(v.clone()),
            NodeValue::Json(v) => Value::Json(v.to_string()),
            NodeValue::Image(v) => Value::Image(self.lend(v)?),
            NodeValue::Tensor(v) => Value::Tensor(self.push(v.clone())?),
            NodeValue::Annotation(v) => Value::Annotation(v.into()),
            NodeValue::Handle(v) => Value::Handle(self.push(v.clone())?),
            NodeValue::Blocker(message) => Value::Blocker(message.clone()),
        })
    }

    fn take(&mut self, value: wit::Value) -> Result<NodeValue, Fault> {
        use wit::Value;
        let gone = |e: wasmtime::component::ResourceTableError| Fault::Trapped(e.to_string());
        Ok(match value {
            Value::None => NodeValue::None,
            Value::Int(v) => NodeValue::Int(v),
            Value::Float(v) => NodeValue::Float(v),
            Value::Boolean(v) => NodeValue::Boolean(v),
            Value::Text(v) => NodeValue::Text(v),
            Value::Json(v) => NodeValue::Json(json(&v)?),
            Value::Image(v) => NodeValue::Image(self.take_image(v)?),
            Value::Tensor(v) => NodeValue::Tensor(self.store.data_mut().table.delete(v).map_err(gone)?.value),
            Value::Annotation(v) => NodeValue::Annotation(v.into()),
            Value::Handle(v) => NodeValue::Handle(self.store.data_mut().table.delete(v).map_err(gone)?.value),
            Value::Blocker(message) => NodeValue::Blocker(message),
        })
    }

    fn push<T: Send + 'static>(&mut self, value: T) -> Result<Resource<Held<T>>, Fault> {
        let state = self.store.data_mut();
        let held = Held::lent(&state.services.budget, value).map_err(|e| Fault::Trapped(e.message))?;
        state.table.push(held).map_err(|e| Fault::Trapped(e.to_string()))
    }
}
