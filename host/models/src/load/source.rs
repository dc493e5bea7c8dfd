//! The tensors of one part of a model, wherever they come from.

use crate::config::Json;
use crate::error::{Error, Result};
use crate::family::Shapes;
use crate::memory::Memory;
use crate::weights::{Entries, Part, Piece, WeightFile};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One part of a model: files, and what stands in front of the part's keys in them.
pub(crate) struct Source {
    /// File or folder, for messages.
    pub(crate) place: PathBuf,
    files: Vec<Arc<WeightFile>>,
    prefix: String,
    /// The part's `config.json`, if there is one.
    pub(crate) config: Option<Json>,
    /// The folder of the part's tokenizer, if there is one.
    pub(crate) tokenizer: Option<PathBuf>,
    /// The budget of the working copies of weights.
    pub(crate) memory: Memory,
    notes: RefCell<Vec<String>>,
}

/// One piece of a network's tensor: the tensor's name, and where the piece stands among several.
pub(crate) type Named = (String, usize, Piece);

impl Source {
    pub(crate) fn new(place: &Path, files: Vec<Arc<WeightFile>>, prefix: &str) -> Source {
        Source {
            place: place.to_owned(),
            files,
            prefix: prefix.to_owned(),
            config: None,
            tokenizer: None,
            memory: Memory::unlimited(),
            notes: RefCell::default(),
        }
    }

    /// The same files with only the keys behind the first of these prefixes that any key has.
    pub(crate) fn below(place: &Path, files: &[Arc<WeightFile>], prefixes: &[&str]) -> Option<Source> {
        let has = |prefix: &&&str| files.iter().any(|file| file.entries.keys().any(|key| key.starts_with(**prefix)));
        prefixes.iter().find(has).map(|prefix| Source::new(place, files.to_vec(), prefix))
    }

    /// Keys without the prefix, with the tensors they stand for.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (&str, Piece)> {
        self.files.iter().flat_map(|file| {
            let keys = file.entries.keys();
            keys.filter_map(|key| Some((key.strip_prefix(self.prefix.as_str())?, Piece::whole(file, key))))
        })
    }

    /// Keys without the prefix, and the shapes of their tensors.
    pub(crate) fn shapes(&self) -> Shapes {
        self.pieces().filter_map(|(key, piece)| Some((key.to_owned(), piece.shape()?))).collect()
    }

    /// Whether there is a key that contains this.
    pub(crate) fn has(&self, piece: &str) -> bool {
        self.pieces().any(|(key, _)| key.contains(piece))
    }

    /// A tensor's values, if it is there.
    pub(crate) fn values(&self, key: &str) -> Option<Vec<f32>> {
        self.pieces().find(|(own, _)| *own == key)?.1.values()
    }

    /// A string of a file's header.
    pub(crate) fn metadata(&self, key: &str) -> Option<&str> {
        self.files.iter().find_map(|file| file.metadata.get(key)).map(String::as_str)
    }

    /// The tensors under the names that the network uses. No name leaves a key out.
    pub(crate) fn entries(&self, mut names: impl FnMut(&str, Piece) -> Vec<Named>) -> Entries {
        let mut named: Vec<Named> = self.pieces().flat_map(|(key, piece)| names(key, piece)).collect();
        named.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        let mut entries = Entries::new();
        for (name, _, piece) in named {
            entries.entry(name).or_default().push(piece);
        }
        entries
    }

    /// Builds a network of these tensors; tensors that are missing, misshapen or left over are told all at once.
    pub(crate) fn build<T>(&self, entries: Entries, build: impl FnOnce(&mut Part) -> Result<T>) -> Result<T> {
        let mut part = Part::new(self.place.display().to_string(), entries).within(&self.memory);
        let built = build(&mut part)?;
        part.finish("the config and the weights belong to different models, or the file is not whole")?;
        Ok(built)
    }

    /// An error about this part.
    pub(crate) fn wrong(&self, what: impl Into<String>) -> Error {
        Error::file(&self.place, what)
    }

    /// Something to tell about how it was read.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.notes.borrow_mut().push(text.into());
    }

    /// What was noted.
    pub(crate) fn notes(self) -> Vec<String> {
        self.notes.into_inner()
    }
}

/// A whole tensor under one name.
pub(crate) fn whole(name: String, piece: Piece) -> Vec<Named> {
    vec![(name, 0, piece)]
}

/// The shapes of a network's tensors, under its names.
pub(crate) fn shapes(entries: &Entries) -> Shapes {
    let shape = |pieces: &Vec<Piece>| crate::weights::stacked_shape(pieces);
    entries.iter().filter_map(|(name, pieces)| Some((name.clone(), shape(pieces)?))).collect()
}
