//! Taggers in safetensors: vision transformers and EVA-02. They take and give what the ONNX files of WD taggers do.

use super::{array, describe, failed, place, told};
use candle_core::{Device, Tensor};
use data::{Array, IoDesc, Network};
use models::{Memory, Tagger};
use spec::PluginError;
use std::path::Path;
use std::sync::Arc;

pub(super) fn open(folder: &Path, memory: &Memory) -> models::Result<Arc<dyn Network>> {
    let loaded = models::load_tagger(folder, memory)?;
    told(folder, &loaded.found);
    let size = |n: usize| u32::try_from(n).ok();
    let (side, labels) = (size(loaded.net.side()), size(loaded.net.labels()));
    Ok(Arc::new(Scorer {
        inputs: describe("input", vec![None, side, side, Some(3)]),
        outputs: describe("output", vec![None, labels]),
        device: place(memory),
        net: loaded.net,
    }))
}

struct Scorer {
    net: Tagger,
    device: String,
    inputs: Vec<IoDesc>,
    outputs: Vec<IoDesc>,
}

impl Scorer {
    fn scores(&self, pictures: &Array) -> models::Result<Array> {
        let shape = pictures.shape.clone();
        array(&self.net.scores(&Tensor::from_vec(pictures.to_f32().to_vec(), shape, &Device::Cpu)?)?)
    }
}

impl Network for Scorer {
    fn inputs(&self) -> &[IoDesc] {
        &self.inputs
    }

    fn outputs(&self) -> &[IoDesc] {
        &self.outputs
    }

    fn device(&self) -> String {
        self.device.clone()
    }

    fn joins(&self) -> bool {
        true
    }

    fn run(&self, inputs: &[Array]) -> Result<Vec<Array>, PluginError> {
        let scores = inputs.iter().map(|pictures| self.scores(pictures)).collect::<models::Result<_>>();
        scores.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::OwnNetworks;
    use super::*;
    use data::{Networks, Options};
    use spec::ErrorKind;
    use std::path::PathBuf;

    fn tagger() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/models/taggers/embedded-tagger")
    }

    #[test]
    fn the_embedded_tagger_scores_as_onnxruntime_does() {
        let networks = OwnNetworks::new(Memory::unlimited());
        let network = networks.open("taggers", &tagger().join("model.safetensors"), &Options::new()).unwrap();
        assert_eq!(network.inputs()[0].shape, [None, Some(96), Some(96), Some(3)]);
        assert_eq!(network.outputs()[0].shape, [None, Some(87)]);
        let expected = std::fs::read(tagger().join("examples/expected.json")).unwrap();
        let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
        let mut seen = 0;
        for entry in expected["images"].as_array().unwrap().iter().filter(|e| e["resized"] == false) {
            let file = tagger().join("examples").join(entry["file"].as_str().unwrap());
            let image = data::Image::open(&file, &data::DecodeLimits::default()).unwrap();
            let rgb = image.convert(data::PixelFormat::Rgb8);
            let bgr = rgb.pixels.chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]).map(f32::from).collect();
            let input = Array::from_f32(vec![1, 96, 96, 3], bgr).unwrap();
            let found = network.run(&[input]).unwrap().remove(0);
            assert_eq!(found.shape, [1, 87]);
            let wanted = entry["scores"].as_array().unwrap();
            for (i, (a, b)) in found.to_f32().iter().zip(wanted).enumerate() {
                assert!(
                    (f64::from(*a) - b.as_f64().unwrap()).abs() < 1e-5,
                    "{} score {i}: {a} and {b}",
                    file.display()
                );
            }
            seen += 1;
        }
        assert!(seen >= 3);
    }

    #[test]
    fn scores_are_the_same_bits_in_any_company() {
        let networks = OwnNetworks::new(Memory::unlimited());
        let network = networks.open("taggers", &tagger().join("model.safetensors"), &Options::new()).unwrap();
        assert!(network.joins() && network.device() == "cpu");
        let picture = |seed: usize| {
            let values = (0..96 * 96 * 3).map(|i| ((i * 7919 + seed * 104_729) % 256) as f32).collect();
            Array::from_f32(vec![1, 96, 96, 3], values).unwrap()
        };
        let pictures: Vec<Array> = (1..6).map(picture).collect();
        let alone: Vec<Array> =
            pictures.iter().map(|p| network.run(std::slice::from_ref(p)).unwrap().remove(0)).collect();
        assert!(alone.windows(2).all(|two| two[0] != two[1]));
        for count in 2..=pictures.len() {
            let together = Array::stacked(&pictures[..count].iter().collect::<Vec<_>>()).unwrap();
            let found = network.run(&[together]).unwrap().remove(0);
            assert_eq!(found, Array::stacked(&alone[..count].iter().collect::<Vec<_>>()).unwrap(), "{count} pictures");
        }
    }

    #[test]
    fn a_file_that_is_no_tagger_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("model.safetensors");
        for bytes in [&b"no weights"[..], b"\x02\0\0\0\0\0\0\0{}"] {
            std::fs::write(&file, bytes).unwrap();
            let e = OwnNetworks::new(Memory::unlimited()).open("taggers", &file, &Options::new()).err().unwrap();
            assert!(e.kind == ErrorKind::InvalidInput && !e.message.is_empty(), "{e}");
        }
    }
}
