//! The C table of a dataset source.

use super::{close, guard, object, open, put, put_json, text};
use crate::{DatasetSource, Media};
use plugin_abi::{BULK, DatasetSourceTable, ONE_AT_A_TIME, Sink, Str, WHOLE, interface};
use serde_json::json;
use std::ffi::c_void;

pub fn table<T: DatasetSource>(name: &str) -> Option<*const c_void> {
    let table: &'static DatasetSourceTable = const {
        &DatasetSourceTable {
            struct_size: size_of::<DatasetSourceTable>() as u32,
            thread_safety: ONE_AT_A_TIME,
            open: open_::<T>,
            close: close::<T>,
            next_page: next_page::<T>,
        }
    };
    (name == interface::DATASET_SOURCE).then_some((&raw const *table).cast())
}

unsafe extern "C" fn open_<T: DatasetSource>(config: Str, out: *mut *mut c_void, error: Sink) -> i32 {
    // SAFETY: the host lends both for this call.
    unsafe { open(config, out, error, T::open) }
}

unsafe extern "C" fn next_page<T: DatasetSource>(this: *mut c_void, from: Str, max_items: u32, results: Sink) -> i32 {
    guard(results, || {
        // SAFETY: the host lends the cursor for this call.
        let from = if from.is_given() { Some(unsafe { text(from) }?.to_owned()) } else { None };
        // SAFETY: what `open` made, one call at a time.
        let page = unsafe { object::<T>(this) }.next_page(from, max_items)?;
        for (i, item) in (0..).zip(page.items) {
            let media = match item.media {
                Media::Url(url) => json!({"url": url}),
                Media::File { root, path } => json!({"file": [root, path]}),
                Media::Bytes(bytes) => {
                    put(results, i, BULK, &bytes);
                    json!({"bytes": null})
                }
                Media::Image(image) => json!({"image": image.into_raw()}),
            };
            let record = json!({
                "id": item.id,
                "media": media,
                "annotation": item.annotation,
                "origin": item.origin,
                "license": item.license,
                "digest": item.digest,
            });
            put_json(results, i, &record)?;
        }
        put_json(results, WHOLE, &json!({"next": page.next, "total": page.total}))
    })
}
