//! Prompts of any length: chunks of 75 tokens, each encoded by itself, their states one behind the other.

use super::weights;
use crate::types::{Clip, Conditioning};
use anyhow::Result;
use candle_core::{Device, Tensor};
use models::{PartStates, TextPart, TokenCutter};

/// Weighted parts with fewer tokens are not torn apart between chunks (ComfyUI).
const KEPT_WHOLE: usize = 8;

/// A prompt, with emphasis, as the network reads it.
///
/// A weight moves the states of its tokens away from or towards those of an empty prompt, z₀ + w·(z − z₀).
pub(crate) fn encode(clip: &Clip, prompt: &str) -> Result<Conditioning> {
    let parts = weights::parse(prompt)?;
    let mut states = Vec::new();
    for part in clip.text.parts() {
        states.push(encode_part(part, &parts, clip.skip)?);
    }
    let encoded = clip.text.combine(states)?;
    Ok(Conditioning::one(encoded.states, encoded.pooled))
}

/// The states of one text encoder, (1, chunks · 77, d), and the pooled state of the first chunk.
fn encode_part(part: &TextPart, parts: &[(String, f64)], skip: Option<usize>) -> Result<PartStates> {
    let chunks = chunks(part.tokens(), parts)?;
    let length = chunks[0].len();
    let weighted = chunks.iter().flatten().any(|(_, weight)| *weight != 1.0);
    let ids: Vec<u32> = chunks.iter().flatten().map(|(id, _)| *id).collect();
    let device = &Device::Cpu;
    let mut empty = part.row_of("")?.0;
    empty.resize(length, part.tokens().padding());
    let empty = Tensor::new(empty.as_slice(), device)?.unsqueeze(0)?;
    let mut ids = Tensor::from_vec(ids, (chunks.len(), length), device)?;
    if weighted {
        ids = Tensor::cat(&[&ids, &empty], 0)?;
    }
    // (chunks, 77, d), and the empty prompt behind them if there are weights
    let PartStates { states, pooled } = part.encode_ids(&ids, skip)?;
    let mut all = states.narrow(0, 0, chunks.len())?;
    if weighted {
        let empty = states.narrow(0, chunks.len(), 1)?;
        let factors: Vec<f32> = chunks.iter().flatten().map(|(_, weight)| *weight as f32).collect();
        let factors = Tensor::from_vec(factors, (chunks.len(), length, 1), device)?;
        all = all.broadcast_sub(&empty)?.broadcast_mul(&factors)?.broadcast_add(&empty)?;
    }
    let (n, t, d) = all.dims3()?;
    // (1, chunks · 77, d)
    let pooled = pooled.map(|pooled| pooled.narrow(0, 0, 1)).transpose()?;
    Ok(PartStates { states: all.reshape((1, n * t, d))?, pooled })
}

/// Token ids with weights, each chunk with start, end and padding: as long as the encoder takes.
fn chunks(tokenizer: &dyn TokenCutter, parts: &[(String, f64)]) -> Result<Vec<Vec<(u32, f64)>>> {
    let room = tokenizer.length().unwrap_or(usize::MAX) - 1;
    let start: Vec<(u32, f64)> = tokenizer.start().map(|id| (id, 1.0)).into_iter().collect();
    let mut chunks = vec![start.clone()];
    for (text, weight) in parts {
        let mut ids: Vec<(u32, f64)> = tokenizer.ids(text)?.into_iter().map(|id| (id, *weight)).collect();
        let may_tear = ids.len() >= KEPT_WHOLE;
        while !ids.is_empty() {
            let filled = chunks.last().map_or(0, Vec::len);
            let fits = ids.len().min(if ids.len() + filled <= room || may_tear { room - filled } else { 0 });
            let rest = ids.split_off(fits);
            if let Some(chunk) = chunks.last_mut() {
                chunk.append(&mut ids);
            }
            ids = rest;
            if !ids.is_empty() {
                chunks.push(start.clone());
            }
        }
    }
    for chunk in &mut chunks {
        chunk.push((tokenizer.end(), 1.0));
        let length = chunk.len().max(tokenizer.least());
        chunk.resize(length, (tokenizer.padding(), 1.0));
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::Tokenizer;

    fn part(text: &str, weight: f64) -> (String, f64) {
        (text.to_owned(), weight)
    }

    #[test]
    fn short_prompts_are_one_chunk_like_the_tokenizer_makes_it() {
        let tokenizer = Tokenizer::clip().unwrap();
        let found = chunks(&tokenizer, &[part("a photo of a cat", 1.0)]).unwrap();
        let ids: Vec<u32> = found[0].iter().map(|t| t.0).collect();
        assert_eq!((found.len(), ids), (1, tokenizer.tokenize("a photo of a cat").unwrap().ids));
        let empty = chunks(&tokenizer, &[]).unwrap();
        assert_eq!((empty.len(), empty[0].len()), (1, 77));
    }

    #[test]
    fn long_parts_are_torn_and_short_ones_are_not() {
        let tokenizer = Tokenizer::clip().unwrap();
        let long = chunks(&tokenizer, &[part(&"cat ".repeat(80), 1.0)]).unwrap();
        assert_eq!(long.len(), 2);
        assert!(long.iter().all(|c| c.len() == 77));
        assert_eq!(long[1].iter().filter(|t| t.0 == 2368).count(), 5);
        // 73 tokens and then 3 that do not fit: they go to the next chunk together.
        let kept = chunks(&tokenizer, &[part(&"cat ".repeat(73), 1.0), part("dog dog dog", 1.3)]).unwrap();
        assert_eq!(kept.len(), 2);
        assert_eq!(kept[1][1..4].iter().map(|t| t.1).collect::<Vec<_>>(), [1.3; 3]);
        assert_eq!((kept[0][74].0, kept[0][76].0), (tokenizer.end(), tokenizer.padding()));
    }

    #[test]
    fn a_full_chunk_is_one_chunk() {
        let tokenizer = Tokenizer::clip().unwrap();
        assert_eq!(chunks(&tokenizer, &[part(&"cat ".repeat(75), 1.0)]).unwrap().len(), 1);
    }
}
