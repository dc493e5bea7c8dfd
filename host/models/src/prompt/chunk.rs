//! Long prompts as rows of tokens.

use super::frame::Frame;
use super::piece::{Piece, Row, Weighted, row};

/// Parts with fewer tokens are not torn apart between rows (ComfyUI, `SDTokenizer.max_word_length`).
const KEPT_WHOLE: usize = 8;
/// How far back from a row's end a comma is looked for (A1111's option `comma_padding_backtrack`).
const BACKTRACK: usize = 20;

/// Fills row after row; short parts go to the next row as a whole (ComfyUI, `SDTokenizer.tokenize_with_weights`).
pub(super) fn by_parts(pieces: &[Piece], frame: &Frame<'_>) -> Vec<Row> {
    let room = frame.room().unwrap_or(usize::MAX);
    let mut rows: Vec<Vec<Weighted>> = vec![Vec::new()];
    for piece in pieces {
        let mut tokens = piece.tokens();
        let may_tear = tokens.len() >= KEPT_WHOLE;
        while !tokens.is_empty() {
            let free = room - rows.last().map_or(0, Vec::len);
            let fits = match (tokens.len() <= free, may_tear) {
                (true, _) => tokens.len(),
                (false, true) => free,
                (false, false) => 0,
            };
            let rest = tokens.split_off(fits);
            if let Some(last) = rows.last_mut() {
                last.append(&mut tokens);
            }
            tokens = rest;
            if !tokens.is_empty() {
                rows.push(Vec::new());
            }
        }
    }
    rows.into_iter().map(|tokens| row(tokens, frame)).collect()
}

/// Fills row after row; what stands behind the last comma goes to the next row, if the comma is near the row's end
/// (A1111, `FrozenCLIPEmbedderWithCustomWordsBase.tokenize_line`).
pub(super) fn by_commas(pieces: &[Piece], comma: Option<u32>, frame: &Frame<'_>) -> Vec<Row> {
    let room = frame.room().unwrap_or(usize::MAX);
    let mut filling = Filling { room, rows: Vec::new(), tokens: Vec::new(), comma: None };
    for piece in pieces {
        match piece {
            // A row without end has nothing to fill up to.
            Piece::Break if frame.room().is_none() => {}
            Piece::Break => filling.next(),
            Piece::Text(ids, _) => {
                for (id, token) in ids.iter().zip(piece.tokens()) {
                    filling.push(token, Some(*id) == comma);
                }
            }
            Piece::Embedding(vectors, _) => {
                if filling.tokens.len() + vectors.len() > room {
                    filling.next();
                }
                filling.tokens.extend(piece.tokens());
            }
        }
    }
    if !filling.tokens.is_empty() || filling.rows.is_empty() {
        filling.next();
    }
    filling.rows.into_iter().map(|tokens| row(tokens, frame)).collect()
}

struct Filling {
    room: usize,
    rows: Vec<Vec<Weighted>>,
    tokens: Vec<Weighted>,
    /// Where the last comma of this row stands.
    comma: Option<usize>,
}

impl Filling {
    fn push(&mut self, token: Weighted, is_comma: bool) {
        let full = self.tokens.len() == self.room;
        if is_comma {
            self.comma = Some(self.tokens.len());
        } else if let Some(comma) = self.comma.filter(|c| full && self.tokens.len() - c <= BACKTRACK) {
            let moved = self.tokens.split_off(comma + 1);
            self.next();
            self.tokens = moved;
        }
        if self.tokens.len() == self.room {
            self.next();
        }
        self.tokens.push(token);
    }

    fn next(&mut self) {
        self.rows.push(std::mem::take(&mut self.tokens));
        self.comma = None;
    }
}
