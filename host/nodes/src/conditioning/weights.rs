//! Emphasis in prompts, by ComfyUI's rules: `(x)` weighs 1.1, `(x:1.3)` weighs 1.3 whatever is around it,
//! `\(` and `\)` are brackets to read.

use anyhow::{Result, bail};

/// Brackets deeper than this are a mistake, or an attack.
const MAX_DEPTH: usize = 100;

/// Stand-ins for escaped brackets while brackets are counted.
const CLOSING: &str = "\0\u{1}";
const OPENING: &str = "\0\u{2}";

/// A prompt's parts with their weights, in order.
pub(super) fn parse(prompt: &str) -> Result<Vec<(String, f64)>> {
    let escaped = prompt.replace("\\)", CLOSING).replace("\\(", OPENING);
    let mut parts = Vec::new();
    weigh(&escaped, 1.0, 0, &mut parts)?;
    for (text, _) in &mut parts {
        *text = text.replace(CLOSING, ")").replace(OPENING, "(");
    }
    Ok(parts)
}

fn weigh(text: &str, weight: f64, depth: usize, parts: &mut Vec<(String, f64)>) -> Result<()> {
    if depth > MAX_DEPTH {
        bail!("the prompt's brackets are nested more than {MAX_DEPTH} deep");
    }
    for item in top_level(text) {
        let Some(inner) = item.strip_prefix('(').and_then(|i| i.strip_suffix(')')) else {
            parts.push((item.to_owned(), weight));
            continue;
        };
        // A number behind the last colon is the weight itself; plain brackets multiply.
        let explicit = inner
            .rsplit_once(':')
            .filter(|(before, _)| !before.is_empty())
            .and_then(|(before, number)| Some((before, number.trim().parse::<f64>().ok()?)))
            .filter(|(_, number)| number.is_finite());
        match explicit {
            Some((before, number)) => weigh(before, number, depth + 1, parts)?,
            None => weigh(inner, weight * 1.1, depth + 1, parts)?,
        }
    }
    Ok(())
}

/// Cuts at brackets of the outermost level: the pieces together are the text.
fn top_level(text: &str) -> Vec<&str> {
    let (mut items, mut start, mut level) = (Vec::new(), 0, 0i64);
    for (at, c) in text.char_indices() {
        match c {
            '(' => {
                if level == 0 {
                    items.push(&text[start..at]);
                    start = at;
                }
                level += 1;
            }
            ')' => {
                level -= 1;
                if level == 0 {
                    items.push(&text[start..=at]);
                    start = at + 1;
                }
            }
            _ => {}
        }
    }
    items.push(&text[start..]);
    items.retain(|item| !item.is_empty());
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// Recorded from ComfyUI.
    #[test]
    fn equals_comfyui() {
        let root = std::env::var_os("ANAGAMA_REFERENCE").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference")),
            PathBuf::from,
        );
        let path = root.join("text/prompt_weights.json");
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("SKIPPED: prompt weights: no {}", path.display());
            return;
        };
        let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let prompt = case["prompt"].as_str().unwrap();
            let expected: Vec<(String, f64)> = serde_json::from_value(case["comfyui"].clone()).unwrap();
            let found = parse(prompt).unwrap();
            let texts = |parts: &[(String, f64)]| parts.iter().map(|p| p.0.clone()).collect::<Vec<_>>();
            assert_eq!(texts(&found), texts(&expected), "{prompt}");
            for (f, e) in found.iter().zip(&expected) {
                assert!((f.1 - e.1).abs() < 1e-9, "{prompt}: {f:?}, expected {e:?}");
            }
        }
    }

    #[test]
    fn a_flood_of_brackets_is_an_error() {
        assert!(parse(&format!("{}{}", "(".repeat(100_000), ")".repeat(100_000))).is_err());
        assert!(parse(&"(".repeat(100_000)).is_ok());
    }
}
