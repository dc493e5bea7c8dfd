//! The host's C table as a [`Host`].

use crate::control::Level;
use crate::files::Entry;
use crate::generation::{Prompt, Reply};
use crate::host::Host;
use crate::http::{Request, Response};
use crate::images::{Codec, Perceptual, PixelFormat, Rect, ResizeSpec, TensorSpec};
use crate::inference::ModelInfo;
use crate::tensors::Dtype;
use crate::{Error, Result};
use plugin_abi::{ABI_MAGIC, ABI_MAJOR, HostTable, MAX_RANK, NONE, NamedTensor, OK, Sink, Str, TensorInfo};
use serde::de::DeserializeOwned;
use std::ffi::c_void;
use std::mem::size_of;

/// The host of this process.
pub struct TableHost(&'static HostTable);

impl TableHost {
    /// `None` if the table is of another ABI or lacks functions that this SDK calls.
    ///
    /// # Safety
    /// `host` is null or points to a table that lives as long as the process.
    pub(crate) unsafe fn new(host: *const HostTable) -> Option<Self> {
        /// The start of every version's table.
        #[repr(C)]
        struct Head {
            struct_size: u32,
            abi_magic: u32,
            abi_major: u32,
        }
        // SAFETY: the caller's promise; every version starts with the head.
        let head = unsafe { host.cast::<Head>().as_ref() }?;
        let fits = head.abi_magic == ABI_MAGIC && head.abi_major == ABI_MAJOR;
        if !fits || (head.struct_size as usize) < size_of::<HostTable>() {
            return None;
        }
        // SAFETY: the caller's promise, and the table is long enough.
        Some(Self(unsafe { &*host }))
    }

    /// Calls a function that takes a sink; what it put, or its error.
    fn call(&self, f: impl FnOnce(&HostTable, Sink) -> i32) -> Result<Puts> {
        let mut puts = Puts::default();
        let status = f(self.0, Sink { ctx: (&raw mut puts).cast(), put: collect });
        if status == OK {
            return Ok(puts);
        }
        let error = puts.0.iter().find(|(_, s, _)| *s != OK).and_then(|(_, _, d)| serde_json::from_slice(d).ok());
        Err(error.unwrap_or_else(|| Error::internal(format!("the host answered with status {status} and no reason"))))
    }

    /// Calls a function that makes a handle.
    fn make(&self, f: impl FnOnce(&HostTable, *mut u64, Sink) -> i32) -> Result<u64> {
        let mut handle = 0;
        self.call(|h, sink| f(h, &raw mut handle, sink))?;
        Ok(handle)
    }
}

/// Everything that a call put: index, status, data.
#[derive(Default)]
struct Puts(Vec<(u64, i32, Vec<u8>)>);

unsafe extern "C" fn collect(ctx: *mut c_void, index: u64, status: i32, data: Str) {
    // SAFETY: `ctx` is the `Puts` of the running `call`; the host lends the data for this call.
    unsafe { (*ctx.cast::<Puts>()).0.push((index, status, data.bytes().to_vec())) }
}

impl Puts {
    fn first(self) -> Option<Vec<u8>> {
        self.0.into_iter().next().map(|(_, _, data)| data)
    }

    fn bytes(self) -> Result<Vec<u8>> {
        self.first().ok_or_else(|| Error::internal("the host put no result"))
    }

    fn text(self) -> Result<String> {
        Ok(String::from_utf8(self.bytes()?)?)
    }

    fn json<T: DeserializeOwned>(self) -> Result<T> {
        Ok(serde_json::from_slice(&self.bytes()?)?)
    }

    fn pairs(self) -> Result<Vec<(u32, f32)>> {
        let bytes = self.first().unwrap_or_default();
        let word = |b: &[u8]| [b[0], b[1], b[2], b[3]];
        let pair = |b: &[u8]| (u32::from_ne_bytes(word(b)), f32::from_ne_bytes(word(&b[4..])));
        Ok(bytes.chunks_exact(8).map(pair).collect())
    }
}

fn s(text: &str) -> Str {
    Str::new(text.as_bytes())
}

fn rect(r: Rect) -> plugin_abi::Rect {
    plugin_abi::Rect { x: r.x, y: r.y, width: r.width, height: r.height }
}

fn resize_spec(r: &ResizeSpec) -> plugin_abi::ResizeSpec {
    plugin_abi::ResizeSpec {
        struct_size: size_of::<plugin_abi::ResizeSpec>() as u32,
        width: r.width,
        height: r.height,
        fit: r.fit.code(),
        filter: r.filter.code(),
        pad_color: r.pad_color,
    }
}

fn tensor_spec(t: &TensorSpec) -> plugin_abi::TensorSpec {
    let ignored = ResizeSpec::stretch(0, 0);
    plugin_abi::TensorSpec {
        struct_size: size_of::<plugin_abi::TensorSpec>() as u32,
        has_resize: t.resize.is_some().into(),
        resize: resize_spec(t.resize.as_ref().unwrap_or(&ignored)),
        layout: t.layout.code(),
        order: t.order.code(),
        scale: t.scale,
        mean: t.mean,
        std: t.std,
        dtype: t.dtype.code(),
    }
}

// SAFETY, for every block below: the table's functions follow the rules of `plugin_abi`: strings, structs and arrays
// are lent for the call, out-pointers are written during it, sinks are not used after it.
impl Host for TableHost {
    fn log(&self, level: Level, message: &str) {
        // SAFETY: see above.
        unsafe { (self.0.log)(self.0.ctx, level as u32, s(message)) }
    }
    fn progress(&self, done: u64, total: Option<u64>, message: &str) {
        // SAFETY: see above.
        unsafe { (self.0.progress)(self.0.ctx, done, total.unwrap_or(NONE), s(message)) }
    }
    fn cancelled(&self) -> bool {
        // SAFETY: see above.
        unsafe { (self.0.cancelled)(self.0.ctx) != 0 }
    }
    fn seed(&self) -> u64 {
        // SAFETY: see above.
        unsafe { (self.0.seed)(self.0.ctx) }
    }

    fn image_width(&self, image: u64) -> u32 {
        // SAFETY: see above.
        unsafe { (self.0.image_width)(self.0.ctx, image) }
    }
    fn image_height(&self, image: u64) -> u32 {
        // SAFETY: see above.
        unsafe { (self.0.image_height)(self.0.ctx, image) }
    }
    fn image_format(&self, image: u64) -> PixelFormat {
        // SAFETY: see above.
        let code = unsafe { (self.0.image_format)(self.0.ctx, image) };
        PixelFormat::from_code(code).unwrap_or(PixelFormat::Rgb8)
    }
    fn image_digest(&self, image: u64) -> String {
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.image_digest)(h.ctx, image, sink) }).and_then(Puts::text).unwrap_or_default()
    }
    fn image_perceptual_hash(&self, image: u64, kind: Perceptual) -> u64 {
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.image_perceptual_hash)(h.ctx, image, kind.code(), out, sink) })
            .unwrap_or_default()
    }
    fn image_metadata(&self, image: u64, key: &str) -> Option<String> {
        // SAFETY: see above.
        let puts = self.call(|h, sink| unsafe { (h.image_metadata)(h.ctx, image, s(key), sink) }).ok()?;
        String::from_utf8(puts.first()?).ok()
    }
    fn image_read(&self, image: u64, area: Option<Rect>, format: PixelFormat) -> Result<Vec<u8>> {
        let area = area.map(rect);
        let area = area.as_ref().map_or(std::ptr::null(), |a| &raw const *a);
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.image_read)(h.ctx, image, area, format.code(), sink) })?.bytes()
    }
    fn image_view(&self, image: u64, format: PixelFormat, look: &mut dyn FnMut(&[u8])) -> Result<()> {
        let mut pixels = Str::NULL;
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.image_view)(h.ctx, image, format.code(), &raw mut pixels, sink) })?;
        // SAFETY: lent until the image is dropped or the plugin's call returns; both are later than this.
        look(unsafe { pixels.bytes() });
        Ok(())
    }
    fn image_resize(&self, image: u64, spec: &ResizeSpec) -> Result<u64> {
        let spec = resize_spec(spec);
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.image_resize)(h.ctx, image, &raw const spec, out, sink) })
    }
    fn image_crop(&self, image: u64, area: Rect) -> Result<u64> {
        let area = rect(area);
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.image_crop)(h.ctx, image, &raw const area, out, sink) })
    }
    fn image_convert(&self, image: u64, format: PixelFormat) -> Result<u64> {
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.image_convert)(h.ctx, image, format.code(), out, sink) })
    }
    fn image_to_tensor(&self, image: u64, spec: &TensorSpec) -> Result<u64> {
        let spec = tensor_spec(spec);
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.image_to_tensor)(h.ctx, image, &raw const spec, out, sink) })
    }
    fn image_encode(&self, image: u64, codec: Codec, quality: u8) -> Result<Vec<u8>> {
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.image_encode)(h.ctx, image, codec.code(), quality.into(), sink) })?.bytes()
    }
    fn image_share(&self, image: u64) -> Result<u64> {
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.image_share)(h.ctx, image, out, sink) })
    }
    fn image_drop(&self, image: u64) {
        // SAFETY: see above.
        unsafe { (self.0.image_drop)(self.0.ctx, image) }
    }
    fn image_decode(&self, bytes: &[u8]) -> Result<u64> {
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.image_decode)(h.ctx, Str::new(bytes), out, sink) })
    }
    fn image_from_pixels(&self, width: u32, height: u32, format: PixelFormat, pixels: &[u8]) -> Result<u64> {
        let pixels = Str::new(pixels);
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe {
            (h.image_from_pixels)(h.ctx, width, height, format.code(), pixels, out, sink)
        })
    }

    fn tensor_from_bytes(&self, shape: &[u32], dtype: Dtype, bytes: &[u8]) -> Result<u64> {
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe {
            (h.tensor_from_bytes)(h.ctx, shape.as_ptr(), shape.len(), dtype.code(), Str::new(bytes), out, sink)
        })
    }
    fn tensor_shape(&self, tensor: u64) -> Vec<u32> {
        let info = self.tensor_info(tensor);
        info.map(|i| i.shape[..(i.rank as usize).min(MAX_RANK)].to_vec()).unwrap_or_default()
    }
    fn tensor_dtype(&self, tensor: u64) -> Dtype {
        self.tensor_info(tensor).ok().and_then(|i| Dtype::from_code(i.dtype)).unwrap_or(Dtype::Float32)
    }
    fn tensor_read_bytes(&self, tensor: u64) -> Result<Vec<u8>> {
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.tensor_read_bytes)(h.ctx, tensor, sink) })?.bytes()
    }
    fn tensor_read_f32(&self, tensor: u64) -> Result<Vec<f32>> {
        // SAFETY: see above.
        let bytes = self.call(|h, sink| unsafe { (h.tensor_read_f32)(h.ctx, tensor, sink) })?.bytes()?;
        Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }
    fn tensor_cast(&self, tensor: u64, dtype: Dtype) -> Result<u64> {
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.tensor_cast)(h.ctx, tensor, dtype.code(), out, sink) })
    }
    fn tensor_reshape(&self, tensor: u64, shape: &[u32]) -> Result<u64> {
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.tensor_reshape)(h.ctx, tensor, shape.as_ptr(), shape.len(), out, sink) })
    }
    fn tensor_narrow(&self, tensor: u64, dim: u32, start: u32, length: u32) -> Result<u64> {
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.tensor_narrow)(h.ctx, tensor, dim, start, length, out, sink) })
    }
    fn tensor_sigmoid(&self, tensor: u64) -> Result<u64> {
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.tensor_sigmoid)(h.ctx, tensor, out, sink) })
    }
    fn tensor_softmax(&self, tensor: u64, dim: u32) -> Result<u64> {
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.tensor_softmax)(h.ctx, tensor, dim, out, sink) })
    }
    fn tensor_top_k(&self, tensor: u64, k: u32) -> Result<Vec<(u32, f32)>> {
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.tensor_top_k)(h.ctx, tensor, k, sink) })?.pairs()
    }
    fn tensor_above(&self, tensor: u64, threshold: f32) -> Result<Vec<(u32, f32)>> {
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.tensor_above)(h.ctx, tensor, threshold, sink) })?.pairs()
    }
    fn tensor_stack(&self, tensors: &[u64]) -> Result<u64> {
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.tensor_stack)(h.ctx, tensors.as_ptr(), tensors.len(), out, sink) })
    }
    fn tensor_share(&self, tensor: u64) -> Result<u64> {
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.tensor_share)(h.ctx, tensor, out, sink) })
    }
    fn tensor_drop(&self, tensor: u64) {
        // SAFETY: see above.
        unsafe { (self.0.tensor_drop)(self.0.ctx, tensor) }
    }

    fn inference_models(&self) -> Result<Vec<ModelInfo>> {
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.inference_models)(h.ctx, sink) })?.json()
    }
    fn inference_load(&self, model: &str, options: Option<&serde_json::Value>) -> Result<u64> {
        let options = options.map(ToString::to_string);
        let options = Str::option(options.as_deref());
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.inference_load)(h.ctx, s(model), options, out, sink) })
    }
    fn session_info(&self, session: u64) -> Result<ModelInfo> {
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.session_info)(h.ctx, session, sink) })?.json()
    }
    fn session_asset(&self, session: u64, name: &str) -> Result<Vec<u8>> {
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.session_asset)(h.ctx, session, s(name), sink) })?.bytes()
    }
    fn session_run(&self, session: u64, inputs: &[(&str, u64)]) -> Result<Vec<(String, u64)>> {
        let inputs: Vec<_> = inputs.iter().map(|&(name, tensor)| NamedTensor { name: s(name), tensor }).collect();
        // SAFETY: see above.
        let puts =
            self.call(|h, sink| unsafe { (h.session_run)(h.ctx, session, inputs.as_ptr(), inputs.len(), sink) })?;
        // The index is the tensor's handle.
        puts.0.into_iter().map(|(tensor, _, name)| Ok((String::from_utf8(name)?, tensor))).collect()
    }
    fn session_drop(&self, session: u64) {
        // SAFETY: see above.
        unsafe { (self.0.session_drop)(self.0.ctx, session) }
    }
    fn generate(&self, prompt: &Prompt, images: &[u64]) -> Result<Reply> {
        let prompt = serde_json::to_string(prompt)?;
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.generate)(h.ctx, s(&prompt), images.as_ptr(), images.len(), sink) })?.json()
    }

    fn files_list_dir(&self, root: &str, path: &str, after: Option<&str>, limit: u32) -> Result<Vec<Entry>> {
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.files_list_dir)(h.ctx, s(root), s(path), Str::option(after), limit, sink) })?
            .json()
    }
    fn files_read(&self, root: &str, path: &str, max_bytes: u64) -> Result<Vec<u8>> {
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.files_read)(h.ctx, s(root), s(path), max_bytes, sink) })?.bytes()
    }
    fn files_read_image(&self, root: &str, path: &str) -> Result<u64> {
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.files_read_image)(h.ctx, s(root), s(path), out, sink) })
    }

    fn storage_get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        // SAFETY: see above.
        Ok(self.call(|h, sink| unsafe { (h.storage_get)(h.ctx, s(key), sink) })?.first())
    }
    fn storage_set(&self, key: &str, value: &[u8]) -> Result<()> {
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.storage_set)(h.ctx, s(key), Str::new(value), sink) }).map(drop)
    }
    fn storage_delete(&self, key: &str) -> Result<()> {
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.storage_delete)(h.ctx, s(key), sink) }).map(drop)
    }
    fn storage_keys(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>> {
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.storage_keys)(h.ctx, s(prefix), Str::option(after), limit, sink) })?.json()
    }

    fn http_fetch(&self, request: &Request) -> Result<Response> {
        let (json, body) = http(request)?;
        // SAFETY: see above.
        let puts = self.call(|h, sink| unsafe { (h.http_fetch)(h.ctx, s(&json), body, sink) })?;
        let mut puts = puts.0.into_iter().map(|(_, _, data)| data);
        let head = puts.next().ok_or_else(|| Error::internal("the host put no response"))?;
        Ok(Response { body: puts.next().unwrap_or_default(), ..serde_json::from_slice(&head)? })
    }
    fn http_fetch_image(&self, request: &Request) -> Result<u64> {
        let (json, body) = http(request)?;
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.http_fetch_image)(h.ctx, s(&json), body, out, sink) })
    }

    fn handle_type_name(&self, handle: u64) -> String {
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.handle_type_name)(h.ctx, handle, sink) })
            .and_then(Puts::text)
            .unwrap_or_default()
    }
    fn handle_share(&self, handle: u64) -> Result<u64> {
        // SAFETY: see above.
        self.make(|h, out, sink| unsafe { (h.handle_share)(h.ctx, handle, out, sink) })
    }
    fn handle_drop(&self, handle: u64) {
        // SAFETY: see above.
        unsafe { (self.0.handle_drop)(self.0.ctx, handle) }
    }
}

impl TableHost {
    fn tensor_info(&self, tensor: u64) -> Result<TensorInfo> {
        let struct_size = size_of::<TensorInfo>() as u32;
        let mut info = TensorInfo { struct_size, dtype: 0, rank: 0, shape: [0; MAX_RANK] };
        // SAFETY: see above.
        self.call(|h, sink| unsafe { (h.tensor_info)(h.ctx, tensor, &raw mut info, sink) })?;
        Ok(info)
    }
}

/// The record as JSON, and the body beside it.
fn http(request: &Request) -> Result<(String, Str)> {
    let body = request.body.as_deref().map_or(Str::NULL, Str::new);
    Ok((serde_json::to_string(request)?, body))
}
