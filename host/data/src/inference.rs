//! Models that the host runs for plugins.

use crate::{Array, Dtype, Image};
use spec::PluginError;
use std::path::Path;
use std::sync::Arc;

/// One input or output of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct IoDesc {
    pub name: String,
    pub dtype: Dtype,
    /// `None` for a dimension that the caller chooses.
    pub shape: Vec<Option<u32>>,
}

/// What is known of a model without running it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// Name in the host's model folders, such as `taggers/wd-vit-v3`.
    pub name: String,
    /// `tagger`, `aesthetic`, `clip-vision` …
    pub family: String,
    /// Digest of the weights, `sha256:…`.
    pub digest: String,
    pub device: String,
    pub inputs: Vec<IoDesc>,
    pub outputs: Vec<IoDesc>,
    /// Side files, such as the list of labels, by name.
    pub assets: Vec<String>,
}

/// The models that plugins may ask for.
pub trait Inference: Send + Sync {
    /// All models in the host's folders.
    fn models(&self) -> Vec<ModelInfo>;

    /// Loads a model, or shares one that is loaded already.
    ///
    /// # Errors
    /// The name is unknown, or the file cannot be read.
    fn load(&self, name: &str, options: Option<&serde_json::Value>) -> Result<Arc<dyn Session>, PluginError>;

    /// The model of this name that writes texts.
    ///
    /// # Errors
    /// The name is unknown, the model writes nothing, or its files cannot be read.
    fn writer(&self, name: &str) -> Result<Arc<dyn Writer>, PluginError>;
}

/// What to write, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteRequest {
    /// Instructions apart from the prompt, for models that know such.
    pub system: Option<String>,
    pub prompt: String,
    pub max_tokens: u32,
    /// 0: always the likeliest token.
    pub temperature: f32,
    /// Only tokens that have this share together.
    pub top_p: f32,
    pub seed: u64,
    /// The text ends before the first of these.
    pub stop: Vec<String>,
    /// What only some models know.
    pub extra: Option<serde_json::Value>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteReply {
    /// What follows the prompt.
    pub text: String,
    pub tokens: u32,
    /// False: `max_tokens` cut it off.
    pub finished: bool,
}

/// A model that writes texts about pictures.
pub trait Writer: Send + Sync {
    /// Writes; looks at `go_on` between tokens.
    ///
    /// # Errors
    /// The request or the number of pictures does not fit the model, the run fails, or `go_on` says no.
    fn write(
        &self,
        request: &WriteRequest,
        images: &[Image],
        go_on: &dyn Fn() -> bool,
    ) -> Result<WriteReply, PluginError>;
}

/// A loaded model.
pub trait Session: Send + Sync {
    fn info(&self) -> &ModelInfo;

    /// A side file, whole.
    ///
    /// # Errors
    /// There is no such file, or it cannot be read.
    fn asset(&self, name: &str) -> Result<Vec<u8>, PluginError>;

    /// Runs the model on named inputs; looks at `go_on` while it waits for its turn.
    ///
    /// # Errors
    /// An input is missing or does not fit, the run fails, or `go_on` says no.
    fn run_while(
        &self,
        inputs: Vec<(String, Array)>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Vec<(String, Array)>, PluginError>;

    /// The same for a caller that stays.
    ///
    /// # Errors
    /// An input is missing or does not fit, or the run fails.
    fn run(&self, inputs: Vec<(String, Array)>) -> Result<Vec<(String, Array)>, PluginError> {
        self.run_while(inputs, &|| true)
    }
}

/// What computes in a [`Session`]; the registry knows the model's name and files, and checks what is given.
pub trait Network: Send + Sync {
    fn inputs(&self) -> &[IoDesc];

    fn outputs(&self) -> &[IoDesc];

    /// What it is, where the name of its folder does not say it.
    fn family(&self) -> Option<&str> {
        None
    }

    /// Where it computes: `cpu` …
    fn device(&self) -> String {
        "cpu".to_owned()
    }

    /// Whether what a row of the first dimension gets depends on nothing but the same row of each input, and is the same in a
    /// batch of any size: then runs of several callers may be computed as one. On the CPU it is the same to the last bit.
    fn joins(&self) -> bool {
        false
    }

    /// Its outputs, in order, of arrays that fit its inputs, in order.
    ///
    /// # Errors
    /// The run failed.
    fn run(&self, inputs: &[Array]) -> Result<Vec<Array>, PluginError>;
}

/// Weight files that are no ONNX files, for networks that the host has itself.
pub trait Networks: Send + Sync {
    /// The kinds of models, such as `taggers`, that it can have.
    fn kinds(&self) -> &[&str];

    /// The network of a weight file of this kind and the configuration beside it.
    ///
    /// # Errors
    /// The file is broken or of another architecture, or it has no such options.
    fn open(&self, kind: &str, file: &Path, options: &Options) -> Result<Arc<dyn Network>, PluginError>;

    /// The kinds of models, such as `captioners`, that write texts.
    fn writers(&self) -> &[&str];

    /// The same of a model that writes texts.
    ///
    /// # Errors
    /// The files are broken, or of another architecture.
    fn open_writer(&self, file: &Path) -> Result<Arc<dyn Writer>, PluginError>;
}

/// What a model may be loaded with.
pub type Options = serde_json::Map<String, serde_json::Value>;
