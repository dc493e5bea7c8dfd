//! The half of BLIP that writes: a BERT (Devlin et al. 2018, arXiv:1810.04805) with masked attention to its own text and
//! attention to the picture.

use super::Sight;
use super::config::TextConfig;
use super::norm;
use crate::error::{Error, Result};
use crate::layers::{LayerId, Layers, NormId};
use crate::ops::{self, Mask};
use crate::weights::{Build, Table};
use candle_core::Tensor;

pub(super) struct Decoder {
    /// (vocabulary, d)
    words: Table,
    /// (positions, d)
    positions: Tensor,
    before: NormId,
    blocks: Vec<Block>,
    /// In front of the scores.
    turn: LayerId,
    turned: NormId,
    scores: LayerId,
}

struct Block {
    own: Attention,
    picture: Attention,
    feed: (LayerId, LayerId),
    after: NormId,
    heads: usize,
    eps: f32,
}

struct Attention {
    q: LayerId,
    k: LayerId,
    v: LayerId,
    out: LayerId,
    /// Behind the sum.
    after: NormId,
}

/// Keys and values of each layer for the tokens so far.
#[derive(Default)]
pub(super) struct State {
    kept: Vec<(Tensor, Tensor)>,
}

impl State {
    /// How many tokens there were.
    fn len(&self) -> Result<usize> {
        Ok(self.kept.first().map(|(k, _)| k.dim(1)).transpose()?.unwrap_or(0))
    }

    /// Adds the keys and values of new tokens to those of a layer, and gives them all.
    fn add(&mut self, layer: usize, new: (Tensor, Tensor)) -> Result<(Tensor, Tensor)> {
        let all = match self.kept.get(layer) {
            Some((k, v)) => (Tensor::cat(&[k, &new.0], 1)?, Tensor::cat(&[v, &new.1], 1)?),
            None => new,
        };
        self.kept.truncate(self.kept.len().max(layer));
        match self.kept.get_mut(layer) {
            Some(place) => *place = all.clone(),
            None => self.kept.push(all.clone()),
        }
        Ok(all)
    }
}

impl Attention {
    /// `seen`: features of what keys and values are made of.
    fn build(path: &str, d: usize, seen: usize, b: &mut Build<'_>) -> Result<Attention> {
        Ok(Attention {
            q: b.linear(&format!("{path}.self.query"), d, d)?,
            k: b.linear(&format!("{path}.self.key"), seen, d)?,
            v: b.linear(&format!("{path}.self.value"), seen, d)?,
            out: b.linear(&format!("{path}.output.dense"), d, d)?,
            after: b.norm(&format!("{path}.output.LayerNorm"), d)?,
        })
    }

    fn keys(&self, layers: &Layers, x: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((layers.run(self.k, x)?, layers.run(self.v, x)?))
    }

    fn forward(
        &self,
        layers: &Layers,
        block: &Block,
        x: &Tensor,
        (k, v): &(Tensor, Tensor),
        mask: Mask,
    ) -> Result<Tensor> {
        let y = ops::attention(&layers.run(self.q, x)?, k, v, block.heads, mask)?;
        norm(layers, self.after, block.eps, &(layers.run(self.out, &y)? + x)?)
    }
}

impl Decoder {
    /// `seen`: features of the picture's states.
    pub(super) fn build(config: &TextConfig, seen: usize, b: &mut Build<'_>) -> Result<Decoder> {
        let d = config.hidden;
        let at = |name: &str| format!("text_decoder.bert.embeddings.{name}");
        let words = b.table(&at("word_embeddings.weight"), config.vocabulary, d);
        let positions = b.tensor(&at("position_embeddings.weight"), &[config.positions, d])?;
        let before = b.norm(&at("LayerNorm"), d)?;
        let mut blocks = Vec::with_capacity(config.layers);
        for i in 0..config.layers {
            let at = |name: &str| format!("text_decoder.bert.encoder.layer.{i}.{name}");
            blocks.push(Block {
                own: Attention::build(&at("attention"), d, d, b)?,
                picture: Attention::build(&at("crossattention"), d, seen, b)?,
                feed: (
                    b.linear(&at("intermediate.dense"), d, config.inside)?,
                    b.linear(&at("output.dense"), config.inside, d)?,
                ),
                after: b.norm(&at("output.LayerNorm"), d)?,
                heads: config.heads,
                eps: config.eps,
            });
        }
        let at = |name: &str| format!("text_decoder.cls.predictions.{name}");
        let (turn, turned) = (b.linear(&at("transform.dense"), d, d)?, b.norm(&at("transform.LayerNorm"), d)?);
        let scores = b.linear(&at("decoder"), d, config.vocabulary)?;
        Ok(Decoder { words, positions, before, blocks, turn, turned, scores })
    }

    /// Keys and values of each layer for a picture's states (1, n, d).
    pub(super) fn see(&self, layers: &Layers, states: &Tensor) -> Result<Vec<(Tensor, Tensor)>> {
        self.blocks.iter().map(|block| block.picture.keys(layers, states)).collect()
    }

    /// The states (1, n, d) of `ids`, which stand behind the tokens of `state`. Several at once only at the beginning.
    pub(super) fn states(
        &self,
        layers: &Layers,
        config: &TextConfig,
        ids: &[u32],
        sight: &Sight,
        state: &mut State,
    ) -> Result<Tensor> {
        let at = state.len()?;
        if ids.is_empty() || at + ids.len() > config.positions || (at > 0 && ids.len() > 1) {
            let what = format!("{} tokens behind {at} of at most {}", ids.len(), config.positions);
            return Err(Error::Tokens(what));
        }
        let x = (self.words.take(ids)? + self.positions.narrow(0, at, ids.len())?)?.unsqueeze(0)?;
        let mut x = norm(layers, self.before, config.eps, &x)?;
        // A single new token sees all that lie before it.
        let mask = if ids.len() > 1 { Mask::Causal } else { Mask::None };
        for (i, (block, seen)) in self.blocks.iter().zip(sight.0.iter()).enumerate() {
            let own = state.add(i, block.own.keys(layers, &x)?)?;
            x = block.own.forward(layers, block, &x, &own, mask)?;
            x = block.picture.forward(layers, block, &x, seen, Mask::None)?;
            let y = layers.run(block.feed.1, &ops::gelu(&layers.run(block.feed.0, &x)?)?)?;
            x = norm(layers, block.after, block.eps, &(y + x)?)?;
        }
        Ok(x)
    }

    /// Logits (n, vocabulary) of states (1, n, d).
    pub(super) fn logits(&self, layers: &Layers, config: &TextConfig, states: &Tensor) -> Result<Tensor> {
        let x = ops::gelu(&layers.run(self.turn, states)?)?;
        Ok(layers.run(self.scores, &norm(layers, self.turned, config.eps, &x)?)?.squeeze(0)?)
    }
}
