//! What a node asks of the engine besides values in and values out.

use serde::{Deserialize, Serialize};

/// How a node takes part in a run. The default is a node that is called once for each item with the values of its
/// declared inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Behaviour {
    /// The node runs once, and every input is the whole list (ComfyUI's `INPUT_IS_LIST`).
    pub takes_lists: bool,
    /// Inputs that the node does not declare reach it too.
    pub variadic: bool,
    /// What the host puts in, by input name.
    pub hidden: Vec<(String, Hidden)>,
    /// Inputs that get the link itself as `["id", slot]`, and not the value behind it.
    pub raw_links: Vec<String>,
    /// The node checks inputs itself before anything runs (ComfyUI's `VALIDATE_INPUTS`).
    pub validates: Option<Validates>,
    /// The node says itself whether its result would differ (ComfyUI's `IS_CHANGED`).
    pub fingerprints: bool,
    /// Mostly waits: runs beside all others, and its calls over a list run side by side.
    pub asynchronous: bool,
    /// How many nodes of this class may run at once; 0 sets no limit.
    pub concurrency: u32,
    /// Results are not worth a place in the store; they are only remembered in memory.
    pub memory_only: bool,
}

/// A value that no link and no widget gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hidden {
    /// The node's id. It then counts for the cache.
    UniqueId,
    /// The workflow in API form, as it was sent.
    Prompt,
    /// The workflow with all nodes that came from expansions so far.
    DynPrompt,
    /// What the front end wants saved in pictures; mostly its own form of the workflow.
    ExtraPngInfo,
}

impl Hidden {
    /// The name in `object_info`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UniqueId => "UNIQUE_ID",
            Self::Prompt => "PROMPT",
            Self::DynPrompt => "DYNPROMPT",
            Self::ExtraPngInfo => "EXTRA_PNGINFO",
        }
    }
}

/// Which inputs a node's own check covers. Bounds and lists of those are not checked by the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Validates {
    /// Names of inputs.
    pub inputs: Vec<String>,
    /// All inputs, whatever `inputs` says.
    pub all: bool,
    /// The check judges the types of links too, so the host does not.
    pub types: bool,
}

impl Validates {
    /// Does the check cover this input?
    pub fn covers(&self, input: &str) -> bool {
        self.all || self.inputs.iter().any(|i| i == input)
    }
}

impl Behaviour {
    /// Does the node get the link of this input, and not its value?
    pub fn is_raw(&self, input: &str) -> bool {
        self.raw_links.iter().any(|i| i == input)
    }

    /// Does the node's id count for the cache?
    pub fn is_personal(&self) -> bool {
        self.hidden.iter().any(|(_, hidden)| *hidden == Hidden::UniqueId)
    }
}
