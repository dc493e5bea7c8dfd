//! The native half: the types behind C tables, and the host's table behind [`Host`](crate::host::Host).
//!
//! All `unsafe` of a native plugin is here. The rules are in `plugin_abi`.

pub mod captioner;
pub mod dataset_source;
pub mod evaluator;
mod node;
mod table;
pub mod tag_filter;

pub use node::nodes;
pub use plugin_abi::{HostTable, PluginTable};
pub use table::TableHost;

use crate::control::Level;
use crate::host::{Artefact, connect, with_host};
use crate::{Error, Result, settings};
use plugin_abi::{ABI_MAGIC, ABI_MAJOR, ABI_MINOR, ERROR, OK, PANICKED, Sink, Str, WHOLE, WIT_VERSION};
use serde::Serialize;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The tables of an artefact.
pub trait Library: Artefact {
    fn interface(name: &str) -> Option<*const c_void>;
}

/// The body of the exported function.
///
/// # Safety
/// `host` is null or points to a table that lives as long as the process.
pub unsafe fn entry<L: Library>(host: *const HostTable) -> *const PluginTable {
    // SAFETY: the caller's promise.
    match unsafe { TableHost::new(host) } {
        Some(table) => connect(table),
        None => return std::ptr::null(),
    }
    std::panic::set_hook(Box::new(|info| {
        with_host(|h| h.log(Level::Error, &info.to_string()));
    }));
    const {
        &PluginTable {
            struct_size: size_of::<PluginTable>() as u32,
            abi_magic: ABI_MAGIC,
            abi_major: ABI_MAJOR,
            abi_minor: ABI_MINOR,
            wit_version: Str::new(WIT_VERSION.as_bytes()),
            describe: describe::<L>,
            get_interface: get_interface::<L>,
        }
    }
}

unsafe extern "C" fn describe<L: Library>(out: Sink) -> i32 {
    guard(out, || put_json(out, 0, &L::describe()))
}

unsafe extern "C" fn get_interface<L: Library>(name: Str) -> *const c_void {
    // SAFETY: the host lends the name for this call.
    let name = unsafe { name.bytes() };
    let find = || std::str::from_utf8(name).ok().and_then(L::interface);
    catch_unwind(find).ok().flatten().unwrap_or(std::ptr::null())
}

fn put(sink: Sink, index: u64, status: i32, data: &[u8]) {
    // SAFETY: the host's function; the data is lent for the call.
    unsafe { (sink.put)(sink.ctx, index, status, Str::new(data)) }
}

fn put_json(sink: Sink, index: u64, value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_vec(value).map_err(|e| Error::internal(format!("result: {e}")))?;
    put(sink, index, OK, &json);
    Ok(())
}

fn put_error(sink: Sink, index: u64, status: i32, error: &Error) {
    // A record of strings and numbers always has a JSON form.
    put(sink, index, status, &serde_json::to_vec(error).unwrap_or_default());
}

/// Runs a plugin's code: an error goes into the sink, a panic too, and nothing unwinds further.
fn guard(sink: Sink, f: impl FnOnce() -> Result<()>) -> i32 {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(())) => OK,
        Ok(Err(e)) => {
            put_error(sink, WHOLE, ERROR, &e);
            ERROR
        }
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            put_error(sink, WHOLE, PANICKED, &Error::internal(format!("the plugin panicked: {text}")));
            PANICKED
        }
    }
}

/// `open` of every kind.
///
/// # Safety
/// `config` is lent for the call, `out` may be written.
unsafe fn open<T, S: crate::Inputs>(config: Str, out: *mut *mut c_void, error: Sink, new: fn(S) -> Result<T>) -> i32 {
    guard(error, || {
        // SAFETY: the caller's promise.
        let object = new(settings(serde_json::from_slice(unsafe { config.bytes() })?)?)?;
        // SAFETY: the caller's promise.
        unsafe { *out = Box::into_raw(Box::new(object)).cast() };
        Ok(())
    })
}

/// `close` of every kind.
///
/// # Safety
/// `this` came from `open::<T>` and is not used again.
unsafe extern "C" fn close<T>(this: *mut c_void) {
    // SAFETY: the caller's promise; the box is made anew once.
    let drop_it = || drop(unsafe { Box::from_raw(this.cast::<T>()) });
    // A panic in a destructor was logged by the hook; there is nobody else to tell.
    let _ = catch_unwind(AssertUnwindSafe(drop_it));
}

/// The object behind a pointer, for one call.
///
/// # Safety
/// `this` came from `open::<T>`, was not closed, and no other call uses it (`ONE_AT_A_TIME`).
unsafe fn object<'a, T>(this: *mut c_void) -> &'a mut T {
    // SAFETY: the caller's promise.
    unsafe { &mut *this.cast::<T>() }
}

/// An array that the host lends.
///
/// # Safety
/// `ptr` points to `count` values that live for `'a`, or `count` is 0.
unsafe fn list<'a, T>(ptr: *const T, count: usize) -> &'a [T] {
    if count == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(ptr, count) }
}

/// A string that the host lends.
///
/// # Safety
/// As for [`Str::bytes`].
unsafe fn text<'a>(s: Str) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    std::str::from_utf8(unsafe { s.bytes() }).map_err(|e| Error::invalid_input(format!("expected UTF-8 text: {e}")))
}
