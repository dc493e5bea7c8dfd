//! What the engine runs, and where results go that outlive the process.

use crate::Context;
use spec::{Expansion, Value, Values};
use std::collections::BTreeMap;

/// A node that can run. Usually made by [`crate::node`] from a [`crate::TypedNode`].
pub trait Node: Send + Sync {
    /// How the node describes itself.
    fn spec(&self) -> &spec::Node;

    /// What the result depends on besides class, constants and ancestors: a plugin's hash, digests of files that
    /// the constants name. Called before every run, also for cached nodes, so it must be cheap when nothing changed.
    ///
    /// Nodes whose description says [`fingerprints`](spec::Behaviour::fingerprints) also see null for what is linked.
    ///
    /// # Errors
    /// When a named file cannot be read; the node then fails and does not run. [`RunsEveryTime`] is no failure.
    fn fingerprint(&self, ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        let _ = (ctx, constants);
        Ok(String::new())
    }

    /// May the outputs go to the persistent store? Every output type then needs a codec there.
    fn persistent(&self) -> bool {
        false
    }

    /// Called when outputs come from a cache: brings back what lies outside of them, such as written files.
    /// False if that is not possible, and the node must run again.
    ///
    /// # Errors
    /// Is logged, and the node runs again.
    fn restore(&self, ctx: &Context, outputs: &Outputs) -> anyhow::Result<bool> {
        let _ = (ctx, outputs);
        Ok(true)
    }

    /// Checks inputs before anything runs, if the description says so: constants, and null for what is linked. `types`
    /// are those of the linked outputs. None: fine; else why not.
    ///
    /// # Errors
    /// When the check itself fails.
    fn validate(&self, inputs: &Values, types: &BTreeMap<String, String>) -> anyhow::Result<Option<Refusal>> {
        let _ = (inputs, types);
        Ok(None)
    }

    /// Which lazy inputs the call needs; asked again once they are there. What is not computed is null.
    ///
    /// # Errors
    /// The node fails.
    fn check_lazy(&self, ctx: &Context, inputs: &Values) -> anyhow::Result<Vec<String>> {
        let _ = ctx;
        let linked = |i: &&spec::Input| i.lazy && inputs.contains_key(&i.name);
        Ok(self.spec().inputs.iter().filter(linked).map(|i| i.name.clone()).collect())
    }

    /// Does the work. Long work reports progress and asks [`Context::check_cancelled`] at every step.
    ///
    /// # Errors
    /// Says what went wrong; the engine adds which node.
    fn run(&self, ctx: &Context, inputs: Values) -> anyhow::Result<Outputs>;
}

/// What a node produced.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// One value per output of the node's description.
    pub values: Vec<Value>,
    /// For whoever watches: `{"files": [{"path", "sha256"}]}`, `images`, `text` …
    pub ui: serde_json::Map<String, serde_json::Value>,
    /// Nodes to run in place of this one; `values` then do not count.
    pub expand: Option<Expansion>,
}

/// Why a node does not accept its inputs, if it says so.
pub type Refusal = Option<String>;

/// What [`Node::fingerprint`] returns when nothing may be reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("runs every time")]
pub struct RunsEveryTime;

/// An error with the name that programs know it by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Raised {
    /// ComfyUI's `exception_type`.
    pub kind: String,
    pub message: String,
}

impl Raised {
    /// An error of this kind.
    pub fn new(kind: &str, message: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), message: message.into() }
    }
}

/// A persistent store of outputs by signature.
pub trait ResultCache: Send + Sync {
    /// The outputs stored under this signature.
    ///
    /// # Errors
    /// When the entry is damaged; the engine logs that and the node runs again.
    fn get(&self, signature: &str, spec: &spec::Node) -> anyhow::Result<Option<Outputs>>;

    /// Stores outputs so that a killed process leaves the whole entry or none.
    ///
    /// # Errors
    /// Is logged; the run goes on.
    fn put(&self, signature: &str, spec: &spec::Node, outputs: &Outputs) -> anyhow::Result<()>;
}
