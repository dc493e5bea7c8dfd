//! `{a|b}` in prompts: the editor takes one of them whenever it sends. It leaves out comments at the same time.

use super::shape::{Holds, Slot};
use super::widgets::same_choice;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Choices that lie deeper within others are read as they are: each level costs the length of what lies in it.
const DEEPEST: usize = 100;

/// Takes one of the choices in each prompt of a node. Which one follows from `seed`, the node and the input alone.
pub(super) fn choose(slots: &[Slot], inputs: &mut Map<String, Value>, seed: u64, id: &str) {
    let mut todo: Vec<(String, &Slot)> = slots.iter().map(|s| (s.name.clone(), s)).collect();
    while let Some((name, slot)) = todo.pop() {
        let (Some(widget), Some(value)) = (&slot.widget, inputs.get_mut(&name)) else { continue };
        match (&widget.holds, value) {
            (Holds::Prompt, Value::String(text)) => {
                let mut place = 0_u64;
                *text = chosen(text, &mut |count| {
                    place += 1;
                    let digest = Sha256::digest(format!("{seed} {id} {name} {place}"));
                    let number = digest.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte));
                    (number % count as u64) as usize
                });
            }
            (Holds::Branches(branches), value) => {
                if let Some((_, inner)) = branches.iter().find(|(key, _)| same_choice(key, value)) {
                    todo.extend(inner.iter().map(|s| (format!("{name}.{}", s.name), s)));
                }
            }
            _ => {}
        }
    }
}

/// `pick` gives a number below the one that it gets. Choices may lie within choices; `\{`, `\|` and `\}` are themselves.
fn chosen(text: &str, pick: &mut dyn FnMut(usize) -> usize) -> String {
    let (mut done, mut open): (String, Vec<Vec<String>>) = (String::new(), Vec::new());
    let text = without_comments(text);
    let mut letters = text.chars();
    // A choice that is not closed ends with the text.
    while let Some(letter) = letters.next().or_else(|| (!open.is_empty()).then_some('}')) {
        let depth = open.len();
        match (letter, open.last_mut()) {
            ('{', _) if depth < DEEPEST => open.push(vec![String::new()]),
            ('|', Some(options)) => options.push(String::new()),
            ('}', Some(options)) => {
                let taken = options.swap_remove(pick(options.len()));
                open.pop();
                within(&mut done, &mut open).push_str(&taken);
            }
            ('\\', _) => {
                let next = letters.next();
                let into = within(&mut done, &mut open);
                if !next.is_some_and(|n| "{|}".contains(n)) {
                    into.push('\\');
                }
                into.extend(next);
            }
            _ => within(&mut done, &mut open).push(letter),
        }
    }
    done
}

/// Where the next letter goes.
fn within<'a>(done: &'a mut String, open: &'a mut [Vec<String>]) -> &'a mut String {
    open.last_mut().and_then(|options| options.last_mut()).unwrap_or(done)
}

/// Without `/* … */` and what stands behind `//` in a line.
fn without_comments(text: &str) -> String {
    let (mut done, mut rest, mut endless) = (String::new(), text, false);
    while let Some(at) = rest.find('/') {
        let (before, after) = rest.split_at(at);
        done.push_str(before);
        if after.starts_with("//") {
            rest = after.find(['\n', '\r']).map_or("", |end| &after[end..]);
            continue;
        }
        let begins = after.starts_with("/*") && !endless;
        let end = begins.then(|| after[2..].find("*/")).flatten();
        // Looked for once only: a text of nothing but beginnings is read as fast as any other.
        endless |= begins && end.is_none();
        rest = end.map_or(&after[1..], |end| &after[end + 4..]);
        if end.is_none() {
            done.push('/');
        }
    }
    done + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_of_each_choice_is_taken() {
        let read = |text: &str, which: usize| chosen(text, &mut |count| which.min(count - 1));
        for (text, first, last) in [
            ("a {red|blue} cat", "a red cat", "a blue cat"),
            ("{a|b{c|d}|{e|f}g}h", "ah", "fgh"),
            ("{only} {}|", "only |", "only |"),
            ("{open|never closed {x|y", "open", "never closed y"),
            ("no } closing", "no } closing", "no } closing"),
            ("\\{a\\|b\\} \\n {c\\|d|e}\\", "{a|b} \\n c|d\\", "{a|b} \\n e\\"),
            ("one // rest {a|b}\ntwo /* all\nof */it /* no end", "one \ntwo it /* no end", "one \ntwo it /* no end"),
        ] {
            assert_eq!((read(text, 0).as_str(), read(text, 9).as_str()), (first, last), "{text}");
        }
    }

    #[test]
    fn the_same_seed_takes_the_same_and_others_take_others() {
        let slots = [Slot::widget("text", Holds::Prompt, None), Slot::widget("name", Holds::Text, None)];
        let texts = |seed: u64| {
            let mut inputs = json!({"text": "{a|b|c|d} {a|b|c|d}", "name": "{a|b}"}).as_object().cloned().unwrap();
            choose(&slots, &mut inputs, seed, "7");
            assert_eq!(inputs["name"], "{a|b}");
            inputs["text"].as_str().unwrap().to_owned()
        };
        assert_eq!(texts(1), texts(1));
        let all: std::collections::BTreeSet<String> = (0..200).map(texts).collect();
        assert_eq!(all.len(), 16, "{all:?}");
    }

    #[test]
    fn long_texts_take_no_stack_and_no_patience() {
        let started = std::time::Instant::now();
        let mut first = |_: usize| 0;
        assert_eq!(chosen(&"{".repeat(1 << 20), &mut first).len(), (1 << 20) - DEEPEST);
        assert!(chosen(&"{x".repeat(1 << 19), &mut first).starts_with("xxx"));
        assert_eq!(chosen(&"/* ".repeat(1 << 20), &mut first).len(), 3 << 20);
        assert_eq!(chosen(&"{|".repeat(1 << 19), &mut first), "");
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }
}
