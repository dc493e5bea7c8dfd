//! A prompt on its way from text to rows of tokens.

use super::frame::Frame;
use crate::text::Token;
use candle_core::Tensor;

/// A token and its weight.
#[derive(Clone, Debug)]
pub(super) struct Weighted {
    pub(super) token: Token,
    pub(super) weight: f64,
    /// Is it the prompt's, rather than a start, end or padding?
    pub(super) own: bool,
}

/// Tokens that belong together.
pub(super) enum Piece {
    /// A text's, in order.
    Text(Vec<u32>, f64),
    /// An embedding's.
    Embedding(Vec<Tensor>, f64),
    /// The row ends here.
    Break,
}

impl Piece {
    /// Its tokens; none for the end of a row.
    pub(super) fn tokens(&self) -> Vec<Weighted> {
        match self {
            Piece::Text(ids, weight) => {
                ids.iter().map(|id| Weighted { token: Token::Id(*id), weight: *weight, own: true }).collect()
            }
            Piece::Embedding(vectors, weight) => vectors
                .iter()
                .map(|v| Weighted { token: Token::Vector(v.clone()), weight: *weight, own: true })
                .collect(),
            Piece::Break => Vec::new(),
        }
    }
}

/// What the encoder reads at once: as many tokens as it takes.
pub(super) type Row = Vec<Weighted>;

/// A row of these tokens with start, end and padding around them.
pub(super) fn row(tokens: Vec<Weighted>, frame: &Frame<'_>) -> Row {
    let one = |id: u32| Weighted { token: Token::Id(id), weight: 1.0, own: false };
    let mut row: Row = frame.cutter.start().map(one).into_iter().collect();
    row.extend(tokens);
    row.push(one(frame.cutter.end()));
    while row.len() < frame.cutter.least() {
        row.push(one(frame.cutter.padding()));
    }
    row
}
