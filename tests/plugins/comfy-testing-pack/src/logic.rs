//! Numbers, texts and truth.

use crate::nodes;
use crate::values::{one, out, plain};
use plugin_sdk::serde_json::Value as Json;
use plugin_sdk::spec::Behaviour;
use plugin_sdk::{Error, Inputs, Value};

const COMPARISONS: [&str; 6] = ["==", "!=", "<", ">", "<=", ">="];

/// Two whole numbers.
#[derive(Inputs)]
pub(crate) struct Math {
    #[input(default = 0, required)]
    a: i64,
    #[input(default = 0, required)]
    b: i64,
    #[input(options = ["add", "subtract", "multiply", "divide", "modulo", "power"])]
    operation: String,
}

/// Two whole numbers to compare.
#[derive(Inputs)]
pub(crate) struct Ints {
    #[input(default = 0, required)]
    a: i64,
    #[input(default = 0, required)]
    b: i64,
    #[input(options = COMPARISONS)]
    operation: String,
}

/// Two numbers to compare.
#[derive(Inputs)]
pub(crate) struct Floats {
    #[input(default = 0.0, required)]
    a: f64,
    #[input(default = 0.0, required)]
    b: f64,
    #[input(options = COMPARISONS)]
    operation: String,
}

/// Two texts to compare.
#[derive(Inputs)]
pub(crate) struct Strings {
    a: String,
    b: String,
    #[input(options = ["a == b", "a != b", "a IN b", "a MATCH REGEX(b)", "a BEGINSWITH b", "a ENDSWITH b"])]
    operation: String,
    #[input(default = true, required)]
    case_sensitive: bool,
}

/// Anything.
#[derive(Inputs)]
pub(crate) struct Truth {
    #[input(required)]
    value: Option<Value>,
    #[input(default = false)]
    invert: bool,
}

/// Two truths.
#[derive(Inputs)]
pub(crate) struct Bools {
    #[input(required)]
    a: bool,
    #[input(required)]
    b: bool,
    #[input(options = ["a AND b", "a OR b", "a XOR b", "NOT a"])]
    op: String,
}

fn compare<T: PartialOrd>(a: &T, b: &T, operation: &str) -> bool {
    match operation {
        "==" => a == b,
        "!=" => a != b,
        "<" => a < b,
        ">" => a > b,
        "<=" => a <= b,
        _ => a >= b,
    }
}

/// As Python sees it; an object that a plugin cannot open is something.
fn truth(value: &Value) -> bool {
    match value {
        Value::Data(Json::Null) => false,
        Value::Data(Json::Bool(b)) => *b,
        Value::Data(Json::Number(n)) => n.as_f64() != Some(0.0),
        Value::Data(Json::String(s)) => !s.is_empty(),
        Value::Data(Json::Array(a)) => !a.is_empty(),
        Value::Data(Json::Object(o)) => !o.is_empty(),
        Value::List(items) => !items.is_empty(),
        Value::Object(_) => true,
    }
}

/// Rounded towards minus infinity, as Python's `//`.
fn floor_div(a: i64, b: i64) -> Option<i64> {
    let quotient = a.checked_div(b)?;
    Some(if a % b != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient })
}

nodes! {
    TestIntMathOperation "Int Math Operation" (Math) -> [out("INT")] |i| {
        let (a, b) = (i.a, i.b);
        let result = match i.operation.as_str() {
            "add" => a.checked_add(b),
            "subtract" => a.checked_sub(b),
            "multiply" => a.checked_mul(b),
            "divide" => floor_div(a, b),
            "modulo" => floor_div(a, b).and_then(|q| q.checked_mul(b)).and_then(|m| a.checked_sub(m)),
            _ => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
        };
        one(result.ok_or_else(|| Error::invalid_input(format!("{a} and {b} have no {} here", i.operation)))?)
    }; { fn behaviour() -> Behaviour { plain() } }

    TestIntConditions "Int Condition" (Ints) -> [out("BOOLEAN")] |i| one(compare(&i.a, &i.b, &i.operation));
    { fn behaviour() -> Behaviour { plain() } }

    TestFloatConditions "Float Condition" (Floats) -> [out("BOOLEAN")] |i| one(compare(&i.a, &i.b, &i.operation));
    { fn behaviour() -> Behaviour { plain() } }

    TestStringConditions "String Condition" (Strings) -> [out("BOOLEAN")] |i| {
        let cased = |text: String| if i.case_sensitive { text } else { text.to_lowercase() };
        let (a, b) = (cased(i.a), cased(i.b));
        one(match i.operation.as_str() {
            "a == b" => a == b,
            "a != b" => a != b,
            "a IN b" => b.contains(&a),
            "a BEGINSWITH b" => a.starts_with(&b),
            "a ENDSWITH b" => a.ends_with(&b),
            // At the beginning, as Python's `match`.
            _ => regex_lite::Regex::new(&format!("^(?:{b})")).is_ok_and(|r| r.is_match(&a)),
        })
    }; { fn behaviour() -> Behaviour { plain() } }

    TestToBoolNode "To Bool" (Truth) -> [out("BOOLEAN")] |i| {
        let result = i.value.as_ref().is_some_and(truth);
        one(result != i.invert)
    }; { fn behaviour() -> Behaviour { plain() } }

    TestBoolOperationNode "Bool Operation" (Bools) -> [out("BOOLEAN")] |i| one(match i.op.as_str() {
        "a AND b" => i.a && i.b,
        "a OR b" => i.a || i.b,
        "a XOR b" => i.a ^ i.b,
        _ => !i.a,
    });
    { fn behaviour() -> Behaviour { plain() } }
}
