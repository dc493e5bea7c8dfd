//! What the derive's code calls. Not for writing by hand.

pub use crate::dynamic::{branch, growing};
use crate::traits::Inputs;
use crate::{FromValue, InputError, Value, Values, Widget};
use serde_json::Value as Json;

/// What the attributes of a field say of its widget.
#[derive(Default)]
pub struct Hints {
    pub default: Option<Json>,
    pub min: Option<Json>,
    pub max: Option<Json>,
    pub step: Option<Json>,
    pub round: Option<Json>,
    pub options: Option<Vec<String>>,
    pub host_list: Option<String>,
    pub placeholder: Option<String>,
    pub label_on: Option<String>,
    pub label_off: Option<String>,
    pub multiselect: bool,
    pub multiline: bool,
    pub seed: bool,
    pub link: bool,
}

/// The type's own widget with the hints put in.
pub fn widget(own: Widget, hints: Hints) -> Widget {
    if hints.link {
        return Widget::None;
    }
    if let Some(list) = hints.host_list {
        return Widget::HostList(list);
    }
    if let Some(options) = hints.options {
        let default = hints.default.and_then(|d| match d {
            Json::String(s) => Some(s),
            Json::Array(a) => Some(a.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(",")),
            _ => None,
        });
        return Widget::Combo { options, default, multiselect: hints.multiselect };
    }
    match own {
        Widget::Int { default, min, max, step, seed_control } => Widget::Int {
            default: hints.default.map_or_else(
                || hints.min.as_ref().map_or(default, |min| integer(min, default).max(default)),
                |v| integer(&v, default),
            ),
            min: hints.min.map_or(min, |v| integer(&v, min)),
            max: hints.max.map_or(max, |v| integer(&v, max)),
            step: hints.step.map_or(step, |v| integer(&v, step)),
            seed_control: seed_control || hints.seed,
        },
        Widget::Float { default, min, max, step, round } => Widget::Float {
            default: hints.default.map_or_else(
                || hints.min.as_ref().map_or(default, |min| float(min, default).max(default)),
                |v| float(&v, default),
            ),
            min: hints.min.map_or(min, |v| float(&v, min)),
            max: hints.max.map_or(max, |v| float(&v, max)),
            step: hints.step.map_or(step, |v| float(&v, step)),
            round: hints.round.map_or(round, |v| v.as_f64().map(shortest)),
        },
        Widget::Text { default, multiline, placeholder } => Widget::Text {
            default: hints.default.and_then(|v| v.as_str().map(str::to_owned)).unwrap_or(default),
            multiline: multiline || hints.multiline,
            placeholder: hints.placeholder.or(placeholder),
        },
        Widget::Boolean { default, label_on, label_off } => Widget::Boolean {
            default: hints.default.and_then(|v| v.as_bool()).unwrap_or(default),
            label_on: hints.label_on.or(label_on),
            label_off: hints.label_off.or(label_off),
        },
        other => other,
    }
}

/// Widgets hold i64: a seed's largest values show as the largest i64.
fn integer(v: &Json, otherwise: i64) -> i64 {
    v.as_i64().or_else(|| v.as_u64().map(|_| i64::MAX)).unwrap_or(otherwise)
}

fn float(v: &Json, otherwise: f64) -> f64 {
    v.as_f64().map_or(otherwise, shortest)
}

/// 0.3 as `f32` is 0.30000001192092896 as `f64`; people want to read 0.3.
fn shortest(v: f64) -> f64 {
    let single = v as f32;
    if f64::from(single) == v { single.to_string().parse().unwrap_or(v) } else { v }
}

/// A typed constant as JSON.
pub fn constant<T: serde::Serialize>(value: &T) -> Json {
    serde_json::to_value(value).unwrap_or(Json::Null)
}

/// The names of a menu.
pub fn names<S: ToString>(list: impl IntoIterator<Item = S>) -> Vec<String> {
    list.into_iter().map(|s| s.to_string()).collect()
}

/// # Errors
/// The value is outside of the bounds.
pub fn within<T: PartialOrd + std::fmt::Display>(value: &T, min: Option<T>, max: Option<T>) -> Result<(), String> {
    let low = min.as_ref().is_some_and(|min| value < min);
    let high = max.as_ref().is_some_and(|max| value > max);
    match (low || high, min, max) {
        (false, ..) | (_, None, None) => Ok(()),
        (_, Some(min), Some(max)) => Err(format!("expected {min} to {max}, found {value}")),
        (_, Some(min), None) => Err(format!("expected at least {min}, found {value}")),
        (_, None, Some(max)) => Err(format!("expected at most {max}, found {value}")),
    }
}

/// Takes one field out of the values; `None` if something was wrong with it, which is then in `problems`.
pub fn field<T: FromValue>(
    values: &mut Values,
    name: &str,
    default: Option<fn() -> T>,
    options: Option<Vec<String>>,
    check: impl Fn(&T) -> Result<(), String>,
    problems: &mut Vec<InputError>,
) -> Option<T> {
    let result = match values.remove(name) {
        Some(value) => options
            .map_or(Ok(()), |options| in_list(&value, &options))
            .and_then(|()| T::from_value(&value))
            .and_then(|v| check(&v).map(|()| v)),
        None => default
            .map(|d| d())
            .or_else(T::absent)
            .ok_or_else(|| format!("required input is missing; expected {}", T::socket().name())),
    };
    result.map_err(|message| problems.push(InputError { input: name.to_owned(), message })).ok()
}

/// The inner struct of a field marked `flatten`. It takes the values that it knows.
pub fn flat<T: Inputs>(values: &mut Values, problems: &mut Vec<InputError>) -> Option<T> {
    let mut own = Values::new();
    for input in T::inputs() {
        own.extend(values.remove_entry(&input.name));
        if input.is_dynamic() {
            let inner = pick(values, &input.name);
            own.extend(inner.into_iter().map(|(name, value)| (format!("{}.{name}", input.name), value)));
        }
    }
    T::from_values(own).map_err(|more| problems.extend(more)).ok()
}

/// Takes the values out whose names begin with `name` and a dot, and gives what follows as their names.
pub(crate) fn pick(values: &mut Values, name: &str) -> Values {
    let inner = |key: &str| Some(key.strip_prefix(name)?.strip_prefix('.')?.to_owned());
    let keys: Vec<String> = values.keys().filter(|key| inner(key).is_some()).cloned().collect();
    keys.iter().filter_map(|key| Some((inner(key)?, values.remove(key)?))).collect()
}

/// Problems of the inputs behind a dot, by their whole names.
pub(crate) fn prefixed(problems: Vec<InputError>, name: &str) -> Vec<InputError> {
    problems.into_iter().map(|p| InputError { input: format!("{name}.{}", p.input), ..p }).collect()
}

/// The number of the link `NAME.PREFIX7`, if the key is such a one.
pub(crate) fn number_of(key: &str, name: &str, prefix: &str) -> Option<u32> {
    let digits = key.strip_prefix(name)?.strip_prefix('.')?.strip_prefix(prefix)?;
    let number: u32 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

fn in_list(value: &Value, options: &[String]) -> Result<(), String> {
    let one = |found: &Json| match found {
        Json::String(s) if !options.contains(s) => {
            let known = options.iter().take(40).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if options.len() > 40 { format!(", … ({} in all)", options.len()) } else { String::new() };
            Err(format!("expected one of {known}{more}; found \"{s}\""))
        }
        _ => Ok(()),
    };
    match value {
        Value::Data(Json::Array(items)) => items.iter().try_for_each(one),
        Value::Data(v) => one(v),
        Value::List(items) => items.iter().try_for_each(|v| in_list(v, options)),
        Value::Object(_) => Ok(()),
    }
}
