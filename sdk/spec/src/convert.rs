//! From values to the fields of a struct of inputs.

use crate::{Input, ObjectType, Socket, Value, Widget};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Values by input name.
pub type Values = BTreeMap<String, Value>;

/// What is wrong with one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    pub input: String,
    pub message: String,
}

/// A struct whose fields are a node's or plugin's inputs. Usually derived.
///
/// Field = input, doc comment = tooltip, field type = socket type. `#[input(…)]` takes
///
/// | key | meaning |
/// |---|---|
/// | `default = EXPR` | the value of an absent input; without it a field that is no `Option` is required |
/// | `range = 1..=9`, `1..`, `..=9` | smallest and largest value |
/// | `step = X`, `round = X` | for the widget |
/// | `options = EXPR` | an iterator of names: a menu; anything else is an error |
/// | `multiselect` | several of the options; the field is a `Vec<String>` |
/// | `multiline`, `placeholder = ".."` | for texts |
/// | `label_on = ".."`, `label_off = ".."` | for booleans |
/// | `seed` | front ends offer a new one for each run |
/// | `host_list = "models/loras"` | names of files the host has; `folder` and `file` are paths the user writes |
/// | `link` | only a link, no widget |
/// | `lazy` | evaluated only when the node asks |
/// | `required`, `optional` | against the rule of `default`; with `required` the default only fills the widget |
/// | `name = ".."` | another name than the field's |
/// | `flatten` | the fields of an inner struct, as if they were written here |
/// | `branches` | a menu whose choices bring inputs of their own; the field's type is a [`Branches`](crate::Branches) |
/// | `grow = "image", count = 2..=50` | links of one type, as many as are made: `NAME.image0` …; the field is a `Vec` |
///
/// ```
/// use spec::{Inputs, Value};
///
/// /// Keeps what is common.
/// #[derive(Inputs)]
/// struct Settings {
///     /// Keep a tag only if at least this many images have it.
///     #[input(default = 3, range = 1..=1000)]
///     min_images: u32,
///     /// How to compare.
///     #[input(default = "exact", options = ["exact", "prefix"])]
///     compare: String,
///     /// Tags to keep whatever their number.
///     keep: Option<String>,
/// }
///
/// let inputs = Settings::inputs();
/// assert_eq!(inputs[0].tooltip.as_deref(), Some("Keep a tag only if at least this many images have it."));
///
/// let settings = Settings::from_values([("min_images".into(), Value::from(5))].into()).unwrap();
/// assert_eq!((settings.min_images, settings.compare.as_str(), settings.keep), (5, "exact", None));
///
/// let bad = [("min_images".into(), Value::from(0)), ("compare".into(), Value::from("fuzzy"))].into();
/// let problems = Settings::from_values(bad).err().unwrap();
/// assert_eq!(problems[0].to_string(), "`min_images`: expected 1 to 1000, found 0");
/// assert_eq!(problems[1].to_string(), "`compare`: expected one of exact, prefix; found \"fuzzy\"");
/// ```
///
/// Mistakes in the attributes stop the build:
///
/// ```compile_fail
/// #[derive(spec::Inputs)]
/// struct Settings {
///     #[input(default = 0, range = 1..=1000)] // the default is outside of the range
///     min_images: u32,
/// }
/// ```
/// ```compile_fail
/// #[derive(spec::Inputs)]
/// struct Settings {
///     #[input(defualt = 3)] // unknown key
///     min_images: u32,
/// }
/// ```
/// ```compile_fail
/// #[derive(spec::Inputs)]
/// struct Settings {
///     #[input(default = 3, range = 1..10)] // the range is not inclusive
///     min_images: u32,
/// }
/// ```
/// ```compile_fail
/// #[derive(spec::Inputs)]
/// struct Settings {
///     #[input(default = 3)] // an `Option` has no default
///     min_images: Option<u32>,
/// }
/// ```
/// ```compile_fail
/// #[derive(spec::Inputs)]
/// struct Settings {
///     #[input(multiline)] // for strings only
///     min_images: u32,
/// }
/// ```
/// ```compile_fail
/// #[derive(spec::Inputs)]
/// struct Settings(u32); // inputs have names
/// ```
/// ```compile_fail
/// struct Opaque;
/// #[derive(spec::Inputs)]
/// struct Settings {
///     unknown: Opaque, // not a `FromValue`
/// }
/// ```
pub trait Inputs: Sized {
    /// The struct's doc comment: the node's description.
    fn description() -> &'static str;

    /// One entry per field, in order.
    fn inputs() -> Vec<Input>;

    /// Builds the struct; absent inputs take their defaults.
    ///
    /// # Errors
    /// All problems at once: missing required inputs, wrong types, values out of range or not in a list.
    fn from_values(values: Values) -> Result<Self, Vec<InputError>>;
}

/// The values that no input of `T` takes, each as a problem that lists the known names.
///
/// ```
/// let values = spec::values_from_json(serde_json::json!({"widht": 3})).unwrap();
/// assert_eq!(spec::unknown_inputs::<()>(&values)[0].message, "unknown setting; there are none");
/// ```
pub fn unknown_inputs<T: Inputs>(values: &Values) -> Vec<InputError> {
    let inputs = T::inputs();
    let known: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
    let message = if known.is_empty() {
        "unknown setting; there are none".to_owned()
    } else {
        format!("unknown setting; known are {}", known.join(", "))
    };
    let behind_dot = |key: &str| {
        key.split_once('.').is_some_and(|(name, _)| inputs.iter().any(|i| i.is_dynamic() && i.name == name))
    };
    let unknown = values.keys().filter(|k| !known.contains(&k.as_str()) && !behind_dot(k));
    unknown.map(|k| InputError { input: k.clone(), message: message.clone() }).collect()
}

/// A JSON object as values by name. Null stands for an empty object.
///
/// # Errors
/// The JSON is something else than an object.
pub fn values_from_json(json: serde_json::Value) -> Result<Values, String> {
    match json {
        serde_json::Value::Null => Ok(Values::new()),
        serde_json::Value::Object(o) => Ok(o.into_iter().map(|(k, v)| (k, Value::Data(v))).collect()),
        other => Err(format!("expected a JSON object, found {}", Value::Data(other).describe())),
    }
}

impl std::fmt::Display for InputError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`: {}", self.input, self.message)
    }
}

impl Inputs for () {
    fn description() -> &'static str {
        ""
    }
    fn inputs() -> Vec<Input> {
        Vec::new()
    }
    fn from_values(_: Values) -> Result<Self, Vec<InputError>> {
        Ok(())
    }
}

/// A field type: knows its socket and how to be made from a value.
pub trait FromValue: Sized {
    /// Must the input be given?
    const REQUIRED: bool = true;
    /// Does the node want the whole list?
    const IS_LIST: bool = false;

    fn socket() -> Socket;

    /// The widget when no attribute says otherwise.
    fn widget() -> Widget {
        Widget::None
    }

    /// # Errors
    /// What was expected and what was found.
    fn from_value(value: &Value) -> Result<Self, String>;

    /// The value of an input that was not given and has no default.
    fn absent() -> Option<Self> {
        None
    }
}

fn data<'a>(value: &'a Value, expected: &str) -> Result<&'a serde_json::Value, String> {
    match value {
        Value::Data(v) => Ok(v),
        other => Err(format!("expected {expected}, found {}", other.describe())),
    }
}

/// ComfyUI's `int()`: 16, 16.9, true and "16" all give a number.
fn integer(value: &Value) -> Result<i128, String> {
    let found = || format!("expected INT, found {}", value.describe());
    match data(value, "INT")? {
        serde_json::Value::Number(n) => {
            if let Some(u) = n.as_u64() {
                Ok(u.into())
            } else if let Some(i) = n.as_i64() {
                Ok(i.into())
            } else {
                n.as_f64().filter(|f| f.is_finite()).map(|f| f.trunc() as i128).ok_or_else(found)
            }
        }
        serde_json::Value::Bool(b) => Ok(i128::from(*b)),
        serde_json::Value::String(s) => s.trim().parse().map_err(|_| found()),
        _ => Err(found()),
    }
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl FromValue for $t {
            fn socket() -> Socket { Socket::Int }
            fn widget() -> Widget {
                // Widgets hold i64; a seed's upper half is still accepted by `from_value`.
                Widget::Int {
                    default: 0,
                    min: i64::try_from(<$t>::MIN).unwrap_or(i64::MIN),
                    max: i64::try_from(<$t>::MAX).unwrap_or(i64::MAX),
                    step: 1,
                    seed_control: false,
                }
            }
            fn from_value(value: &Value) -> Result<Self, String> {
                let n = integer(value)?;
                <$t>::try_from(n).map_err(|_| format!("expected {} to {}, found {n}", <$t>::MIN, <$t>::MAX))
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, usize, i8, i16, i32, i64);

macro_rules! floats {
    ($($t:ty),*) => {$(
        impl FromValue for $t {
            fn socket() -> Socket { Socket::Float }
            fn widget() -> Widget {
                Widget::Float { default: 0.0, min: f64::from(<$t>::MIN), max: f64::from(<$t>::MAX), step: 0.01, round: None }
            }
            fn from_value(value: &Value) -> Result<Self, String> {
                let found = || format!("expected FLOAT, found {}", value.describe());
                let f = match data(value, "FLOAT")? {
                    serde_json::Value::Number(n) => n.as_f64(),
                    serde_json::Value::Bool(b) => Some(f64::from(u8::from(*b))),
                    serde_json::Value::String(s) => s.trim().parse().ok(),
                    _ => None,
                };
                f.filter(|f| f.is_finite()).map(|f| f as $t).ok_or_else(found)
            }
        }
    )*};
}
floats!(f32, f64);

impl FromValue for bool {
    fn socket() -> Socket {
        Socket::Boolean
    }
    fn widget() -> Widget {
        Widget::Boolean { default: false, label_on: None, label_off: None }
    }
    fn from_value(value: &Value) -> Result<Self, String> {
        match data(value, "BOOLEAN")? {
            serde_json::Value::Bool(b) => Ok(*b),
            serde_json::Value::Number(n) => Ok(n.as_f64() != Some(0.0)),
            _ => Err(format!("expected BOOLEAN, found {}", value.describe())),
        }
    }
}

impl FromValue for String {
    fn socket() -> Socket {
        Socket::Text
    }
    fn widget() -> Widget {
        Widget::Text { default: String::new(), multiline: false, placeholder: None }
    }
    fn from_value(value: &Value) -> Result<Self, String> {
        match data(value, "STRING")? {
            serde_json::Value::String(s) => Ok(s.clone()),
            serde_json::Value::Number(n) => Ok(n.to_string()),
            serde_json::Value::Bool(b) => Ok(b.to_string()),
            _ => Err(format!("expected STRING, found {}", value.describe())),
        }
    }
}

impl FromValue for serde_json::Value {
    fn socket() -> Socket {
        Socket::Json
    }
    fn from_value(value: &Value) -> Result<Self, String> {
        data(value, "JSON").cloned()
    }
}

/// Any value, unopened.
impl FromValue for Value {
    fn socket() -> Socket {
        Socket::Any
    }
    fn from_value(value: &Value) -> Result<Self, String> {
        Ok(value.clone())
    }
}

impl<T: ObjectType> FromValue for Arc<T> {
    fn socket() -> Socket {
        Socket::from_name(T::SOCKET)
    }
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Object(o) => o.get(),
            _ => None,
        }
        .ok_or_else(|| format!("expected {}, found {}", T::SOCKET, value.describe()))
    }
}

impl<T: FromValue> FromValue for Option<T> {
    const REQUIRED: bool = false;
    const IS_LIST: bool = T::IS_LIST;

    fn socket() -> Socket {
        T::socket()
    }
    fn widget() -> Widget {
        T::widget()
    }
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Data(serde_json::Value::Null) => Ok(None),
            v => T::from_value(v).map(Some),
        }
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// A list: a JSON array, a list of values, or a single value.
impl<T: FromValue> FromValue for Vec<T> {
    const IS_LIST: bool = true;

    fn socket() -> Socket {
        T::socket()
    }
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::List(items) => items.iter().map(T::from_value).collect(),
            Value::Data(serde_json::Value::Array(items)) => {
                items.iter().map(|v| T::from_value(&Value::Data(v.clone()))).collect()
            }
            v => Ok(vec![T::from_value(v)?]),
        }
    }
}
