//! The loop that writes a text token by token, whatever the network.

use crate::error::Result;

/// How a text is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Writing {
    pub max_tokens: usize,
    /// The text does not end before.
    pub min_tokens: usize,
    /// 0: always the likeliest token.
    pub temperature: f64,
    /// Of the likeliest tokens so many as have this share together.
    pub top_p: f64,
    /// What was there already becomes less likely (Keskar et al. 2019, arXiv:1909.05858); 1: not.
    pub repetition_penalty: f32,
    pub seed: u64,
    /// The text ends before the first of these.
    pub stop: Vec<String>,
}

impl Default for Writing {
    fn default() -> Self {
        Self {
            max_tokens: 20,
            min_tokens: 0,
            temperature: 0.0,
            top_p: 1.0,
            repetition_penalty: 1.0,
            seed: 0,
            stop: Vec::new(),
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What follows the prompt, with the space between them.
    pub text: String,
    /// How many tokens it took.
    pub tokens: usize,
    /// The text ended by itself.
    pub finished: bool,
}

/// Writes behind `ids`. `next` gives the logits behind tokens that it did not see yet.
pub(super) fn write(
    mut ids: Vec<u32>,
    end: u32,
    how: &Writing,
    decode: &dyn Fn(&[u32]) -> Result<String>,
    next: &mut dyn FnMut(&[u32]) -> Result<Vec<f32>>,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Written>> {
    let given = ids.len();
    let prompt = decode(&ids)?;
    let told = |ids: &[u32]| -> Result<String> {
        let all = decode(ids)?;
        Ok(all.strip_prefix(prompt.as_str()).unwrap_or(&all).to_owned())
    };
    let (mut seen, mut finished) = (0, false);
    while ids.len() - given < how.max_tokens {
        if !go_on() {
            return Ok(None);
        }
        let written = ids.len() - given;
        let mut logits = next(&ids[seen..])?;
        seen = ids.len();
        punish(&mut logits, &ids, how.repetition_penalty);
        if written < how.min_tokens
            && let Some(logit) = logits.get_mut(end as usize)
        {
            *logit = f32::NEG_INFINITY;
        }
        let token = choose(&logits, how, written as u64);
        if token == end {
            finished = true;
            break;
        }
        ids.push(token);
        if !how.stop.is_empty() {
            let text = told(&ids)?;
            if let Some(at) = how.stop.iter().filter_map(|stop| text.find(stop.as_str())).min() {
                let text = text[..at].to_owned();
                return Ok(Some(Written { text, tokens: ids.len() - given, finished: true }));
            }
        }
    }
    Ok(Some(Written { text: told(&ids)?, tokens: ids.len() - given, finished }))
}

fn punish(logits: &mut [f32], ids: &[u32], penalty: f32) {
    if penalty == 1.0 {
        return;
    }
    let mut there = ids.to_vec();
    there.sort_unstable();
    there.dedup();
    for id in there {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
        }
    }
}

/// The next token: the first of the likeliest, or one drawn for (seed, place).
fn choose(logits: &[f32], how: &Writing, place: u64) -> u32 {
    let likeliest = || {
        let mut best = 0;
        for (i, logit) in logits.iter().enumerate() {
            if *logit > logits[best] {
                best = i;
            }
        }
        best
    };
    if how.temperature <= 0.0 {
        return likeliest() as u32;
    }
    let most = f64::from(logits[likeliest()]);
    let mut shares: Vec<(f64, u32)> =
        logits.iter().zip(0..).map(|(logit, i)| (((f64::from(*logit) - most) / how.temperature).exp(), i)).collect();
    shares.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let all: f64 = shares.iter().map(|share| share.0).sum();
    let (mut sum, mut count) = (0.0, 0);
    for share in &shares {
        sum += share.0;
        count += 1;
        if sum >= how.top_p * all {
            break;
        }
    }
    let mut left = uniform(how.seed, place) * sum;
    for (share, i) in &shares[..count] {
        left -= share;
        if left < 0.0 {
            return *i;
        }
    }
    shares[count - 1].1
}

/// A number of 0…1 for (seed, place): SplitMix64 (Steele et al. 2014).
fn uniform(seed: u64, place: u64) -> f64 {
    let mut z = seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add((place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens are letters; 0 ends, 1 starts.
    fn run(how: &Writing, logits: impl Fn(&[u32]) -> Vec<f32>) -> Written {
        let decode =
            |ids: &[u32]| Ok(ids.iter().filter(|id| **id > 1).map(|id| (b'a' + *id as u8 - 2) as char).collect());
        let mut all = Vec::new();
        let mut next = |new: &[u32]| {
            all.extend_from_slice(new);
            Ok(logits(&all))
        };
        write(vec![1, 2], 0, how, &decode, &mut next, &|| true).unwrap().unwrap()
    }

    /// The letter after the last one, up to `d`.
    fn alphabet(ids: &[u32]) -> Vec<f32> {
        let last = *ids.last().unwrap();
        let mut logits = vec![0.0; 6];
        logits[if last == 5 { 0 } else { last as usize + 1 }] = 4.0;
        logits
    }

    #[test]
    fn a_text_ends_by_itself_or_at_a_stop_or_when_it_is_long_enough() {
        let of = |how: Writing| run(&how, alphabet);
        let plain = of(Writing::default());
        assert_eq!((plain.text.as_str(), plain.tokens, plain.finished), ("bcd", 3, true));
        let short = of(Writing { max_tokens: 2, ..Writing::default() });
        assert_eq!((short.text.as_str(), short.tokens, short.finished), ("bc", 2, false));
        let stopped = of(Writing { stop: vec!["cd".into()], ..Writing::default() });
        assert_eq!((stopped.text.as_str(), stopped.tokens, stopped.finished), ("b", 3, true));
        assert!(of(Writing { min_tokens: 5, ..Writing::default() }).tokens >= 5);
        let done = write(vec![1], 0, &Writing::default(), &|_| Ok(String::new()), &mut |_| Ok(vec![0.0; 2]), &|| false);
        assert_eq!(done.unwrap(), None);
    }

    #[test]
    fn draws_are_those_of_their_seed_and_as_often_as_they_are_likely() {
        let drawn = |seed, top_p| {
            let how = Writing { temperature: 1.0, seed, top_p, max_tokens: 400, ..Writing::default() };
            run(&how, |_| vec![f32::NEG_INFINITY, f32::NEG_INFINITY, 3f32.ln(), 1f32.ln(), f32::NEG_INFINITY]).text
        };
        assert_eq!(drawn(1, 1.0), drawn(1, 1.0));
        assert_ne!(drawn(1, 1.0), drawn(2, 1.0));
        let share = drawn(1, 1.0).matches('a').count();
        assert!((270..330).contains(&share), "{share}");
        assert!(!drawn(1, 0.7).contains('b'));
    }

    #[test]
    fn what_was_there_becomes_less_likely() {
        let mut logits = [2.0, -2.0, 2.0];
        punish(&mut logits, &[0, 1, 0], 2.0);
        assert_eq!(logits, [1.0, -4.0, 2.0]);
    }
}
