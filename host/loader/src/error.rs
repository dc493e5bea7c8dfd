//! What can go wrong between finding a plugin and getting an answer from it.

use std::path::PathBuf;
use thiserror::Error;

/// A plugin that could not be found, loaded, opened or called.
#[derive(Clone, Debug, Error)]
pub enum LoadError {
    /// The manifest cannot be read or says something impossible.
    #[error("{}: {problem}", path.display())]
    Manifest { path: PathBuf, problem: String },

    /// No installed plugin has this id.
    #[error("plugin `{id}`: not installed; installed are: {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    Unknown { id: String, known: Vec<String> },

    /// Two folders hold a plugin of the same id.
    #[error("plugin `{id}` is installed twice: {} is used, {} is left out; remove one of them", used.display(), left_out.display())]
    Twice { id: String, used: PathBuf, left_out: PathBuf },

    /// A native library that the user did not approve.
    #[error("{}", not_approved(plugin, path, sha256))]
    NotApproved { plugin: String, path: PathBuf, sha256: String },

    /// The artefact does not compile, link or describe itself.
    #[error("{plugin}: {problem}")]
    Artefact { plugin: String, problem: String },

    /// The plugin was opened, and it or the host refused.
    #[error("{plugin}: {stage}: {problem}")]
    Call { plugin: String, stage: String, problem: String, kind: Option<spec::ErrorKind> },

    /// A file or folder of the host's own.
    #[error("{}: {problem}", path.display())]
    Io { path: PathBuf, problem: String },
}

impl LoadError {
    /// Did the run end because the user cancelled it?
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Call { kind: Some(spec::ErrorKind::Cancelled), .. })
    }

    pub(crate) fn io(path: impl Into<PathBuf>, error: &std::io::Error) -> Self {
        Self::Io { path: path.into(), problem: error.to_string() }
    }
}

fn not_approved(plugin: &str, path: &std::path::Path, sha256: &str) -> String {
    format!(
        "{plugin}: the native library {} (sha256 {}) is not approved; native code runs with all your rights, so each \
         file must be approved once: `anagama plugins approve {}`",
        path.display(),
        &sha256[..sha256.len().min(12)],
        path.display()
    )
}

/// Why a call into a plugin gave no answer. The instance is dead afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The user cancelled the run.
    Cancelled,
    /// The call took longer than allowed.
    Deadline(std::time::Duration),
    /// The plugin crashed or broke the contract.
    Trapped(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cancelled => f.write_str("cancelled"),
            Self::Deadline(limit) => {
                let seconds = limit.as_secs_f64();
                write!(
                    f,
                    "took longer than the {seconds:.1} s a call may take and was stopped; `deadline-seconds` under [limits] \
                     allows more"
                )
            }
            Self::Trapped(why) => write!(f, "crashed: {why}"),
        }
    }
}

impl Fault {
    pub(crate) fn kind(&self) -> spec::ErrorKind {
        match self {
            Self::Cancelled => spec::ErrorKind::Cancelled,
            Self::Deadline(_) => spec::ErrorKind::Timeout,
            Self::Trapped(_) => spec::ErrorKind::Internal,
        }
    }
}
