//! Prompts and WebSocket frames that are almost right, made from real ones: always an answer of a documented kind, no
//! panic, no memory that grows. Every case follows from a seed and its number, so that one that fails can be had again:
//! `ANAGAMA_FUZZ_SEED`, `ANAGAMA_FUZZ_FIRST`, `ANAGAMA_FUZZ_COUNT`.

mod frames;
mod json;
mod prompts;

use crate::limits::{Random, resident};
use crate::support::{Server, trivial};
use serde_json::json;

/// Accepted prompts wait, and are dropped after so many cases.
const CLEARED_AFTER: u64 = 500;

/// In kB.
const MAY_GROW: u64 = 40_000;

#[test]
fn odd_prompts_and_frames_get_an_answer_and_do_no_harm() {
    let number = |name: &str, usual: u64| -> u64 {
        std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|e| panic!("{name}: {e}")))
    };
    let seed = number("ANAGAMA_FUZZ_SEED", 1);
    let (first, count) = (number("ANAGAMA_FUZZ_FIRST", 0), number("ANAGAMA_FUZZ_COUNT", 10_000));
    let server = Server::start(&[]);
    server.post("/anagama/pause", &json!(null));
    let corpus = prompts::Corpus::new(&server);
    let (mut told, mut before) = (prompts::Told::default(), None);
    for case in first..first + count {
        let mut random = random_of(seed, case);
        if case % 4 == 3 {
            let bytes = frames::make(&mut random, &corpus);
            let _said = Failing { seed, case, bytes: &bytes };
            frames::check(&server, &mut random, &bytes);
        } else {
            let bytes = corpus.make(&mut random);
            let _said = Failing { seed, case, bytes: &bytes };
            prompts::check(&server, &bytes, &mut told);
        }
        if case % CLEARED_AFTER == CLEARED_AFTER - 1 {
            told.check_queue(&server);
        }
        if case - first == count / 5 {
            before = Some(resident(server.pid()));
        }
    }
    told.check_queue(&server);
    if let Some(before) = before.filter(|_| count >= 1000) {
        let after = resident(server.pid());
        assert!(after < before + MAY_GROW, "memory grew from {before} kB to {after} kB");
        told.check_variety();
    }
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
    server.post("/anagama/resume", &json!(null));
    let id = server.prompt(&json!({"prompt": trivial(1)}));
    assert_eq!(server.finished(&id)["status"]["status_str"], "success");
    eprintln!("{count} cases of seed {seed}: {told}");
}

/// Steps of a seed that lie side by side give numbers that do not. Source: S. Vigna, splitmix64.
fn random_of(seed: u64, case: u64) -> Random {
    let mut z = seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(case).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    Random((z ^ (z >> 31)).max(1))
}

/// Says which case failed, and how to have it again.
struct Failing<'a> {
    seed: u64,
    case: u64,
    bytes: &'a [u8],
}

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, case, bytes } = self;
            eprintln!(
                "failed: ANAGAMA_FUZZ_SEED={seed} ANAGAMA_FUZZ_FIRST={case} ANAGAMA_FUZZ_COUNT=1\n{}",
                bytes.escape_ascii()
            );
        }
    }
}

/// Cuts, doubles and changes a few bytes.
fn shake(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.next(3) {
        if bytes.is_empty() {
            return;
        }
        let at = random.next(bytes.len());
        let end = (at + 1 + random.next(8)).min(bytes.len());
        match random.next(5) {
            0 => bytes[at] = random.next(256) as u8,
            1 => drop(bytes.drain(at..end)),
            2 => bytes.insert(at, random.next(256) as u8),
            3 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => bytes.truncate(at),
        }
    }
}
