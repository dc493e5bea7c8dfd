//! Finds, checks, loads, limits and calls plugins: WASM components and native libraries behind one set of traits.
//!
//! It knows no graph and no model: nodes ask it for a captioner, a filter, a source or an evaluator (`data::kinds`).
//! A component can do nothing but what its grants allow; a native library runs only if the user approved exactly
//! that file. Start at [`Loader`], then [`Plugin`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod aot;
mod call;
mod description;
mod digest;
mod error;
mod grants;
mod kinds;
mod loader;
mod lock;
mod manifest;
mod native;
mod plugin;
mod services;
mod wasm;

pub use aot::{Compiler, compile};
pub use call::{CallContext, Level, Limits, LogFn, ProgressFn};
pub use description::Explanation;
pub use error::LoadError;
pub use grants::{Ceiling, Grant, Grants, NativeHome, Rights, SecretGrant};
pub use kinds::Kind;
pub use kinds::node::{NewNode, NodeCall, NodeFeed, NodeInputs, NodeReturned, NodeValue, NodeVerdict};
pub use loader::{Loader, LoaderConfig};
pub use lock::{Approval, Lock, NATIVE_WARNING, approve, revoke};
pub use manifest::{Manifest, NATIVE_TARGET, Requests};
#[cfg(unix)]
pub use native::{Runner, serve_library};
pub use plugin::{Form, Plugin};
pub use services::refusals::Refusal;
pub use services::secrets::EnvFn;
