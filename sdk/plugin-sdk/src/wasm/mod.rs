//! The component half: the types behind the generated exports, and the generated imports behind the same functions
//! that the native half calls on its host.
//!
//! `imports` has what a plugin may call; each kind is a world of its own, so that a component exports only what it
//! serves. The records of one are those of the others (`with`), and `wit-component` merges the worlds.

pub mod captioner;
mod convert;
pub mod dataset_source;
pub mod describe;
pub mod evaluator;
mod host;
pub mod node;
pub mod tag_filter;

use crate::control::Level;
use crate::{Error, Inputs, Result, settings};
use std::any::Any;
use std::cell::RefCell;
use std::sync::Once;

pub use host::WasmHost;

#[allow(missing_docs, clippy::all, unreachable_pub)]
pub mod imports {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "host",
        generate_unused_types: true,
    });
}

/// Calls the host. A component has one, known when it was linked; only the functions that are called are imported.
pub(crate) fn with_host<R>(f: impl FnOnce(&WasmHost) -> R) -> R {
    f(&WasmHost)
}

/// A trap carries no text, so a panic says why before it becomes one.
pub(crate) fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            with_host(|h| h.log(Level::Error, &info.to_string()));
        }));
    });
}

/// The object that `open` made. A component's instance serves one configured node, on one thread.
pub(crate) struct State(RefCell<Option<Box<dyn Any>>>);

impl State {
    pub(crate) const fn new() -> Self {
        Self(RefCell::new(None))
    }

    pub(crate) fn open<T: 'static, S: Inputs>(&self, config: &str, new: fn(S) -> Result<T>) -> Result<()> {
        set_up();
        let object = new(settings(crate::serde_json::from_str(config)?)?)?;
        *self.0.borrow_mut() = Some(Box::new(object));
        Ok(())
    }

    pub(crate) fn with<T: 'static, R>(&self, f: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        let mut slot = self.0.borrow_mut();
        match slot.as_mut().and_then(|object| object.downcast_mut::<T>()) {
            Some(object) => f(object),
            None => Err(Error::internal("`open` was not called")),
        }
    }
}
