//! What the engine runs, and where results go that outlive the process.

use crate::Context;
use spec::{Value, Values};

/// A node that can run. Usually made by [`crate::node`] from a [`crate::TypedNode`].
pub trait Node: Send + Sync {
    /// How the node describes itself.
    fn spec(&self) -> &spec::Node;

    /// What the result depends on besides class, constants and ancestors: a plugin's hash, digests of files that
    /// the constants name. Called before every run, also for cached nodes, so it must be cheap when nothing changed.
    ///
    /// # Errors
    /// When a named file cannot be read; the node then fails and does not run.
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
