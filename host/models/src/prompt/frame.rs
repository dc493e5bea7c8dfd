//! What cutting a prompt needs to know of one text encoder.

use super::Embeddings;
use super::piece::Row;
use crate::error::{Error, Result};
use crate::text::TokenCutter;
use candle_core::Tensor;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// A text encoder as the dialects see it.
pub(super) struct Frame<'a> {
    /// `clip_l`, `t5xxl` …
    pub(super) name: &'static str,
    pub(super) cutter: &'a dyn TokenCutter,
    /// Features of a token before the first layer.
    pub(super) width: usize,
    pub(super) embeddings: &'a Embeddings,
    /// Embeddings that were called and have no vectors for this encoder.
    pub(super) missed: RefCell<BTreeSet<String>>,
    /// What else people should know.
    pub(super) notes: RefCell<BTreeSet<String>>,
}

impl Frame<'_> {
    /// Tokens of the prompt that a row holds; none: any number.
    pub(super) fn room(&self) -> Option<usize> {
        let around = usize::from(self.cutter.start().is_some()) + 1;
        self.cutter.length().map(|length| length.saturating_sub(around).max(1))
    }

    /// The vectors of an embedding, each (width,); none if the file has none for this encoder, which is remembered.
    pub(super) fn vectors(&self, file: &str) -> Result<Option<Vec<Tensor>>> {
        let vectors = self.embeddings.vectors(file, self.name, self.width)?;
        if vectors.is_none() {
            self.missed.borrow_mut().insert(file.to_owned());
        }
        match (&vectors, self.room()) {
            (Some(all), Some(room)) if all.len() > room => Err(Error::Prompt(format!(
                "embedding `{file}` has {} vectors; `{}` takes at most {room} tokens in a row",
                all.len(),
                self.name
            ))),
            _ => Ok(vectors),
        }
    }

    /// Tokens of a row without start, end and padding.
    pub(super) fn own(&self, row: &Row) -> usize {
        row.iter().filter(|t| t.own).count()
    }

    /// Says something about the prompt, once.
    pub(super) fn note(&self, what: String) {
        self.notes.borrow_mut().insert(what);
    }

    /// What people should know: embeddings that have nothing for this encoder, and notes.
    pub(super) fn warnings(&self) -> Vec<String> {
        let missed = self.missed.borrow();
        let missed = missed.iter().map(|name| format!("embedding `{name}` has no vectors for `{}`", self.name));
        missed.chain(self.notes.borrow().iter().cloned()).collect()
    }
}
