//! The C table of an evaluator.

use super::{close, guard, list, object, open, put_json, text};
use crate::evaluator::finite;
use crate::{Evaluator, Image, Result, Sample};
use plugin_abi::{EvaluatorTable, ONE_AT_A_TIME, Sample as Raw, Sink, Str, interface};
use std::ffi::c_void;

pub fn table<T: Evaluator>(name: &str) -> Option<*const c_void> {
    let table: &'static EvaluatorTable = const {
        &EvaluatorTable {
            struct_size: size_of::<EvaluatorTable>() as u32,
            thread_safety: ONE_AT_A_TIME,
            open: open_::<T>,
            close: close::<T>,
            metrics: metrics::<T>,
            reference: reference::<T>,
            add: add::<T>,
            finish: finish::<T>,
        }
    };
    (name == interface::EVALUATOR).then_some((&raw const *table).cast())
}

unsafe extern "C" fn open_<T: Evaluator>(config: Str, out: *mut *mut c_void, error: Sink) -> i32 {
    // SAFETY: the host lends both for this call.
    unsafe { open(config, out, error, T::open) }
}

unsafe extern "C" fn metrics<T: Evaluator>(this: *mut c_void, results: Sink) -> i32 {
    // SAFETY: what `open` made, one call at a time.
    guard(results, || put_json(results, 0, &unsafe { object::<T>(this) }.metrics()))
}

unsafe extern "C" fn reference<T: Evaluator>(this: *mut c_void, images: *const u64, count: usize, error: Sink) -> i32 {
    guard(error, || {
        // SAFETY: the host lends the list for this call.
        let images = unsafe { list(images, count) }.iter().map(|&h| Image::from_raw(h)).collect();
        // SAFETY: what `open` made, one call at a time.
        unsafe { object::<T>(this) }.reference(images)
    })
}

unsafe extern "C" fn add<T: Evaluator>(this: *mut c_void, samples: *const Raw, count: usize, results: Sink) -> i32 {
    guard(results, || {
        // SAFETY: the host lends the list for this call.
        let raw = unsafe { list(samples, count) };
        // The images first: from here on they are given back whatever fails.
        let reference = |r: &Raw| (r.reference != 0).then(|| Image::from_raw(r.reference));
        let images: Vec<_> = raw.iter().map(|r| (Image::from_raw(r.image), reference(r))).collect();
        let samples = images.into_iter().zip(raw).map(|((image, reference), r)| {
            // SAFETY: lent for this call.
            unsafe { sample(image, reference, r) }
        });
        let samples = samples.collect::<Result<Vec<_>>>()?;
        // SAFETY: what `open` made, one call at a time.
        let scores = unsafe { object::<T>(this) }.add(samples)?;
        (0..).zip(&scores).try_for_each(|(i, scores)| {
            finite(scores)?;
            put_json(results, i, scores)
        })
    })
}

unsafe extern "C" fn finish<T: Evaluator>(this: *mut c_void, results: Sink) -> i32 {
    guard(results, || {
        // SAFETY: what `open` made, one call at a time.
        let scores = unsafe { object::<T>(this) }.finish()?;
        finite(&scores)?;
        put_json(results, 0, &scores)
    })
}

/// # Safety
/// The strings of `raw` are lent for the call.
unsafe fn sample(image: Image, reference: Option<Image>, raw: &Raw) -> Result<Sample> {
    // SAFETY: the caller's promise.
    unsafe {
        Ok(Sample {
            id: text(raw.id)?.to_owned(),
            image,
            prompt: text(raw.prompt)?.to_owned(),
            reference,
            seed: (raw.has_seed != 0).then_some(raw.seed),
            extra: if raw.extra.is_given() { Some(serde_json::from_slice(raw.extra.bytes())?) } else { None },
        })
    }
}
