//! A prompt through all text encoders of a model.

use super::frame::Frame;
use super::piece::{Row, row};
use super::{Dialect, Embeddings, Weigh};
use crate::error::{Error, Result};
use crate::text::{PartStates, TextPart, Texts, Token};
use candle_core::Tensor;
use std::cell::RefCell;

/// How prompts are encoded.
#[derive(Clone, Copy)]
pub struct Encoder<'a> {
    /// How they are read.
    pub dialect: &'static Dialect,
    /// What they may call up.
    pub embeddings: &'a Embeddings,
    /// Which layer's states are taken: 1 is the last, 2 the one before; none: as the family was trained.
    pub skip: Option<usize>,
}

/// A prompt, encoded.
#[derive(Clone, Debug)]
pub struct Prompted {
    /// (1, n, d): n is 77 per chunk for CLIP, at least 256 for T5.
    pub states: Tensor,
    /// (1, d), of the first chunk; for families that take it.
    pub pooled: Option<Tensor>,
    /// For each encoder how long the prompt is.
    pub counts: Vec<Count>,
    /// What was left out, for people.
    pub warnings: Vec<String>,
}

/// How long a prompt is for one encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// `clip_l`, `t5xxl` …
    pub encoder: &'static str,
    /// Tokens of the text and its embeddings, without start, end and padding.
    pub tokens: usize,
    /// Chunks that they take; each is read by itself.
    pub chunks: usize,
    /// Tokens that a chunk holds; none: any number.
    pub room: Option<usize>,
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Count { encoder, tokens, chunks, room } = self;
        match room {
            Some(room) if *chunks > 1 => write!(f, "{encoder}: {tokens} tokens in {chunks} chunks of {room}"),
            Some(room) => write!(f, "{encoder}: {tokens} of {room} tokens"),
            None => write!(f, "{encoder}: {tokens} tokens"),
        }
    }
}

impl Encoder<'_> {
    /// One text for all encoders.
    pub fn encode(&self, texts: &Texts, prompt: &str) -> Result<Prompted> {
        self.encode_each(texts, |_| prompt)
    }

    /// A text for each encoder, by its name.
    pub fn encode_each<'p>(&self, texts: &Texts, prompt: impl Fn(&str) -> &'p str) -> Result<Prompted> {
        let frames: Vec<Frame<'_>> = texts.parts().iter().map(|part| self.frame(part)).collect();
        let mut rows = Vec::new();
        for frame in &frames {
            let parts = (self.dialect.parse)(prompt(frame.name))?;
            let pieces = (self.dialect.pieces)(&parts, frame)?;
            rows.push((self.dialect.chunk)(&pieces, frame)?);
        }
        self.check_embeddings(&frames)?;
        let count = |(frame, rows): (&Frame<'_>, &Vec<Row>)| Count {
            encoder: frame.name,
            tokens: rows.iter().map(|row| frame.own(row)).sum(),
            chunks: rows.len(),
            room: frame.room(),
        };
        let counts = frames.iter().zip(&rows).map(count).collect();
        // Encoders whose states stand side by side need equally many chunks; a longer text meets empty ones.
        let bounded = |frame: &Frame<'_>| frame.room().is_some();
        let most = frames.iter().zip(&rows).filter(|(f, _)| bounded(f)).map(|(_, r)| r.len()).max().unwrap_or(1);
        for (frame, rows) in frames.iter().zip(&mut rows).filter(|(f, _)| bounded(f)) {
            rows.resize_with(most, || row(Vec::new(), frame));
        }
        let states =
            texts.parts().iter().zip(&frames).zip(&rows).map(|((part, frame), rows)| self.run(part, frame, rows));
        let encoded = texts.combine(states.collect::<Result<_>>()?)?;
        let mut warnings: Vec<String> = frames.iter().flat_map(Frame::warnings).collect();
        warnings.sort();
        warnings.dedup();
        Ok(Prompted { states: encoded.states, pooled: encoded.pooled, counts, warnings })
    }

    /// An embedding that is called and fits nowhere was made for another model.
    fn check_embeddings(&self, frames: &[Frame<'_>]) -> Result<()> {
        let Some((first, others)) = frames.split_first().filter(|_| self.dialect.must_fit) else { return Ok(()) };
        let missed = first.missed.borrow();
        match missed.iter().find(|name| others.iter().all(|f| f.missed.borrow().contains(*name))) {
            None => Ok(()),
            Some(name) => {
                let takes = frames.iter().map(|f| format!("{} ({} features)", f.name, f.width)).collect::<Vec<_>>();
                let takes = takes.join(", ");
                Err(Error::Prompt(format!("embedding `{name}` was made for another model: it has nothing for {takes}")))
            }
        }
    }

    fn frame<'f>(&'f self, part: &'f TextPart) -> Frame<'f> {
        Frame {
            name: part.name(),
            cutter: part.tokens(),
            width: part.width(),
            embeddings: self.embeddings,
            missed: RefCell::default(),
            notes: RefCell::default(),
        }
    }

    /// The states of all rows one behind the other, (1, rows·n, d), and what is pooled from the first row, (1, d).
    fn run(&self, part: &TextPart, frame: &Frame<'_>, rows: &[Row]) -> Result<PartStates> {
        let weighted = rows.iter().flatten().any(|t| t.weight != 1.0);
        let mut tokens: Vec<Vec<Token>> =
            rows.iter().map(|row| row.iter().map(|t| t.token.clone()).collect()).collect();
        let length = tokens.first().map_or(0, Vec::len);
        if weighted && matches!(self.dialect.weigh, Weigh::FromEmpty(_)) {
            // As long as the others, so that every place has a state to begin from.
            let mut empty: Vec<Token> = row(Vec::new(), frame).into_iter().map(|t| t.token).collect();
            empty.resize(length, Token::Id(frame.cutter.padding()));
            tokens.push(empty);
        }
        let encoded = part.encode(&tokens, self.skip)?;
        let pooled = encoded.pooled.map(|p| p.narrow(0, 0, 1)).transpose()?;
        let mut states = encoded.states.narrow(0, 0, rows.len())?;
        if weighted {
            let factors: Vec<f32> = rows.iter().flatten().map(|t| t.weight as f32).collect();
            let factors = Tensor::from_vec(factors, (rows.len(), length, 1), states.device())?;
            states = match self.dialect.weigh {
                Weigh::FromEmpty(weigh) => weigh(&states, &factors, &encoded.states.narrow(0, rows.len(), 1)?)?,
                Weigh::Alone(weigh) => weigh(&states, &factors)?,
            };
        }
        let (n, t, d) = states.dims3()?;
        // (1, rows·n, d)
        Ok(PartStates { states: states.reshape((1, n * t, d))?, pooled })
    }
}
