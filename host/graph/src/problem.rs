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
    DependencyCycle,
    /// Ours: ComfyUI ignores inputs that a node does not have.
    UnknownInput,
}

impl Kind {
    /// ComfyUI's `type` and its general sentence.
    const fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::NoOutputs => ("prompt_no_outputs", "Prompt has no outputs"),
            Self::MissingNodeType => ("missing_node_type", "Node not found"),
            Self::MissingInputs => ("exception_during_validation", "Node has no inputs object"),
            Self::RequiredInputMissing => ("required_input_missing", "Required input is missing"),
            Self::BadLinkedInput => {
                ("bad_linked_input", "Bad linked input, must be a length-2 list of [node_id, slot_index]")
            }
            Self::LinkToNowhere => ("exception_during_inner_validation", "Exception when validating inner node"),
            Self::ReturnTypeMismatch => ("return_type_mismatch", "Return type mismatch between linked nodes"),
            Self::InvalidInputType => ("invalid_input_type", "Failed to convert an input value"),
            Self::ValueSmallerThanMin => ("value_smaller_than_min", "Value smaller than min"),
            Self::ValueBiggerThanMax => ("value_bigger_than_max", "Value bigger than max"),
            Self::ValueNotInList => ("value_not_in_list", "Value not in list"),
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
    /// More facts for programs, as ComfyUI's `extra_info`.
    pub extra: Map<String, Value>,
}

impl Problem {
    /// The object that ComfyUI puts into `node_errors[id].errors`.
    pub fn to_json(&self) -> Value {
        let mut extra = self.extra.clone();
        let details = match &self.input {
            Some(input) => {
                extra.insert("input_name".into(), json!(input));
                format!("{input}: {}", self.details)
            }
            None => self.details.clone(),
        };
        json!({ "type": self.kind.name(), "message": self.kind.message(), "details": details, "extra_info": extra })
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
    /// The body that ComfyUI answers to a bad prompt: `{"error": …, "node_errors": …}`.
    pub fn to_json(&self) -> Value {
        let whole = self
            .problems
            .iter()
            .find(|p| matches!(p.kind, Kind::NoOutputs | Kind::MissingNodeType | Kind::DependencyCycle));
        let error = match whole {
            Some(p) => p.to_json(),
            None => json!({
                "type": "prompt_outputs_failed_validation",
                "message": "Prompt outputs failed validation",
                "details": self.to_string(),
                "extra_info": {},
            }),
        };
        let mut nodes = Map::new();
        for p in self.problems.iter().filter(|p| !p.node.is_empty()) {
            let entry = nodes.entry(p.node.clone()).or_insert_with(|| {
                json!({
                    "errors": [],
                    "dependent_outputs": self.dependent_outputs.get(&p.node).cloned().unwrap_or_default(),
                    "class_type": p.class_type,
                })
            });
            if let Some(errors) = entry["errors"].as_array_mut() {
                errors.push(p.to_json());
            }
        }
        json!({ "error": error, "node_errors": nodes })
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
