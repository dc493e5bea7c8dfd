//! Text encoders of any family, and how a family puts their states together.

use crate::adapter::{Adapter, NormTarget, Target};
use crate::clip::TextEncoder;
use crate::error::{Error, Result};
use crate::family::{Family, TextRow};
use crate::patch::{How, Patched};
use crate::t5::T5Encoder;
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

/// The text encoders of a model, in the family's order. Cheap to clone.
#[derive(Clone)]
pub struct Texts {
    family: &'static Family,
    parts: Vec<TextPart>,
}

/// One text encoder with its tokenizer. Cheap to clone.
#[derive(Clone)]
pub struct TextPart {
    row: &'static TextRow,
    encoder: Arc<dyn Encode>,
}

/// What is encoded: a token of the vocabulary, or a learned vector in its place.
#[derive(Clone, Debug)]
pub enum Token {
    /// Of the vocabulary.
    Id(u32),
    /// An embedding (d,), as textual inversion learns it.
    Vector(Tensor),
}

/// What one text encoder gives.
#[derive(Clone, Debug)]
pub struct PartStates {
    /// (rows, n, d)
    pub states: Tensor,
    /// (rows, d); none for an encoder that gives no pooled state
    pub pooled: Option<Tensor>,
}

/// What the network is led by.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// (b, n, d)
    pub states: Tensor,
    /// (b, d), for families that take it
    pub pooled: Option<Tensor>,
}

/// Cuts texts into the tokens of one text encoder, and says how rows of tokens are made.
pub trait TokenCutter: Send + Sync {
    /// A text's own token ids, however many, without start and end.
    fn ids(&self, text: &str) -> Result<Vec<u32>>;

    /// What a row begins with, if there is such a token.
    fn start(&self) -> Option<u32>;

    /// What ends the text of a row.
    fn end(&self) -> u32;

    /// What fills short rows.
    fn padding(&self) -> u32;

    /// The most tokens of a row, start and end included; longer texts take several rows. None: a row has no end.
    fn length(&self) -> Option<usize>;

    /// The fewest tokens of a row; shorter texts are filled to it.
    fn least(&self) -> usize;
}

/// An architecture of text encoders.
pub(crate) trait Encode: Send + Sync {
    fn tokens(&self) -> &dyn TokenCutter;

    /// Features of each state.
    fn width(&self) -> usize;

    /// Transformer layers.
    fn layers(&self) -> usize;

    /// How many of them, from the first, have a part in what the family reads.
    fn layers_used(&self, _skip: Option<usize>) -> usize {
        self.layers()
    }

    /// Rows of equal length → the states that the family reads, from `skip` layers before the end (1: the last) instead
    /// of the family's own choice.
    fn encode(&self, rows: &[Vec<Token>], skip: Option<usize>) -> Result<PartStates>;

    /// The layers that can get an adapter; `kohya` stands in front of their names in kohya's files.
    fn targets(&self, kohya: &str) -> Vec<Target>;

    /// As [`crate::Network::weight`].
    fn weight(&self, path: &str) -> Result<Tensor>;

    fn with_adapters(&self, adapters: &HashMap<String, Arc<dyn Adapter>>) -> Result<Arc<dyn Encode>>;

    /// The normalisations that a patch can change.
    fn norm_targets(&self, kohya: &str) -> Vec<NormTarget>;

    fn with_patches(&self, patches: &HashMap<String, Vec<Patched>>, how: How) -> Result<Arc<dyn Encode>>;

    /// The encoder itself, if it is CLIP's.
    fn clip(&self) -> Option<&TextEncoder> {
        None
    }

    /// The encoder itself, if it is T5's.
    fn t5(&self) -> Option<&T5Encoder> {
        None
    }
}

impl TextPart {
    pub(crate) fn new(row: &'static TextRow, encoder: Arc<dyn Encode>) -> TextPart {
        TextPart { row, encoder }
    }

    /// What this encoder is within its family.
    pub fn row(&self) -> &'static TextRow {
        self.row
    }

    /// `clip_l`, `clip_g`, `clip_h`, `t5xxl`.
    pub fn name(&self) -> &'static str {
        self.row.name
    }

    /// Its tokenizer.
    pub fn tokens(&self) -> &dyn TokenCutter {
        self.encoder.tokens()
    }

    /// Features of each state.
    pub fn width(&self) -> usize {
        self.encoder.width()
    }

    /// Transformer layers.
    pub fn layers(&self) -> usize {
        self.encoder.layers()
    }

    /// How many of its layers, from the first, have a part in what the family reads with this `skip` (see
    /// [`Self::encode`]).
    pub fn layers_used(&self, skip: Option<usize>) -> usize {
        self.encoder.layers_used(skip)
    }

    /// The states of rows of tokens, all of one length, as this family reads them; from `skip` layers before the end
    /// (1: the last, 2: the one before) if it is given.
    pub fn encode(&self, rows: &[Vec<Token>], skip: Option<usize>) -> Result<PartStates> {
        let length = rows.first().map_or(0, Vec::len);
        if length == 0 || rows.iter().any(|row| row.len() != length) {
            return Err(Error::Tokens("expected rows of tokens, all of one length".into()));
        }
        let PartStates { states, pooled } = self.encoder.encode(rows, skip)?;
        // Wherever they were computed, states are put together with others on the CPU.
        let pooled = pooled.map(|pooled| pooled.to_device(&Device::Cpu)).transpose()?;
        Ok(PartStates { states: states.to_device(&Device::Cpu)?, pooled })
    }

    /// The same for token ids (rows, n).
    pub fn encode_ids(&self, ids: &Tensor, skip: Option<usize>) -> Result<PartStates> {
        let rows = ids.to_dtype(DType::U32)?.to_vec2::<u32>()?;
        let rows: Vec<Vec<Token>> = rows.into_iter().map(|row| row.into_iter().map(Token::Id).collect()).collect();
        self.encode(&rows, skip)
    }

    /// A text as one row: start, as many of its tokens as fit, end and padding. Gives the row and how many tokens did
    /// not fit.
    pub fn row_of(&self, text: &str) -> Result<(Vec<u32>, usize)> {
        let cutter = self.tokens();
        let mut ids = cutter.ids(text)?;
        let start = cutter.start();
        let around = 1 + usize::from(start.is_some());
        let room = cutter.length().map_or(ids.len(), |length| length.saturating_sub(around));
        let cut = ids.len().saturating_sub(room);
        ids.truncate(room);
        let mut row: Vec<u32> = start.into_iter().chain(ids).chain([cutter.end()]).collect();
        if row.len() < cutter.least() {
            row.resize(cutter.least(), cutter.padding());
        }
        Ok((row, cut))
    }

    /// The layers that can get an adapter, in the network's order.
    pub fn targets(&self) -> Vec<Target> {
        self.encoder.targets(self.row.kohya)
    }

    /// As [`crate::Network::weight`].
    pub fn weight(&self, path: &str) -> Result<Tensor> {
        self.encoder.weight(path)
    }

    /// As [`crate::Network::with_adapters`].
    pub fn with_adapters(&self, adapters: &HashMap<String, Arc<dyn Adapter>>) -> Result<TextPart> {
        Ok(TextPart { row: self.row, encoder: self.encoder.with_adapters(adapters)? })
    }

    /// The normalisations that a patch can change, in the network's order.
    pub fn norm_targets(&self) -> Vec<NormTarget> {
        self.encoder.norm_targets(self.row.kohya)
    }

    /// As [`crate::Network::with_patches`].
    pub fn with_patches(&self, patches: &HashMap<String, Vec<Patched>>, how: How) -> Result<TextPart> {
        Ok(TextPart { row: self.row, encoder: self.encoder.with_patches(patches, how)? })
    }

    /// The encoder itself, if it is CLIP's.
    pub fn clip(&self) -> Option<&TextEncoder> {
        self.encoder.clip()
    }

    /// The encoder itself, if it is T5's.
    pub fn t5(&self) -> Option<&T5Encoder> {
        self.encoder.t5()
    }
}

impl Texts {
    /// No encoders at all: for a network that was loaded alone.
    pub fn none(family: &'static Family) -> Texts {
        Texts { family, parts: Vec::new() }
    }

    pub(crate) fn new(family: &'static Family, parts: Vec<TextPart>) -> Texts {
        Texts { family, parts }
    }

    /// The family whose networks these lead.
    pub fn family(&self) -> &'static Family {
        self.family
    }

    /// The encoders, in the family's order.
    pub fn parts(&self) -> &[TextPart] {
        &self.parts
    }

    /// One encoder by its name, if it is among them.
    pub fn part(&self, name: &str) -> Option<&TextPart> {
        self.parts.iter().find(|part| part.name() == name)
    }

    /// The same encoders with another in place of number `index`.
    pub fn with_part(&self, index: usize, part: TextPart) -> Texts {
        let mut texts = self.clone();
        if let Some(place) = texts.parts.get_mut(index) {
            *place = part;
        }
        texts
    }

    /// What the family's networks are led by, from what each encoder gave, in their order; each (b, n, d), not
    /// necessarily of one n.
    pub fn combine(&self, states: Vec<PartStates>) -> Result<Encoded> {
        if states.len() != self.parts.len() {
            return Err(Error::Unsupported(format!(
                "expected the states of {} text encoders, found {}",
                self.parts.len(),
                states.len()
            )));
        }
        (self.family.combine)(states)
    }

    /// A text of one row per encoder, encoded: (1, n, d).
    pub fn encode(&self, text: &str) -> Result<Encoded> {
        let states = self.parts.iter().map(|part| {
            let row = part.row_of(text)?.0.into_iter().map(Token::Id).collect();
            part.encode(&[row], None)
        });
        self.combine(states.collect::<Result<_>>()?)
    }
}
