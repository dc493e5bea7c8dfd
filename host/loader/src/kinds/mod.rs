//! The plugin kinds: what a component or library must export, and how a configured instance is kept alive.
//!
//! Each kind has one file with the calls that both forms implement (`Raw…`) and the object that the host gets. The
//! object makes a crashed instance anew, tries a batch again one by one, and says who failed.

pub(crate) mod answers;
pub(crate) mod captioner;
pub(crate) mod dataset_source;
pub(crate) mod evaluator;
pub(crate) mod node;
pub(crate) mod tag_filter;

use crate::error::Fault;
use crate::services::Services;
use spec::{PluginError, Role};

/// What a plugin can be; equal to the role of its nodes.
pub type Kind = Role;

/// One row per kind.
pub(crate) struct KindRow {
    pub(crate) kind: Kind,
    /// Name in messages, and stem of the kind's files.
    pub(crate) name: &'static str,
    /// The WIT interface without its version.
    pub(crate) interface: &'static str,
}

pub(crate) const KINDS: &[KindRow] = &[captioner::ROW, dataset_source::ROW, tag_filter::ROW, evaluator::ROW, node::ROW];

pub(crate) fn name(kind: Kind) -> &'static str {
    KINDS.iter().find(|row| row.kind == kind).map_or("plugin", |row| row.name)
}

/// The plugin answered, or the instance is dead.
pub(crate) type Answer<T> = Result<Result<T, PluginError>, Fault>;

/// Why an instance could not be opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// It does not link, or lacks the interface.
    Link(String),
    /// It crashed while opening.
    Fault(Fault),
    /// It refused its settings.
    Refused(PluginError),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Link(problem) => f.write_str(problem),
            Self::Fault(fault) => fault.fmt(f),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl From<Fault> for OpenError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl OpenError {
    pub(crate) fn kind(&self) -> spec::ErrorKind {
        match self {
            Self::Link(_) => spec::ErrorKind::Unavailable,
            Self::Fault(fault) => fault.kind(),
            Self::Refused(error) => error.kind,
        }
    }
}

/// A loaded component or library: opens configured instances. `config` is a JSON object.
pub(crate) trait Artefact: Send + Sync {
    fn captioner(&self, config: &str, services: Services) -> Result<Box<dyn captioner::RawCaptioner>, OpenError>;
    fn dataset_source(&self, config: &str, services: Services)
    -> Result<Box<dyn dataset_source::RawSource>, OpenError>;
    fn tag_filter(&self, config: &str, services: Services) -> Result<Box<dyn tag_filter::RawFilter>, OpenError>;
    fn evaluator(&self, config: &str, services: Services) -> Result<Box<dyn evaluator::RawEvaluator>, OpenError>;
    fn node(&self, services: Services) -> Result<Box<dyn node::RawNode>, OpenError>;
}

/// Opens an instance with the settings it was configured with.
pub(crate) type Opener<I> = Box<dyn Fn() -> Result<Box<I>, OpenError> + Send>;

/// A configured instance that is made anew when it crashed.
pub(crate) struct Guard<I: ?Sized> {
    /// The plugin as error messages name it, with kind and hash.
    label: String,
    open: Opener<I>,
    instance: Option<Box<I>>,
}

/// Why a guarded call gave no answer.
pub(crate) enum CallError {
    /// The plugin said no; the instance lives.
    Refused(PluginError),
    /// The instance died and was dropped.
    Fault(Fault),
    /// A new instance could not be opened.
    Open(OpenError),
}

impl<I: ?Sized> Guard<I> {
    /// Opens the first instance.
    pub(crate) fn new(label: String, open: Opener<I>) -> Result<Self, OpenError> {
        let instance = open()?;
        Ok(Self { label, open, instance: Some(instance) })
    }

    pub(crate) fn call<T>(&mut self, f: impl FnOnce(&mut I) -> Answer<T>) -> Result<T, CallError> {
        self.call_after(|_| Ok(Ok(())), f)
    }

    /// As `call`; a new instance is first brought to the state of the dead one with `replay`.
    pub(crate) fn call_after<T>(
        &mut self,
        replay: impl FnOnce(&mut I) -> Answer<()>,
        f: impl FnOnce(&mut I) -> Answer<T>,
    ) -> Result<T, CallError> {
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => {
                let mut fresh = (self.open)().map_err(CallError::Open)?;
                replay(&mut fresh).map_err(CallError::Fault)?.map_err(CallError::Refused)?;
                fresh
            }
        };
        // A fault leaves the place empty: the dead instance is dropped here.
        let answer = f(&mut instance).map_err(CallError::Fault)?;
        self.instance = Some(instance);
        answer.map_err(CallError::Refused)
    }

    /// The error for the user: who, what, why.
    pub(crate) fn blame(&self, what: &str, error: &CallError) -> PluginError {
        let colon = if what.is_empty() { "" } else { ": " };
        match error {
            CallError::Refused(e) => self.blame_plugin(what, e.clone()),
            CallError::Fault(fault) => PluginError::new(fault.kind(), format!("{}{colon}{what}: {fault}", self.label)),
            CallError::Open(e) => {
                PluginError::new(e.kind(), format!("{}{colon}{what}: could not be opened again: {e}", self.label))
            }
        }
    }

    /// An error that the plugin gave, with its name in front.
    pub(crate) fn blame_plugin(&self, what: &str, mut error: PluginError) -> PluginError {
        let colon = if what.is_empty() { "" } else { ": " };
        error.message = format!("{}{colon}{what}: {}", self.label, error.message);
        error
    }
}

impl CallError {
    /// Would trying again be wrong or useless?
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Open(_) | Self::Fault(Fault::Cancelled))
    }

    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self, Self::Fault(Fault::Deadline(_)))
    }
}

/// After this many items in a row that ran out of time, the rest of a batch is given up.
pub(crate) const MAX_TIMEOUTS: usize = 2;

/// A plugin must answer each item of a batch, in order.
pub(crate) fn check_count(expected: usize, found: usize, what: &str) -> Result<(), Fault> {
    if expected == found {
        return Ok(());
    }
    Err(Fault::Trapped(format!("it broke the contract of {what}: expected {expected} answers, found {found}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn rows_are_unique_and_named_after_their_interface() {
        for row in KINDS {
            assert_eq!(row.interface, format!("anagama:plugin/{}", row.name));
            assert_eq!(KINDS.iter().filter(|r| r.kind == row.kind).count(), 1);
            let wit = std::fs::read_dir("../../wit").unwrap().flatten().any(|f| {
                std::fs::read_to_string(f.path()).is_ok_and(|text| text.contains(&format!("interface {} {{", row.name)))
            });
            assert!(wit, "{} is not in the WIT", row.name);
            let file = format!("src/kinds/{}.rs", row.name.replace('-', "_"));
            assert!(std::path::Path::new(&file).is_file(), "{file}");
        }
    }

    #[test]
    fn a_dead_instance_is_made_anew_and_brought_up_to_date() {
        let opened = Arc::new(AtomicUsize::new(0));
        let count = opened.clone();
        let open: Opener<Vec<u8>> = Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(Box::default())
        });
        let mut guard = Guard::new("plugin x".into(), open).unwrap();
        let replay = |v: &mut Vec<u8>| {
            v.push(1);
            Ok(Ok(()))
        };
        assert_eq!(guard.call_after(replay, |v| Ok(Ok(v.len()))).ok(), Some(0));
        let dead = guard.call_after(replay, |_| Err::<Result<(), _>, _>(Fault::Trapped("boom".into()))).unwrap_err();
        assert_eq!(guard.blame("image 1", &dead).message, "plugin x: image 1: crashed: boom");
        assert_eq!(guard.call_after(replay, |v| Ok(Ok(v.len()))).ok(), Some(1));
        assert_eq!(opened.load(Ordering::Relaxed), 2);
    }
}
