//! Prompts of any length: chunks of 75 tokens, each encoded by itself, their states one behind the other.

use super::weights;
use crate::types::{Clip, Conditioning};
use anyhow::Result;
use candle_core::Tensor;
use models::Tokenizer;

/// Weighted parts with fewer tokens are not torn apart between chunks (ComfyUI).
const KEPT_WHOLE: usize = 8;

/// A prompt, with emphasis, as the network reads it.
///
/// A weight moves the states of its tokens away from or towards those of an empty prompt, z₀ + w·(z − z₀).
pub(crate) fn encode(clip: &Clip, prompt: &str) -> Result<Conditioning> {
    let chunks = chunks(clip.text.tokenizer(), &weights::parse(prompt)?)?;
    let length = clip.text.tokenizer().length();
    let weighted = chunks.iter().flatten().any(|(_, weight)| *weight != 1.0);
    let ids: Vec<u32> = chunks.iter().flatten().map(|(id, _)| *id).collect();
    let empty = clip.text.tokenize_batch(&[""])?;
    let device = empty.device();
    let mut ids = Tensor::from_vec(ids, (chunks.len(), length), device)?;
    if weighted {
        ids = Tensor::cat(&[&ids, &empty], 0)?;
    }
    // (chunks, 77, d), and the empty prompt behind them if there are weights
    let states = clip.text.encode_skipping(&ids, clip.skip)?;
    let mut all = states.narrow(0, 0, chunks.len())?;
    if weighted {
        let empty = states.narrow(0, chunks.len(), 1)?;
        let factors: Vec<f32> = chunks.iter().flatten().map(|(_, weight)| *weight as f32).collect();
        let factors = Tensor::from_vec(factors, (chunks.len(), length, 1), device)?;
        all = all.broadcast_sub(&empty)?.broadcast_mul(&factors)?.broadcast_add(&empty)?;
    }
    let (n, t, d) = all.dims3()?;
    // (1, chunks · 77, d)
    Ok(Conditioning::one(all.reshape((1, n * t, d))?, None))
}

/// Token ids with weights, each chunk with start, end and padding: as long as the encoder takes.
fn chunks(tokenizer: &Tokenizer, parts: &[(String, f64)]) -> Result<Vec<Vec<(u32, f64)>>> {
    let room = tokenizer.length() - 1;
    let start = vec![(tokenizer.start(), 1.0)];
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
        chunk.resize(tokenizer.length(), (tokenizer.padding(), 1.0));
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

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
