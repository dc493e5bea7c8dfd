//! What a host offers, as one trait; and which host the running code talks to.
//!
//! Plugins use the modules [`images`](crate::images), [`tensors`](crate::tensors) … instead. This trait is for those
//! who write a host: the glue of both targets, and the pretend host of `plugin-test`.

use crate::control::Level;
use crate::files::Entry;
use crate::generation::{Prompt, Reply};
use crate::http::{Request, Response};
use crate::images::{Codec, Perceptual, PixelFormat, Rect, ResizeSpec, TensorSpec};
use crate::inference::ModelInfo;
use crate::tensors::Dtype;
use crate::{Error, Result};
use serde_json::Value as Json;

/// Functions that this host does not have answer so.
fn no<T>(what: &str) -> Result<T> {
    Err(Error::unsupported(format!("this host offers no {what}; in a test, install `plugin_test::FakeHost` first")))
}

/// The host's side of the contract. Handles are numbers that the host gave out.
///
/// Every function has a default that says the host does not offer it.
#[allow(missing_docs, unused_variables, clippy::missing_errors_doc)] // the wrappers are documented
pub trait Host {
    fn log(&self, level: Level, message: &str) {}
    fn progress(&self, done: u64, total: Option<u64>, message: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
    fn seed(&self) -> u64 {
        0
    }

    fn image_width(&self, image: u64) -> u32 {
        0
    }
    fn image_height(&self, image: u64) -> u32 {
        0
    }
    fn image_format(&self, image: u64) -> PixelFormat {
        PixelFormat::Rgb8
    }
    fn image_digest(&self, image: u64) -> String {
        String::new()
    }
    fn image_perceptual_hash(&self, image: u64, kind: Perceptual) -> u64 {
        0
    }
    fn image_metadata(&self, image: u64, key: &str) -> Option<String> {
        None
    }
    fn image_read(&self, image: u64, area: Option<Rect>, format: PixelFormat) -> Result<Vec<u8>> {
        no("images")
    }
    /// Lends the pixels; a copy where the host cannot lend.
    fn image_view(&self, image: u64, format: PixelFormat, look: &mut dyn FnMut(&[u8])) -> Result<()> {
        look(&self.image_read(image, None, format)?);
        Ok(())
    }
    fn image_resize(&self, image: u64, spec: &ResizeSpec) -> Result<u64> {
        no("images")
    }
    fn image_crop(&self, image: u64, area: Rect) -> Result<u64> {
        no("images")
    }
    fn image_convert(&self, image: u64, format: PixelFormat) -> Result<u64> {
        no("images")
    }
    fn image_to_tensor(&self, image: u64, spec: &TensorSpec) -> Result<u64> {
        no("images")
    }
    fn image_encode(&self, image: u64, codec: Codec, quality: u8) -> Result<Vec<u8>> {
        no("image codecs")
    }
    fn image_share(&self, image: u64) -> Result<u64> {
        no("images")
    }
    fn image_drop(&self, image: u64) {}
    fn image_decode(&self, bytes: &[u8]) -> Result<u64> {
        no("image codecs")
    }
    fn image_from_pixels(&self, width: u32, height: u32, format: PixelFormat, pixels: &[u8]) -> Result<u64> {
        no("images")
    }

    fn tensor_from_bytes(&self, shape: &[u32], dtype: Dtype, bytes: &[u8]) -> Result<u64> {
        no("tensors")
    }
    fn tensor_from_f32(&self, shape: &[u32], data: &[f32]) -> Result<u64> {
        let bytes: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor_from_bytes(shape, Dtype::Float32, &bytes)
    }
    fn tensor_shape(&self, tensor: u64) -> Vec<u32> {
        Vec::new()
    }
    fn tensor_dtype(&self, tensor: u64) -> Dtype {
        Dtype::Float32
    }
    fn tensor_read_bytes(&self, tensor: u64) -> Result<Vec<u8>> {
        no("tensors")
    }
    fn tensor_read_f32(&self, tensor: u64) -> Result<Vec<f32>> {
        no("tensors")
    }
    fn tensor_cast(&self, tensor: u64, dtype: Dtype) -> Result<u64> {
        no("tensors")
    }
    fn tensor_reshape(&self, tensor: u64, shape: &[u32]) -> Result<u64> {
        no("tensors")
    }
    fn tensor_narrow(&self, tensor: u64, dim: u32, start: u32, length: u32) -> Result<u64> {
        no("tensors")
    }
    fn tensor_sigmoid(&self, tensor: u64) -> Result<u64> {
        no("tensors")
    }
    fn tensor_softmax(&self, tensor: u64, dim: u32) -> Result<u64> {
        no("tensors")
    }
    fn tensor_top_k(&self, tensor: u64, k: u32) -> Result<Vec<(u32, f32)>> {
        no("tensors")
    }
    fn tensor_above(&self, tensor: u64, threshold: f32) -> Result<Vec<(u32, f32)>> {
        no("tensors")
    }
    fn tensor_stack(&self, tensors: &[u64]) -> Result<u64> {
        no("tensors")
    }
    fn tensor_share(&self, tensor: u64) -> Result<u64> {
        no("tensors")
    }
    fn tensor_drop(&self, tensor: u64) {}

    fn inference_models(&self) -> Result<Vec<ModelInfo>> {
        Ok(Vec::new())
    }
    fn inference_load(&self, model: &str, options: Option<&Json>) -> Result<u64> {
        no("inference")
    }
    fn session_info(&self, session: u64) -> Result<ModelInfo> {
        no("inference")
    }
    fn session_asset(&self, session: u64, name: &str) -> Result<Vec<u8>> {
        no("inference")
    }
    fn session_run(&self, session: u64, inputs: &[(&str, u64)]) -> Result<Vec<(String, u64)>> {
        no("inference")
    }
    fn session_drop(&self, session: u64) {}
    fn generate(&self, prompt: &Prompt, images: &[u64]) -> Result<Reply> {
        no("text generation")
    }

    fn files_list_dir(&self, root: &str, path: &str, after: Option<&str>, limit: u32) -> Result<Vec<Entry>> {
        no("files")
    }
    fn files_read(&self, root: &str, path: &str, max_bytes: u64) -> Result<Vec<u8>> {
        no("files")
    }
    fn files_read_image(&self, root: &str, path: &str) -> Result<u64> {
        no("files")
    }

    fn storage_get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        no("storage")
    }
    fn storage_set(&self, key: &str, value: &[u8]) -> Result<()> {
        no("storage")
    }
    fn storage_delete(&self, key: &str) -> Result<()> {
        no("storage")
    }
    fn storage_keys(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>> {
        no("storage")
    }

    fn http_fetch(&self, request: &Request) -> Result<Response> {
        no("http")
    }
    fn http_fetch_image(&self, request: &Request) -> Result<u64> {
        no("http")
    }

    fn handle_type_name(&self, handle: u64) -> String {
        String::new()
    }
    fn handle_share(&self, handle: u64) -> Result<u64> {
        no("handles")
    }
    fn handle_drop(&self, handle: u64) {}
}

#[cfg(target_family = "wasm")]
pub(crate) use crate::wasm::with_host;

#[cfg(not(target_family = "wasm"))]
pub use current::{Installed, install};
#[cfg(not(target_family = "wasm"))]
pub(crate) use current::{connect, with_host};

#[cfg(not(target_family = "wasm"))]
mod current {
    use super::Host;
    use crate::native::TableHost;
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::sync::OnceLock;

    static CONNECTED: OnceLock<TableHost> = OnceLock::new();
    thread_local!(static INSTALLED: RefCell<Option<Rc<dyn Host>>> = const { RefCell::new(None) });

    struct NoHost;
    impl Host for NoHost {}

    /// The real host, for the life of the process.
    pub(crate) fn connect(host: TableHost) {
        // A second connection can only come from the same process: the same table.
        let _ = CONNECTED.set(host);
    }

    pub(crate) fn with_host<R>(f: impl FnOnce(&dyn Host) -> R) -> R {
        // During the end of a thread the slot may be gone already; handles still drop then.
        let installed = INSTALLED.try_with(|slot| slot.borrow().clone()).ok().flatten();
        match (installed, CONNECTED.get()) {
            (Some(host), _) => f(&*host),
            (None, Some(host)) => f(host),
            (None, None) => f(&NoHost),
        }
    }

    /// Makes `host` the host of this thread until the result is dropped.
    #[must_use = "the host goes away when this is dropped"]
    pub fn install(host: Rc<dyn Host>) -> Installed {
        Installed { before: INSTALLED.with(|slot| slot.replace(Some(host))) }
    }

    /// See [`install`].
    pub struct Installed {
        before: Option<Rc<dyn Host>>,
    }

    impl Drop for Installed {
        fn drop(&mut self) {
            let before = self.before.take();
            let _ = INSTALLED.try_with(|slot| slot.replace(before));
        }
    }
}

/// What [`export!`](crate::export) makes of a crate's types.
#[doc(hidden)]
pub trait Artefact: 'static {
    fn describe() -> crate::PluginInfo;
    fn nodes() -> Vec<crate::NodePart>;
}
