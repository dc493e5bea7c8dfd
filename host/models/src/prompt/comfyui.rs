//! ComfyUI's prompts: `(x)` weighs 1.1, `(x:1.3)` weighs 1.3 whatever is around it, `\(` and `\)` are brackets to read,
//! and `embedding:name` stands for the vectors of a file.

use super::frame::Frame;
use super::piece::Piece;
use super::{Dialect, Weigh, chunk};
use crate::error::{Error, Result};
use candle_core::Tensor;

pub(super) static COMFYUI: Dialect = Dialect {
    name: "comfyui",
    about: "`(word)` weighs 1.1, `(word:1.3)` weighs 1.3, square brackets are text; `embedding:name` is an embedding. A \
            weight moves the states away from those of an empty prompt",
    source: "ComfyUI, comfy/sd1_clip.py",
    parse,
    pieces,
    chunk: |pieces, frame| Ok(chunk::by_parts(pieces, frame)),
    must_fit: true,
    weigh: Weigh::FromEmpty(from_empty),
};

/// Brackets deeper than this are a mistake, or an attack.
const MAX_DEPTH: usize = 100;

/// Stand-ins for escaped brackets while brackets are counted.
const CLOSING: &str = "\0\u{1}";
const OPENING: &str = "\0\u{2}";

fn parse(prompt: &str) -> Result<Vec<(String, f64)>> {
    let escaped = prompt.replace("\\)", CLOSING).replace("\\(", OPENING);
    let mut parts = Vec::new();
    weigh(&escaped, 1.0, 0, &mut parts)?;
    for (text, _) in &mut parts {
        *text = text.replace(CLOSING, ")").replace(OPENING, "(");
    }
    Ok(parts)
}

fn weigh(text: &str, weight: f64, depth: usize, parts: &mut Vec<(String, f64)>) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::Prompt(format!("the prompt's brackets are nested more than {MAX_DEPTH} deep")));
    }
    for item in top_level(text) {
        let Some(inner) = item.strip_prefix('(').and_then(|i| i.strip_suffix(')')) else {
            parts.push((item.to_owned(), weight));
            continue;
        };
        // A number behind the last colon is the weight itself; plain brackets multiply.
        let explicit = inner
            .rsplit_once(':')
            .filter(|(before, _)| !before.is_empty())
            .and_then(|(before, number)| Some((before, number.trim().parse::<f64>().ok()?)))
            .filter(|(_, number)| number.is_finite());
        match explicit {
            Some((before, number)) => weigh(before, number, depth + 1, parts)?,
            None => weigh(inner, weight * 1.1, depth + 1, parts)?,
        }
    }
    Ok(())
}

/// Cuts at brackets of the outermost level: the pieces together are the text.
fn top_level(text: &str) -> Vec<&str> {
    let (mut items, mut start, mut level) = (Vec::new(), 0, 0i64);
    for (at, c) in text.char_indices() {
        match c {
            '(' => {
                if level == 0 {
                    items.push(&text[start..at]);
                    start = at;
                }
                level += 1;
            }
            ')' => {
                level -= 1;
                if level == 0 {
                    items.push(&text[start..=at]);
                    start = at + 1;
                }
            }
            _ => {}
        }
    }
    items.push(&text[start..]);
    items.retain(|item| !item.is_empty());
    items
}

/// What calls up an embedding, at the beginning of a part or behind a blank.
pub(super) const EMBEDDING: &str = "embedding:";

fn pieces(parts: &[(String, f64)], frame: &Frame<'_>) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    for (text, weight) in parts {
        let mut rest = text.clone();
        while let Some((before, name, after)) = next_embedding(&rest) {
            add_text(before, *weight, frame, &mut pieces)?;
            let (file, behind) = frame.embeddings.called(name)?;
            if let Some(vectors) = frame.vectors(file)? {
                pieces.push(Piece::Embedding(vectors, *weight));
            }
            // A comma behind the name is text.
            rest = format!("{behind}{after}");
        }
        add_text(&rest, *weight, frame, &mut pieces)?;
    }
    Ok(pieces)
}

fn add_text(text: &str, weight: f64, frame: &Frame<'_>, pieces: &mut Vec<Piece>) -> Result<()> {
    let ids = frame.cutter.ids(text)?;
    if !ids.is_empty() {
        pieces.push(Piece::Text(ids, weight));
    }
    Ok(())
}

/// The first `embedding:name`: (text before, name up to the next blank, text after).
pub(super) fn next_embedding(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find(EMBEDDING)?;
        let begins = text[..at].chars().next_back().is_none_or(char::is_whitespace);
        if begins {
            let name = at + EMBEDDING.len();
            let end = text[name..].find(char::is_whitespace).map_or(text.len(), |n| name + n);
            return Some((&text[..at], &text[name..end], &text[end..]));
        }
        from = at + EMBEDDING.len();
    }
}

/// z₀ + w·(z − z₀), z₀ being the state of the empty prompt at the same place (`ClipTokenWeightEncoder`).
fn from_empty(states: &Tensor, weights: &Tensor, empty: &Tensor) -> Result<Tensor> {
    Ok(states.broadcast_sub(empty)?.broadcast_mul(weights)?.broadcast_add(empty)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_brackets_is_an_error() {
        assert!(parse(&format!("{}{}", "(".repeat(100_000), ")".repeat(100_000))).is_err());
        assert!(parse(&"(".repeat(100_000)).is_ok());
    }

    #[test]
    fn embeddings_begin_behind_a_blank() {
        assert_eq!(next_embedding("a embedding:b, c"), Some(("a ", "b,", " c")));
        assert_eq!(next_embedding("embedding:b"), Some(("", "b", "")));
        assert_eq!(next_embedding("an_embedding:b"), None);
        assert_eq!(next_embedding("x,embedding:b\nembedding:c d"), Some(("x,embedding:b\n", "c", " d")));
    }
}
