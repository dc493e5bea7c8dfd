//! Models that are closures.

use crate::tensors::Array;
use plugin_sdk::inference::{IoDesc, ModelInfo};
use plugin_sdk::{Error, Result};
use std::collections::BTreeMap;

type Run = dyn Fn(Vec<(String, Array)>) -> Result<Vec<(String, Array)>>;

/// A model of the pretend host.
///
/// ```
/// use plugin_test::{Array, FakeModel};
///
/// // Says 0.9 for every one of three labels.
/// let model = FakeModel::new("taggers/always")
///     .asset("selected_tags.csv", b"tag_id,name,category,count\n0,tree,0,1\n")
///     .run(|_| Ok(vec![("output".into(), Array::new(&[1, 3], vec![0.9; 3])?)]));
/// # let _ = model;
/// ```
pub struct FakeModel {
    pub(crate) info: ModelInfo,
    pub(crate) assets: BTreeMap<String, Vec<u8>>,
    pub(crate) run: Box<Run>,
}

impl FakeModel {
    /// A tagger without side files that refuses to run.
    pub fn new(name: &str) -> Self {
        Self {
            info: ModelInfo {
                name: name.to_owned(),
                family: "tagger".into(),
                digest: format!("fake:{name}"),
                device: "none".into(),
                inputs: Vec::new(),
                outputs: Vec::new(),
                assets: Vec::new(),
            },
            assets: BTreeMap::new(),
            run: Box::new(|_| Err(Error::unsupported("this pretend model does not run"))),
        }
    }

    /// Adds a side file.
    #[must_use]
    pub fn asset(mut self, name: &str, bytes: &[u8]) -> Self {
        self.info.assets.push(name.to_owned());
        self.assets.insert(name.to_owned(), bytes.to_vec());
        self
    }

    /// Describes an input.
    #[must_use]
    pub fn input(mut self, desc: IoDesc) -> Self {
        self.info.inputs.push(desc);
        self
    }

    /// Describes an output.
    #[must_use]
    pub fn output(mut self, desc: IoDesc) -> Self {
        self.info.outputs.push(desc);
        self
    }

    /// What it computes.
    #[must_use]
    pub fn run(mut self, run: impl Fn(Vec<(String, Array)>) -> Result<Vec<(String, Array)>> + 'static) -> Self {
        self.run = Box::new(run);
        self
    }
}
