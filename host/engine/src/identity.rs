//! What makes two executions the same: a Merkle hash over class, revision, fingerprint, constants and ancestors.

use crate::{CancelToken, Context, Node, Services, guard::guard};
use graph::{Plan, PlanNode};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::sync::Arc;

/// Raised when the hash covers something else than before.
const VERSION: &str = "anagama-signature-1";

/// Which execution a node of the plan is.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    Known {
        signature: String,
        /// The node or an ancestor runs every time, so nothing may come from a cache.
        volatile: bool,
    },
    /// The node's own fingerprint failed: why.
    Failed(String),
    /// An ancestor's fingerprint failed, or the run was cancelled before.
    Unknown,
}

impl Identity {
    /// The signature under which results may be cached.
    pub(crate) fn cacheable(&self) -> Option<&str> {
        match self {
            Self::Known { signature, volatile: false } => Some(signature),
            _ => None,
        }
    }
}

/// One pass over the plan: each node hashes its sources' hashes, so that a chain of n costs n.
pub(crate) fn identify(
    plan: &Plan,
    nodes: &[Arc<dyn Node>],
    services: &Arc<Services>,
    cancel: &CancelToken,
) -> Vec<Identity> {
    let mut known: Vec<Identity> = Vec::with_capacity(plan.nodes.len());
    for (planned, node) in plan.nodes.iter().zip(nodes) {
        known.push(if cancel.is_cancelled() {
            Identity::Unknown
        } else {
            one(planned, &**node, &known, services, cancel)
        });
    }
    known
}

fn one(
    planned: &PlanNode,
    node: &dyn Node,
    known: &[Identity],
    services: &Arc<Services>,
    cancel: &CancelToken,
) -> Identity {
    let mut volatile = !node.spec().deterministic;
    let mut sources = Vec::with_capacity(planned.links.len());
    for (input, link) in &planned.links {
        let Identity::Known { signature, volatile: source_volatile } = &known[link.node] else {
            return Identity::Unknown;
        };
        volatile |= source_volatile;
        sources.push((input, signature, link.slot));
    }
    let ctx = Context::new(&planned.id, &planned.class_type, services.clone(), cancel.clone());
    let fingerprint = match guard(|| node.fingerprint(&ctx, &planned.constants)) {
        Ok(fingerprint) => fingerprint,
        Err(error) => return Identity::Failed(format!("{error:#}")),
    };
    let mut hash = Hash(Sha256::new());
    hash.part(VERSION);
    hash.part(&planned.class_type);
    hash.part(&node.spec().revision.to_string());
    hash.part(&fingerprint);
    for (name, value) in &planned.constants {
        hash.part(name);
        hash.part(&canonical(value));
    }
    hash.part("links");
    for (input, signature, slot) in sources {
        hash.part(input);
        hash.part(signature);
        hash.part(&slot.to_string());
    }
    Identity::Known { signature: hash.hex(), volatile }
}

struct Hash(Sha256);

impl Hash {
    /// With its length, so that no two lists of parts run together into the same bytes.
    fn part(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
    }

    fn hex(self) -> String {
        self.0.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

/// JSON with sorted keys: the order in which somebody wrote an object does not count.
fn canonical(value: &spec::Value) -> String {
    fn sorted(value: &serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Object(o) => {
                let mut pairs: Vec<_> = o.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
                pairs.sort_by(|a, b| a.0.cmp(&b.0));
                serde_json::Value::Object(pairs.into_iter().collect())
            }
            serde_json::Value::Array(a) => a.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    match value {
        spec::Value::Data(v) => sorted(v).to_string(),
        // A plan's constants are data; anything else would have no stable text.
        other => other.describe(),
    }
}
