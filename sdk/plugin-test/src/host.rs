//! The pretend host.

use crate::images::Picture;
use crate::model::FakeModel;
use crate::tensors::{Array, map};
use plugin_sdk::control::Level;
use plugin_sdk::files::{Entry, part_of};
use plugin_sdk::generation::{Prompt, Reply};
use plugin_sdk::host::{Host, Installed, install};
use plugin_sdk::http::{Request, Response};
use plugin_sdk::inference::ModelInfo;
use plugin_sdk::{Codec, Dtype, Error, ErrorKind, Perceptual, PixelFormat, Rect, ResizeSpec, Result, TensorSpec};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

type Write = dyn Fn(&Prompt, usize) -> Result<Reply>;

/// A host in memory. Fill it, [`install`](FakeHost::install) it, and call the plugin.
#[derive(Default)]
pub struct FakeHost {
    seed: u64,
    cancelled: Cell<bool>,
    files: BTreeMap<(String, String), Vec<u8>>,
    pages: BTreeMap<String, Vec<u8>>,
    models: Vec<FakeModel>,
    writer: Option<Box<Write>>,
    metadata: BTreeMap<String, String>,
    storage: RefCell<BTreeMap<String, Vec<u8>>>,
    logs: RefCell<Vec<(Level, String)>>,
    progress: RefCell<Vec<(u64, Option<u64>, String)>>,
    next: Cell<u64>,
    pictures: RefCell<BTreeMap<u64, Rc<Picture>>>,
    arrays: RefCell<BTreeMap<u64, (Rc<Array>, Dtype)>>,
    sessions: RefCell<BTreeMap<u64, usize>>,
}

impl FakeHost {
    /// An empty host: no files, no models, seed 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// The seed of the run.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// A file below the grant `root`. Pictures as [`encode`](crate::encode) makes them.
    #[must_use]
    pub fn file(mut self, root: &str, path: &str, bytes: &[u8]) -> Self {
        self.files.insert((root.to_owned(), path.to_owned()), bytes.to_vec());
        self
    }

    /// What an address answers, with status 200.
    #[must_use]
    pub fn page(mut self, url: &str, bytes: &[u8]) -> Self {
        self.pages.insert(url.to_owned(), bytes.to_vec());
        self
    }

    /// A model to load.
    #[must_use]
    pub fn model(mut self, model: FakeModel) -> Self {
        self.models.push(model);
        self
    }

    /// What models that write answer to a prompt about so many pictures.
    #[must_use]
    pub fn writer(mut self, write: impl Fn(&Prompt, usize) -> Result<Reply> + 'static) -> Self {
        self.writer = Some(Box::new(write));
        self
    }

    /// A text that every image carries.
    #[must_use]
    pub fn metadata(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Makes this the host of the current thread until the result is dropped.
    pub fn install(self) -> Running {
        let host = Rc::new(self);
        Running { _installed: install(host.clone()), host }
    }

    fn handle(&self) -> u64 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    fn picture(&self, image: u64) -> Result<Rc<Picture>> {
        let found = self.pictures.borrow().get(&image).cloned();
        found.ok_or_else(|| Error::invalid_input(format!("no image with handle {image}")))
    }

    fn add_picture(&self, picture: Picture) -> u64 {
        let handle = self.handle();
        self.pictures.borrow_mut().insert(handle, Rc::new(picture));
        handle
    }

    fn array(&self, tensor: u64) -> Result<(Rc<Array>, Dtype)> {
        let found = self.arrays.borrow().get(&tensor).cloned();
        found.ok_or_else(|| Error::invalid_input(format!("no tensor with handle {tensor}")))
    }

    fn add_array(&self, array: Array, dtype: Dtype) -> u64 {
        let handle = self.handle();
        self.arrays.borrow_mut().insert(handle, (Rc::new(array), dtype));
        handle
    }

    fn session(&self, session: u64) -> Result<&FakeModel> {
        let index = self.sessions.borrow().get(&session).copied();
        let model = index.and_then(|i| self.models.get(i));
        model.ok_or_else(|| Error::invalid_input(format!("no session with handle {session}")))
    }

    fn bytes(&self, root: &str, path: &str) -> Result<&[u8]> {
        if !self.files.keys().any(|(r, _)| r == root) {
            return Err(Error::denied(format!("no folder `{root}` is granted")));
        }
        let file = self.files.get(&(root.to_owned(), path.to_owned()));
        file.map(Vec::as_slice).ok_or_else(|| Error::not_found(format!("no file `{path}` in `{root}`")))
    }

    fn body(&self, request: &Request) -> Result<&[u8]> {
        let page = self.pages.get(&request.url).map(Vec::as_slice);
        page.ok_or_else(|| Error::denied(format!("no grant allows `{}`", request.url)))
    }
}

/// An installed host: shows what the plugin did.
pub struct Running {
    host: Rc<FakeHost>,
    _installed: Installed,
}

impl Running {
    /// Every line that was logged.
    pub fn logs(&self) -> Vec<(Level, String)> {
        self.host.logs.borrow().clone()
    }

    /// Every progress that was reported: done, total, message.
    pub fn progress(&self) -> Vec<(u64, Option<u64>, String)> {
        self.host.progress.borrow().clone()
    }

    /// From now on the user wants the job to stop.
    pub fn cancel(&self) {
        self.host.cancelled.set(true);
    }

    /// Images, tensors and sessions that the plugin still holds. After it is dropped, expect 0.
    pub fn open_handles(&self) -> usize {
        let host = &self.host;
        host.pictures.borrow().len() + host.arrays.borrow().len() + host.sessions.borrow().len()
    }
}

impl Host for FakeHost {
    fn log(&self, level: Level, message: &str) {
        self.logs.borrow_mut().push((level, message.to_owned()));
    }
    fn progress(&self, done: u64, total: Option<u64>, message: &str) {
        self.progress.borrow_mut().push((done, total, message.to_owned()));
    }
    fn cancelled(&self) -> bool {
        self.cancelled.get()
    }
    fn seed(&self) -> u64 {
        self.seed
    }

    fn image_width(&self, image: u64) -> u32 {
        self.picture(image).map_or(0, |p| p.width)
    }
    fn image_height(&self, image: u64) -> u32 {
        self.picture(image).map_or(0, |p| p.height)
    }
    fn image_format(&self, image: u64) -> PixelFormat {
        self.picture(image).map_or(PixelFormat::Rgb8, |p| p.format)
    }
    fn image_digest(&self, image: u64) -> String {
        self.picture(image).map(|p| p.digest()).unwrap_or_default()
    }
    fn image_perceptual_hash(&self, image: u64, kind: Perceptual) -> u64 {
        self.picture(image).map(|p| p.perceptual_hash(kind)).unwrap_or_default()
    }
    fn image_metadata(&self, _: u64, key: &str) -> Option<String> {
        self.metadata.get(key).cloned()
    }
    fn image_read(&self, image: u64, area: Option<Rect>, format: PixelFormat) -> Result<Vec<u8>> {
        let picture = self.picture(image)?;
        let part = area.map(|a| picture.crop(a)).transpose()?;
        Ok(part.as_ref().unwrap_or(&picture).convert(format).pixels)
    }
    fn image_resize(&self, image: u64, spec: &ResizeSpec) -> Result<u64> {
        Ok(self.add_picture(self.picture(image)?.resize(spec)?))
    }
    fn image_crop(&self, image: u64, area: Rect) -> Result<u64> {
        Ok(self.add_picture(self.picture(image)?.crop(area)?))
    }
    fn image_convert(&self, image: u64, format: PixelFormat) -> Result<u64> {
        Ok(self.add_picture(self.picture(image)?.convert(format)))
    }
    fn image_to_tensor(&self, image: u64, spec: &TensorSpec) -> Result<u64> {
        Ok(self.add_array(self.picture(image)?.to_array(spec)?, spec.dtype))
    }
    fn image_encode(&self, image: u64, _: Codec, _: u8) -> Result<Vec<u8>> {
        Ok(self.picture(image)?.encode())
    }
    fn image_share(&self, image: u64) -> Result<u64> {
        let (picture, handle) = (self.picture(image)?, self.handle());
        self.pictures.borrow_mut().insert(handle, picture);
        Ok(handle)
    }
    fn image_drop(&self, image: u64) {
        self.pictures.borrow_mut().remove(&image);
    }
    fn image_decode(&self, bytes: &[u8]) -> Result<u64> {
        Ok(self.add_picture(Picture::decode(bytes)?))
    }
    fn image_from_pixels(&self, width: u32, height: u32, format: PixelFormat, pixels: &[u8]) -> Result<u64> {
        Ok(self.add_picture(Picture::new(width, height, format, pixels.to_vec())?))
    }

    fn tensor_from_bytes(&self, shape: &[u32], dtype: Dtype, bytes: &[u8]) -> Result<u64> {
        Ok(self.add_array(Array::decode(shape, dtype, bytes)?, dtype))
    }
    fn tensor_shape(&self, tensor: u64) -> Vec<u32> {
        self.array(tensor).map(|(a, _)| a.shape.clone()).unwrap_or_default()
    }
    fn tensor_dtype(&self, tensor: u64) -> Dtype {
        self.array(tensor).map_or(Dtype::Float32, |(_, dtype)| dtype)
    }
    fn tensor_read_bytes(&self, tensor: u64) -> Result<Vec<u8>> {
        let (array, dtype) = self.array(tensor)?;
        array.encode(dtype)
    }
    fn tensor_read_f32(&self, tensor: u64) -> Result<Vec<f32>> {
        Ok(self.array(tensor)?.0.data.clone())
    }
    fn tensor_cast(&self, tensor: u64, dtype: Dtype) -> Result<u64> {
        let array = self.array(tensor)?.0;
        let cast = match dtype {
            Dtype::Uint8 => map(&array, |v| f32::from(v as u8)),
            Dtype::Uint32 => map(&array, |v| (v as u32) as f32),
            Dtype::Int64 => map(&array, f32::trunc),
            _ => (*array).clone(),
        };
        Ok(self.add_array(cast, dtype))
    }
    fn tensor_reshape(&self, tensor: u64, shape: &[u32]) -> Result<u64> {
        let (array, dtype) = self.array(tensor)?;
        Ok(self.add_array(Array::new(shape, array.data.clone())?, dtype))
    }
    fn tensor_narrow(&self, tensor: u64, dim: u32, start: u32, length: u32) -> Result<u64> {
        let (array, dtype) = self.array(tensor)?;
        Ok(self.add_array(array.narrow(dim, start, length)?, dtype))
    }
    fn tensor_sigmoid(&self, tensor: u64) -> Result<u64> {
        let (array, dtype) = self.array(tensor)?;
        Ok(self.add_array(map(&array, |v| 1.0 / (1.0 + (-v).exp())), dtype))
    }
    fn tensor_softmax(&self, tensor: u64, dim: u32) -> Result<u64> {
        let (array, dtype) = self.array(tensor)?;
        Ok(self.add_array(array.softmax(dim)?, dtype))
    }
    fn tensor_top_k(&self, tensor: u64, k: u32) -> Result<Vec<(u32, f32)>> {
        Ok(self.array(tensor)?.0.top_k(k))
    }
    fn tensor_above(&self, tensor: u64, threshold: f32) -> Result<Vec<(u32, f32)>> {
        Ok(self.array(tensor)?.0.above(threshold))
    }
    fn tensor_stack(&self, tensors: &[u64]) -> Result<u64> {
        let arrays = tensors.iter().map(|&t| self.array(t)).collect::<Result<Vec<_>>>()?;
        let dtype = arrays.first().map_or(Dtype::Float32, |(_, d)| *d);
        let arrays: Vec<&Array> = arrays.iter().map(|(a, _)| &**a).collect();
        Ok(self.add_array(Array::stack(&arrays)?, dtype))
    }
    fn tensor_share(&self, tensor: u64) -> Result<u64> {
        let (array, handle) = (self.array(tensor)?, self.handle());
        self.arrays.borrow_mut().insert(handle, array);
        Ok(handle)
    }
    fn tensor_drop(&self, tensor: u64) {
        self.arrays.borrow_mut().remove(&tensor);
    }

    fn inference_models(&self) -> Result<Vec<ModelInfo>> {
        Ok(self.models.iter().map(|m| m.info.clone()).collect())
    }
    fn inference_load(&self, model: &str, _: Option<&serde_json::Value>) -> Result<u64> {
        let Some(index) = self.models.iter().position(|m| m.info.name == model) else {
            let known: Vec<_> = self.models.iter().map(|m| m.info.name.as_str()).collect();
            return Err(Error::not_found(format!("no model `{model}`; known are {}", known.join(", "))));
        };
        let handle = self.handle();
        self.sessions.borrow_mut().insert(handle, index);
        Ok(handle)
    }
    fn session_info(&self, session: u64) -> Result<ModelInfo> {
        Ok(self.session(session)?.info.clone())
    }
    fn session_asset(&self, session: u64, name: &str) -> Result<Vec<u8>> {
        let model = self.session(session)?;
        let missing = || Error::not_found(format!("model `{}` has no side file `{name}`", model.info.name));
        model.assets.get(name).cloned().ok_or_else(missing)
    }
    fn session_run(&self, session: u64, inputs: &[(&str, u64)]) -> Result<Vec<(String, u64)>> {
        let model = self.session(session)?;
        let array = |&(name, t): &(&str, u64)| Ok((name.to_owned(), (*self.array(t)?.0).clone()));
        let outputs = (model.run)(inputs.iter().map(array).collect::<Result<_>>()?)?;
        Ok(outputs.into_iter().map(|(name, a)| (name, self.add_array(a, Dtype::Float32))).collect())
    }
    fn session_drop(&self, session: u64) {
        self.sessions.borrow_mut().remove(&session);
    }

    fn generate(&self, prompt: &Prompt, images: &[u64]) -> Result<Reply> {
        for image in images {
            self.picture(*image)?;
        }
        match &self.writer {
            Some(write) => write(prompt, images.len()),
            None => Err(Error::not_found(format!("no model `{}` that writes", prompt.model))),
        }
    }

    fn files_list_dir(&self, root: &str, path: &str, after: Option<&str>, limit: u32) -> Result<Vec<Entry>> {
        if !self.files.keys().any(|(r, _)| r == root) {
            return Err(Error::denied(format!("no folder `{root}` is granted")));
        }
        let path = path.trim_matches('/');
        let below = if path.is_empty() || path == "." { String::new() } else { format!("{path}/") };
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for ((_, file), bytes) in self.files.iter().filter(|((r, _), _)| r == root) {
            let Some(rest) = file.strip_prefix(&below) else { continue };
            let (name, is_dir) = rest.split_once('/').map_or((rest, false), |(dir, _)| (dir, true));
            let path = format!("{below}{name}");
            let size = if is_dir { 0 } else { bytes.len() as u64 };
            entries.insert(path.clone(), Entry { path, is_dir, size, modified_ms: 0 });
        }
        if entries.is_empty() && !below.is_empty() {
            return Err(Error::not_found(format!("no folder `{path}` in `{root}`")));
        }
        let late = entries.into_values().filter(|e| after.is_none_or(|a| e.path.as_str() > a));
        Ok(late.take(limit as usize).collect())
    }
    fn files_read(&self, root: &str, path: &str, max_bytes: u64) -> Result<Vec<u8>> {
        let bytes = match part_of(path) {
            Some((file, first, last)) if self.files.contains_key(&(root.to_owned(), file.to_owned())) => {
                let bytes = self.bytes(root, file)?;
                let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
                let end = at(last).saturating_add(1).min(bytes.len());
                let part = bytes.get(at(first)..end.max(at(first)));
                part.ok_or_else(|| Error::invalid_input(format!("`{path}`: the file has {} bytes", bytes.len())))?
            }
            _ => self.bytes(root, path)?,
        };
        if bytes.len() as u64 > max_bytes {
            let message = format!("`{path}`: expected at most {max_bytes} bytes, found {}", bytes.len());
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        Ok(bytes.to_vec())
    }
    fn files_read_image(&self, root: &str, path: &str) -> Result<u64> {
        let bytes = self.bytes(root, path)?;
        let named = |e: Error| Error { message: format!("`{path}`: {}", e.message), ..e };
        Ok(self.add_picture(Picture::decode(bytes).map_err(named)?))
    }

    fn storage_get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.storage.borrow().get(key).cloned())
    }
    fn storage_set(&self, key: &str, value: &[u8]) -> Result<()> {
        self.storage.borrow_mut().insert(key.to_owned(), value.to_vec());
        Ok(())
    }
    fn storage_delete(&self, key: &str) -> Result<()> {
        self.storage.borrow_mut().remove(key);
        Ok(())
    }
    fn storage_keys(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>> {
        let storage = self.storage.borrow();
        let keys = storage.keys().filter(|k| k.starts_with(prefix) && after.is_none_or(|a| k.as_str() > a));
        Ok(keys.take(limit as usize).cloned().collect())
    }

    fn http_fetch(&self, request: &Request) -> Result<Response> {
        Ok(Response { status: 200, headers: Vec::new(), body: self.body(request)?.to_vec() })
    }
    fn http_fetch_image(&self, request: &Request) -> Result<u64> {
        Ok(self.add_picture(Picture::decode(self.body(request)?)?))
    }
}
