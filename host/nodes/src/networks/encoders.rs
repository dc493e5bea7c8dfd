//! Encoders of pictures and texts into one space: CLIP, and SigLIP's pictures. A folder holds one or both; the option
//! `part` says which is meant: `vision`, as without options, or `text`.

use super::{array, describe, failed, invalid, place, told};
use candle_core::{Device, Tensor};
use data::{Array, Dtype, IoDesc, Network, Options};
use models::{ClipText, Memory, Vision};
use serde_json::Value;
use spec::{ErrorKind, PluginError};
use std::path::Path;
use std::sync::Arc;

pub(super) fn open(folder: &Path, options: &Options, memory: &Memory) -> Result<Arc<dyn Network>, PluginError> {
    if let Some((key, _)) = options.iter().find(|(key, _)| *key != "part") {
        return invalid(format!("{}: unknown option `{key}`; known is part", folder.display()));
    }
    let wrong = |e: models::Error| PluginError::new(ErrorKind::InvalidInput, e.to_string());
    match options.get("part").map(Value::as_str) {
        None | Some(Some("vision")) => {
            let loaded = models::load_vision(folder, memory).map_err(wrong)?;
            told(folder, &loaded.found);
            Ok(Arc::new(Pictures {
                inputs: describe("pixels", vec![None, Some(3), None, None]),
                outputs: describe("embeds", vec![None, None]),
                device: place(memory),
                net: loaded.net,
            }))
        }
        Some(Some("text")) => {
            let loaded = models::load_clip_text(folder, memory).map_err(wrong)?;
            told(folder, &loaded.found);
            let features = u32::try_from(loaded.net.features()).ok();
            Ok(Arc::new(Text {
                inputs: vec![IoDesc { name: "text".to_owned(), dtype: Dtype::U8, shape: vec![None] }],
                outputs: describe("embeds", vec![Some(1), features]),
                net: loaded.net,
            }))
        }
        Some(_) => invalid(format!(
            "{}: option `part`: expected \"vision\" or \"text\", found {}",
            folder.display(),
            options["part"]
        )),
    }
}

/// Takes pictures (b, 3, h, w), red first, 0…1, of any size: the middle square is what is seen.
struct Pictures {
    net: Vision,
    device: String,
    inputs: Vec<IoDesc>,
    outputs: Vec<IoDesc>,
}

impl Pictures {
    fn embeds(&self, pictures: &Array) -> models::Result<Array> {
        let x = Tensor::from_vec(pictures.to_f32().to_vec(), pictures.shape.clone(), &Device::Cpu)?;
        array(&self.net.encode(&x, true)?.vectors()?)
    }
}

impl Network for Pictures {
    fn family(&self) -> Option<&str> {
        Some("clip-vision")
    }

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
        inputs.iter().map(|pictures| self.embeds(pictures)).collect::<models::Result<_>>().map_err(failed)
    }
}

/// Takes the bytes of one text in UTF-8. What is longer than the encoder's 77 tokens is cut.
struct Text {
    net: ClipText,
    inputs: Vec<IoDesc>,
    outputs: Vec<IoDesc>,
}

impl Network for Text {
    fn family(&self) -> Option<&str> {
        Some("text-encoder")
    }

    fn inputs(&self) -> &[IoDesc] {
        &self.inputs
    }

    fn outputs(&self) -> &[IoDesc] {
        &self.outputs
    }

    fn run(&self, inputs: &[Array]) -> Result<Vec<Array>, PluginError> {
        let embed = |bytes: &Array| {
            let text = String::from_utf8(bytes.to_bytes()).or_else(|e| invalid(format!("input `text`: {e}")))?;
            let (embeds, cut) = self.net.embed(&text).map_err(failed)?;
            if cut > 0 {
                tracing::warn!("{cut} tokens at the end of a text were not read: {text}");
            }
            array(&embeds).map_err(failed)
        };
        inputs.iter().map(embed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::PathBuf;

    fn clip() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/tests/data/encoders/tiny-clip")
    }

    fn part(part: &str) -> Result<Arc<dyn Network>, PluginError> {
        let options = json!({"part": part}).as_object().cloned().unwrap();
        open(&clip(), &options, &Memory::unlimited())
    }

    #[test]
    fn texts_and_pictures_come_into_one_space() {
        let expected =
            candle_core::safetensors::load(clip().join("../../clip_outputs.safetensors"), &Device::Cpu).unwrap();
        let (text, vision) = (part("text").unwrap(), part("vision").unwrap());
        assert_eq!((text.family(), vision.family()), (Some("text-encoder"), Some("clip-vision")));
        let close = |found: &Array, wanted: &Tensor, most: f32| {
            assert_eq!(found.shape, wanted.dims());
            let wanted: Vec<f32> = wanted.flatten_all().unwrap().to_vec1().unwrap();
            let off = found.to_f32().iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < most, "{off}");
        };
        for (i, words) in ["a photo of a cat", "", "red hair, blue eyes, smile"].into_iter().enumerate() {
            let bytes = Array { shape: vec![words.len()], data: data::ArrayData::U8(words.as_bytes().into()) };
            close(&text.run(&[bytes]).unwrap()[0], &expected[&format!("text.{i}")], 1e-4);
        }
        // A byte that rounds the other way where a picture is made smaller changes them by 2e-4.
        let seen = vision.run(&[array(&expected["pictures"]).unwrap()]).unwrap().remove(0);
        close(&seen, &expected["pictures.embeds"], 4e-4);
    }

    #[test]
    fn pictures_give_the_same_bits_in_any_company() {
        let expected =
            candle_core::safetensors::load(clip().join("../../clip_outputs.safetensors"), &Device::Cpu).unwrap();
        let (text, vision) = (part("text").unwrap(), part("vision").unwrap());
        assert!(vision.joins() && vision.device() == "cpu");
        assert!(!text.joins(), "its first dimension is the letters of one text");
        let together = array(&expected["pictures"]).unwrap();
        let found = vision.run(std::slice::from_ref(&together)).unwrap().remove(0);
        assert!(together.shape[0] > 1);
        for row in 0..together.shape[0] {
            let alone = vision.run(&[together.rows(row, 1).unwrap()]).unwrap().remove(0);
            assert_eq!(alone, found.rows(row, 1).unwrap(), "picture {row}");
        }
    }

    #[test]
    fn other_parts_are_refused() {
        assert!(part("sound").err().unwrap().message.contains("expected \"vision\" or \"text\", found \"sound\""));
        let options = json!({"size": 1}).as_object().cloned().unwrap();
        let e = open(&clip(), &options, &Memory::unlimited()).err().unwrap();
        assert!(e.message.contains("unknown option `size`"), "{e}");
        let vision = clip().join("../../vision_clip");
        let text = json!({"part": "text"}).as_object().cloned().unwrap();
        let e = open(&vision, &text, &Memory::unlimited()).err().unwrap();
        assert!(e.message.contains("no CLIP with a text encoder"), "{e}");
    }
}
