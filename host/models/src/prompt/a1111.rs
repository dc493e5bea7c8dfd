//! The prompts of A1111's web UI: `(x)` weighs 1.1, `[x]` 1/1.1, `(x:1.3)` 1.3, each times what is around it; `BREAK`
//! ends a chunk, and the name of an embedding's file, written as a word, stands for its vectors.

use super::frame::Frame;
use super::piece::Piece;
use super::{Dialect, Weigh, chunk};
use crate::error::{Error, Result};
use candle_core::{DType, Tensor};

pub(super) static A1111: Dialect = Dialect {
    name: "a1111",
    about: "`(word)` weighs 1.1, `[word]` 1/1.1, `(word:1.3)` 1.3, each times what is around it; `BREAK` ends a chunk; \
            the name of an embedding is a word. A weight multiplies the states, and their mean is restored",
    source: "AUTOMATIC1111/stable-diffusion-webui, modules/prompt_parser.py, sd_hijack_clip.py and sd_emphasis.py",
    parse,
    pieces,
    chunk: |pieces, frame| {
        let comma = frame.cutter.ids(",")?;
        Ok(chunk::by_commas(pieces, comma.first().copied().filter(|_| comma.len() == 1), frame))
    },
    must_fit: false,
    weigh: Weigh::Alone(restore_mean),
};

/// Brackets deeper than this are a mistake, or an attack.
const MAX_DEPTH: usize = 100;

const ROUND: f64 = 1.1;
const SQUARE: f64 = 1.0 / 1.1;

fn parse(prompt: &str) -> Result<Vec<(String, f64)>> {
    let mut reading = Reading::default();
    let mut rest = prompt;
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        match first {
            '\\' => {
                // An escaped character is text; a backslash before anything else vanishes.
                let escaped = rest[1..].chars().next().filter(|c| "()[]\\".contains(*c));
                length += escaped.map_or(0, char::len_utf8);
                reading.text(&rest[1..length]);
            }
            '(' => reading.open(true)?,
            '[' => reading.open(false)?,
            ')' if !reading.round.is_empty() => reading.close(true, ROUND),
            ']' if !reading.square.is_empty() => reading.close(false, SQUARE),
            ':' => match explicit(&rest[1..]) {
                Some((number, behind)) if !reading.round.is_empty() => {
                    let weight = number.parse::<f64>().ok().filter(|w| w.is_finite()).ok_or_else(|| {
                        Error::Prompt(format!("`:{number})`: expected a weight such as 1.2, found `{number}`"))
                    })?;
                    reading.close(true, weight);
                    length += behind;
                }
                // Without an opening bracket it is text as a whole.
                Some((_, behind)) => {
                    length += behind;
                    reading.text(&rest[..length]);
                }
                None => reading.text(":"),
            },
            _ => {
                length = rest[length..].find(['\\', '(', ')', '[', ']', ':']).map_or(rest.len(), |n| length + n);
                reading.text(&rest[..length]);
            }
        }
        rest = &rest[length..];
    }
    Ok(reading.finish())
}

/// `1.3)` behind a colon, with blanks around the number: (the number, the length up to and with the bracket).
fn explicit(text: &str) -> Option<(&str, usize)> {
    let number = text.trim_start();
    let sign = usize::from(number.starts_with(['+', '-']));
    let digits = number[sign..].find(|c: char| c != '.' && !c.is_ascii_digit())?;
    let behind = number[sign + digits..].trim_start();
    (digits > 0 && behind.starts_with(')')).then(|| (&number[..sign + digits], text.len() - behind.len() + 1))
}

/// Parts so far, and where brackets have opened.
#[derive(Default)]
struct Reading {
    parts: Vec<(String, f64)>,
    round: Vec<usize>,
    square: Vec<usize>,
}

impl Reading {
    fn text(&mut self, text: &str) {
        self.parts.push((text.to_owned(), 1.0));
    }

    fn open(&mut self, round: bool) -> Result<()> {
        if self.round.len() + self.square.len() >= MAX_DEPTH {
            return Err(Error::Prompt(format!("the prompt's brackets are nested more than {MAX_DEPTH} deep")));
        }
        let at = self.parts.len();
        if round {
            self.round.push(at)
        } else {
            self.square.push(at)
        }
        Ok(())
    }

    fn close(&mut self, round: bool, factor: f64) {
        let from = if round { self.round.pop() } else { self.square.pop() };
        for (_, weight) in &mut self.parts[from.unwrap_or_default()..] {
            *weight *= factor;
        }
    }

    /// What is still open ends here; neighbours of one weight become one part.
    fn finish(mut self) -> Vec<(String, f64)> {
        while !self.round.is_empty() {
            self.close(true, ROUND);
        }
        while !self.square.is_empty() {
            self.close(false, SQUARE);
        }
        let mut merged: Vec<(String, f64)> = Vec::new();
        for (text, weight) in self.parts {
            match merged.last_mut() {
                Some((before, same)) if *same == weight => before.push_str(&text),
                _ => merged.push((text, weight)),
            }
        }
        if merged.is_empty() {
            merged.push((String::new(), 1.0));
        }
        merged
    }
}

fn pieces(parts: &[(String, f64)], frame: &Frame<'_>) -> Result<Vec<Piece>> {
    let names = frame.embeddings.words(frame.cutter)?;
    let mut pieces = Vec::new();
    for (text, weight) in parts {
        for (i, line) in breaks(text).into_iter().enumerate() {
            if i > 0 && *weight == 1.0 {
                pieces.push(Piece::Break);
            } else if i > 0 {
                // The web UI marks a break by a weight of −1, which brackets change like any other: a word is left.
                frame.note(
                    "BREAK within brackets is a word with a negative weight, as in the web UI; put it outside".into(),
                );
                pieces.push(Piece::Text(frame.cutter.ids(BREAK)?, -*weight));
            }
            let ids = frame.cutter.ids(line)?;
            let (mut from, mut at) = (0, 0);
            while at < ids.len() {
                let name = names.iter().find(|(word, _)| ids[at..].starts_with(word));
                let vectors = name.map(|(_, file)| frame.vectors(file)).transpose()?.flatten();
                match (name, vectors) {
                    (Some((word, _)), Some(vectors)) => {
                        pieces.push(Piece::Text(ids[from..at].to_vec(), *weight));
                        pieces.push(Piece::Embedding(vectors, *weight));
                        at += word.len();
                        from = at;
                    }
                    _ => at += 1,
                }
            }
            pieces.push(Piece::Text(ids[from..].to_vec(), *weight));
        }
    }
    Ok(pieces)
}

/// What ends a chunk.
const BREAK: &str = "BREAK";

/// The text between the words `BREAK`.
fn breaks(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut lines, mut start, mut from) = (Vec::new(), 0, 0);
    while let Some(at) = text[from..].find(BREAK).map(|n| from + n) {
        let end = at + BREAK.len();
        let apart =
            !text[..at].chars().next_back().is_some_and(is_word) && !text[end..].chars().next().is_some_and(is_word);
        if apart {
            lines.push(&text[start..at]);
            start = end;
        }
        from = end;
    }
    lines.push(&text[start..]);
    lines
}

/// Each state times its weight, then all of a row times what brings its mean back (`EmphasisOriginal`).
fn restore_mean(states: &Tensor, weights: &Tensor) -> Result<Tensor> {
    let weighted = states.broadcast_mul(weights)?;
    // Sums in f64: the mean is small beside the values.
    let mean = |t: &Tensor| -> Result<Tensor> { Ok(t.to_dtype(DType::F64)?.mean_keepdim((1, 2))?) };
    // (rows, 1, 1)
    let factor = mean(states)?.broadcast_div(&mean(&weighted)?)?.to_dtype(DType::F32)?;
    let finite = factor.flatten_all()?.to_vec1::<f32>()?.iter().all(|f| f.is_finite());
    if !finite {
        return Err(Error::Prompt(
            "the weights take the mean of the text's states to 0, from where the web UI's rule cannot restore it; use \
             weights nearer to 1, or the dialect `comfyui`"
                .into(),
        ));
    }
    Ok(weighted.broadcast_mul(&factor)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn breaks_are_words() {
        assert_eq!(breaks("a BREAK b"), ["a ", " b"]);
        assert_eq!(breaks("BREAKFAST, BREAK_x, aBREAK"), ["BREAKFAST, BREAK_x, aBREAK"]);
        assert_eq!(breaks("BREAK,BREAK"), ["", ",", ""]);
    }

    #[test]
    fn numbers_may_have_blanks_and_must_be_numbers() {
        assert_eq!(parse("(a : 1.5 )").unwrap(), [("a ".to_owned(), 1.5)]);
        assert!(parse("(a:1.2.3)").unwrap_err().to_string().contains("`1.2.3`"));
        assert_eq!(parse("a:1.2.3)").unwrap(), [("a:1.2.3)".to_owned(), 1.0)]);
        assert!(parse(&"(a".repeat(1000)).is_err());
    }

    #[test]
    fn the_mean_of_each_row_stays() {
        let states = Tensor::new(&[[[1f32, 3.0], [2.0, 2.0]], [[4.0, 4.0], [4.0, 4.0]]], &Device::Cpu).unwrap();
        let weights = Tensor::new(&[[[2f32], [1.0]], [[1.0], [1.0]]], &Device::Cpu).unwrap();
        let found = restore_mean(&states, &weights).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        // 2, 6, 2, 2 have a mean of 3; before it was 2.
        let want = [4.0 / 3.0, 4.0, 4.0 / 3.0, 4.0 / 3.0, 4.0, 4.0, 4.0, 4.0];
        assert!(found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }
}
