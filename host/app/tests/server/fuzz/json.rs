//! JSON with a few changes that keep most of its structure.

use crate::limits::Random;
use serde_json::{Value, json};

/// A value that somebody might not expect.
pub(super) fn odd(random: &mut Random) -> Value {
    match random.next(30) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(0),
        4 => json!(u64::MAX),
        5 => json!(i64::MIN),
        6 => json!(1e308),
        7 => json!(-0.0),
        8 => json!(0.1),
        9 => json!(""),
        10 => json!("x".repeat(1 << random.next(14))),
        11 => json!("\0"),
        12 => json!("\u{202e}\u{feff}\u{1F3FA}"),
        13 => json!("../../../../etc/passwd"),
        14 => json!("a.png [output]"),
        15 => json!("%date:yyyy-MM-dd% %1.seed% {a|{b|}"),
        16 => json!("NaN"),
        17 => json!("18446744073709551616"),
        18 => json!([]),
        19 => json!({}),
        20 => json!(["1", 0]),
        21 => json!(["1", -1]),
        22 => json!(["1", u64::MAX]),
        23 => json!([1, 0]),
        24 => json!(["1", 0, 0]),
        25 => json!({"__value__": ["1", 0]}),
        26 => json!({"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}),
        27 => json!("EmptyImage"),
        28 => nested(1 + random.next(120)),
        _ => Value::Array(vec![json!(["1", 0]); 1 << random.next(8)]),
    }
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({"inputs": inner}) })
}

/// A name for something that has another one.
fn odd_name(random: &mut Random) -> String {
    const NAMES: [&str; 14] = [
        "",
        "1",
        "2",
        "1:2",
        "0.0.1",
        "prompt",
        "inputs",
        "class_type",
        "_meta",
        "nodes",
        "links",
        "__proto__",
        "\0",
        "é",
    ];
    match random.next(NAMES.len() + 1) {
        0 => "n".repeat(1 << random.next(12)),
        n => NAMES[n - 1].to_owned(),
    }
}

/// Changes one place, perhaps to what stands somewhere in `other`.
pub(super) fn change(random: &mut Random, value: &mut Value, other: &Value) {
    let mut place = random.next(count(value));
    let Some(at) = find(value, &mut place) else { return };
    match random.next(9) {
        0 | 1 => *at = odd(random),
        2 => {
            let mut copy = other.clone();
            let mut place = random.next(count(&copy));
            *at = find(&mut copy, &mut place).map(Value::take).unwrap_or_default();
        }
        3 => match at {
            Value::Object(map) if !map.is_empty() => {
                let name = key(random, map);
                map.remove(&name);
            }
            Value::Array(items) if !items.is_empty() => drop(items.remove(random.next(items.len()))),
            _ => *at = Value::Null,
        },
        4 => match at {
            Value::Object(map) if !map.is_empty() => {
                let name = key(random, map);
                let inner = map.remove(&name).unwrap_or_default();
                map.insert(odd_name(random), inner);
            }
            _ => *at = json!(odd_name(random)),
        },
        5 => match at {
            Value::Object(map) => drop(map.insert(odd_name(random), odd(random))),
            Value::Array(items) => items.insert(random.next(items.len() + 1), odd(random)),
            _ => *at = json!([at.take()]),
        },
        6 => *at = json!({ odd_name(random): at.take() }),
        _ => nudge(random, at),
    }
}

/// A little more or less of the same.
fn nudge(random: &mut Random, value: &mut Value) {
    match value {
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(0.0);
            let factor = [-1.0, 0.5, 2.0, 1e9, 1e-9][random.next(5)];
            *value = match random.next(3) {
                0 => json!(number * factor),
                1 => json!((number * factor) as i64),
                _ => json!((number * factor).to_string()),
            };
        }
        Value::String(text) => {
            let at = (0..=random.next(text.len() + 1)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            match random.next(3) {
                0 => text.truncate(at),
                1 => text.insert(at, ['a', '\n', '%', '/', '\u{0}', '}'][random.next(6)]),
                _ => *text = text.to_uppercase(),
            }
        }
        Value::Bool(yes) => *yes = !*yes,
        Value::Array(items) => items.reverse(),
        Value::Object(map) => {
            let last = map.keys().next_back().cloned();
            if let Some(taken) = last.and_then(|name| map.remove(&name)) {
                map.insert("moved".to_owned(), taken);
            }
        }
        Value::Null => *value = json!({}),
    }
}

fn key(random: &mut Random, map: &serde_json::Map<String, Value>) -> String {
    map.keys().nth(random.next(map.len())).cloned().unwrap_or_default()
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
