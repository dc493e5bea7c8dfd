//! The C tables between the host and native plugins, as Rust sees them.
//!
//! Layout only: no behaviour, no dependencies; the SDK and the host's loader both use it, and
//! `plugin-sdk/include/anagama.h` is the same for C. Start at [`HostTable`] (what a plugin may call) and
//! [`PluginTable`] (what the one exported function, [`ENTRY`], returns).
//!
//! # Rules
//!
//! * Every table starts with `struct_size`; functions are only ever appended, never changed. A changed
//!   meaning is a new interface name.
//! * Strings are UTF-8 with a length, not NUL-terminated. Records are JSON with the field names of the WIT
//!   (kebab-case); bulk data is a pointer with a length.
//! * No memory changes owner. Arguments are lent for the call. Results go through a [`Sink`], whose `put`
//!   copies before it returns.
//! * Handles are `u64`, below 2⁵³ and never 0. A handle that the plugin receives, as an argument or through an
//!   out-pointer, is the plugin's until it calls the matching `…_drop` (or passes it back in a result). Handles
//!   belong to the object that `open` made: the host drops what is left when the object is closed.
//! * A function that can fail returns [`OK`], or [`ERROR`] or [`PANICKED`] after it has put the JSON of a WIT
//!   `error` record into its sink with that status and index [`WHOLE`].
//! * `log` and `cancelled` may be called from any thread, everything else only from the thread that is inside
//!   a call of the plugin. No panic and no exception may cross in either direction.

mod host;
mod plugin;

pub use host::HostTable;
pub use plugin::{
    CaptionRequest, CaptionerTable, DatasetSourceTable, EvaluatorTable, FilterRequest, NODE_CHECK_LAZY,
    NODE_FINGERPRINT, NODE_RUN, NODE_VALIDATE, NodeTable, PluginTable, Sample, TagFilterTable,
};

use std::ffi::c_void;

/// `ANA1`, first thing to compare.
pub const ABI_MAGIC: u32 = 0x414e_4131;
/// Must be equal on both sides.
pub const ABI_MAJOR: u32 = 1;
/// Grows with every appended function.
pub const ABI_MINOR: u32 = 1;
/// The WIT package whose records cross as JSON.
pub const WIT_VERSION: &str = "anagama:plugin@0.1.0";
/// Name of the one exported function, of type [`Entry`].
pub const ENTRY: &str = "anagama_plugin_entry";
/// The one exported function. Null means: this host is too old or too new for me.
pub type Entry = unsafe extern "C" fn(host: *const HostTable) -> *const PluginTable;

/// Names for [`PluginTable::get_interface`].
pub mod interface {
    /// [`crate::CaptionerTable`]
    pub const CAPTIONER: &str = "anagama:plugin/captioner@0.1.0";
    /// [`crate::DatasetSourceTable`]
    pub const DATASET_SOURCE: &str = "anagama:plugin/dataset-source@0.1.0";
    /// [`crate::TagFilterTable`]
    pub const TAG_FILTER: &str = "anagama:plugin/tag-filter@0.1.0";
    /// [`crate::EvaluatorTable`]
    pub const EVALUATOR: &str = "anagama:plugin/evaluator@0.1.0";
    /// [`crate::NodeTable`]
    pub const NODE: &str = "anagama:plugin/node@0.1.0";
}

/// The call, or the result that was put, is good.
pub const OK: i32 = 0;
/// The data is the JSON of a WIT `error`.
pub const ERROR: i32 = 1;
/// As [`ERROR`]; the plugin panicked. Its object must not be used again, except to close it.
pub const PANICKED: i32 = 2;
/// Bulk bytes that belong to the result which is put next with the same index.
pub const BULK: i32 = 3;
/// Index of what concerns the call as a whole.
pub const WHOLE: u64 = u64::MAX;
/// «Not given», where a `u64` is optional.
pub const NONE: u64 = u64::MAX;

/// `thread_safety`: only the thread that called the entry function.
pub const MAIN_THREAD: u32 = 0;
/// `thread_safety`: one thread at a time per object, any thread.
pub const ONE_AT_A_TIME: u32 = 1;
/// `thread_safety`: any number of threads at once.
pub const ANY_THREAD: u32 = 2;

/// Bytes that somebody lends for the duration of a call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Str {
    /// Null means «not given» where an argument is optional.
    pub ptr: *const u8,
    pub len: usize,
}

impl Str {
    /// Not given.
    pub const NULL: Self = Self { ptr: std::ptr::null(), len: 0 };

    /// Lends bytes. Whoever gets the result must not use it longer than `bytes` lives.
    pub const fn new(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }

    /// Lends a string that may be absent.
    pub fn option(text: Option<&str>) -> Self {
        text.map_or(Self::NULL, |t| Self::new(t.as_bytes()))
    }

    /// Is it given?
    pub fn is_given(self) -> bool {
        !self.ptr.is_null()
    }

    /// The bytes; empty if null.
    ///
    /// # Safety
    /// If not null, `ptr` and `len` must describe memory that stays readable and unchanged for `'a`.
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.ptr.is_null() || self.len == 0 {
            return &[];
        }
        // SAFETY: the caller vouches for pointer and length.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }
}

/// Receives results; the bytes are only valid during the call of `put`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Sink {
    pub ctx: *mut c_void,
    pub put: unsafe extern "C" fn(ctx: *mut c_void, index: u64, status: i32, data: Str),
}

/// A rectangle in pixels.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// WIT `resize-spec`. The enums are numbered in the order of the WIT.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResizeSpec {
    pub struct_size: u32,
    pub width: u32,
    pub height: u32,
    pub fit: u32,
    pub filter: u32,
    /// 0xRRGGBB
    pub pad_color: u32,
}

/// WIT `tensor-spec`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorSpec {
    pub struct_size: u32,
    /// 0: keep the size, `resize` is ignored
    pub has_resize: u32,
    pub resize: ResizeSpec,
    pub layout: u32,
    pub order: u32,
    pub scale: f32,
    pub mean: [f32; 3],
    pub std: [f32; 3],
    pub dtype: u32,
}

/// The largest rank of a tensor.
pub const MAX_RANK: usize = 8;

/// Shape and type of a tensor.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    pub struct_size: u32,
    pub dtype: u32,
    pub rank: u32,
    pub shape: [u32; MAX_RANK],
}

/// An input of `session_run`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NamedTensor {
    pub name: Str,
    pub tensor: u64,
}

/// An element of what `tensor_top_k` and `tensor_above` put.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IndexValue {
    pub index: u32,
    pub value: f32,
}
