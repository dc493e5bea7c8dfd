//! What a native plugin may call.

use crate::{NamedTensor, Rect, ResizeSpec, Sink, Str, TensorInfo, TensorSpec};
use std::ffi::c_void;

type Ctx = *mut c_void;

/// The host's functions. The first argument is always `ctx`; the last `Sink` takes results and errors.
///
/// Codes of enums are the positions in the WIT: formats `l8, rgb8, rgba8`; dtypes `uint8, uint32, int64, float16,
/// bfloat16, float32, float64`; levels `trace, debug, info, warn, error`; codecs `png, jpeg, webp`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct HostTable {
    pub struct_size: u32,
    pub abi_magic: u32,
    pub abi_major: u32,
    pub abi_minor: u32,
    pub ctx: Ctx,

    // control
    pub log: unsafe extern "C" fn(Ctx, level: u32, message: Str),
    /// `total` is [`crate::NONE`] if unknown.
    pub progress: unsafe extern "C" fn(Ctx, done: u64, total: u64, message: Str),
    /// Not 0: the user wants the job to stop.
    pub cancelled: unsafe extern "C" fn(Ctx) -> i32,
    pub seed: unsafe extern "C" fn(Ctx) -> u64,

    // images
    /// 0 for an unknown handle.
    pub image_width: unsafe extern "C" fn(Ctx, image: u64) -> u32,
    pub image_height: unsafe extern "C" fn(Ctx, image: u64) -> u32,
    pub image_format: unsafe extern "C" fn(Ctx, image: u64) -> u32,
    /// Puts the text `sha256:…`.
    pub image_digest: unsafe extern "C" fn(Ctx, image: u64, Sink) -> i32,
    pub image_perceptual_hash: unsafe extern "C" fn(Ctx, image: u64, kind: u32, out: *mut u64, Sink) -> i32,
    /// Puts the text, or nothing if there is no such key.
    pub image_metadata: unsafe extern "C" fn(Ctx, image: u64, key: Str, Sink) -> i32,
    /// Puts the pixels, rows from top to bottom without gaps; `area` null: all.
    pub image_read: unsafe extern "C" fn(Ctx, image: u64, area: *const Rect, format: u32, Sink) -> i32,
    /// Lends the pixels without a copy until the image is dropped or the plugin's call returns.
    pub image_view: unsafe extern "C" fn(Ctx, image: u64, format: u32, out: *mut Str, Sink) -> i32,
    pub image_resize: unsafe extern "C" fn(Ctx, image: u64, spec: *const ResizeSpec, out: *mut u64, Sink) -> i32,
    pub image_crop: unsafe extern "C" fn(Ctx, image: u64, area: *const Rect, out: *mut u64, Sink) -> i32,
    pub image_convert: unsafe extern "C" fn(Ctx, image: u64, format: u32, out: *mut u64, Sink) -> i32,
    pub image_to_tensor: unsafe extern "C" fn(Ctx, image: u64, spec: *const TensorSpec, out: *mut u64, Sink) -> i32,
    /// Puts the bytes of the file. `quality` 1 to 100, for jpeg.
    pub image_encode: unsafe extern "C" fn(Ctx, image: u64, codec: u32, quality: u32, Sink) -> i32,
    /// A second handle on the same pixels.
    pub image_share: unsafe extern "C" fn(Ctx, image: u64, out: *mut u64, Sink) -> i32,
    pub image_drop: unsafe extern "C" fn(Ctx, image: u64),
    pub image_decode: unsafe extern "C" fn(Ctx, bytes: Str, out: *mut u64, Sink) -> i32,
    pub image_from_pixels:
        unsafe extern "C" fn(Ctx, width: u32, height: u32, format: u32, pixels: Str, out: *mut u64, Sink) -> i32,

    // tensors
    /// Little-endian bytes of `dtype`.
    pub tensor_from_bytes:
        unsafe extern "C" fn(Ctx, shape: *const u32, rank: usize, dtype: u32, bytes: Str, out: *mut u64, Sink) -> i32,
    /// The caller sets `out.struct_size`.
    pub tensor_info: unsafe extern "C" fn(Ctx, tensor: u64, out: *mut TensorInfo, Sink) -> i32,
    /// Puts little-endian bytes of the stored type.
    pub tensor_read_bytes: unsafe extern "C" fn(Ctx, tensor: u64, Sink) -> i32,
    /// Puts little-endian f32.
    pub tensor_read_f32: unsafe extern "C" fn(Ctx, tensor: u64, Sink) -> i32,
    /// Lends the stored bytes without a copy until `tensor_drop`; aligned for the type.
    pub tensor_view: unsafe extern "C" fn(Ctx, tensor: u64, out: *mut Str, Sink) -> i32,
    pub tensor_cast: unsafe extern "C" fn(Ctx, tensor: u64, dtype: u32, out: *mut u64, Sink) -> i32,
    pub tensor_reshape:
        unsafe extern "C" fn(Ctx, tensor: u64, shape: *const u32, rank: usize, out: *mut u64, Sink) -> i32,
    pub tensor_narrow:
        unsafe extern "C" fn(Ctx, tensor: u64, dim: u32, start: u32, length: u32, out: *mut u64, Sink) -> i32,
    pub tensor_sigmoid: unsafe extern "C" fn(Ctx, tensor: u64, out: *mut u64, Sink) -> i32,
    pub tensor_softmax: unsafe extern "C" fn(Ctx, tensor: u64, dim: u32, out: *mut u64, Sink) -> i32,
    /// Puts an array of [`crate::IndexValue`], largest first.
    pub tensor_top_k: unsafe extern "C" fn(Ctx, tensor: u64, k: u32, Sink) -> i32,
    /// Puts an array of [`crate::IndexValue`], in order of the index.
    pub tensor_above: unsafe extern "C" fn(Ctx, tensor: u64, threshold: f32, Sink) -> i32,
    pub tensor_stack: unsafe extern "C" fn(Ctx, tensors: *const u64, count: usize, out: *mut u64, Sink) -> i32,
    pub tensor_share: unsafe extern "C" fn(Ctx, tensor: u64, out: *mut u64, Sink) -> i32,
    pub tensor_drop: unsafe extern "C" fn(Ctx, tensor: u64),

    // inference
    /// Puts a JSON list of WIT `model-info`.
    pub inference_models: unsafe extern "C" fn(Ctx, Sink) -> i32,
    /// `options`: JSON, may be null.
    pub inference_load: unsafe extern "C" fn(Ctx, model: Str, options: Str, out: *mut u64, Sink) -> i32,
    /// Puts the JSON of a WIT `model-info`.
    pub session_info: unsafe extern "C" fn(Ctx, session: u64, Sink) -> i32,
    /// Puts the bytes of the side file.
    pub session_asset: unsafe extern "C" fn(Ctx, session: u64, name: Str, Sink) -> i32,
    /// Puts one result per output: **the index is the new tensor's handle**, the data its name.
    pub session_run: unsafe extern "C" fn(Ctx, session: u64, inputs: *const NamedTensor, count: usize, Sink) -> i32,
    pub session_drop: unsafe extern "C" fn(Ctx, session: u64),

    // generation
    /// `request`: JSON of WIT `generation.request`; puts the JSON of a `reply`.
    pub generate: unsafe extern "C" fn(Ctx, request: Str, images: *const u64, count: usize, Sink) -> i32,

    // files
    /// Puts a JSON list of WIT `files.entry`, sorted by path; `after` may be null.
    pub files_list_dir: unsafe extern "C" fn(Ctx, root: Str, path: Str, after: Str, limit: u32, Sink) -> i32,
    /// Puts the bytes.
    pub files_read: unsafe extern "C" fn(Ctx, root: Str, path: Str, max_bytes: u64, Sink) -> i32,
    pub files_read_image: unsafe extern "C" fn(Ctx, root: Str, path: Str, out: *mut u64, Sink) -> i32,

    // storage
    /// Puts the bytes, or nothing if there is no such key.
    pub storage_get: unsafe extern "C" fn(Ctx, key: Str, Sink) -> i32,
    pub storage_set: unsafe extern "C" fn(Ctx, key: Str, value: Str, Sink) -> i32,
    pub storage_delete: unsafe extern "C" fn(Ctx, key: Str, Sink) -> i32,
    /// Puts a JSON list of keys, sorted; `after` may be null.
    pub storage_keys: unsafe extern "C" fn(Ctx, prefix: Str, after: Str, limit: u32, Sink) -> i32,

    // http
    /// `request`: JSON of WIT `http.request` without `body`, which may be null. Puts index 0: JSON with `status` and
    /// `headers`, index 1: the body.
    pub http_fetch: unsafe extern "C" fn(Ctx, request: Str, body: Str, Sink) -> i32,
    pub http_fetch_image: unsafe extern "C" fn(Ctx, request: Str, body: Str, out: *mut u64, Sink) -> i32,

    // handles
    /// Puts the name of the type, such as `MODEL`.
    pub handle_type_name: unsafe extern "C" fn(Ctx, handle: u64, Sink) -> i32,
    pub handle_share: unsafe extern "C" fn(Ctx, handle: u64, out: *mut u64, Sink) -> i32,
    pub handle_drop: unsafe extern "C" fn(Ctx, handle: u64),
}

// SAFETY: a table of functions; `ctx` is the host's, which promises that `log` and `cancelled` may be called from any
// thread and looks up the running call by thread for the others.
unsafe impl Send for HostTable {}
// SAFETY: as above; nothing in the table changes.
unsafe impl Sync for HostTable {}
