//! The values that travel along links.

use crate::Socket;
use std::any::Any;
use std::sync::Arc;

/// A value on a link: JSON data, an opaque object, or a list of values.
#[derive(Clone, Debug)]
pub enum Value {
    /// Null, boolean, number (u64 and i64 exactly), string, or structured JSON.
    Data(serde_json::Value),
    /// Something that only nodes of the matching type can open.
    Object(Object),
    /// Several values, for list outputs and inputs.
    List(Vec<Value>),
}

/// A shared, immutable host object with the name of its socket type.
#[derive(Clone)]
pub struct Object {
    socket: Socket,
    inner: Arc<dyn Any + Send + Sync>,
}

/// A Rust type that can travel along links as an [`Object`].
pub trait ObjectType: Any + Send + Sync {
    /// The socket's API name, such as `MODEL`.
    const SOCKET: &'static str;
}

impl Object {
    /// Wraps a shared object.
    pub fn new<T: ObjectType>(inner: Arc<T>) -> Self {
        Self { socket: Socket::from_name(T::SOCKET), inner }
    }

    /// The type of the socket it came from.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The object as a `T`, if it is one.
    pub fn get<T: ObjectType>(&self) -> Option<Arc<T>> {
        self.inner.clone().downcast().ok()
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Object({})", self.socket.name())
    }
}

impl Value {
    /// An opaque object.
    pub fn object<T: ObjectType>(inner: T) -> Self {
        Self::Object(Object::new(Arc::new(inner)))
    }

    /// A short description of what this is, for error messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Data(v) => match v {
                serde_json::Value::Null => "null".into(),
                serde_json::Value::String(s) if s.chars().count() > 40 => {
                    format!("\"{}…\"", s.chars().take(40).collect::<String>())
                }
                serde_json::Value::Array(a) => format!("a JSON array of {}", a.len()),
                serde_json::Value::Object(o) => format!("a JSON object of {}", o.len()),
                other => other.to_string(),
            },
            Self::Object(o) => format!("a {}", o.socket.name()),
            Self::List(l) => format!("a list of {}", l.len()),
        }
    }
}

impl<T: Into<serde_json::Value>> From<T> for Value {
    fn from(v: T) -> Self {
        Self::Data(v.into())
    }
}
