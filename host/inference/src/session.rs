//! One loaded model: its name and files, and what computes.

use crate::queue::{Queue, Room};
use crate::registry::unreadable;
use data::{Array, ModelInfo, Network, Session};
use spec::{ErrorKind, PluginError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest side file that is handed out.
const MAX_ASSET: u64 = 64 << 20;

/// A network under a name.
pub(crate) struct Loaded {
    info: ModelInfo,
    path: PathBuf,
    queue: Queue,
}

impl Loaded {
    pub(crate) fn new(name: &str, path: &Path, digest: String, network: Arc<dyn Network>) -> Self {
        let info = ModelInfo {
            name: name.to_owned(),
            family: network.family().map_or_else(|| family(name), str::to_owned),
            digest,
            device: network.device(),
            inputs: network.inputs().to_vec(),
            outputs: network.outputs().to_vec(),
            assets: assets(path),
        };
        let room = Room::of(&info.device);
        Self { info, path: path.to_owned(), queue: Queue::new(network, room) }
    }

    /// The inputs in the model's order.
    fn arrange(&self, inputs: Vec<(String, Array)>) -> Result<Vec<Array>, PluginError> {
        let invalid = |m: String| PluginError::new(ErrorKind::InvalidInput, format!("model `{}`: {m}", self.info.name));
        let known: Vec<&str> = self.info.inputs.iter().map(|i| i.name.as_str()).collect();
        if let Some((name, _)) = inputs.iter().find(|(n, _)| !known.contains(&n.as_str())) {
            return Err(invalid(format!("no input `{name}`; its inputs are {}", known.join(", "))));
        }
        let mut arranged = Vec::new();
        for desc in &self.info.inputs {
            let mut given = inputs.iter().filter(|(n, _)| *n == desc.name);
            let (_, array) = given.next().ok_or_else(|| invalid(format!("input `{}` is missing", desc.name)))?;
            let fits = array.shape.len() == desc.shape.len()
                && array.shape.iter().zip(&desc.shape).all(|(have, want)| want.is_none_or(|w| w as usize == *have));
            if !fits {
                let want: Vec<String> = desc.shape.iter().map(|d| d.map_or("any".into(), |d| d.to_string())).collect();
                return Err(invalid(format!(
                    "input `{}`: expected shape [{}], found {:?}",
                    desc.name,
                    want.join(", "),
                    array.shape
                )));
            }
            arranged.push(array.clone());
        }
        Ok(arranged)
    }
}

impl Session for Loaded {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn asset(&self, name: &str) -> Result<Vec<u8>, PluginError> {
        if !self.info.assets.iter().any(|a| a == name) {
            return Err(PluginError::new(
                ErrorKind::NotFound,
                format!("model `{}`: no file `{name}`; it has: {}", self.info.name, self.info.assets.join(", ")),
            ));
        }
        let path = self.path.with_file_name(name);
        std::fs::read(&path).map_err(|e| unreadable(&path, &e))
    }

    fn run_while(
        &self,
        inputs: Vec<(String, Array)>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Vec<(String, Array)>, PluginError> {
        let outputs = self.queue.run(self.arrange(inputs)?, go_on)?;
        Ok(self.info.outputs.iter().map(|desc| desc.name.clone()).zip(outputs).collect())
    }
}

/// What a model is by its name: a model of `taggers/` is a `tagger`.
pub(crate) fn family(name: &str) -> String {
    let category = name.split('/').next().unwrap_or_default();
    category.strip_suffix('s').unwrap_or(category).to_owned()
}

/// The side files next to the model: labels and configurations, not weights.
pub(crate) fn assets(path: &Path) -> Vec<String> {
    let Some(folder) = path.parent() else { return Vec::new() };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|e| e.metadata().is_ok_and(|m| m.is_file() && m.len() <= MAX_ASSET))
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|n| [".csv", ".json", ".txt"].iter().any(|end| n.ends_with(end)))
        .collect();
    names.sort();
    names
}
