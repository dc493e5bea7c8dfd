//! Inputs that are almost right, made from real ones: cut, doubled, changed, with odd values in odd places.
//!
//! Every case follows from a seed and its number, so that one that fails can be had again: `ANAGAMA_FUZZ_SEED`,
//! `ANAGAMA_FUZZ_FIRST`, `ANAGAMA_FUZZ_COUNT`. Start at [`cases`].

use serde_json::{Value, json};

/// A source of numbers that a seed decides. Source: G. Marsaglia, xorshift.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Of a case. Cases that lie side by side have nothing in common. Source: S. Vigna, splitmix64.
    pub fn of(seed: u64, case: u64) -> Self {
        let mut z = seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(case).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self((z ^ (z >> 31)).max(1))
    }

    /// A number below `below`, which must not be 0.
    pub fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    /// One of these.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.next(of.len())]
    }
}

/// Makes cases and checks them; `usual` many unless the environment says otherwise. One that panics is named.
///
/// # Panics
/// A check does, or the environment says something that is no number.
pub fn cases<T: std::fmt::Debug>(usual: u64, make: impl Fn(&mut Random) -> T, mut check: impl FnMut(&T)) {
    let number = |name: &str, usual: u64| -> u64 {
        std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|e| panic!("{name}: {e}")))
    };
    let seed = number("ANAGAMA_FUZZ_SEED", 1);
    let (first, count) = (number("ANAGAMA_FUZZ_FIRST", 0), number("ANAGAMA_FUZZ_COUNT", usual));
    for case in first..first.saturating_add(count) {
        let made = make(&mut Random::of(seed, case));
        let _said = Failing { seed, case, made: &made };
        check(&made);
    }
}

/// Says which case failed, and how to have it again.
struct Failing<'a, T: std::fmt::Debug> {
    seed: u64,
    case: u64,
    made: &'a T,
}

impl<T: std::fmt::Debug> Drop for Failing<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, case, made } = self;
            eprintln!("failed: ANAGAMA_FUZZ_SEED={seed} ANAGAMA_FUZZ_FIRST={case} ANAGAMA_FUZZ_COUNT=1\n{made:?}");
        }
    }
}

/// Cuts, doubles and changes a few bytes.
pub fn shake(random: &mut Random, bytes: &mut Vec<u8>) {
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

/// Pieces that texts of tags, captions and rules trip over.
const PIECES: &[&str] = &[
    ", ",
    ",",
    "\n",
    "\r\n",
    "\t",
    " ",
    "->",
    " -> ",
    " + ",
    " = ",
    "=",
    ":",
    "*",
    "**",
    "#",
    "\\(",
    "\\)",
    "(",
    ")",
    "((",
    "[",
    "]",
    "{a|b}",
    "|",
    "<lora:x:1>",
    "<",
    ">",
    "(a:1.2)",
    ":3",
    ">_<",
    "^_^",
    "1girl",
    "ohwx",
    "red_hair",
    "\"",
    "'",
    "“",
    "”",
    "…",
    ". ",
    "? ",
    "! ",
    "e.g. ",
    "\0",
    "\u{202e}",
    "\u{feff}",
    "\u{200d}",
    "é",
    "e\u{301}",
    "ß",
    "İ",
    "🏺",
    "漢字",
    "&amp;",
    "&#039;",
    "&#x",
    "&",
    ";",
    "</think>",
    "<think>",
    "$1",
    "(?",
    "[a-",
    "NaN",
    "-1",
    "18446744073709551616",
    "1e999",
];

/// A text of such pieces and parts of real ones.
pub fn text(random: &mut Random, real: &[&str]) -> String {
    let mut out = String::new();
    for _ in 0..random.next(12) {
        let piece: &str = PIECES[random.next(PIECES.len())];
        let whole: &str = if real.is_empty() { piece } else { real[random.next(real.len())] };
        match random.next(8) {
            0 => {
                let whole: Vec<char> = whole.chars().collect();
                let from = random.next(whole.len() + 1);
                let length = random.next(whole.len() - from + 1);
                out.extend(&whole[from..from + length]);
            }
            1 => out.push_str(whole),
            2 => out.push_str(&piece.repeat(1 << random.next(8))),
            _ => out.push_str(piece),
        }
    }
    out
}

/// A value that somebody might not expect.
pub fn odd(random: &mut Random) -> Value {
    match random.next(22) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(0),
        4 => json!(u64::MAX),
        5 => json!(i64::MIN),
        6 => json!(1e308),
        7 => json!(0.1),
        8 => json!(""),
        9 => json!("x".repeat(1 << random.next(12))),
        10 => json!("18446744073709551616"),
        11 => json!("false"),
        12 => json!([]),
        13 => json!({}),
        14 => json!([null]),
        15 => json!({"": [{}]}),
        16 => (0..1 + random.next(60)).fold(json!(1), |inner, _| json!([inner])),
        17 => json!("https://a.example/../b.png?x=1#y"),
        18 => json!("2026-02-31T99:99:99.9+99:99"),
        19 => json!("Thu Feb 31 25:61:61 +9999 20260"),
        _ => json!(text(random, &[])),
    }
}

/// Changes a few places of a value, keeping most of it.
pub fn change(random: &mut Random, value: &mut Value) {
    for _ in 0..=random.next(4) {
        let mut place = random.next(count(value));
        let Some(at) = find(value, &mut place) else { continue };
        match (random.next(6), &mut *at) {
            (0, Value::Object(map)) if !map.is_empty() => {
                let name = map.keys().nth(random.next(map.len())).cloned().unwrap_or_default();
                map.remove(&name);
            }
            (0, Value::Array(items)) if !items.is_empty() => drop(items.remove(random.next(items.len()))),
            (1, Value::Array(items)) if !items.is_empty() => {
                let again = random.one(items).clone();
                items.push(again);
            }
            (2, _) => *at = json!([at.take()]),
            (3, Value::String(text)) => *at = json!(text.parse::<f64>().unwrap_or(7.5)),
            (3, Value::Number(number)) => *at = json!(number.to_string()),
            (3, Value::Bool(truth)) => *at = json!(truth.to_string()),
            (4, Value::String(text)) => {
                let mut bytes = std::mem::take(text).into_bytes();
                shake(random, &mut bytes);
                *at = json!(String::from_utf8_lossy(&bytes));
            }
            _ => *at = odd(random),
        }
    }
}

/// How many values there are, this one among them.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

/// The value at a place, counted from the top.
fn find<'a>(value: &'a mut Value, place: &mut usize) -> Option<&'a mut Value> {
    if *place == 0 {
        return Some(value);
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|v| find(v, place)),
        Value::Object(map) => map.values_mut().find_map(|v| find(v, place)),
        _ => None,
    }
}

/// A body: real JSON with changed places, or any body with shaken bytes.
pub fn body(random: &mut Random, real: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.one(real).clone();
    if random.next(4) > 0
        && let Ok(mut value) = serde_json::from_slice::<Value>(&bytes)
    {
        change(random, &mut value);
        bytes = value.to_string().into_bytes();
    }
    if random.next(3) == 0 {
        shake(random, &mut bytes);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    #[test]
    fn a_case_is_the_same_each_time_and_cases_differ() {
        let real = [br#"{"a": [1, 2, {"b": "c d e"}], "f": "2026-01-01"}"#.to_vec()];
        let make = |case| body(&mut Random::of(1, case), &real);
        assert_eq!((0..50).map(make).collect::<Vec<_>>(), (0..50).map(make).collect::<Vec<_>>());
        let all: BTreeSet<_> = (0..200).map(make).collect();
        assert!(all.len() > 100, "{} of 200", all.len());
        let json = all.iter().filter(|b| serde_json::from_slice::<Value>(b).is_ok()).count();
        assert!(json > 40 && json < all.len(), "{json} of {}", all.len());
    }

    #[test]
    fn every_case_is_checked_and_a_failure_goes_on_up() {
        let seen = RefCell::new(Vec::new());
        cases(7, |random| random.next(1000), |n| seen.borrow_mut().push(*n));
        if std::env::var_os("ANAGAMA_FUZZ_COUNT").is_none() {
            assert_eq!(seen.borrow().len(), 7);
        }
        assert!(std::panic::catch_unwind(|| cases(1, |_| 0, |_| panic!("found one"))).is_err());
    }
}
