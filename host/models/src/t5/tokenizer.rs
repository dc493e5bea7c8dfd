//! T5's unigram pieces (Kudo 2018, arXiv:1804.10959), by the crate `tokenizers`.

use crate::error::{Error, Result};
use std::path::Path;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::{Precompiled, Replace, Sequence, Strip};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::{AddedToken, NormalizerWrapper, normalizers::replace::ReplacePattern};

/// Cuts texts into the pieces of T5.
pub struct T5Tokenizer {
    inner: tokenizers::Tokenizer,
    end: u32,
    padding: u32,
}

const PADDING: &str = "<pad>";
const END: &str = "</s>";
const UNKNOWN: &str = "<unk>";
/// Scores and pieces of Google's T5 v1.1 (Apache-2.0 licence) in the order of their ids, from the first behind the three
/// special ones on. The last are its hundred `<extra_id_N>`, which follow by rule.
const PIECES: &str = include_str!("pieces.txt");
const EXTRA: usize = 100;
/// Its normalisation of characters (`nmt_nfkc` of sentencepiece), compiled.
const CHARACTERS: &[u8] = include_bytes!("charsmap.bin");

/// Fewest tokens of a text for Flux: shorter ones are filled (ComfyUI's `T5XXLTokenizer` of Flux, `min_length`).
pub const T5_MIN_LENGTH: usize = 256;

impl T5Tokenizer {
    /// The tokenizer of T5 v1.1, which every Flux.1 uses.
    pub fn t5() -> Result<T5Tokenizer> {
        built_in().map_err(|e| Error::Tokens(format!("the built-in tokenizer of T5: {e}")))
    }

    /// The `tokenizer.json` of a diffusers folder. An older folder with `spiece.model` alone gets the built-in one, which
    /// is the same.
    pub fn from_folder(folder: &Path) -> Result<T5Tokenizer> {
        let path = folder.join("tokenizer.json");
        if !path.exists() && folder.join("spiece.model").exists() {
            return T5Tokenizer::t5();
        }
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        let inner = tokenizers::Tokenizer::from_bytes(&bytes).map_err(|e| Error::file(&path, format!("{e}")))?;
        T5Tokenizer::new(inner).map_err(|what| Error::file(&path, what))
    }

    fn new(inner: tokenizers::Tokenizer) -> Result<T5Tokenizer, String> {
        let id = |name: &str| inner.token_to_id(name).ok_or_else(|| format!("the vocabulary has no `{name}`"));
        Ok(T5Tokenizer { end: id(END)?, padding: id(PADDING)?, inner })
    }

    /// The end token's id.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// The id that fills short texts.
    pub fn padding(&self) -> u32 {
        self.padding
    }

    /// The highest id of the vocabulary, plus one.
    pub(crate) fn vocabulary(&self) -> usize {
        self.inner.get_vocab(true).values().max().map_or(0, |&id| id as usize + 1)
    }

    /// A text's own token ids, however many, without the end.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false).map_err(|e| Error::Tokens(format!("{e}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// A text's token ids with the end, filled to at least `min`; nothing is cut.
    pub fn tokenize(&self, text: &str, min: usize) -> Result<Vec<u32>> {
        let mut ids = self.ids(text)?;
        ids.push(self.end);
        ids.resize(ids.len().max(min), self.padding);
        Ok(ids)
    }
}

fn built_in() -> Result<T5Tokenizer, Box<dyn std::error::Error + Send + Sync>> {
    let mut pieces: Vec<(String, f64)> = [PADDING, END, UNKNOWN].map(|name| (name.to_owned(), 0.0)).into();
    for line in PIECES.lines() {
        let (score, piece) = line.split_once(' ').ok_or("a line without a score")?;
        pieces.push((piece.to_owned(), f64::from(score.parse::<f32>()?)));
    }
    let extra: Vec<String> = (0..EXTRA).rev().map(|i| format!("<extra_id_{i}>")).collect();
    pieces.extend(extra.iter().map(|name| (name.clone(), 0.0)));
    // The steps of transformers' conversion of T5's tokenizer.
    let mut inner = tokenizers::Tokenizer::new(Unigram::from(pieces, Some(2), false)?);
    inner.with_normalizer(Some(Sequence::new(vec![
        NormalizerWrapper::from(Precompiled::from(CHARACTERS)?),
        Strip::new(false, true).into(),
        Replace::new(ReplacePattern::Regex(" {2,}".into()), "▁")?.into(),
    ])))?;
    inner.with_pre_tokenizer(Some(Metaspace::new('▁', PrependScheme::First, true)));
    let special = [PADDING, END, UNKNOWN].map(str::to_owned).into_iter().chain(extra);
    inner.add_special_tokens(special.map(|name| AddedToken::from(name, true)))?;
    Ok(T5Tokenizer::new(inner)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_vocabulary_is_whole() {
        let tokenizer = T5Tokenizer::t5().unwrap();
        assert_eq!((tokenizer.vocabulary(), tokenizer.end(), tokenizer.padding()), (32100, 1, 0));
        assert_eq!(tokenizer.ids("a very</s><extra_id_0>").unwrap(), [3, 9, 182, 1, 32099]);
    }

    #[test]
    fn short_texts_are_filled_and_long_ones_kept() {
        let tokenizer = T5Tokenizer::t5().unwrap();
        assert_eq!(tokenizer.tokenize("", 4).unwrap(), [1, 0, 0, 0]);
        assert!(tokenizer.tokenize(&"very ".repeat(300), 256).unwrap().len() > 300);
    }
}
