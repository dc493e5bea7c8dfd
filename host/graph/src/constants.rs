//! Checks one constant against its input and brings it into the form that the input's type wants.

use crate::{Kind, nearest};
use serde_json::{Map, Value, json};
use spec::{FromValue, Input, Socket, Widget};

/// A problem that does not know its node yet.
pub(crate) struct Wrong {
    pub(crate) kind: Kind,
    pub(crate) details: String,
    /// ComfyUI's own words; see [`crate::Problem`].
    pub(crate) message: Option<String>,
    pub(crate) brief: Option<String>,
    pub(crate) extra: Box<Map<String, Value>>,
}

impl Wrong {
    pub(crate) fn new(kind: Kind, details: impl Into<String>) -> Self {
        Self { kind, details: details.into(), message: None, brief: None, extra: Box::default() }
    }

    pub(crate) fn brief(mut self, brief: String) -> Self {
        self.brief = Some(brief);
        self
    }

    fn received(mut self, value: &Value) -> Self {
        self.extra.insert("received_value".into(), value.clone());
        self
    }
}

/// Lists longer than this are not echoed, as in ComfyUI.
const ECHOED: usize = 20;

/// The constant as the input's type wants it: `"16"` becomes `16` where an `INT` is wanted. `bounds` says whether to
/// look at bounds and lists too.
pub(crate) fn check(
    input: &Input,
    value: &Value,
    bounds: bool,
    host_list: &dyn Fn(&str) -> Vec<String>,
) -> Result<Value, Wrong> {
    let check_one = |input: &Input, value: &Value, list: &dyn Fn(&str) -> Vec<String>| match bounds {
        true => check_one(input, value, list),
        false => converted(input, value),
    };
    if let Value::Array(items) = value {
        let whole = matches!(input.socket, Socket::Json | Socket::Any);
        let many = input.is_list || matches!(input.widget, Widget::Combo { multiselect: true, .. });
        if many {
            return items.iter().map(|v| check_one(input, v, host_list)).collect::<Result<_, _>>().map(Value::Array);
        }
        if !whole {
            let details = format!("expected [node id, slot] or a single value, found {value}");
            return Err(Wrong::new(Kind::BadLinkedInput, details).received(value).brief(input.name.clone()));
        }
    }
    check_one(input, value, host_list)
}

fn converted(input: &Input, value: &Value) -> Result<Value, Wrong> {
    convert(&input.socket, value).map_err(|details| {
        let brief = format!("{}, {}, {details}", input.name, plain(value));
        let mut wrong = Wrong::new(Kind::InvalidInputType, details).received(value).brief(brief);
        wrong.message = Some(format!("Failed to convert an input value to a {} value", input.socket.name()));
        wrong.extra.insert("exception_message".into(), json!(wrong.details));
        wrong
    })
}

fn check_one(input: &Input, value: &Value, host_list: &dyn Fn(&str) -> Vec<String>) -> Result<Value, Wrong> {
    let converted = converted(input, value)?;
    match &input.widget {
        // Widgets hold i64; the greatest stands for «no bound», because seeds reach 2⁶⁴ − 1.
        Widget::Int { min, max, .. } => {
            let number = integer(&converted);
            if number.is_some_and(|n| n < i128::from(*min)) {
                return Err(bound(Kind::ValueSmallerThanMin, min, max, value));
            }
            if *max != i64::MAX && number.is_some_and(|n| n > i128::from(*max)) {
                return Err(bound(Kind::ValueBiggerThanMax, min, max, value));
            }
        }
        Widget::Float { min, max, .. } => {
            let number = converted.as_f64();
            if number.is_some_and(|n| n < *min) {
                return Err(bound(Kind::ValueSmallerThanMin, min, max, value));
            }
            if number.is_some_and(|n| n > *max) {
                return Err(bound(Kind::ValueBiggerThanMax, min, max, value));
            }
        }
        Widget::Combo { options, .. } => in_list(input, &converted, options, "")?,
        Widget::Branches(branches) => {
            let keys: Vec<String> = branches.iter().map(|b| b.key.clone()).collect();
            in_list(input, &converted, &keys, "")?;
        }
        Widget::HostList(name) if !matches!(name.as_str(), "folder" | "file") => {
            let names = host_list(name);
            if converted == "auto" && !names.iter().any(|n| n == "auto") {
                return match names.into_iter().next() {
                    Some(first) => Ok(Value::String(first)),
                    None => Err(none_of(name, value)),
                };
            }
            if names.is_empty() {
                return Err(none_of(name, value));
            }
            in_list(input, &converted, &names, name)?;
        }
        _ => {}
    }
    Ok(converted)
}

fn convert(socket: &Socket, value: &Value) -> Result<Value, String> {
    let data = spec::Value::Data(value.clone());
    match socket {
        Socket::Int => match i64::from_value(&data) {
            Ok(n) => Ok(json!(n)),
            Err(e) => u64::from_value(&data).map(|n| json!(n)).map_err(|_| e),
        },
        Socket::Float => f64::from_value(&data).map(|n| json!(n)),
        // As Python's `bool()`: only what is empty is false.
        Socket::Boolean => match value {
            Value::Null => Ok(json!(false)),
            Value::String(text) => Ok(json!(!text.is_empty())),
            _ => bool::from_value(&data).map(Value::Bool),
        },
        Socket::Text => String::from_value(&data).map(Value::String),
        Socket::Json | Socket::Any | Socket::Annotations => Ok(value.clone()),
        // A union takes what one of its types takes, unchanged: `"IMAGE,FLOAT"` takes 3.0.
        Socket::Named(name) if name.contains(',') => Ok(value.clone()),
        other => Err(format!(
            "expected a link to an output of type {}, found the constant {}",
            other.name(),
            data.describe()
        )),
    }
}

fn integer(value: &Value) -> Option<i128> {
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))
}

fn bound(kind: Kind, min: &dyn std::fmt::Display, max: &dyn std::fmt::Display, value: &Value) -> Wrong {
    let mut wrong = Wrong::new(kind, format!("expected {min} to {max}, found {value}")).received(value);
    wrong.message = Some(match kind {
        Kind::ValueSmallerThanMin => format!("Value {} smaller than min of {min}", plain(value)),
        _ => format!("Value {} bigger than max of {max}", plain(value)),
    });
    wrong
}

fn none_of(list: &str, value: &Value) -> Wrong {
    let name = plain(value);
    let details =
        format!("`{name}` was asked for, but there is nothing in {list}; add a folder to `models` in anagama.toml");
    Wrong::new(Kind::ValueNotInList, details).received(value).brief(format!("'{name}' not in []"))
}

fn in_list(input: &Input, value: &Value, options: &[String], list: &str) -> Result<(), Wrong> {
    let text = plain(value);
    if options.contains(&text) {
        return Ok(());
    }
    let among = if list.is_empty() { String::new() } else { format!(" in {list}") };
    let known = if options.len() > ECHOED {
        format!("one of {} names{among}", options.len())
    } else {
        format!("one of {}{among}", options.join(", "))
    };
    let hint = nearest(&text, options.iter().map(String::as_str)).map(|n| format!("; did you mean `{n}`"));
    let details = format!("expected {known}, found `{text}`{}", hint.unwrap_or_default());
    let known = match options.len() {
        n if n > ECHOED => format!("(list of length {n})"),
        _ => format!("[{}]", options.iter().map(|o| format!("'{o}'")).collect::<Vec<_>>().join(", ")),
    };
    let found = value.as_str().map_or_else(|| value.to_string(), |text| format!("'{text}'"));
    let brief = format!("{}: {found} not in {known}", input.name);
    let mut wrong = Wrong::new(Kind::ValueNotInList, details).received(value).brief(brief);
    if options.len() > ECHOED {
        wrong.extra.insert("input_config".into(), Value::Null);
    }
    Err(wrong)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{input, input_with};

    fn lists(name: &str) -> Vec<String> {
        match name {
            "models/taggers" => vec!["taggers/a".into(), "taggers/b".into()],
            _ => Vec::new(),
        }
    }

    fn ok(input: &Input, value: Value) -> Value {
        check(input, &value, true, &lists).unwrap_or_else(|w| panic!("{value}: {}", w.details))
    }

    fn kind(input: &Input, value: Value) -> Kind {
        check(input, &value, true, &lists).err().unwrap_or_else(|| panic!("{value} was accepted")).kind
    }

    #[test]
    fn numbers_and_texts_convert_as_comfyui_does() {
        let int = input("n", Socket::Int);
        assert_eq!(ok(&int, json!("16")), json!(16));
        assert_eq!(ok(&int, json!(16.9)), json!(16));
        assert_eq!(ok(&int, json!(u64::MAX)), json!(u64::MAX));
        assert_eq!(ok(&input("t", Socket::Text), json!(123)), json!("123"));
        assert_eq!(ok(&input("f", Socket::Float), json!(1)), json!(1.0));
        assert_eq!(ok(&input("b", Socket::Boolean), json!(0)), json!(false));
        assert_eq!(kind(&int, json!(null)), Kind::InvalidInputType);
        assert_eq!(kind(&int, json!("many")), Kind::InvalidInputType);
        assert_eq!(kind(&int, json!([1, 2, 3])), Kind::BadLinkedInput);
    }

    #[test]
    fn bounds_hold_and_the_greatest_integer_means_none() {
        let steps = Widget::Int { default: 20, min: 1, max: 10_000, step: 1, seed_control: false };
        let steps = input_with("steps", Socket::Int, steps);
        assert_eq!(kind(&steps, json!(0)), Kind::ValueSmallerThanMin);
        assert_eq!(kind(&steps, json!(10_001)), Kind::ValueBiggerThanMax);
        assert_eq!(ok(&steps, json!(10_000)), json!(10_000));
        let seed = Widget::Int { default: 0, min: 0, max: i64::MAX, step: 1, seed_control: true };
        assert_eq!(ok(&input_with("seed", Socket::Int, seed), json!(u64::MAX)), json!(u64::MAX));
        let cfg = Widget::Float { default: 8.0, min: 0.0, max: 100.0, step: 0.1, round: None };
        assert_eq!(kind(&input_with("cfg", Socket::Float, cfg), json!(100.5)), Kind::ValueBiggerThanMax);
    }

    #[test]
    fn combos_suggest_the_nearest_option() {
        let combo = Widget::Combo { options: vec!["euler".into(), "ddim".into()], default: None, multiselect: false };
        let sampler = input_with("sampler_name", Socket::Text, combo);
        let wrong = check(&sampler, &json!("eular"), true, &lists).err().unwrap();
        assert_eq!(wrong.kind, Kind::ValueNotInList);
        assert_eq!(wrong.details, "expected one of euler, ddim, found `eular`; did you mean `euler`");
    }

    #[test]
    fn long_lists_are_not_echoed() {
        let options: Vec<String> = (0..42).map(|i| format!("option {i}")).collect();
        let combo = input_with("c", Socket::Text, Widget::Combo { options, default: None, multiselect: false });
        let wrong = check(&combo, &json!("zzz"), true, &lists).err().unwrap();
        assert_eq!(wrong.details, "expected one of 42 names, found `zzz`");
        assert_eq!(wrong.extra["input_config"], Value::Null);
    }

    #[test]
    fn several_options_of_a_multiple_choice_are_each_checked() {
        let combo = Widget::Combo { options: vec!["a".into(), "b".into()], default: None, multiselect: true };
        let choice = input_with("c", Socket::Text, combo);
        assert_eq!(ok(&choice, json!(["a", "b"])), json!(["a", "b"]));
        assert_eq!(kind(&choice, json!(["a", "c"])), Kind::ValueNotInList);
    }

    #[test]
    fn host_lists_know_auto_and_say_when_they_are_empty() {
        let tagger = input_with("model", Socket::Text, Widget::HostList("models/taggers".into()));
        assert_eq!(ok(&tagger, json!("auto")), json!("taggers/a"));
        assert_eq!(kind(&tagger, json!("taggers/c")), Kind::ValueNotInList);
        let lora = input_with("lora", Socket::Text, Widget::HostList("models/loras".into()));
        assert!(check(&lora, &json!("x"), true, &lists).err().unwrap().details.contains("nothing in models/loras"));
        let folder = input_with("folder", Socket::Text, Widget::HostList("folder".into()));
        assert_eq!(ok(&folder, json!("any/where")), json!("any/where"));
    }

    #[test]
    fn sockets_of_objects_take_no_constants() {
        assert_eq!(kind(&input("model", Socket::Model), json!("sd15")), Kind::InvalidInputType);
    }
}
