//! CLIP's byte-pair tokens, by the crate `tokenizers`.

use crate::error::{Error, Result};
use crate::text::TokenCutter;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Cuts texts into the tokens of one text encoder.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    start: u32,
    end: u32,
    padding: u32,
    length: usize,
}

/// A text as token ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Start token, the text's tokens, end token and padding: as many as the encoder takes.
    pub ids: Vec<u32>,
    /// How many of the text's tokens are in `ids`, without start and end.
    pub used: usize,
    /// How many of the text's tokens did not fit.
    pub cut: usize,
}

const START: &str = "<|startoftext|>";
pub(super) const END: &str = "<|endoftext|>";
/// Merges of OpenAI's CLIP (MIT licence), for checkpoints that come without a tokenizer.
const MERGES: &str = include_str!("merges.txt");
/// Tokens a CLIP text encoder takes.
pub(super) const LENGTH: usize = 77;

impl Tokenizer {
    /// The tokenizer of OpenAI's CLIP, which every SD 1.x checkpoint uses.
    pub fn clip() -> Result<Tokenizer> {
        Tokenizer::clip_padded(END)
    }

    /// The same with another token that fills short texts.
    pub(super) fn clip_padded(padding: &str) -> Result<Tokenizer> {
        let merges = merge_lines(MERGES);
        // The vocabulary follows from the merges: bytes, bytes that end a word, merged pieces, special tokens.
        let bytes = byte_letters();
        let mut names: Vec<String> = bytes.iter().map(char::to_string).collect();
        names.extend(bytes.iter().map(|letter| format!("{letter}</w>")));
        names.extend(merges.iter().map(|(a, b)| format!("{a}{b}")));
        names.extend([START.to_owned(), END.to_owned()]);
        let vocabulary = names.into_iter().enumerate().map(|(id, name)| (name, id.into())).collect();
        Tokenizer::new(vocabulary, &merges, padding).map_err(Error::Tokens)
    }

    /// The tokenizer of a diffusers folder: `tokenizer.json`, or `vocab.json` with `merges.txt`.
    pub fn from_folder(folder: &Path) -> Result<Tokenizer> {
        let padding = padding_token(folder)?;
        let whole = folder.join("tokenizer.json");
        if whole.exists() {
            let bytes = std::fs::read(&whole).map_err(Error::io(&whole))?;
            return Tokenizer::from_bytes(&bytes, &padding).map_err(|what| Error::file(&whole, what));
        }
        let (vocabulary, merges) = (folder.join("vocab.json"), folder.join("merges.txt"));
        let bytes = std::fs::read(&vocabulary).map_err(Error::io(&vocabulary))?;
        let map = serde_json::from_slice(&bytes).map_err(|e| Error::file(&vocabulary, format!("not JSON: {e}")))?;
        let text = std::fs::read_to_string(&merges).map_err(Error::io(&merges))?;
        Tokenizer::new(map, &merge_lines(&text), &padding).map_err(|what| Error::file(folder, what))
    }

    fn new(vocabulary: Map<String, Value>, merges: &[(&str, &str)], padding: &str) -> Result<Tokenizer, String> {
        let special = |name: &str| -> Result<Value, String> {
            let id = vocabulary.get(name).ok_or_else(|| format!("the vocabulary has no `{name}`"))?;
            Ok(json!({"id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
                      "normalized": false, "special": true}))
        };
        // The steps of transformers' conversion of CLIP's tokenizer.
        let pieces = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
        let all = json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": [special(START)?, special(END)?],
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ]},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": pieces}, "behavior": "Removed", "invert": true},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            ]},
            "post_processor": null, "decoder": null,
            "model": {
                "type": "BPE", "dropout": null, "unk_token": END, "continuing_subword_prefix": "",
                "end_of_word_suffix": "</w>", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": vocabulary, "merges": merges,
            },
        });
        let bytes = serde_json::to_vec(&all).map_err(|e| e.to_string())?;
        Tokenizer::from_bytes(&bytes, padding)
    }

    fn from_bytes(bytes: &[u8], padding: &str) -> Result<Tokenizer, String> {
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| format!("not a tokenizer: {e}"))?;
        inner.with_truncation(None).map_err(|e| e.to_string())?;
        inner.with_padding(None);
        let id = |name: &str| inner.token_to_id(name).ok_or_else(|| format!("the vocabulary has no `{name}`"));
        let (start, end, padding) = (id(START)?, id(END)?, id(padding)?);
        Ok(Tokenizer { start, end, padding, length: LENGTH, inner })
    }

    /// The start token's id.
    pub fn start(&self) -> u32 {
        self.start
    }

    /// The end token's id.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// The id that fills short texts.
    pub fn padding(&self) -> u32 {
        self.padding
    }

    /// Tokens that the encoder takes, start and end included.
    pub fn length(&self) -> usize {
        self.length
    }

    pub(crate) fn set_length(&mut self, length: usize) {
        self.length = length.max(2);
    }

    /// The highest id of the vocabulary, plus one.
    pub(crate) fn vocabulary(&self) -> usize {
        self.inner.get_vocab(true).values().max().map_or(0, |&id| id as usize + 1)
    }

    /// A text's own token ids, however many, without start and end.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false).map_err(|e| Error::Tokens(format!("{e}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// A text's token ids with start and end, cut or filled to the encoder's length.
    pub fn tokenize(&self, text: &str) -> Result<Tokens> {
        let own = self.ids(text)?;
        let used = own.len().min(self.length - 2);
        let mut ids = vec![self.start];
        ids.extend(&own[..used]);
        ids.push(self.end);
        ids.resize(self.length, self.padding);
        Ok(Tokens { ids, used, cut: own.len() - used })
    }
}

impl TokenCutter for Tokenizer {
    fn ids(&self, text: &str) -> Result<Vec<u32>> {
        Tokenizer::ids(self, text)
    }

    fn start(&self) -> Option<u32> {
        Some(self.start)
    }

    fn end(&self) -> u32 {
        self.end
    }

    fn padding(&self) -> u32 {
        self.padding
    }

    fn length(&self) -> Option<usize> {
        Some(self.length)
    }

    fn least(&self) -> usize {
        self.length
    }
}

/// The padding token that a folder's settings name.
fn padding_token(folder: &Path) -> Result<String> {
    for name in ["tokenizer_config.json", "special_tokens_map.json"] {
        let path = folder.join(name);
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let json: Value = serde_json::from_slice(&bytes).map_err(|e| Error::file(&path, format!("not JSON: {e}")))?;
        let token = &json["pad_token"];
        if let Some(token) = token.as_str().or_else(|| token["content"].as_str()) {
            return Ok(token.to_owned());
        }
    }
    Ok(END.to_owned())
}

fn merge_lines(text: &str) -> Vec<(&str, &str)> {
    text.lines().filter(|line| !line.starts_with("#version")).filter_map(|line| line.split_once(' ')).collect()
}

/// GPT-2's letters for bytes, in the order of CLIP's vocabulary: printable bytes as they are, then the others.
fn byte_letters() -> Vec<char> {
    let printable = |b: &u32| (33..=126).contains(b) || (161..=172).contains(b) || (174..=255).contains(b);
    let own = (0..256u32).filter(printable);
    let others = (0..256u32).filter(|b| !printable(b)).count() as u32;
    own.chain(256..256 + others).filter_map(char::from_u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_vocabulary_is_whole() {
        let tokenizer = Tokenizer::clip().unwrap();
        assert_eq!(tokenizer.vocabulary(), 49408);
        assert_eq!((tokenizer.start(), tokenizer.end()), (49406, 49407));
        // "a photo of a cat" in OpenAI's own tokenizer.
        assert_eq!(tokenizer.ids("a photo of a  CAT").unwrap(), [320, 1125, 539, 320, 2368]);
    }

    #[test]
    fn long_texts_are_cut_and_short_ones_filled() {
        let tokenizer = Tokenizer::clip().unwrap();
        let long = tokenizer.tokenize(&"cat ".repeat(100)).unwrap();
        assert_eq!((long.ids.len(), long.used, long.cut, long.ids[76]), (77, 75, 25, 49407));
        let short = tokenizer.tokenize("").unwrap();
        assert_eq!((short.ids[0], &short.ids[1..], short.used), (49406, &[49407u32; 76][..], 0));
    }
}
