//! What is wrong with a workflow, in the structure that ComfyUI's clients read.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// The sort of a problem. [`Kind::name`] is ComfyUI's `type`, where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    NoOutputs,
    MissingNodeType,
    MissingInputs,
    RequiredInputMissing,
    BadLinkedInput,
    LinkToNowhere,
    ReturnTypeMismatch,
    InvalidInputType,
    ValueSmallerThanMin,
    ValueBiggerThanMax,
    ValueNotInList,
    CustomValidationFailed,
    /// A node's own check failed instead of answering.
    CheckFailed,
    DependencyCycle,
    /// Ours: ComfyUI ignores inputs that a node does not have.
    UnknownInput,
}

/// ComfyUI finds these by an exception, which it reports under one of two types.
const BY_EXCEPTION: [Kind; 3] = [Kind::MissingInputs, Kind::LinkToNowhere, Kind::CheckFailed];

impl Kind {
    /// ComfyUI's `type` and its general sentence.
    const fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::NoOutputs => ("prompt_no_outputs", "Prompt has no outputs"),
            Self::MissingNodeType => ("missing_node_type", "Node not found"),
            Self::MissingInputs | Self::LinkToNowhere | Self::CheckFailed => {
                ("exception_during_inner_validation", "Exception when validating inner node")
            }
            Self::RequiredInputMissing => ("required_input_missing", "Required input is missing"),
            Self::BadLinkedInput => {
                ("bad_linked_input", "Bad linked input, must be a length-2 list of [node_id, slot_index]")
            }
            Self::ReturnTypeMismatch => ("return_type_mismatch", "Return type mismatch between linked nodes"),
            Self::InvalidInputType => ("invalid_input_type", "Failed to convert an input value"),
            Self::ValueSmallerThanMin => ("value_smaller_than_min", "Value smaller than min"),
            Self::ValueBiggerThanMax => ("value_bigger_than_max", "Value bigger than max"),
            Self::ValueNotInList => ("value_not_in_list", "Value not in list"),
            Self::CustomValidationFailed => ("custom_validation_failed", "Custom validation failed for node"),
            Self::DependencyCycle => ("dependency_cycle", "Dependency cycle detected"),
            Self::UnknownInput => ("unknown_input", "Node has no such input"),
        }
    }

    /// The `type` string in JSON.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// ComfyUI's sentence for this sort of problem.
    pub const fn message(self) -> &'static str {
        self.row().1
    }

    pub(crate) fn is_exception(self) -> bool {
        BY_EXCEPTION.contains(&self)
    }
}

/// One problem: which node, which input, what was expected and found.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub kind: Kind,
    /// Empty for problems of the workflow as a whole.
    pub node: String,
    pub class_type: String,
    pub input: Option<String>,
    /// What was found, what was expected, what to do.
    pub details: String,
    /// ComfyUI's `message`, where it says more than that of the kind.
    pub message: Option<String>,
    /// ComfyUI's `details`; none: the input's name.
    pub brief: Option<String>,
    /// More facts for programs, as ComfyUI's `extra_info`.
    pub extra: Map<String, Value>,
    /// Is the node an output node? Exceptions have another type there.
    pub at_output: bool,
}

impl Problem {
    /// The object that ComfyUI puts into `node_errors[id].errors`; `extra_info.help` is our own sentence.
    pub fn to_json(&self) -> Value {
        let mut extra = self.extra.clone();
        if let Some(input) = &self.input {
            extra.entry("input_name").or_insert_with(|| json!(input));
        }
        extra.insert("help".into(), json!(self.details));
        let (mut kind, mut message) = self.kind.row();
        if self.at_output && self.kind.is_exception() {
            (kind, message) = ("exception_during_validation", "Exception when validating node");
            extra.retain(|key, _| !matches!(key.as_str(), "input_name" | "input_config" | "linked_node"));
        }
        let message = self.message.as_deref().unwrap_or(message);
        let details = self.brief.as_ref().or(self.input.as_ref()).cloned().unwrap_or_default();
        json!({ "type": kind, "message": message, "details": details, "extra_info": extra })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.node.is_empty() {
            write!(f, "node {}", self.node)?;
            if !self.class_type.is_empty() {
                write!(f, " ({})", self.class_type)?;
            }
            if let Some(input) = &self.input {
                write!(f, ", input `{input}`")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.details)
    }
}

/// All problems of a workflow at once, in the order of its nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problems {
    pub problems: Vec<Problem>,
    /// Node id → output nodes that cannot run because of it.
    pub dependent_outputs: BTreeMap<String, Vec<String>>,
}

impl Problems {
    /// Is there nothing to say?
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// The body that ComfyUI answers to a bad prompt: `{"error": …, "node_errors": …}`.
    pub fn to_json(&self) -> Value {
        let whole = self.problems.iter().find(|p| matches!(p.kind, Kind::NoOutputs | Kind::MissingNodeType));
        if let Some(problem) = whole {
            let mut error = problem.to_json();
            let missing = self.problems.iter().filter(|p| p.kind == Kind::MissingNodeType);
            let missing: Vec<Value> = missing.map(|p| Value::Object(p.extra.clone())).collect();
            if missing.len() > 1 {
                error["extra_info"]["all"] = Value::Array(missing);
            }
            return json!({ "error": error, "node_errors": {} });
        }
        let text = |p: &Problem| {
            let json = p.to_json();
            let part = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
            format!("{}: {}", part("message"), part("details"))
        };
        let error = json!({
            "type": "prompt_outputs_failed_validation",
            "message": "Prompt outputs failed validation",
            "details": self.problems.iter().map(text).collect::<Vec<_>>().join("\n"),
            "extra_info": {},
        });
        json!({ "error": error, "node_errors": self.node_errors() })
    }

    /// Node id → its errors and the outputs that cannot run because of them: `node_errors` of both answers.
    pub fn node_errors(&self) -> Map<String, Value> {
        let mut nodes = Map::new();
        for p in self.problems.iter().filter(|p| !p.node.is_empty()) {
            let json = p.to_json();
            // ComfyUI reports a cycle at each of its nodes.
            let cycle = p.extra.get("cycle_nodes").and_then(Value::as_array);
            let ids: Vec<&str> = match cycle {
                Some(ids) => ids.iter().filter_map(Value::as_str).collect(),
                None => vec![&p.node],
            };
            let classes = p.extra.get("cycle_classes").and_then(Value::as_array);
            for (i, id) in ids.into_iter().enumerate() {
                let class = classes.and_then(|c| c.get(i)).and_then(Value::as_str).unwrap_or(&p.class_type);
                let outputs = self.dependent_outputs.get(id).or_else(|| self.dependent_outputs.get(&p.node));
                let entry = nodes.entry(id.to_owned()).or_insert_with(|| {
                    json!({
                        "errors": [],
                        "dependent_outputs": outputs.cloned().unwrap_or_default(),
                        "class_type": class,
                    })
                });
                let mut error = json.clone();
                if cycle.is_some() {
                    error["extra_info"]["node_id"] = json!(id);
                }
                if let Some(errors) = entry["errors"].as_array_mut() {
                    errors.push(error);
                }
            }
        }
        nodes
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, p) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{p}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
