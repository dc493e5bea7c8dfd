//! The imports, under the names and types of [`Host`](crate::host::Host).
//!
//! Not an implementation of that trait: a table of all functions would import everything, and a component is to
//! import only what it calls.

use super::convert::*;
use super::imports::anagama::plugin as wit;
use crate::control::Level;
use crate::files::Entry;
use crate::generation::{Prompt, Reply};
use crate::http::{Request, Response};
use crate::images::{Codec, Perceptual, PixelFormat, Rect, ResizeSpec, TensorSpec};
use crate::inference::{IoDesc, ModelInfo};
use crate::tensors::Dtype;
use crate::{Error, Result};
use std::mem::ManuallyDrop;

/// The host of this component.
pub struct WasmHost;

/// A handle lent to a call: not dropped after it.
macro_rules! lent {
    ($name:ident, $resource:path) => {
        fn $name(handle: u64) -> ManuallyDrop<$resource> {
            // SAFETY: handles are made by the host as u32 and kept by the one object that drops them.
            ManuallyDrop::new(unsafe { <$resource>::from_handle(handle as u32) })
        }
    };
}
lent!(image, wit::images::Image);
lent!(tensor, wit::tensors::Tensor);
lent!(session, wit::inference::Session);
lent!(handle, wit::handles::Handle);

fn new_image(result: Result<wit::images::Image, wit::types::Error>) -> Result<u64> {
    result.map(|i| i.take_handle().into()).map_err(error_in)
}

fn new_tensor(result: Result<wit::tensors::Tensor, wit::types::Error>) -> Result<u64> {
    result.map(|t| t.take_handle().into()).map_err(error_in)
}

fn rect(r: Rect) -> wit::images::Rect {
    wit::images::Rect { x: r.x, y: r.y, width: r.width, height: r.height }
}

fn resize_spec(r: &ResizeSpec) -> wit::images::ResizeSpec {
    wit::images::ResizeSpec {
        width: r.width,
        height: r.height,
        fit: fit_out(r.fit),
        filter: filter_out(r.filter),
        pad_color: r.pad_color,
    }
}

fn tensor_spec(t: &TensorSpec) -> wit::images::TensorSpec {
    wit::images::TensorSpec {
        resize: t.resize.as_ref().map(resize_spec),
        layout: layout_out(t.layout),
        order: order_out(t.order),
        scale: t.scale,
        mean: t.mean.into(),
        std: t.std.into(),
        dtype: dtype_out(t.dtype),
    }
}

fn model_info(m: wit::inference::ModelInfo) -> ModelInfo {
    let io = |d: wit::inference::IoDesc| IoDesc { name: d.name, dtype: dtype_in(d.dtype), shape: d.shape };
    ModelInfo {
        name: m.name,
        family: m.family,
        digest: m.digest,
        device: m.device,
        inputs: m.inputs.into_iter().map(io).collect(),
        outputs: m.outputs.into_iter().map(io).collect(),
        assets: m.assets,
    }
}

fn request(r: &Request) -> wit::http::Request {
    wit::http::Request {
        method: method_out(r.method),
        url: r.url.clone(),
        headers: r.headers.clone(),
        body: r.body.clone(),
        timeout_ms: r.timeout_ms,
        max_bytes: r.max_bytes,
    }
}

#[allow(clippy::unused_self)] // the shape of `Host`
impl WasmHost {
    pub(crate) fn log(&self, level: Level, message: &str) {
        wit::control::log(level_out(level), message);
    }
    pub(crate) fn progress(&self, done: u64, total: Option<u64>, message: &str) {
        wit::control::progress(done, total, message);
    }
    pub(crate) fn cancelled(&self) -> bool {
        wit::control::cancelled()
    }
    pub(crate) fn seed(&self) -> u64 {
        wit::control::seed()
    }

    pub(crate) fn image_width(&self, i: u64) -> u32 {
        image(i).width()
    }
    pub(crate) fn image_height(&self, i: u64) -> u32 {
        image(i).height()
    }
    pub(crate) fn image_format(&self, i: u64) -> PixelFormat {
        format_in(image(i).format())
    }
    pub(crate) fn image_digest(&self, i: u64) -> String {
        image(i).digest()
    }
    pub(crate) fn image_perceptual_hash(&self, i: u64, kind: Perceptual) -> u64 {
        image(i).perceptual_hash(perceptual_out(kind))
    }
    pub(crate) fn image_metadata(&self, i: u64, key: &str) -> Option<String> {
        image(i).metadata(key)
    }
    pub(crate) fn image_read(&self, i: u64, area: Option<Rect>, format: PixelFormat) -> Result<Vec<u8>> {
        image(i).read(area.map(rect), format_out(format)).map_err(error_in)
    }
    pub(crate) fn image_view(&self, i: u64, format: PixelFormat, look: &mut dyn FnMut(&[u8])) -> Result<()> {
        look(&self.image_read(i, None, format)?);
        Ok(())
    }
    pub(crate) fn image_resize(&self, i: u64, spec: &ResizeSpec) -> Result<u64> {
        new_image(image(i).resize(resize_spec(spec)))
    }
    pub(crate) fn image_crop(&self, i: u64, area: Rect) -> Result<u64> {
        new_image(image(i).crop(rect(area)))
    }
    pub(crate) fn image_convert(&self, i: u64, format: PixelFormat) -> Result<u64> {
        new_image(image(i).convert(format_out(format)))
    }
    pub(crate) fn image_to_tensor(&self, i: u64, spec: &TensorSpec) -> Result<u64> {
        new_tensor(image(i).to_tensor(tensor_spec(spec)))
    }
    pub(crate) fn image_encode(&self, i: u64, codec: Codec, quality: u8) -> Result<Vec<u8>> {
        image(i).encode(codec_out(codec), quality).map_err(error_in)
    }
    pub(crate) fn image_share(&self, i: u64) -> Result<u64> {
        new_image(Ok(image(i).share()))
    }
    pub(crate) fn image_drop(&self, i: u64) {
        drop(ManuallyDrop::into_inner(image(i)));
    }
    pub(crate) fn image_decode(&self, bytes: &[u8]) -> Result<u64> {
        new_image(wit::images::decode(bytes))
    }
    pub(crate) fn image_from_pixels(&self, width: u32, height: u32, format: PixelFormat, pixels: &[u8]) -> Result<u64> {
        new_image(wit::images::from_pixels(width, height, format_out(format), pixels))
    }

    pub(crate) fn tensor_from_bytes(&self, shape: &[u32], dtype: Dtype, bytes: &[u8]) -> Result<u64> {
        new_tensor(wit::tensors::from_bytes(shape, dtype_out(dtype), bytes))
    }
    pub(crate) fn tensor_from_f32(&self, shape: &[u32], data: &[f32]) -> Result<u64> {
        new_tensor(wit::tensors::from_f32(shape, data))
    }
    pub(crate) fn tensor_shape(&self, t: u64) -> Vec<u32> {
        tensor(t).shape()
    }
    pub(crate) fn tensor_dtype(&self, t: u64) -> Dtype {
        dtype_in(tensor(t).dtype())
    }
    pub(crate) fn tensor_read_bytes(&self, t: u64) -> Result<Vec<u8>> {
        tensor(t).read_bytes().map_err(error_in)
    }
    pub(crate) fn tensor_read_f32(&self, t: u64) -> Result<Vec<f32>> {
        tensor(t).read_f32().map_err(error_in)
    }
    pub(crate) fn tensor_cast(&self, t: u64, dtype: Dtype) -> Result<u64> {
        new_tensor(tensor(t).cast(dtype_out(dtype)))
    }
    pub(crate) fn tensor_reshape(&self, t: u64, shape: &[u32]) -> Result<u64> {
        new_tensor(tensor(t).reshape(shape))
    }
    pub(crate) fn tensor_narrow(&self, t: u64, dim: u32, start: u32, length: u32) -> Result<u64> {
        new_tensor(tensor(t).narrow(dim, start, length))
    }
    pub(crate) fn tensor_sigmoid(&self, t: u64) -> Result<u64> {
        new_tensor(tensor(t).sigmoid())
    }
    pub(crate) fn tensor_softmax(&self, t: u64, dim: u32) -> Result<u64> {
        new_tensor(tensor(t).softmax(dim))
    }
    pub(crate) fn tensor_top_k(&self, t: u64, k: u32) -> Result<Vec<(u32, f32)>> {
        tensor(t).top_k(k).map_err(error_in)
    }
    pub(crate) fn tensor_above(&self, t: u64, threshold: f32) -> Result<Vec<(u32, f32)>> {
        tensor(t).above(threshold).map_err(error_in)
    }
    pub(crate) fn tensor_stack(&self, tensors: &[u64]) -> Result<u64> {
        let lent: Vec<_> = tensors.iter().map(|&t| tensor(t)).collect();
        let lent: Vec<&wit::tensors::Tensor> = lent.iter().map(|t| &**t).collect();
        new_tensor(wit::tensors::stack(&lent))
    }
    pub(crate) fn tensor_share(&self, t: u64) -> Result<u64> {
        new_tensor(Ok(tensor(t).share()))
    }
    pub(crate) fn tensor_drop(&self, t: u64) {
        drop(ManuallyDrop::into_inner(tensor(t)));
    }

    pub(crate) fn inference_models(&self) -> Result<Vec<ModelInfo>> {
        Ok(wit::inference::models().into_iter().map(model_info).collect())
    }
    pub(crate) fn inference_load(&self, model: &str, options: Option<&crate::serde_json::Value>) -> Result<u64> {
        let options = options.map(ToString::to_string);
        let session = wit::inference::load(model, options.as_deref()).map_err(error_in)?;
        Ok(session.take_handle().into())
    }
    pub(crate) fn session_info(&self, s: u64) -> Result<ModelInfo> {
        Ok(model_info(session(s).info()))
    }
    pub(crate) fn session_asset(&self, s: u64, name: &str) -> Result<Vec<u8>> {
        session(s).asset(name).map_err(error_in)
    }
    pub(crate) fn session_run(&self, s: u64, inputs: &[(&str, u64)]) -> Result<Vec<(String, u64)>> {
        let lent: Vec<_> = inputs.iter().map(|&(name, t)| (name.to_owned(), tensor(t))).collect();
        let lent: Vec<_> = lent.iter().map(|(name, t)| (name.clone(), &**t)).collect();
        let outputs = session(s).run(&lent).map_err(error_in)?;
        Ok(outputs.into_iter().map(|(name, t)| (name, t.take_handle().into())).collect())
    }
    pub(crate) fn session_drop(&self, s: u64) {
        drop(ManuallyDrop::into_inner(session(s)));
    }
    pub(crate) fn generate(&self, prompt: &Prompt, images: &[u64]) -> Result<Reply> {
        let prompt = wit::generation::Request {
            model: prompt.model.clone(),
            system: prompt.system.clone(),
            prompt: prompt.prompt.clone(),
            max_tokens: prompt.max_tokens,
            temperature: prompt.temperature,
            top_p: prompt.top_p,
            seed: prompt.seed,
            stop: prompt.stop.clone(),
            extra: prompt.extra.clone(),
        };
        let lent: Vec<_> = images.iter().map(|&i| image(i)).collect();
        let lent: Vec<&wit::images::Image> = lent.iter().map(|i| &**i).collect();
        let reply = wit::generation::generate(&prompt, &lent).map_err(error_in)?;
        Ok(Reply { text: reply.text, tokens: reply.tokens, finished: reply.finished })
    }

    pub(crate) fn files_list_dir(&self, root: &str, path: &str, after: Option<&str>, limit: u32) -> Result<Vec<Entry>> {
        let entries = wit::files::list_dir(root, path, after, limit).map_err(error_in)?;
        let entry =
            |e: wit::files::Entry| Entry { path: e.path, is_dir: e.is_dir, size: e.size, modified_ms: e.modified_ms };
        Ok(entries.into_iter().map(entry).collect())
    }
    pub(crate) fn files_read(&self, root: &str, path: &str, max_bytes: u64) -> Result<Vec<u8>> {
        wit::files::read(root, path, max_bytes).map_err(error_in)
    }
    pub(crate) fn files_read_image(&self, root: &str, path: &str) -> Result<u64> {
        new_image(wit::files::read_image(root, path))
    }

    pub(crate) fn storage_get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        wit::storage::get(key).map_err(error_in)
    }
    pub(crate) fn storage_set(&self, key: &str, value: &[u8]) -> Result<()> {
        wit::storage::set(key, value).map_err(error_in)
    }
    pub(crate) fn storage_delete(&self, key: &str) -> Result<()> {
        wit::storage::delete(key).map_err(error_in)
    }
    pub(crate) fn storage_keys(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>> {
        wit::storage::keys(prefix, after, limit).map_err(error_in)
    }

    pub(crate) fn http_fetch(&self, r: &Request) -> Result<Response> {
        let answer = wit::http::fetch(&request(r)).map_err(error_in)?;
        Ok(Response { status: answer.status, headers: answer.headers, body: answer.body })
    }
    pub(crate) fn http_fetch_image(&self, r: &Request) -> Result<u64> {
        new_image(wit::http::fetch_image(&request(r)))
    }

    pub(crate) fn handle_type_name(&self, h: u64) -> String {
        handle(h).type_name()
    }
    pub(crate) fn handle_share(&self, h: u64) -> Result<u64, Error> {
        Ok(handle(h).share().take_handle().into())
    }
    pub(crate) fn handle_drop(&self, h: u64) {
        drop(ManuallyDrop::into_inner(handle(h)));
    }
}
