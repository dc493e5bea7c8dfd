//! Prompts: from a text with emphasis, embeddings and any length to what a network reads.
//!
//! A [`Dialect`] is how a program reads prompts: what brackets mean, where a long prompt is cut into chunks, and what
//! a weight does. [`Encoder`] takes a prompt through all text encoders of a model. Node texts such as `<lora:…>` are
//! not understood here.

mod a1111;
mod chunk;
mod comfyui;
mod embeddings;
mod encode;
mod frame;
mod names;
mod piece;
#[cfg(test)]
mod tests;

pub use embeddings::Embeddings;
pub use encode::{Count, Encoder, Prompted};
pub use names::nearest;

use crate::error::{Error, Result};
use candle_core::Tensor;
use frame::Frame;
use piece::{Piece, Row};

/// The parts of a prompt with their weights, in order.
pub type Parts = Vec<(String, f64)>;

type Pieces = fn(&[(String, f64)], &Frame<'_>) -> Result<Vec<Piece>>;

/// How a program reads prompts.
pub struct Dialect {
    /// The name in menus.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// Whose rules these are.
    pub source: &'static str,
    /// The prompt's parts with their weights, in order.
    pub parse: fn(&str) -> Result<Parts>,
    /// The tokens of the parts: texts, embeddings, and ends of chunks.
    pieces: Pieces,
    /// Rows of one length, each with start, end and padding.
    chunk: fn(&[Piece], &Frame<'_>) -> Result<Vec<Row>>,
    /// Whether an embedding that has no vectors for any of the encoders is an error; otherwise its name is a word.
    must_fit: bool,
    /// What weights do to the states.
    weigh: Weigh,
}

/// What weights do to states (rows, n, d), with weights (rows, n, 1).
enum Weigh {
    /// From those of the empty prompt, (1, n, d), towards or away.
    FromEmpty(fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>),
    /// By themselves.
    Alone(fn(&Tensor, &Tensor) -> Result<Tensor>),
}

/// The dialects, the default first.
pub const DIALECTS: &[&Dialect] = &[&comfyui::COMFYUI, &a1111::A1111];

/// The dialect of this name.
///
/// # Errors
/// There is none; the message lists those there are.
pub fn dialect(name: &str) -> Result<&'static Dialect> {
    DIALECTS.iter().copied().find(|d| d.name == name).ok_or_else(|| {
        let known: Vec<&str> = DIALECTS.iter().map(|d| d.name).collect();
        Error::Prompt(format!("unknown dialect of prompts `{name}`; known are {}", known.join(", ")))
    })
}
