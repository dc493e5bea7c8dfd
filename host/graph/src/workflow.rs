//! ComfyUI's API-format JSON: `{"3": {"class_type": "KSampler", "inputs": {"seed": 1, "model": ["4", 0]}}}`.

use crate::suggest::nearest;
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};

/// A workflow as written, in the order of the file. Not yet checked against any node.
#[derive(Clone, Debug, Default)]
pub struct Workflow {
    nodes: Vec<WorkflowNode>,
    index: HashMap<String, usize>,
    /// `(node, input)` pairs that [`Workflow::set`] wrote: a slip in those is always an error.
    overridden: BTreeSet<(String, String)>,
    /// Nodes whose class [`Workflow::set`] changed: what only the old class has is left over, not a slip.
    swapped: BTreeSet<String>,
}

/// One node as written.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowNode {
    pub id: String,
    /// Empty if the node has none, which validation reports.
    pub class_type: String,
    /// `_meta.title`: the user's name for the node.
    pub title: Option<String>,
    /// None if the node has no `inputs` object, which validation reports.
    pub inputs: Option<Vec<(String, Source)>>,
}

/// Where an input's value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Written in the workflow.
    Constant(Value),
    /// `["id", slot]`: an output of another node.
    Link { node: String, slot: usize },
}

/// Why a text is not a workflow in API format.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ParseError {
    #[error("this is not JSON: {0}")]
    Json(String),
    #[error("expected an object of nodes by id, found {0}")]
    NotAnObject(&'static str),
    #[error(
        "this workflow is in the editor's format (it has `nodes` and `links`), expected the API format; \
         export it with «Export (API)» in the editor's menu"
    )]
    UiFormat,
    #[error("{}", .0.join("\n"))]
    Nodes(Vec<String>),
}

/// Why an override could not be applied.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("--set {text}: {reason}")]
pub struct SetError {
    pub text: String,
    pub reason: String,
}

impl Workflow {
    /// Reads API-format JSON, or the body of a `POST /prompt` around it.
    ///
    /// # Errors
    /// Text that is not JSON (with line and column), the editor's own format, and every node that is not an object
    /// or has parts of the wrong shape.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let value: Value = serde_json::from_str(text).map_err(|e| ParseError::Json(e.to_string()))?;
        Self::from_json(value)
    }

    /// [`Workflow::parse`] for JSON that is already read.
    ///
    /// # Errors
    /// As [`Workflow::parse`].
    pub fn from_json(value: Value) -> Result<Self, ParseError> {
        let mut map = match value {
            Value::Object(map) => map,
            other => return Err(ParseError::NotAnObject(json_type(&other))),
        };
        if map.get("nodes").is_some_and(Value::is_array) && (map.contains_key("links") || map.contains_key("version")) {
            return Err(ParseError::UiFormat);
        }
        if let Some(Value::Object(inner)) = map.get_mut("prompt")
            && !inner.contains_key("class_type")
        {
            map = std::mem::take(inner);
        }
        let (mut nodes, mut wrong) = (Vec::with_capacity(map.len()), Vec::new());
        for (id, value) in map {
            match read_node(id, value) {
                Ok(node) => nodes.push(node),
                Err(message) => wrong.push(message),
            }
        }
        if !wrong.is_empty() {
            return Err(ParseError::Nodes(wrong));
        }
        let index = nodes.iter().enumerate().map(|(i, n)| (n.id.clone(), i)).collect();
        Ok(Self { nodes, index, ..Self::default() })
    }

    /// The nodes in the order of the file.
    pub fn nodes(&self) -> &[WorkflowNode] {
        &self.nodes
    }

    /// The node with this id.
    pub fn node(&self, id: &str) -> Option<&WorkflowNode> {
        self.index.get(id).map(|&i| &self.nodes[i])
    }

    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    pub(crate) fn is_overridden(&self, node: &str, input: &str) -> bool {
        !self.overridden.is_empty() && self.overridden.contains(&(node.to_owned(), input.to_owned()))
    }

    pub(crate) fn is_swapped(&self, node: &str) -> bool {
        self.swapped.contains(node)
    }

    /// Applies `NODE.INPUT=VALUE`. NODE is an id, or a title or class that only one node has. VALUE is JSON
    /// (so `["4", 0]` is a link), else text. `NODE.class_type=NAME` swaps the node itself; inputs that only the old class has
    /// then warn instead of failing.
    ///
    /// ```
    /// let mut w = graph::Workflow::parse(r#"{"3": {"class_type": "KSampler", "inputs": {"steps": 20}}}"#)?;
    /// w.set("3.steps=5")?;
    /// w.set("KSampler.sampler_name=euler")?;
    /// assert_eq!(w.to_json()["3"]["inputs"]["steps"], 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Text of another form, and nodes that are absent or ambiguous.
    pub fn set(&mut self, text: &str) -> Result<(), SetError> {
        let error = |reason: String| SetError { text: text.to_owned(), reason };
        let (target, value) =
            text.split_once('=').ok_or_else(|| error("expected NODE.INPUT=VALUE, found no `=`".into()))?;
        let (position, input) = self.resolve(target.trim()).map_err(error)?;
        let input = input.to_owned();
        let node = &mut self.nodes[position];
        if input == "class_type" {
            node.class_type = value.trim().to_owned();
            self.swapped.insert(node.id.clone());
            return Ok(());
        }
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        let source = read_source(value);
        let inputs = node.inputs.get_or_insert_default();
        match inputs.iter_mut().find(|(name, _)| *name == input) {
            Some((_, old)) => *old = source,
            None => inputs.push((input.clone(), source)),
        }
        self.overridden.insert((node.id.clone(), input));
        Ok(())
    }

    /// Ids may hold dots (`KSampler.0`), so each dot is tried, the last first.
    fn resolve<'t>(&self, target: &'t str) -> Result<(usize, &'t str), String> {
        let mut splits = target.rmatch_indices('.').map(|(at, _)| (&target[..at], &target[at + 1..])).peekable();
        if splits.peek().is_none() {
            return Err(format!("expected NODE.INPUT=VALUE, found no `.` in `{target}`"));
        }
        let mut ambiguous = None;
        for (name, input) in splits.filter(|(name, input)| !name.is_empty() && !input.is_empty()) {
            if let Some(&i) = self.index.get(name) {
                return Ok((i, input));
            }
            let named: Vec<usize> = (0..self.nodes.len())
                .filter(|&i| self.nodes[i].class_type == name || self.nodes[i].title.as_deref() == Some(name))
                .collect();
            match named[..] {
                [] => {}
                [i] => return Ok((i, input)),
                _ => ambiguous = Some((name, named)),
            }
        }
        if let Some((name, named)) = ambiguous {
            let ids: Vec<&str> = named.iter().map(|&i| self.nodes[i].id.as_str()).collect();
            return Err(format!("`{name}` names {} nodes; use one of the ids {}", ids.len(), ids.join(", ")));
        }
        let name = target.split('.').next().unwrap_or(target);
        let known =
            self.nodes.iter().flat_map(|n| [Some(n.id.as_str()), Some(n.class_type.as_str()), n.title.as_deref()]);
        let hint = nearest(name, known.flatten()).map(|n| format!("; did you mean `{n}`")).unwrap_or_default();
        Err(format!("no node has the id, title or class `{name}`{hint}"))
    }

    /// The workflow as API-format JSON, overrides included.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        for node in &self.nodes {
            let mut object = Map::new();
            object.insert("class_type".into(), Value::String(node.class_type.clone()));
            if let Some(inputs) = &node.inputs {
                let inputs: Map<String, Value> = inputs.iter().map(|(k, v)| (k.clone(), v.to_json())).collect();
                object.insert("inputs".into(), Value::Object(inputs));
            }
            if let Some(title) = &node.title {
                object.insert("_meta".into(), serde_json::json!({ "title": title }));
            }
            map.insert(node.id.clone(), Value::Object(object));
        }
        Value::Object(map)
    }
}

impl Source {
    fn to_json(&self) -> Value {
        match self {
            // An array would read as a link; ComfyUI's clients wrap it.
            Self::Constant(v @ Value::Array(_)) => serde_json::json!({ "__value__": v }),
            Self::Constant(v) => v.clone(),
            Self::Link { node, slot } => serde_json::json!([node, slot]),
        }
    }
}

fn read_node(id: String, value: Value) -> Result<WorkflowNode, String> {
    let mut object = match value {
        Value::Object(o) => o,
        other => {
            return Err(format!(
                "node {id}: expected an object with `class_type` and `inputs`, found {}",
                json_type(&other)
            ));
        }
    };
    let class_type = match object.remove("class_type") {
        Some(Value::String(s)) => s,
        None => String::new(),
        Some(other) => return Err(format!("node {id}: expected `class_type` to be text, found {}", json_type(&other))),
    };
    let inputs = match object.remove("inputs") {
        Some(Value::Object(inputs)) => Some(inputs.into_iter().map(|(k, v)| (k, read_source(v))).collect()),
        None => None,
        Some(other) => {
            return Err(format!("node {id}: expected `inputs` to be an object, found {}", json_type(&other)));
        }
    };
    let title = object.get("_meta").and_then(|m| m.get("title")).and_then(Value::as_str).map(str::to_owned);
    Ok(WorkflowNode { id, class_type, title, inputs })
}

fn read_source(value: Value) -> Source {
    if let Value::Array(items) = &value
        && let [Value::String(node), Value::Number(slot)] = &items[..]
        && let Some(slot) =
            slot.as_u64().or_else(|| slot.as_f64().filter(|f| *f >= 0.0 && f.fract() == 0.0).map(|f| f as u64))
    {
        return Source::Link { node: node.clone(), slot: usize::try_from(slot).unwrap_or(usize::MAX) };
    }
    match value {
        Value::Object(mut o) if o.len() == 1 && o.contains_key("__value__") => {
            Source::Constant(o.remove("__value__").unwrap_or(Value::Null))
        }
        other => Source::Constant(other),
    }
}

pub(crate) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workflow() -> Workflow {
        Workflow::from_json(json!({
            "3": {"class_type": "KSampler", "inputs": {"seed": 18446744073709551615u64, "model": ["4", 0]},
                  "_meta": {"title": "First pass"}},
            "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
            "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ""}},
            "7": {"class_type": "CLIPTextEncode", "inputs": {"text": {"__value__": [1, 2]}}},
            "KSampler.0": {"class_type": "Empty", "inputs": {}},
        }))
        .unwrap()
    }

    fn input(w: &Workflow, node: &str, name: &str) -> Source {
        let inputs = w.node(node).unwrap().inputs.clone().unwrap();
        inputs.into_iter().find(|(n, _)| n == name).unwrap().1
    }

    #[test]
    fn reads_constants_links_titles_and_wrapped_arrays() {
        let w = workflow();
        assert_eq!(input(&w, "3", "seed"), Source::Constant(json!(u64::MAX)));
        assert_eq!(input(&w, "3", "model"), Source::Link { node: "4".into(), slot: 0 });
        assert_eq!(w.node("3").unwrap().title.as_deref(), Some("First pass"));
        assert_eq!(input(&w, "7", "text"), Source::Constant(json!([1, 2])));
        assert_eq!(Workflow::from_json(w.to_json()).unwrap().nodes(), w.nodes());
    }

    #[test]
    fn the_body_of_a_request_is_unwrapped() {
        let body = json!({"prompt": workflow().to_json(), "client_id": "x"});
        assert_eq!(Workflow::from_json(body).unwrap().nodes(), workflow().nodes());
    }

    #[test]
    fn wrong_texts_are_explained() {
        let error = Workflow::parse("{\"3\": {\n  oops").unwrap_err().to_string();
        assert!(error.contains("not JSON") && error.contains("line 2 column 3"), "{error}");
        assert_eq!(Workflow::parse("[]").unwrap_err(), ParseError::NotAnObject("an array"));
        let ui = Workflow::parse(r#"{"last_node_id": 9, "nodes": [], "links": [], "version": 0.4}"#).unwrap_err();
        assert!(ui.to_string().contains("Export (API)"), "{ui}");
        let error = Workflow::parse(r#"{"1": 5, "2": {"class_type": 3}, "3": {"class_type": "A", "inputs": []}}"#);
        let error = error.unwrap_err().to_string();
        assert_eq!(error.lines().count(), 3, "{error}");
        assert!(error.contains("node 2: expected `class_type` to be text, found a number"), "{error}");
        assert!(Workflow::parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn overrides_find_nodes_by_id_title_and_class() {
        let mut w = workflow();
        w.set("3.steps=5").unwrap();
        w.set("First pass.cfg=7.5").unwrap();
        w.set("KSampler.sampler_name=euler").unwrap();
        w.set("KSampler.0.width=64").unwrap();
        w.set("6.text=a cat, 1girl").unwrap();
        w.set("6.clip=[\"4\", 1]").unwrap();
        w.set("4.class_type=DiffusersLoader").unwrap();
        assert_eq!(input(&w, "3", "steps"), Source::Constant(json!(5)));
        assert_eq!(input(&w, "3", "cfg"), Source::Constant(json!(7.5)));
        assert_eq!(input(&w, "3", "sampler_name"), Source::Constant(json!("euler")));
        assert_eq!(input(&w, "KSampler.0", "width"), Source::Constant(json!(64)));
        assert_eq!(input(&w, "6", "text"), Source::Constant(json!("a cat, 1girl")));
        assert_eq!(input(&w, "6", "clip"), Source::Link { node: "4".into(), slot: 1 });
        assert_eq!(w.node("4").unwrap().class_type, "DiffusersLoader");
    }

    #[test]
    fn overrides_that_fit_nothing_are_explained() {
        let mut w = workflow();
        let mut error = |text: &str| w.set(text).unwrap_err().to_string();
        assert!(error("3.steps").contains("found no `=`"));
        assert!(error("steps=3").contains("found no `.`"));
        assert!(error("CLIPTextEncode.text=x").contains("names 2 nodes; use one of the ids 6, 7"));
        assert!(error("KSampelr.steps=3").contains("did you mean `KSampler`"));
    }
}
