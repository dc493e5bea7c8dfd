//! Models that the host owns and runs. A plugin names them; it never sees weights, files or devices.

use crate::host::with_host;
use crate::{Dtype, Result, Tensor};
use serde::{Deserialize, Serialize};

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct IoDesc {
    pub name: String,
    pub dtype: Dtype,
    /// `None` where any size goes, usually the batch.
    pub shape: Vec<Option<u32>>,
}

/// What the host knows of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelInfo {
    pub name: String,
    /// `tagger`, `clip-vision`, `aesthetic` …
    pub family: String,
    /// Of the weights; `sha256:…`.
    pub digest: String,
    pub device: String,
    pub inputs: Vec<IoDesc>,
    pub outputs: Vec<IoDesc>,
    /// Side files such as the list of labels.
    pub assets: Vec<String>,
}

/// The models that this plugin may use.
///
/// # Errors
/// The host's registry cannot be read.
pub fn models() -> Result<Vec<ModelInfo>> {
    with_host(|h| h.inference_models())
}

/// Loads a model by its name, such as `taggers/wd-vit-v3`.
///
/// ```
/// use plugin_sdk::{Tensor, inference};
///
/// let double = plugin_test::FakeModel::new("taggers/double")
///     .asset("labels.csv", b"a,b")
///     .run(|inputs| Ok(vec![("out".into(), plugin_test::map(&inputs[0].1, |v| 2.0 * v))]));
/// let _host = plugin_test::FakeHost::new().model(double).install();
///
/// let session = inference::load("taggers/double", None)?;
/// assert_eq!(session.asset("labels.csv")?, b"a,b");
/// let input = Tensor::from_f32(&[1, 2], &[1.0, 2.0])?;
/// let outputs = session.run(&[("in", &input)])?;
/// assert_eq!(outputs[0].1.read_f32()?, [2.0, 4.0]);
/// # Ok::<(), plugin_sdk::Error>(())
/// ```
///
/// # Errors
/// The model is not granted, not there, or damaged.
pub fn load(model: &str, options: Option<&serde_json::Value>) -> Result<Session> {
    with_host(|h| h.inference_load(model, options)).map(Session)
}

/// A loaded model.
#[derive(Debug)]
pub struct Session(u64);

impl Session {
    /// What the host knows of the model.
    ///
    /// # Errors
    /// The host cannot tell any more.
    pub fn info(&self) -> Result<ModelInfo> {
        with_host(|h| h.session_info(self.0))
    }

    /// The bytes of a side file.
    ///
    /// # Errors
    /// There is no such file.
    pub fn asset(&self, name: &str) -> Result<Vec<u8>> {
        with_host(|h| h.session_asset(self.0, name))
    }

    /// Runs the model on named inputs.
    ///
    /// # Errors
    /// Names, shapes or types do not fit the model.
    pub fn run(&self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>> {
        let inputs: Vec<_> = inputs.iter().map(|(name, t)| (*name, t.raw())).collect();
        let outputs = with_host(|h| h.session_run(self.0, &inputs))?;
        Ok(outputs.into_iter().map(|(name, t)| (name, Tensor::from_raw(t))).collect())
    }
}

owned_handle!(Session, session_drop);
