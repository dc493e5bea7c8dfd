//! The C table of a tag filter.

use super::{close, guard, list, object, open, put_json, text};
use crate::{FilterRequest, Result, TagFilter};
use plugin_abi::{FilterRequest as Raw, ONE_AT_A_TIME, Sink, Str, TagFilterTable, interface};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub fn table<T: TagFilter>(name: &str) -> Option<*const c_void> {
    let table: &'static TagFilterTable = const {
        &TagFilterTable {
            struct_size: size_of::<TagFilterTable>() as u32,
            thread_safety: ONE_AT_A_TIME,
            open: open_::<T>,
            close: close::<T>,
            passes: passes::<T>,
            observe: observe::<T>,
            apply: apply::<T>,
        }
    };
    (name == interface::TAG_FILTER).then_some((&raw const *table).cast())
}

unsafe extern "C" fn open_<T: TagFilter>(config: Str, out: *mut *mut c_void, error: Sink) -> i32 {
    // SAFETY: the host lends both for this call.
    unsafe { open(config, out, error, T::open) }
}

unsafe extern "C" fn passes<T: TagFilter>(this: *mut c_void) -> u32 {
    // SAFETY: the host passes what `open` made, one call at a time.
    catch_unwind(AssertUnwindSafe(|| unsafe { object::<T>(this) }.passes())).unwrap_or(1)
}

unsafe extern "C" fn observe<T: TagFilter>(this: *mut c_void, batch: *const Raw, count: usize, error: Sink) -> i32 {
    guard(error, || {
        // SAFETY: the host lends the batch for this call.
        let batch = unsafe { requests(batch, count) }?;
        // SAFETY: what `open` made, one call at a time.
        unsafe { object::<T>(this) }.observe(&batch)
    })
}

unsafe extern "C" fn apply<T: TagFilter>(this: *mut c_void, batch: *const Raw, count: usize, results: Sink) -> i32 {
    guard(results, || {
        // SAFETY: the host lends the batch for this call.
        let batch = unsafe { requests(batch, count) }?;
        // SAFETY: what `open` made, one call at a time.
        let verdicts = unsafe { object::<T>(this) }.apply(batch)?;
        (0..).zip(&verdicts).try_for_each(|(i, v)| put_json(results, i, v))
    })
}

/// # Safety
/// The batch and its strings are lent for the call.
unsafe fn requests(batch: *const Raw, count: usize) -> Result<Vec<FilterRequest>> {
    // SAFETY: the caller's promise.
    let one = |r: &Raw| unsafe {
        Ok(FilterRequest {
            id: text(r.id)?.to_owned(),
            subset: text(r.subset)?.to_owned(),
            annotation: serde_json::from_slice(r.annotation.bytes())?,
        })
    };
    // SAFETY: the caller's promise.
    unsafe { list(batch, count) }.iter().map(one).collect()
}
