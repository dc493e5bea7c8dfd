//! The imported interfaces, answered by the host's services.
//!
//! An `Err` of these functions ends the call (a forged handle, a cancelled run, the deadline); everything else is an
//! error that the guest sees.

use super::wit::{control, files, generation, handles, http, images, inference, schema, storage, tensors, types};
use crate::error::Fault;
use crate::services::{Held, models, tensors as ops};
use crate::wasm::{HostHandle, HostImage, HostSession, HostTensor, State};
use data::{WriteReply, WriteRequest};
use spec::{ErrorKind, PluginError};
use wasmtime::Result;
use wasmtime::component::Resource;

/// What an import answers that may fail.
type Answer<T> = Result<std::result::Result<T, types::Error>>;

impl State {
    /// Puts an object into the guest's table.
    fn push<T: Send + 'static>(
        &mut self,
        held: std::result::Result<Held<T>, PluginError>,
    ) -> Answer<Resource<Held<T>>> {
        Ok(match held {
            Err(e) => Err(e.into()),
            Ok(held) => self.table.push(held).map_err(|_| {
                let limit = self.services.limits.handles;
                PluginError::new(ErrorKind::TooLarge, format!("more than {limit} handles are open; drop some first"))
                    .into()
            }),
        })
    }

    /// A result of a service that can end the call.
    fn unless<T>(&mut self, result: std::result::Result<T, Fault>) -> Result<T> {
        result.map_err(|fault| self.end(fault))
    }

    fn image(&self, image: &Resource<HostImage>) -> Result<&HostImage> {
        Ok(self.table.get(image)?)
    }

    fn tensor(&self, tensor: &Resource<HostTensor>) -> Result<&HostTensor> {
        Ok(self.table.get(tensor)?)
    }

    /// A second handle on the same object; it can only be refused for want of handles, which ends the call, since
    /// these functions have no error to give.
    fn share<T: Clone + Send + 'static>(&mut self, of: &Resource<Held<T>>) -> Result<Resource<Held<T>>> {
        let held = self.table.get(of)?;
        let shared = held.share(held.value.clone());
        self.push(shared)?.map_err(|e| wasmtime::Error::msg(e.message))
    }
}

impl types::Host for State {}
impl schema::Host for State {}

impl images::Host for State {
    fn decode(&mut self, bytes: Vec<u8>) -> Answer<Resource<HostImage>> {
        let decoded = self.services.decode(bytes);
        let decoded = self.unless(decoded)?;
        self.push(decoded)
    }
    fn from_pixels(
        &mut self,
        width: u32,
        height: u32,
        format: images::PixelFormat,
        pixels: Vec<u8>,
    ) -> Answer<Resource<HostImage>> {
        let image = self.services.image_from_pixels(width, height, format.into(), pixels);
        self.push(image)
    }
}

impl images::HostImage for State {
    fn width(&mut self, image: Resource<HostImage>) -> Result<u32> {
        Ok(self.image(&image)?.value.width)
    }
    fn height(&mut self, image: Resource<HostImage>) -> Result<u32> {
        Ok(self.image(&image)?.value.height)
    }
    fn format(&mut self, image: Resource<HostImage>) -> Result<images::PixelFormat> {
        Ok(self.image(&image)?.value.format.into())
    }
    fn digest(&mut self, image: Resource<HostImage>) -> Result<String> {
        Ok(self.image(&image)?.value.digest())
    }
    fn perceptual_hash(&mut self, image: Resource<HostImage>, kind: images::Perceptual) -> Result<u64> {
        Ok(self.image(&image)?.value.perceptual_hash(kind.into()))
    }
    fn metadata(&mut self, image: Resource<HostImage>, key: String) -> Result<Option<String>> {
        Ok(self.image(&image)?.value.metadata.get(&key).cloned())
    }
    fn read(
        &mut self,
        image: Resource<HostImage>,
        area: Option<images::Rect>,
        format: images::PixelFormat,
    ) -> Answer<Vec<u8>> {
        let image = &self.image(&image)?.value;
        let read = self.services.read_pixels(image, area.map(Into::into), format.into());
        Ok(read.map(|i| i.pixels.to_vec()).map_err(Into::into))
    }
    fn resize(&mut self, image: Resource<HostImage>, spec: images::ResizeSpec) -> Answer<Resource<HostImage>> {
        let resized = self.services.resize(&self.image(&image)?.value, &spec.into());
        self.push(resized)
    }
    fn crop(&mut self, image: Resource<HostImage>, area: images::Rect) -> Answer<Resource<HostImage>> {
        let cropped = self.services.crop(&self.image(&image)?.value, area.into());
        self.push(cropped)
    }
    fn convert(&mut self, image: Resource<HostImage>, format: images::PixelFormat) -> Answer<Resource<HostImage>> {
        let converted = self.services.convert(self.image(&image)?, format.into());
        self.push(converted)
    }
    fn to_tensor(&mut self, image: Resource<HostImage>, spec: images::TensorSpec) -> Answer<Resource<HostTensor>> {
        let tensor = self.services.to_tensor(&self.image(&image)?.value, &spec.into());
        self.push(tensor)
    }
    fn encode(&mut self, image: Resource<HostImage>, codec: images::Codec, quality: u8) -> Answer<Vec<u8>> {
        let encoded = self.services.encode(&self.image(&image)?.value, codec.into(), quality);
        Ok(encoded.map_err(Into::into))
    }
    fn share(&mut self, image: Resource<HostImage>) -> Result<Resource<HostImage>> {
        State::share(self, &image)
    }
    fn drop(&mut self, image: Resource<HostImage>) -> Result<()> {
        self.table.delete(image)?;
        Ok(())
    }
}

impl tensors::Host for State {
    fn from_f32(&mut self, shape: Vec<u32>, data: Vec<f32>) -> Answer<Resource<HostTensor>> {
        let tensor = self.services.tensor_from_f32(&shape, data);
        self.push(tensor)
    }
    fn from_bytes(&mut self, shape: Vec<u32>, ty: types::Dtype, data: Vec<u8>) -> Answer<Resource<HostTensor>> {
        let tensor = self.services.tensor_from_bytes(&shape, ty.into(), &data);
        self.push(tensor)
    }
    fn stack(&mut self, items: Vec<Resource<HostTensor>>) -> Answer<Resource<HostTensor>> {
        let arrays: Vec<_> = items.iter().map(|t| Ok(&self.tensor(t)?.value)).collect::<Result<_>>()?;
        let stacked = self.services.stack(&arrays);
        self.push(stacked)
    }
}

impl tensors::HostTensor for State {
    fn shape(&mut self, tensor: Resource<HostTensor>) -> Result<Vec<u32>> {
        let shape = &self.tensor(&tensor)?.value.shape;
        Ok(shape.iter().map(|d| u32::try_from(*d).unwrap_or(u32::MAX)).collect())
    }
    fn dtype(&mut self, tensor: Resource<HostTensor>) -> Result<types::Dtype> {
        Ok(self.tensor(&tensor)?.value.dtype().into())
    }
    fn read_f32(&mut self, tensor: Resource<HostTensor>) -> Answer<Vec<f32>> {
        Ok(Ok(self.tensor(&tensor)?.value.to_f32().to_vec()))
    }
    fn read_bytes(&mut self, tensor: Resource<HostTensor>) -> Answer<Vec<u8>> {
        Ok(Ok(self.tensor(&tensor)?.value.to_bytes()))
    }
    fn cast(&mut self, tensor: Resource<HostTensor>, to: types::Dtype) -> Answer<Resource<HostTensor>> {
        let cast = self.services.cast(&self.tensor(&tensor)?.value, to.into());
        self.push(cast)
    }
    fn reshape(&mut self, tensor: Resource<HostTensor>, shape: Vec<u32>) -> Answer<Resource<HostTensor>> {
        let reshaped = self.services.reshape(self.tensor(&tensor)?, &shape);
        self.push(reshaped)
    }
    fn narrow(
        &mut self,
        tensor: Resource<HostTensor>,
        dim: u32,
        start: u32,
        length: u32,
    ) -> Answer<Resource<HostTensor>> {
        let part = self.services.narrow(&self.tensor(&tensor)?.value, dim, start, length);
        self.push(part)
    }
    fn sigmoid(&mut self, tensor: Resource<HostTensor>) -> Answer<Resource<HostTensor>> {
        let result = self.services.sigmoid(&self.tensor(&tensor)?.value);
        self.push(result)
    }
    fn softmax(&mut self, tensor: Resource<HostTensor>, dim: u32) -> Answer<Resource<HostTensor>> {
        let result = self.services.softmax(&self.tensor(&tensor)?.value, dim);
        self.push(result)
    }
    fn top_k(&mut self, tensor: Resource<HostTensor>, k: u32) -> Answer<Vec<(u32, f32)>> {
        Ok(Ok(ops::top_k(&self.tensor(&tensor)?.value, k)))
    }
    fn above(&mut self, tensor: Resource<HostTensor>, threshold: f32) -> Answer<Vec<(u32, f32)>> {
        Ok(Ok(ops::above(&self.tensor(&tensor)?.value, threshold)))
    }
    fn share(&mut self, tensor: Resource<HostTensor>) -> Result<Resource<HostTensor>> {
        State::share(self, &tensor)
    }
    fn drop(&mut self, tensor: Resource<HostTensor>) -> Result<()> {
        self.table.delete(tensor)?;
        Ok(())
    }
}

impl inference::Host for State {
    fn models(&mut self) -> Result<Vec<inference::ModelInfo>> {
        let models = self.services.models();
        Ok(self.unless(models)?.iter().map(Into::into).collect())
    }
    fn load(&mut self, model: String, options: Option<String>) -> Answer<Resource<HostSession>> {
        let loaded = self.services.load_model(&model, options.as_deref());
        let loaded = self.unless(loaded)?.and_then(|session| Held::lent(&self.services.budget, session));
        self.push(loaded)
    }
}

impl inference::HostSession for State {
    fn info(&mut self, session: Resource<HostSession>) -> Result<inference::ModelInfo> {
        Ok(self.table.get(&session)?.value.info().into())
    }
    fn asset(&mut self, session: Resource<HostSession>, name: String) -> Answer<Vec<u8>> {
        Ok(self.table.get(&session)?.value.asset(&name).map_err(Into::into))
    }
    fn run(
        &mut self,
        session: Resource<HostSession>,
        inputs: Vec<(String, Resource<HostTensor>)>,
    ) -> Answer<Vec<(String, Resource<HostTensor>)>> {
        let session = self.table.get(&session)?.value.clone();
        let mut arrays = Vec::new();
        for (name, tensor) in inputs {
            arrays.push((name, self.tensor(&tensor)?.value.clone()));
        }
        let outputs = self.services.run_model(&session, arrays);
        let outputs = match self.unless(outputs)? {
            Ok(outputs) => outputs,
            Err(e) => return Ok(Err(e.into())),
        };
        let mut named = Vec::new();
        for (name, array) in outputs {
            let held = self.services.tensor(array);
            match self.push(held)? {
                Ok(tensor) => named.push((name, tensor)),
                Err(e) => return Ok(Err(e)),
            }
        }
        Ok(Ok(named))
    }
    fn drop(&mut self, session: Resource<HostSession>) -> Result<()> {
        self.table.delete(session)?;
        Ok(())
    }
}

impl generation::Host for State {
    fn generate(
        &mut self,
        request: generation::Request,
        images: Vec<Resource<HostImage>>,
    ) -> Answer<generation::Reply> {
        let images: Vec<_> = images.iter().map(|i| Ok(self.image(i)?.value.clone())).collect::<Result<_>>()?;
        let extra = match models::extra(request.extra.as_deref()) {
            Ok(extra) => extra,
            Err(e) => return Ok(Err(e.into())),
        };
        let asked = WriteRequest {
            system: request.system,
            prompt: request.prompt,
            max_tokens: request.max_tokens,
            temperature: request.temperature,
            top_p: request.top_p,
            seed: request.seed,
            stop: request.stop,
            extra,
        };
        let written = self.services.generate(&request.model, asked, images);
        let reply = |r: WriteReply| generation::Reply { text: r.text, tokens: r.tokens, finished: r.finished };
        Ok(self.unless(written)?.map(reply).map_err(Into::into))
    }
}

impl http::Host for State {
    fn fetch(&mut self, request: http::Request) -> Answer<http::Response> {
        let response = self.services.fetch(request.into());
        Ok(self.unless(response)?.map(Into::into).map_err(Into::into))
    }
    fn fetch_image(&mut self, request: http::Request) -> Answer<Resource<HostImage>> {
        let image = self.services.fetch_image(request.into());
        let image = self.unless(image)?;
        self.push(image)
    }
}

impl storage::Host for State {
    fn get(&mut self, key: String) -> Answer<Option<Vec<u8>>> {
        Ok(self.services.storage.get(&key).map_err(Into::into))
    }
    fn set(&mut self, key: String, value: Vec<u8>) -> Answer<()> {
        Ok(self.services.storage.set(&key, &value).map_err(Into::into))
    }
    fn delete(&mut self, key: String) -> Answer<()> {
        Ok(self.services.storage.delete(&key).map_err(Into::into))
    }
    fn keys(&mut self, prefix: String, after: Option<String>, limit: u32) -> Answer<Vec<String>> {
        Ok(Ok(self.services.storage.keys(&prefix, after.as_deref(), limit)))
    }
}

impl files::Host for State {
    fn list_dir(&mut self, root: String, path: String, after: Option<String>, limit: u32) -> Answer<Vec<files::Entry>> {
        let entries = self.services.list_dir(&root, &path, after.as_deref(), limit);
        Ok(entries.map(|e| e.into_iter().map(Into::into).collect()).map_err(Into::into))
    }
    fn read(&mut self, root: String, path: String, max_bytes: u64) -> Answer<Vec<u8>> {
        Ok(self.services.read_file(&root, &path, max_bytes).map_err(Into::into))
    }
    fn read_image(&mut self, root: String, path: String) -> Answer<Resource<HostImage>> {
        let image = self.services.read_image(&root, &path);
        let image = self.unless(image)?;
        self.push(image)
    }
}

impl control::Host for State {
    fn log(&mut self, level: control::Level, message: String) -> Result<()> {
        self.services.log(level.into(), &message);
        Ok(())
    }
    fn progress(&mut self, done: u64, total: Option<u64>, message: String) -> Result<()> {
        self.services.progress(done, total, &message);
        Ok(())
    }
    fn cancelled(&mut self) -> Result<bool> {
        Ok((self.services.call.cancelled)())
    }
    fn sleep(&mut self, milliseconds: u32) -> Result<()> {
        self.services.sleep(milliseconds);
        Ok(())
    }
    fn seed(&mut self) -> Result<u64> {
        Ok(self.services.call.seed)
    }
}

impl handles::Host for State {}
impl handles::HostHandle for State {
    fn type_name(&mut self, handle: Resource<HostHandle>) -> Result<String> {
        Ok(self.table.get(&handle)?.value.socket().name().to_owned())
    }
    fn share(&mut self, handle: Resource<HostHandle>) -> Result<Resource<HostHandle>> {
        State::share(self, &handle)
    }
    fn drop(&mut self, handle: Resource<HostHandle>) -> Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}
