//! What makes two executions the same: a Merkle hash over class, revision, fingerprint, constants and ancestors.

use crate::{CancelToken, Context, Node, RunsEveryTime, Services, guard::guard};
use sha2::{Digest, Sha256};
use spec::Values;
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

/// A node whose identity is asked for.
pub(crate) struct Subject<'a> {
    pub(crate) id: &'a str,
    pub(crate) class_type: &'a str,
    pub(crate) node: &'a dyn Node,
    pub(crate) constants: &'a Values,
    /// Input, identity of its source, slot.
    pub(crate) links: Vec<(&'a str, &'a Identity, usize)>,
    /// For a node of an expansion: the node that expanded, and its id.
    pub(crate) parent: Option<(&'a Identity, &'a str)>,
}

/// Each node hashes its sources' hashes, so that a chain of n costs n.
pub(crate) fn identify(subject: &Subject, services: &Arc<Services>, cancel: &CancelToken) -> Identity {
    if cancel.is_cancelled() {
        return Identity::Unknown;
    }
    let spec = subject.node.spec();
    let mut volatile = !spec.deterministic;
    let mut sources = Vec::with_capacity(subject.links.len());
    for (input, source, slot) in &subject.links {
        let Identity::Known { signature, volatile: source_volatile } = source else { return Identity::Unknown };
        volatile |= source_volatile;
        sources.push((input, signature, slot));
    }
    let ctx = Context::new(subject.id, subject.class_type, services.clone(), cancel.clone());
    let asked = guard(|| match spec.behaviour.fingerprints {
        true => subject.node.fingerprint(&ctx, &with_nulls(subject)),
        false => subject.node.fingerprint(&ctx, subject.constants),
    });
    let fingerprint = match asked {
        Ok(fingerprint) => fingerprint,
        Err(error) if error.is::<RunsEveryTime>() => {
            volatile = true;
            String::new()
        }
        Err(error) => return Identity::Failed(format!("{error:#}")),
    };
    let mut hash = Hash(Sha256::new());
    hash.part(VERSION);
    hash.part(subject.class_type);
    hash.part(&spec.revision.to_string());
    hash.part(&fingerprint);
    if spec.behaviour.is_personal() {
        hash.part(subject.id);
    }
    for (name, value) in subject.constants {
        hash.part(name);
        match value {
            spec::Value::Data(data) => hash.part(&canonical(data)),
            // A value that the expanding node computed: it is known by how it was computed.
            _ => match subject.parent.and_then(|(parent, id)| Some((parent.cacheable()?, id))) {
                Some((signature, id)) => {
                    hash.part(signature);
                    hash.part(subject.id.strip_prefix(id).unwrap_or(subject.id));
                }
                None => volatile = true,
            },
        }
    }
    hash.part("links");
    for (input, signature, slot) in sources {
        hash.part(input);
        hash.part(signature);
        hash.part(&slot.to_string());
    }
    Identity::Known { signature: hash.hex(), volatile }
}

fn with_nulls(subject: &Subject) -> Values {
    let links = subject.links.iter().map(|(name, ..)| ((*name).to_owned(), spec::Value::Data(serde_json::Value::Null)));
    subject.constants.clone().into_iter().chain(links).collect()
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
fn canonical(value: &serde_json::Value) -> String {
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
        serde_json::Value::Object(_) | serde_json::Value::Array(_) => sorted(value).to_string(),
        plain => plain.to_string(),
    }
}
