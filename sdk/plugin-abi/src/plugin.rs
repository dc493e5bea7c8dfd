//! What a native plugin offers.

use crate::{Sink, Str};
use std::ffi::c_void;

/// An object that `open` made.
type This = *mut c_void;
/// `config`: a JSON object. On success `out` gets the object.
type Open = unsafe extern "C" fn(config: Str, out: *mut *mut c_void, error: Sink) -> i32;
type Close = unsafe extern "C" fn(this: This);

/// What the entry function returns. It must live as long as the process.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PluginTable {
    pub struct_size: u32,
    pub abi_magic: u32,
    pub abi_major: u32,
    pub abi_minor: u32,
    /// [`crate::WIT_VERSION`] as the plugin was built with it.
    pub wit_version: Str,
    /// Puts the JSON of a WIT `schema.info`. Pure; called before anything else.
    pub describe: unsafe extern "C" fn(out: Sink) -> i32,
    /// The table of an interface by its name (see [`crate::interface`]), or null.
    pub get_interface: unsafe extern "C" fn(name: Str) -> *const c_void,
}

// SAFETY: constant functions and a string that lives as long as the library, which is never unloaded.
unsafe impl Send for PluginTable {}
// SAFETY: as above.
unsafe impl Sync for PluginTable {}

/// One image to caption. The handle is the plugin's to drop.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CaptionRequest {
    pub image: u64,
    /// JSON of a WIT `annotation`
    pub known: Str,
}

/// WIT `captioner`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CaptionerTable {
    pub struct_size: u32,
    pub thread_safety: u32,
    pub open: Open,
    pub close: Close,
    pub max_batch: unsafe extern "C" fn(this: This) -> u32,
    /// Puts for each request, by its index, the JSON of an `annotation` ([`crate::OK`]) or of an `error` ([`crate::ERROR`]).
    pub caption: unsafe extern "C" fn(this: This, batch: *const CaptionRequest, count: usize, results: Sink) -> i32,
}

/// One annotation to filter.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FilterRequest {
    pub id: Str,
    pub subset: Str,
    /// JSON of a WIT `annotation`
    pub annotation: Str,
}

/// WIT `tag-filter`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TagFilterTable {
    pub struct_size: u32,
    pub thread_safety: u32,
    pub open: Open,
    pub close: Close,
    pub passes: unsafe extern "C" fn(this: This) -> u32,
    pub observe: unsafe extern "C" fn(this: This, batch: *const FilterRequest, count: usize, error: Sink) -> i32,
    /// Puts for each request, by its index, `{"keep": annotation}` or `{"drop": "why"}`.
    pub apply: unsafe extern "C" fn(this: This, batch: *const FilterRequest, count: usize, results: Sink) -> i32,
}

/// WIT `dataset-source`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct DatasetSourceTable {
    pub struct_size: u32,
    pub thread_safety: u32,
    pub open: Open,
    pub close: Close,
    /// `from` null: from the start. Puts for each item, by its index, the JSON of a WIT `item`, then with index
    /// [`crate::WHOLE`] `{"next": …, "total": …}`. In the JSON `media` is `{"url": "…"}`, `{"file": ["root", "path"]}`,
    /// `{"image": HANDLE}` (given to the host), or `{"bytes": null}`: the bytes were put before with [`crate::BULK`].
    pub next_page: unsafe extern "C" fn(this: This, from: Str, max_items: u32, results: Sink) -> i32,
}

/// One picture to score. The handles are the plugin's to drop.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub image: u64,
    /// 0: none
    pub reference: u64,
    pub id: Str,
    pub prompt: Str,
    /// JSON; null: none
    pub extra: Str,
    pub seed: u64,
    /// 0: `seed` is not given
    pub has_seed: u32,
}

/// WIT `evaluator`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct EvaluatorTable {
    pub struct_size: u32,
    pub thread_safety: u32,
    pub open: Open,
    pub close: Close,
    /// Puts a JSON list of WIT `metric` with index 0.
    pub metrics: unsafe extern "C" fn(this: This, results: Sink) -> i32,
    /// Images of the dataset, before the first `add`. The handles are the plugin's to drop.
    pub reference: unsafe extern "C" fn(this: This, images: *const u64, count: usize, error: Sink) -> i32,
    /// Puts for each sample, by its index, a JSON list of WIT `score`.
    pub add: unsafe extern "C" fn(this: This, samples: *const Sample, count: usize, results: Sink) -> i32,
    /// Puts a JSON list of WIT `score` with index 0.
    pub finish: unsafe extern "C" fn(this: This, results: Sink) -> i32,
}

/// WIT `node`: any other node. It keeps no state between calls.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NodeTable {
    pub struct_size: u32,
    pub thread_safety: u32,
    /// `inputs`: JSON list of `[name, [value, …]]`; a value is `"none"`, `{"int": 3}`, `{"float": 0.5}`, `{"boolean": true}`,
    /// `{"text": "…"}`, `{"json": "…"}`, `{"annotation": {…}}`, or `{"image": HANDLE}`, `{"tensor": HANDLE}`, `{"handle": HANDLE}`.
    /// Handles in inputs are the plugin's to drop, those in outputs the host's. Puts for each output, by its index, a list of values.
    pub run: unsafe extern "C" fn(node: Str, inputs: Str, results: Sink) -> i32,
    /// Since ABI 1.1. All that a node may be asked, as JSON: `what` is [`NODE_RUN`] and so on, `request` is
    /// `{"node": …, "place": {"id": …, "prefix": …}, "inputs": …, "types": [[input, type], …]}`. Puts with index 0 the JSON of
    /// what the function of that name in the WIT returns; a `feed` is `{"values": […]}` or `{"link": ["id", slot]}`.
    pub call: unsafe extern "C" fn(what: u32, request: Str, results: Sink) -> i32,
}

/// [`NodeTable::call`]: WIT `run`.
pub const NODE_RUN: u32 = 0;
/// [`NodeTable::call`]: WIT `check-lazy`; a list of names.
pub const NODE_CHECK_LAZY: u32 = 1;
/// [`NodeTable::call`]: WIT `validate`; `"accepted"` or `{"refused": "why"}`.
pub const NODE_VALIDATE: u32 = 2;
/// [`NodeTable::call`]: WIT `fingerprint`; text or null.
pub const NODE_FINGERPRINT: u32 = 3;
