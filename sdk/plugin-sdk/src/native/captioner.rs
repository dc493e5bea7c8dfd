//! The C table of a captioner.

use super::{close, guard, list, object, open, put_error, put_json};
use crate::{CaptionRequest, Captioner, Image};
use plugin_abi::{CaptionRequest as Raw, CaptionerTable, ERROR, ONE_AT_A_TIME, Sink, Str, interface};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub fn table<T: Captioner>(name: &str) -> Option<*const c_void> {
    let table: &'static CaptionerTable = const {
        &CaptionerTable {
            struct_size: size_of::<CaptionerTable>() as u32,
            thread_safety: ONE_AT_A_TIME,
            open: open_::<T>,
            close: close::<T>,
            max_batch: max_batch::<T>,
            caption: caption::<T>,
        }
    };
    (name == interface::CAPTIONER).then_some((&raw const *table).cast())
}

unsafe extern "C" fn open_<T: Captioner>(config: Str, out: *mut *mut c_void, error: Sink) -> i32 {
    // SAFETY: the host lends both for this call.
    unsafe { open(config, out, error, T::open) }
}

unsafe extern "C" fn max_batch<T: Captioner>(this: *mut c_void) -> u32 {
    // SAFETY: the host passes what `open` made, one call at a time.
    catch_unwind(AssertUnwindSafe(|| unsafe { object::<T>(this) }.max_batch())).unwrap_or(1)
}

unsafe extern "C" fn caption<T: Captioner>(this: *mut c_void, batch: *const Raw, count: usize, results: Sink) -> i32 {
    guard(results, || {
        // SAFETY: the host lends the batch for this call.
        let raw = unsafe { list(batch, count) };
        // The images first: from here on they are given back whatever fails.
        let images: Vec<_> = raw.iter().map(|r| Image::from_raw(r.image)).collect();
        let mut requests = Vec::with_capacity(count);
        for (image, r) in images.into_iter().zip(raw) {
            // SAFETY: lent for this call.
            let known = serde_json::from_slice(unsafe { r.known.bytes() })?;
            requests.push(CaptionRequest { image, known });
        }
        // SAFETY: what `open` made, one call at a time.
        let answers = unsafe { object::<T>(this) }.caption(requests)?;
        for (i, answer) in (0..).zip(answers) {
            // One that has no JSON form, such as a score that is no number, fails alone.
            if let Err(e) = answer.and_then(|annotation| put_json(results, i, &annotation)) {
                put_error(results, i, ERROR, &e);
            }
        }
        Ok(())
    })
}
