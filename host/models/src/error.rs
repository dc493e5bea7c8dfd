//! What can go wrong when networks and their files are read or put together.

use std::path::{Path, PathBuf};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. Its text says what was found, what was expected and what helps.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tensor operation failed: mostly shapes that do not fit.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is a Python pickle, which this program does not open.
    #[error("{}: {what}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// Why it is not opened and what to do.
        what: String,
    },
    /// A file is damaged, or not what its name says.
    #[error("{}: {what}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The tensors of a file are not those that the network needs.
    #[error("{}", keys_message(place, problems, hint))]
    Keys {
        /// The file and the part of it.
        place: String,
        /// One line for each missing, surplus or misshapen key: all of them.
        problems: Vec<String>,
        /// What kind of file this looks like, or what to do; may be empty.
        hint: String,
    },
    /// Names that fit no layer of the network.
    #[error("{}", keys_message(what, unknown, hint))]
    Targets {
        /// What the names are.
        what: String,
        /// The names: all of them.
        unknown: Vec<String>,
        /// What they look like; may be empty.
        hint: String,
    },
    /// A text could not be cut into tokens.
    #[error("{0}")]
    Tokens(String),
    /// A prompt cannot be read as it is written.
    #[error("{0}")]
    Prompt(String),
    /// Something asked of this crate is not possible.
    #[error("{0}")]
    Unsupported(String),
}

impl Error {
    pub(crate) fn file(path: &Path, what: impl Into<String>) -> Error {
        Error::File { path: path.to_owned(), what: what.into() }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Io { path: path.to_owned(), source }
    }
}

/// More lines than this are counted, not printed; the error's fields have them all.
const LINES: usize = 60;

fn keys_message(place: &str, problems: &[String], hint: &str) -> String {
    let mut text = place.to_owned();
    for problem in problems.iter().take(LINES) {
        text.push_str("\n  ");
        text.push_str(problem);
    }
    if problems.len() > LINES {
        text.push_str(&format!("\n  and {} more", problems.len() - LINES));
    }
    if !hint.is_empty() {
        text.push('\n');
        text.push_str(hint);
    }
    text
}
