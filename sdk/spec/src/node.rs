//! The description of a node: its inputs, widgets and outputs.

use crate::{Behaviour, Branch};
use serde::{Deserialize, Serialize};

/// The type of a socket. [`Socket::name`] gives the name that ComfyUI's API uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Socket {
    Int,
    Float,
    Boolean,
    Text,
    Json,
    Image,
    Mask,
    Latent,
    Conditioning,
    Model,
    Clip,
    Vae,
    Tensor,
    Dataset,
    Annotations,
    Scores,
    /// Any other type, by its name in the API.
    Named(String),
    Any,
}

impl Socket {
    /// The type's name in graph JSON and `object_info`: `INT`, `STRING`, `IMAGE`, …, `*` for any.
    pub fn name(&self) -> &str {
        match self {
            Self::Int => "INT",
            Self::Float => "FLOAT",
            Self::Boolean => "BOOLEAN",
            Self::Text => "STRING",
            Self::Json => "JSON",
            Self::Image => "IMAGE",
            Self::Mask => "MASK",
            Self::Latent => "LATENT",
            Self::Conditioning => "CONDITIONING",
            Self::Model => "MODEL",
            Self::Clip => "CLIP",
            Self::Vae => "VAE",
            Self::Tensor => "TENSOR",
            Self::Dataset => "DATASET",
            Self::Annotations => "ANNOTATIONS",
            Self::Scores => "SCORES",
            Self::Named(name) => name,
            Self::Any => "*",
        }
    }

    /// The socket with this name; names without a variant become [`Socket::Named`].
    pub fn from_name(name: &str) -> Self {
        const KNOWN: [Socket; 17] = [
            Socket::Int,
            Socket::Float,
            Socket::Boolean,
            Socket::Text,
            Socket::Json,
            Socket::Image,
            Socket::Mask,
            Socket::Latent,
            Socket::Conditioning,
            Socket::Model,
            Socket::Clip,
            Socket::Vae,
            Socket::Tensor,
            Socket::Dataset,
            Socket::Annotations,
            Socket::Scores,
            Socket::Any,
        ];
        KNOWN.into_iter().find(|s| s.name() == name).unwrap_or_else(|| Self::Named(name.to_owned()))
    }

    /// May a link carry a value of type `from` into this socket?
    pub fn accepts(&self, from: &Socket) -> bool {
        self == from || *self == Self::Any || *from == Self::Any
    }
}

/// How a constant is entered when nothing is linked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Widget {
    /// A socket only: the value must come through a link.
    None,
    Int {
        default: i64,
        min: i64,
        max: i64,
        step: i64,
        seed_control: bool,
    },
    Float {
        default: f64,
        min: f64,
        max: f64,
        step: f64,
        round: Option<f64>,
    },
    Text {
        default: String,
        multiline: bool,
        placeholder: Option<String>,
    },
    Boolean {
        default: bool,
        label_on: Option<String>,
        label_off: Option<String>,
    },
    Combo {
        options: Vec<String>,
        default: Option<String>,
        multiselect: bool,
    },
    /// Names from a list that the host keeps: `models/checkpoints`, `models/loras`, `models/taggers` …
    /// `folder` and `file` are paths that the user wrote; the host grants them to a plugin for the run.
    HostList(String),
    /// A menu whose choices bring inputs of their own, named `MENU.THEIRS` (ComfyUI's `COMFY_DYNAMICCOMBO_V3`).
    Branches(Vec<Branch>),
    /// Links of one type, as many as are made, named `NAME.PREFIX0`, `NAME.PREFIX1` … (ComfyUI's `COMFY_AUTOGROW_V3`).
    Growing {
        prefix: String,
        /// So many must be linked, if the input is required.
        min: u32,
        max: u32,
    },
}

/// One input of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Input {
    pub name: String,
    pub socket: Socket,
    pub widget: Widget,
    pub required: bool,
    /// The node wants the whole list at once.
    pub is_list: bool,
    /// Evaluated only when the node asks for it.
    pub lazy: bool,
    pub tooltip: Option<String>,
}

/// One output of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Output {
    pub name: String,
    pub socket: Socket,
    pub is_list: bool,
    pub tooltip: Option<String>,
}

/// What a plugin's node does; the host supplies the wiring of each role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Node,
    Captioner,
    DatasetSource,
    TagFilter,
    Evaluator,
}

/// A node as front ends, the validator and the reference pages see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Node {
    /// `class_type` in graph JSON.
    pub id: String,
    pub role: Role,
    pub display_name: String,
    pub category: String,
    pub description: String,
    pub inputs: Vec<Input>,
    pub outputs: Vec<Output>,
    /// Runs because somebody wants its effect: saves, reports, previews.
    pub output_node: bool,
    /// Equal inputs and seed give equal outputs, so the host may cache.
    pub deterministic: bool,
    /// Raised when results change although the inputs do not.
    pub revision: u32,
    pub experimental: bool,
    pub deprecated: bool,
    pub aliases: Vec<String>,
    /// An input that the node does not have is an error. Off for nodes with ComfyUI's names: their
    /// clients send extra inputs, which are reported as warnings.
    #[serde(default = "strict_by_default")]
    pub strict: bool,
    /// What the node asks of the engine besides values.
    #[serde(default)]
    pub behaviour: Behaviour,
}

fn strict_by_default() -> bool {
    true
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PluginInfo {
    pub id: String,
    pub version: String,
    pub title: String,
    pub description: String,
    pub authors: Vec<String>,
    pub license: Option<String>,
    pub nodes: Vec<Node>,
    /// JSON Schema of the settings; none: it follows from the inputs that have widgets.
    pub config_schema: Option<String>,
}
