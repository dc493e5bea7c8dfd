//! The host's C table: each function finds the running call, asks the services and reports through the sink.

use super::objects::{Inner, LibraryContext, Object, current};
use super::values::{self, Code};
use crate::Level;
use crate::services::{Held, refuse, tensors as ops};
use data::{Array, Dtype, Image, Rect};
use plugin_abi as abi;
use plugin_abi::{ABI_MAGIC, ABI_MAJOR, ABI_MINOR, ERROR, HostTable, OK, Sink, Str, WHOLE};
use spec::{ErrorKind, PluginError};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

type Ctx = *mut c_void;
/// The results of a function, by index.
type Puts = Vec<(u64, Vec<u8>)>;

/// Runs a host function: no panic crosses, results and errors go to the sink after the objects are free again.
fn answer(sink: Sink, f: impl FnOnce(&mut Inner) -> Result<Puts, PluginError>) -> i32 {
    let result = catch_unwind(AssertUnwindSafe(|| current(f)))
        .unwrap_or_else(|_| refuse(ErrorKind::Internal, "the host panicked; see its log"));
    match result {
        Ok(puts) => {
            for (index, data) in puts {
                put(sink, index, OK, &data);
            }
            OK
        }
        Err(e) => {
            put(sink, WHOLE, ERROR, &serde_json::to_vec(&e).unwrap_or_default());
            ERROR
        }
    }
}

fn put(sink: Sink, index: u64, status: i32, data: &[u8]) {
    // SAFETY: the plugin gave the sink for this call; the bytes live until `put` returns.
    unsafe { (sink.put)(sink.ctx, index, status, Str::new(data)) }
}

/// As `answer`, for functions that give a handle.
fn handle(sink: Sink, out: *mut u64, f: impl FnOnce(&mut Inner) -> Result<Object, PluginError>) -> i32 {
    answer(sink, |inner| {
        let object = f(inner)?;
        let handle = inner.insert(object);
        if out.is_null() {
            inner.remove(handle);
            return refuse(ErrorKind::InvalidInput, "expected a place for the handle, found null");
        }
        // SAFETY: not null; the plugin lends it for the call.
        unsafe { out.write_unaligned(handle) };
        Ok(Vec::new())
    })
}

fn image(held: Result<Held<Image>, PluginError>) -> Result<Object, PluginError> {
    held.map(Object::Image)
}

fn tensor(held: Result<Held<Array>, PluginError>) -> Result<Object, PluginError> {
    held.map(Object::Tensor)
}

/// # Safety
/// The plugin must lend readable memory for the call.
unsafe fn text<'a>(s: Str) -> Result<&'a str, PluginError> {
    // SAFETY: the caller's.
    std::str::from_utf8(unsafe { s.bytes() })
        .map_err(|e| PluginError::new(ErrorKind::InvalidInput, format!("expected UTF-8, found something else: {e}")))
}

/// # Safety
/// As `text`.
unsafe fn optional<'a>(s: Str) -> Result<Option<&'a str>, PluginError> {
    if s.is_given() {
        // SAFETY: the caller's.
        unsafe { text(s) }.map(Some)
    } else {
        Ok(None)
    }
}

/// # Safety
/// `pointer` must be null or point to `count` elements that stay unchanged for the call.
unsafe fn slice<'a, T>(pointer: *const T, count: usize) -> Result<&'a [T], PluginError> {
    if count == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() || !pointer.is_aligned() {
        return refuse(ErrorKind::InvalidInput, format!("expected {count} elements, found no valid pointer"));
    }
    // SAFETY: the caller's.
    Ok(unsafe { std::slice::from_raw_parts(pointer, count) })
}

/// # Safety
/// `pointer` must be null or point to a `T` for the call.
unsafe fn record<'a, T>(pointer: *const T, what: &str) -> Result<&'a T, PluginError> {
    // SAFETY: the caller's.
    unsafe { pointer.as_ref() }
        .ok_or_else(|| PluginError::new(ErrorKind::InvalidInput, format!("expected a {what}, found null")))
}

fn sized(found: u32, expected: usize, what: &str) -> Result<(), PluginError> {
    if (found as usize) < expected {
        return refuse(
            ErrorKind::InvalidInput,
            format!("{what}: expected struct_size of at least {expected}, found {found}"),
        );
    }
    Ok(())
}

fn rect(r: abi::Rect) -> Rect {
    Rect { x: r.x, y: r.y, width: r.width, height: r.height }
}

// Every function below is called by the plugin according to the ABI: pointers it lends are valid for the call, handles
// are looked up and may be wrong. That is what their SAFETY comments refer to as the ABI.

unsafe extern "C" fn log(ctx: Ctx, level: u32, message: Str) {
    // SAFETY: the ABI.
    let message = String::from_utf8_lossy(unsafe { message.bytes() }).into_owned();
    let level = Level::from_code(level).unwrap_or(Level::Info);
    let logged = current(|inner| {
        inner.services.log(level, &message);
        Ok(())
    });
    if logged.is_err() {
        // A thread of the plugin's own: the line belongs to one of the running calls, and the newest is as good.
        // SAFETY: `ctx` is the leaked context that the table was made with.
        let context = unsafe { &*ctx.cast::<LibraryContext>() };
        let call = context.running.lock().last().cloned();
        if let Some(call) = call {
            (call.log)(level, &message);
        }
    }
}

unsafe extern "C" fn progress(_: Ctx, done: u64, total: u64, message: Str) {
    // SAFETY: the ABI.
    let message = String::from_utf8_lossy(unsafe { message.bytes() }).into_owned();
    let _ = current(|inner| {
        inner.services.progress(done, Some(total).filter(|t| *t != abi::NONE), &message);
        Ok(())
    });
}

unsafe extern "C" fn cancelled(ctx: Ctx) -> i32 {
    let here = current(|inner| Ok(inner.services.check().is_err()));
    here.map_or_else(
        |_| {
            // SAFETY: `ctx` is the leaked context that the table was made with.
            let context = unsafe { &*ctx.cast::<LibraryContext>() };
            let running = context.running.lock().clone();
            i32::from(running.iter().any(|call| (call.cancelled)()))
        },
        i32::from,
    )
}

unsafe extern "C" fn seed(_: Ctx) -> u64 {
    current(|inner| Ok(inner.services.call.seed)).unwrap_or_default()
}

unsafe extern "C" fn image_width(_: Ctx, h: u64) -> u32 {
    current(|inner| Ok(inner.image(h)?.value.width)).unwrap_or_default()
}

unsafe extern "C" fn image_height(_: Ctx, h: u64) -> u32 {
    current(|inner| Ok(inner.image(h)?.value.height)).unwrap_or_default()
}

unsafe extern "C" fn image_format(_: Ctx, h: u64) -> u32 {
    current(|inner| Ok(values::format_code(inner.image(h)?.value.format))).unwrap_or_default()
}

unsafe extern "C" fn image_digest(_: Ctx, h: u64, sink: Sink) -> i32 {
    answer(sink, |inner| Ok(vec![(0, inner.image(h)?.value.digest().into_bytes())]))
}

unsafe extern "C" fn image_perceptual_hash(_: Ctx, h: u64, kind: u32, out: *mut u64, sink: Sink) -> i32 {
    answer(sink, |inner| {
        let hash = inner.image(h)?.value.perceptual_hash(Code::from_code(kind)?);
        if out.is_null() {
            return refuse(ErrorKind::InvalidInput, "expected a place for the hash, found null");
        }
        // SAFETY: not null, and the ABI.
        unsafe { out.write_unaligned(hash) };
        Ok(Vec::new())
    })
}

unsafe extern "C" fn image_metadata(_: Ctx, h: u64, key: Str, sink: Sink) -> i32 {
    answer(sink, |inner| {
        // SAFETY: the ABI.
        let key = unsafe { text(key)? };
        Ok(inner.image(h)?.value.metadata.get(key).map(|v| (0, v.clone().into_bytes())).into_iter().collect())
    })
}

unsafe extern "C" fn image_read(_: Ctx, h: u64, area: *const abi::Rect, format: u32, sink: Sink) -> i32 {
    answer(sink, |inner| {
        // SAFETY: null or, by the ABI, a rectangle.
        let area = unsafe { area.as_ref() }.map(|r| rect(*r));
        let read = inner.services.read_pixels(&inner.image(h)?.value, area, Code::from_code(format)?)?;
        Ok(vec![(0, read.pixels.to_vec())])
    })
}

unsafe extern "C" fn image_view(_: Ctx, h: u64, format: u32, out: *mut Str, sink: Sink) -> i32 {
    answer(sink, |inner| {
        let format = Code::from_code(format)?;
        let pixels = inner.services.read_pixels(&inner.image(h)?.value, None, format)?.pixels;
        // Kept until the call returns, so that the pointer stays valid even if the image is dropped.
        let view = Str::new(&pixels);
        inner.views.push(pixels);
        if out.is_null() {
            return refuse(ErrorKind::InvalidInput, "expected a place for the view, found null");
        }
        // SAFETY: not null, and the ABI.
        unsafe { out.write_unaligned(view) };
        Ok(Vec::new())
    })
}

unsafe extern "C" fn image_resize(_: Ctx, h: u64, spec: *const abi::ResizeSpec, out: *mut u64, sink: Sink) -> i32 {
    handle(sink, out, |inner| {
        // SAFETY: the ABI.
        let spec = unsafe { record(spec, "resize spec")? };
        sized(spec.struct_size, size_of::<abi::ResizeSpec>(), "resize spec")?;
        image(inner.services.resize(&inner.image(h)?.value, &values::resize_spec(spec)?))
    })
}

unsafe extern "C" fn image_crop(_: Ctx, h: u64, area: *const abi::Rect, out: *mut u64, sink: Sink) -> i32 {
    handle(sink, out, |inner| {
        // SAFETY: the ABI.
        let area = unsafe { record(area, "rectangle")? };
        image(inner.services.crop(&inner.image(h)?.value, rect(*area)))
    })
}

unsafe extern "C" fn image_convert(_: Ctx, h: u64, format: u32, out: *mut u64, sink: Sink) -> i32 {
    handle(sink, out, |inner| image(inner.services.convert(inner.image(h)?, Code::from_code(format)?)))
}

unsafe extern "C" fn image_to_tensor(_: Ctx, h: u64, spec: *const abi::TensorSpec, out: *mut u64, sink: Sink) -> i32 {
    handle(sink, out, |inner| {
        // SAFETY: the ABI.
        let spec = unsafe { record(spec, "tensor spec")? };
        sized(spec.struct_size, size_of::<abi::TensorSpec>(), "tensor spec")?;
        tensor(inner.services.to_tensor(&inner.image(h)?.value, &values::tensor_spec(spec)?))
    })
}

unsafe extern "C" fn image_encode(_: Ctx, h: u64, codec: u32, quality: u32, sink: Sink) -> i32 {
    answer(sink, |inner| {
        let quality = u8::try_from(quality).unwrap_or(100);
        Ok(vec![(0, inner.services.encode(&inner.image(h)?.value, Code::from_code(codec)?, quality)?)])
    })
}

unsafe extern "C" fn image_share(_: Ctx, h: u64, out: *mut u64, sink: Sink) -> i32 {
    handle(sink, out, |inner| {
        let held = inner.image(h)?;
        image(held.share(held.value.clone()))
    })
}

/// Dropping an unknown handle does nothing.
unsafe extern "C" fn any_drop(_: Ctx, h: u64) {
    let _ = current(|inner| {
        inner.remove(h);
        Ok(())
    });
}

unsafe extern "C" fn image_decode(_: Ctx, bytes: Str, out: *mut u64, sink: Sink) -> i32 {
    handle(sink, out, |inner| {
        // SAFETY: the ABI.
        let decoded = inner.services.decode(unsafe { bytes.bytes() }.to_vec());
        image(inner.unless(decoded))
    })
}

unsafe extern "C" fn image_from_pixels(
    _: Ctx,
    width: u32,
    height: u32,
    format: u32,
    pixels: Str,
    out: *mut u64,
    sink: Sink,
) -> i32 {
    handle(sink, out, |inner| {
        // SAFETY: the ABI.
        let pixels = unsafe { pixels.bytes() }.to_vec();
        image(inner.services.image_from_pixels(width, height, Code::from_code(format)?, pixels))
    })
}

unsafe extern "C" fn tensor_from_bytes(
    _: Ctx,
    shape: *const u32,
    rank: usize,
    dtype: u32,
    bytes: Str,
    out: *mut u64,
    sink: Sink,
) -> i32 {
    handle(sink, out, |inner| {
        // SAFETY: the ABI.
        let (shape, bytes) = unsafe { (slice(shape, rank)?, bytes.bytes()) };
        tensor(inner.services.tensor_from_bytes(shape, Code::from_code(dtype)?, bytes))
    })
}

unsafe extern "C" fn tensor_info(_: Ctx, h: u64, out: *mut abi::TensorInfo, sink: Sink) -> i32 {
    answer(sink, |inner| {
        let array = &inner.tensor(h)?.value;
        // SAFETY: null or, by the ABI, such a record with its size set.
        let out = unsafe { out.as_mut() }
            .ok_or_else(|| PluginError::new(ErrorKind::InvalidInput, "expected a place for the shape, found null"))?;
        sized(out.struct_size, size_of::<abi::TensorInfo>(), "tensor info")?;
        out.dtype = values::dtype_code(array.dtype());
        out.rank = u32::try_from(array.shape.len()).unwrap_or(u32::MAX);
        out.shape = [0; abi::MAX_RANK];
        if array.shape.len() > abi::MAX_RANK {
            return refuse(ErrorKind::TooLarge, format!("the tensor has {} dimensions", array.shape.len()));
        }
        for (to, from) in out.shape.iter_mut().zip(&array.shape) {
            *to = u32::try_from(*from).unwrap_or(u32::MAX);
        }
        Ok(Vec::new())
    })
}

unsafe extern "C" fn tensor_read_bytes(_: Ctx, h: u64, sink: Sink) -> i32 {
    answer(sink, |inner| Ok(vec![(0, inner.tensor(h)?.value.to_bytes())]))
}

unsafe extern "C" fn tensor_read_f32(_: Ctx, h: u64, sink: Sink) -> i32 {
    answer(sink, |inner| Ok(vec![(0, inner.tensor(h)?.value.cast(Dtype::F32).to_bytes())]))
}

unsafe extern "C" fn tensor_view(_: Ctx, h: u64, out: *mut Str, sink: Sink) -> i32 {
    answer(sink, |inner| {
        // The elements do not move while the handle is open.
        let view = Str::new(ops::view(&inner.tensor(h)?.value));
        if out.is_null() {
            return refuse(ErrorKind::InvalidInput, "expected a place for the view, found null");
        }
        // SAFETY: not null, and the ABI.
        unsafe { out.write_unaligned(view) };
        Ok(Vec::new())
    })
}

unsafe extern "C" fn tensor_cast(_: Ctx, h: u64, dtype: u32, out: *mut u64, sink: Sink) -> i32 {
    handle(sink, out, |inner| tensor(inner.services.cast(&inner.tensor(h)?.value, Code::from_code(dtype)?)))
}

unsafe extern "C" fn tensor_reshape(_: Ctx, h: u64, shape: *const u32, rank: usize, out: *mut u64, sink: Sink) -> i32 {
    handle(sink, out, |inner| {
        // SAFETY: the ABI.
        let shape = unsafe { slice(shape, rank)? };
        tensor(inner.services.reshape(inner.tensor(h)?, shape))
    })
}

unsafe extern "C" fn tensor_narrow(
    _: Ctx,
    h: u64,
    dim: u32,
    start: u32,
    length: u32,
    out: *mut u64,
    sink: Sink,
) -> i32 {
    handle(sink, out, |inner| tensor(inner.services.narrow(&inner.tensor(h)?.value, dim, start, length)))
}

unsafe extern "C" fn tensor_sigmoid(_: Ctx, h: u64, out: *mut u64, sink: Sink) -> i32 {
    handle(sink, out, |inner| tensor(inner.services.sigmoid(&inner.tensor(h)?.value)))
}

unsafe extern "C" fn tensor_softmax(_: Ctx, h: u64, dim: u32, out: *mut u64, sink: Sink) -> i32 {
    handle(sink, out, |inner| tensor(inner.services.softmax(&inner.tensor(h)?.value, dim)))
}

fn pairs(pairs: Vec<(u32, f32)>) -> Puts {
    // The layout of `IndexValue`: two 32-bit numbers.
    let bytes = pairs.into_iter().flat_map(|(i, v)| [i.to_ne_bytes(), v.to_ne_bytes()]).flatten().collect();
    vec![(0, bytes)]
}

unsafe extern "C" fn tensor_top_k(_: Ctx, h: u64, k: u32, sink: Sink) -> i32 {
    answer(sink, |inner| Ok(pairs(ops::top_k(&inner.tensor(h)?.value, k))))
}

unsafe extern "C" fn tensor_above(_: Ctx, h: u64, threshold: f32, sink: Sink) -> i32 {
    answer(sink, |inner| Ok(pairs(ops::above(&inner.tensor(h)?.value, threshold))))
}

unsafe extern "C" fn tensor_stack(_: Ctx, tensors: *const u64, count: usize, out: *mut u64, sink: Sink) -> i32 {
    handle(sink, out, |inner| {
        // SAFETY: the ABI.
        let handles = unsafe { slice(tensors, count)? };
        let arrays: Vec<&Array> =
            handles.iter().map(|h| Ok(&inner.tensor(*h)?.value)).collect::<Result<_, PluginError>>()?;
        tensor(inner.services.stack(&arrays))
    })
}

unsafe extern "C" fn tensor_share(_: Ctx, h: u64, out: *mut u64, sink: Sink) -> i32 {
    handle(sink, out, |inner| {
        let held = inner.tensor(h)?;
        tensor(held.share(held.value.clone()))
    })
}

unsafe extern "C" fn inference_models(_: Ctx, sink: Sink) -> i32 {
    answer(sink, |inner| {
        let models = inner.services.models().map(Ok);
        let models: Vec<_> = inner.unless(models)?.iter().map(values::model_info).collect();
        Ok(vec![(0, serde_json::Value::from(models).to_string().into_bytes())])
    })
}

unsafe extern "C" fn inference_load(_: Ctx, model: Str, options: Str, out: *mut u64, sink: Sink) -> i32 {
    handle(sink, out, |inner| {
        // SAFETY: the ABI.
        let (model, options) = unsafe { (text(model)?, optional(options)?) };
        let session = inner.services.load_model(model, options);
        let session = inner.unless(session)?;
        Held::lent(&inner.services.budget, session).map(Object::Session)
    })
}

unsafe extern "C" fn session_info(_: Ctx, session: u64, sink: Sink) -> i32 {
    answer(sink, |inner| {
        let info = values::model_info(inner.session(session)?.info());
        Ok(vec![(0, info.to_string().into_bytes())])
    })
}

unsafe extern "C" fn session_asset(_: Ctx, session: u64, name: Str, sink: Sink) -> i32 {
    answer(sink, |inner| {
        // SAFETY: the ABI.
        let name = unsafe { text(name)? };
        Ok(vec![(0, inner.session(session)?.asset(name)?)])
    })
}

unsafe extern "C" fn session_run(
    _: Ctx,
    session: u64,
    inputs: *const abi::NamedTensor,
    count: usize,
    sink: Sink,
) -> i32 {
    answer(sink, |inner| {
        let session = inner.session(session)?;
        // SAFETY: the ABI.
        let inputs = unsafe { slice(inputs, count)? };
        let mut arrays = Vec::new();
        for input in inputs {
            // SAFETY: the ABI.
            let name = unsafe { text(input.name)? };
            arrays.push((name.to_owned(), inner.tensor(input.tensor)?.value.clone()));
        }
        let outputs = inner.services.run_model(&session, arrays);
        let mut puts = Vec::new();
        for (name, array) in inner.unless(outputs)? {
            let held = inner.services.tensor(array)?;
            puts.push((inner.insert(Object::Tensor(held)), name.into_bytes()));
        }
        Ok(puts)
    })
}

unsafe extern "C" fn generate(_: Ctx, request: Str, images: *const u64, count: usize, sink: Sink) -> i32 {
    answer(sink, |inner| {
        // SAFETY: the ABI.
        let (request, images) = unsafe { (text(request)?, slice(images, count)?) };
        let (model, request) = values::write_request(request)?;
        let pictures = images.iter().map(|h| Ok(inner.image(*h)?.value.clone()));
        let pictures = pictures.collect::<Result<Vec<_>, PluginError>>()?;
        let written = inner.services.generate(&model, request, pictures);
        Ok(vec![(0, values::write_reply(&inner.unless(written)?).to_string().into_bytes())])
    })
}

unsafe extern "C" fn files_list_dir(_: Ctx, root: Str, path: Str, after: Str, limit: u32, sink: Sink) -> i32 {
    answer(sink, |inner| {
        // SAFETY: the ABI.
        let (root, path, after) = unsafe { (text(root)?, text(path)?, optional(after)?) };
        let entries: Vec<_> = inner.services.list_dir(root, path, after, limit)?.iter().map(values::entry).collect();
        Ok(vec![(0, serde_json::Value::from(entries).to_string().into_bytes())])
    })
}

unsafe extern "C" fn files_read(_: Ctx, root: Str, path: Str, max_bytes: u64, sink: Sink) -> i32 {
    answer(sink, |inner| {
        // SAFETY: the ABI.
        let (root, path) = unsafe { (text(root)?, text(path)?) };
        Ok(vec![(0, inner.services.read_file(root, path, max_bytes)?)])
    })
}

unsafe extern "C" fn files_read_image(_: Ctx, root: Str, path: Str, out: *mut u64, sink: Sink) -> i32 {
    handle(sink, out, |inner| {
        // SAFETY: the ABI.
        let (root, path) = unsafe { (text(root)?, text(path)?) };
        let read = inner.services.read_image(root, path);
        image(inner.unless(read))
    })
}

unsafe extern "C" fn storage_get(_: Ctx, key: Str, sink: Sink) -> i32 {
    answer(sink, |inner| {
        // SAFETY: the ABI.
        let value = inner.services.storage.get(unsafe { text(key)? })?;
        Ok(value.map(|v| (0, v)).into_iter().collect())
    })
}

unsafe extern "C" fn storage_set(_: Ctx, key: Str, value: Str, sink: Sink) -> i32 {
    answer(sink, |inner| {
        // SAFETY: the ABI.
        let (key, value) = unsafe { (text(key)?, value.bytes()) };
        inner.services.storage.set(key, value).map(|()| Vec::new())
    })
}

unsafe extern "C" fn storage_delete(_: Ctx, key: Str, sink: Sink) -> i32 {
    answer(sink, |inner| {
        // SAFETY: the ABI.
        inner.services.storage.delete(unsafe { text(key)? }).map(|()| Vec::new())
    })
}

unsafe extern "C" fn storage_keys(_: Ctx, prefix: Str, after: Str, limit: u32, sink: Sink) -> i32 {
    answer(sink, |inner| {
        // SAFETY: the ABI.
        let (prefix, after) = unsafe { (text(prefix)?, optional(after)?) };
        let keys = inner.services.storage.keys(prefix, after, limit);
        Ok(vec![(0, serde_json::Value::from(keys).to_string().into_bytes())])
    })
}

unsafe extern "C" fn http_fetch(_: Ctx, request: Str, body: Str, sink: Sink) -> i32 {
    answer(sink, |inner| {
        // SAFETY: the ABI.
        let (request, body) = unsafe { (text(request)?, body.is_given().then(|| body.bytes())) };
        let response = inner.services.fetch(values::request(request, body)?);
        let response = inner.unless(response)?;
        let head = serde_json::json!({"status": response.status, "headers": response.headers});
        Ok(vec![(0, head.to_string().into_bytes()), (1, response.body)])
    })
}

unsafe extern "C" fn http_fetch_image(_: Ctx, request: Str, body: Str, out: *mut u64, sink: Sink) -> i32 {
    handle(sink, out, |inner| {
        // SAFETY: the ABI.
        let (request, body) = unsafe { (text(request)?, body.is_given().then(|| body.bytes())) };
        let fetched = inner.services.fetch_image(values::request(request, body)?);
        image(inner.unless(fetched))
    })
}

unsafe extern "C" fn handle_type_name(_: Ctx, h: u64, sink: Sink) -> i32 {
    answer(sink, |inner| Ok(vec![(0, inner.handle(h)?.value.socket().name().as_bytes().to_vec())]))
}

unsafe extern "C" fn handle_share(_: Ctx, h: u64, out: *mut u64, sink: Sink) -> i32 {
    handle(sink, out, |inner| {
        let held = inner.handle(h)?;
        held.share(held.value.clone()).map(Object::Handle)
    })
}

/// The table for one library.
pub(super) fn table(context: &'static LibraryContext) -> HostTable {
    HostTable {
        struct_size: size_of::<HostTable>() as u32,
        abi_magic: ABI_MAGIC,
        abi_major: ABI_MAJOR,
        abi_minor: ABI_MINOR,
        ctx: std::ptr::from_ref(context).cast_mut().cast::<c_void>(),
        log,
        progress,
        cancelled,
        seed,
        image_width,
        image_height,
        image_format,
        image_digest,
        image_perceptual_hash,
        image_metadata,
        image_read,
        image_view,
        image_resize,
        image_crop,
        image_convert,
        image_to_tensor,
        image_encode,
        image_share,
        image_drop: any_drop,
        image_decode,
        image_from_pixels,
        tensor_from_bytes,
        tensor_info,
        tensor_read_bytes,
        tensor_read_f32,
        tensor_view,
        tensor_cast,
        tensor_reshape,
        tensor_narrow,
        tensor_sigmoid,
        tensor_softmax,
        tensor_top_k,
        tensor_above,
        tensor_stack,
        tensor_share,
        tensor_drop: any_drop,
        inference_models,
        inference_load,
        session_info,
        session_asset,
        session_run,
        session_drop: any_drop,
        generate,
        files_list_dir,
        files_read,
        files_read_image,
        storage_get,
        storage_set,
        storage_delete,
        storage_keys,
        http_fetch,
        http_fetch_image,
        handle_type_name,
        handle_share,
        handle_drop: any_drop,
    }
}
