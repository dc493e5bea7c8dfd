//! From what a typed node returns to values on links.

use crate::Outputs;
use spec::{ObjectType, Output, Socket, Value};
use std::sync::Arc;

/// A type that can be one output.
pub trait IntoValue {
    const IS_LIST: bool = false;

    fn socket() -> Socket;

    fn into_value(self) -> Value;
}

macro_rules! data {
    ($socket:ident: $($t:ty),*) => {$(
        impl IntoValue for $t {
            fn socket() -> Socket { Socket::$socket }
            fn into_value(self) -> Value { Value::Data(self.into()) }
        }
    )*};
}
data!(Int: u8, u16, u32, u64, usize, i8, i16, i32, i64);
data!(Float: f32, f64);
data!(Boolean: bool);
data!(Text: String);
data!(Json: serde_json::Value);

impl IntoValue for Value {
    fn socket() -> Socket {
        Socket::Any
    }
    fn into_value(self) -> Value {
        self
    }
}

impl<T: ObjectType> IntoValue for Arc<T> {
    fn socket() -> Socket {
        Socket::from_name(T::SOCKET)
    }
    fn into_value(self) -> Value {
        Value::Object(spec::Object::new(self))
    }
}

impl<T: IntoValue> IntoValue for Vec<T> {
    const IS_LIST: bool = true;

    fn socket() -> Socket {
        T::socket()
    }
    fn into_value(self) -> Value {
        Value::List(self.into_iter().map(T::into_value).collect())
    }
}

/// What a typed node may return: one value, a tuple of up to six, nothing, or any of these [`WithUi`].
pub trait IntoOutputs {
    /// The outputs, named after their types.
    fn outputs() -> Vec<Output>;

    fn into_outputs(self) -> Outputs;
}

fn output<T: IntoValue>() -> Output {
    let socket = T::socket();
    Output { name: socket.name().to_owned(), socket, is_list: T::IS_LIST, tooltip: None }
}

impl<T: IntoValue> IntoOutputs for T {
    fn outputs() -> Vec<Output> {
        vec![output::<T>()]
    }
    fn into_outputs(self) -> Outputs {
        Outputs { values: vec![self.into_value()], ..Outputs::default() }
    }
}

impl IntoOutputs for () {
    fn outputs() -> Vec<Output> {
        Vec::new()
    }
    fn into_outputs(self) -> Outputs {
        Outputs::default()
    }
}

macro_rules! tuples {
    ($(($($t:ident),*))*) => {$(
        impl<$($t: IntoValue),*> IntoOutputs for ($($t,)*) {
            fn outputs() -> Vec<Output> {
                vec![$(output::<$t>()),*]
            }
            fn into_outputs(self) -> Outputs {
                #[allow(non_snake_case)] // The type's letter also names the value.
                let ($($t,)*) = self;
                Outputs { values: vec![$($t.into_value()),*], ..Outputs::default() }
            }
        }
    )*};
}
tuples! { (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) (A, B, C, D, E, F) }

/// What a node returns that sometimes expands: values, or a graph that stands in for the node.
pub enum OrExpand<T> {
    Values(T),
    Expand(spec::Expansion),
}

impl<T: IntoOutputs> IntoOutputs for OrExpand<T> {
    fn outputs() -> Vec<Output> {
        T::outputs()
    }
    fn into_outputs(self) -> Outputs {
        match self {
            Self::Values(values) => values.into_outputs(),
            Self::Expand(expansion) => Outputs { expand: Some(expansion), ..Outputs::default() },
        }
    }
}

/// Outputs together with something to show: `WithUi::new(image).file(path, sha256)`.
pub struct WithUi<T> {
    pub outputs: T,
    pub ui: serde_json::Map<String, serde_json::Value>,
}

impl<T> WithUi<T> {
    /// Outputs with nothing to show yet.
    pub fn new(outputs: T) -> Self {
        Self { outputs, ui: serde_json::Map::new() }
    }

    /// Shows `value` under `key`.
    #[must_use]
    pub fn show(mut self, key: &str, value: impl Into<serde_json::Value>) -> Self {
        self.ui.insert(key.to_owned(), value.into());
        self
    }

    /// Names a file that the node wrote: `ui.files` lists them with their hashes.
    #[must_use]
    pub fn file(mut self, path: &std::path::Path, sha256: &str) -> Self {
        let files = self.ui.entry("files").or_insert_with(|| serde_json::json!([]));
        if let Some(files) = files.as_array_mut() {
            files.push(serde_json::json!({ "path": path.to_string_lossy(), "sha256": sha256 }));
        }
        self
    }
}

impl<T: IntoOutputs> IntoOutputs for WithUi<T> {
    fn outputs() -> Vec<Output> {
        T::outputs()
    }
    fn into_outputs(self) -> Outputs {
        let mut outputs = self.outputs.into_outputs();
        outputs.ui.extend(self.ui);
        outputs
    }
}
