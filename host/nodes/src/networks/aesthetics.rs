//! Heads that judge the embedding of a picture.

use super::{array, describe, failed};
use candle_core::{Device, Tensor};
use data::{Array, IoDesc, Network};
use models::{Aesthetic, Memory};
use spec::PluginError;
use std::path::Path;
use std::sync::Arc;

pub(super) fn open(folder: &Path, memory: &Memory) -> models::Result<Arc<dyn Network>> {
    let net = models::load_aesthetic(folder, memory)?;
    let features = u32::try_from(net.features()).ok();
    let (inputs, outputs) = (describe("embeds", vec![None, features]), describe("scores", vec![None, Some(1)]));
    Ok(Arc::new(Head { net, inputs, outputs }))
}

struct Head {
    net: Aesthetic,
    inputs: Vec<IoDesc>,
    outputs: Vec<IoDesc>,
}

impl Network for Head {
    fn inputs(&self) -> &[IoDesc] {
        &self.inputs
    }

    fn outputs(&self) -> &[IoDesc] {
        &self.outputs
    }

    fn run(&self, inputs: &[Array]) -> Result<Vec<Array>, PluginError> {
        let scores = |embeds: &Array| {
            let x = Tensor::from_vec(embeds.to_f32().to_vec(), embeds.shape.clone(), &Device::Cpu)?;
            array(&self.net.scores(&x)?)
        };
        inputs.iter().map(scores).collect::<models::Result<_>>().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn scores_are_torchs() {
        let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/tests/data");
        let expected = candle_core::safetensors::load(data.join("clip_outputs.safetensors"), &Device::Cpu).unwrap();
        let head = open(&data.join("aesthetics/tiny-head"), &Memory::unlimited()).unwrap();
        let found = head.run(&[array(&expected["pictures.embeds"]).unwrap()]).unwrap().remove(0);
        let wanted: Vec<f32> = expected["scores"].flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(found.shape, [2, 1]);
        for (a, b) in found.to_f32().iter().zip(wanted) {
            assert!((a - b).abs() < 1e-5, "{a} and {b}");
        }
    }
}
