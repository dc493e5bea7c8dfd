//! Models by name: only those that were asked for and granted.

use super::{Services, refuse};
use crate::error::Fault;
use data::{Array, ModelInfo, Session};
use spec::{ErrorKind, PluginError};
use std::sync::Arc;

impl Services {
    /// The models that this plugin may load.
    pub(crate) fn models(&self) -> Result<Vec<ModelInfo>, Fault> {
        let Some(inference) = self.inference.clone() else { return Ok(Vec::new()) };
        let mut models = self.blocking(move || inference.models())?;
        models.retain(|m| self.rights.model(&m.name).is_ok());
        Ok(models)
    }

    pub(crate) fn load_model(
        &self,
        name: &str,
        options: Option<&str>,
    ) -> Result<Result<Arc<dyn Session>, PluginError>, Fault> {
        if let Err(missing) = self.rights.model(name) {
            return Ok(self.note(refuse(ErrorKind::Denied, missing)));
        }
        let options = match options.map(serde_json::from_str::<serde_json::Value>).transpose() {
            Ok(options) => options,
            Err(e) => return Ok(refuse(ErrorKind::InvalidInput, format!("model `{name}`: options are no JSON: {e}"))),
        };
        let Some(inference) = self.inference.clone() else {
            return Ok(refuse(ErrorKind::Unavailable, format!("model `{name}`: this host runs no models")));
        };
        let name = name.to_owned();
        self.blocking(move || inference.load(&name, options.as_ref()))
    }

    pub(crate) fn run_model(
        &self,
        session: &Arc<dyn Session>,
        inputs: Vec<(String, Array)>,
    ) -> Result<Result<Vec<(String, Array)>, PluginError>, Fault> {
        let session = session.clone();
        self.blocking(move || session.run(inputs))
    }

    /// Language models are asked for by plugins, but none can be registered with this host yet.
    pub(crate) fn generate<T>(&self, model: &str) -> Result<T, PluginError> {
        match self.rights.model(model) {
            Ok(()) => refuse(
                ErrorKind::Unsupported,
                format!("model `{model}`: no generation model is registered with this host"),
            ),
            Err(missing) => self.note(refuse(ErrorKind::Denied, missing)),
        }
    }
}
