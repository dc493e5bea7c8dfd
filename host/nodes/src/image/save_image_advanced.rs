use super::save_image::{counting, next_number, with_workflow};
use crate::types::ImageBatch;
use crate::{Host, files};
use anyhow::Result;
use candle_core::Tensor;
use data::{Codec, Image};
use engine::{Context, Outputs, TypedNode, WithUi};
use serde_json::json;
use spec::{Branches, Inputs};
use std::sync::Arc;

/// Saves pictures below the output folder with the workflow that made them inside, and passes them on. With 16 bits a
/// channel, computed pictures keep what 8 bits would round away.
#[derive(Inputs)]
pub(crate) struct SaveImageAdvanced {
    /// The pictures.
    images: Arc<ImageBatch>,
    /// Start of the files' names: `name` gives `name_00001.png`. May have folders; `%width%`, `%height%`, `%year%`,
    /// `%month%`, `%day%`, `%hour%`, `%minute%`, `%second%` and `%batch_num%` are filled in.
    #[input(default = "ComfyUI")]
    filename_prefix: String,
    /// The kind of file.
    #[input(branches)]
    format: Format,
}

#[derive(Branches)]
enum Format {
    #[input(name = "png")]
    Png {
        /// Bits a channel.
        #[input(default = "8-bit", options = ["8-bit", "16-bit"])]
        bit_depth: String,
        /// What the numbers mean. There is one choice.
        #[input(name = "input_color_space", default = "sRGB", options = ["sRGB"])]
        _space: String,
    },
}

impl TypedNode for SaveImageAdvanced {
    const ID: &'static str = "SaveImageAdvanced";
    const CATEGORY: &'static str = "image";
    const DISPLAY_NAME: &'static str = "Save Image (Advanced)";
    const OUTPUT_NODE: bool = true;
    const PERSISTENT: bool = true;
    const STRICT: bool = false;
    const OUTPUT_NAMES: &'static [&'static str] = &["images"];
    type Output = WithUi<Arc<ImageBatch>>;

    fn restore(ctx: &Context, outputs: &Outputs) -> Result<bool> {
        files::restore(ctx, outputs)
    }

    fn run(self, ctx: &Context) -> Result<Self::Output> {
        let Format::Png { bit_depth, .. } = &self.format;
        let mut ui = WithUi::new(self.images.clone());
        let mut shown = Vec::new();
        let _counting = counting();
        let host = ctx.services::<Host>();
        for (number, image) in self.images.images().iter().enumerate() {
            let prefix = files::filled_in(&self.filename_prefix, (image.width, image.height), (host.now)());
            let prefix = prefix.replace("%batch_num%", &number.to_string());
            let name = format!("{prefix}_{:05}.png", next_number(&host.out_path(&prefix)?));
            let image = with_workflow(ctx, image.clone());
            let bytes = match bit_depth.as_str() {
                "16-bit" => deep(self.images.exact().map(|all| &all[number]), &image)?,
                _ => image.encode(Codec::Png, 100)?,
            };
            let (path, digest) = files::save(ctx, &name, &bytes)?;
            ui = ui.file(&path, digest.as_str());
            let (subfolder, filename) = name.rsplit_once('/').unwrap_or(("", &name));
            shown.push(json!({ "filename": filename, "subfolder": subfolder, "type": "output" }));
        }
        Ok(ui.show("images", shown))
    }
}

/// A picture as PNG with 16 bits a channel: its exact values, if it has some, cut off, not rounded, as those of 8 bits are.
fn deep(exact: Option<&Tensor>, image: &Image) -> Result<Vec<u8>> {
    let values: Vec<u16> = match exact {
        Some(exact) => {
            let values = exact.permute((1, 2, 0))?.flatten_all()?.to_vec1::<f32>()?;
            values.iter().map(|v| (v * 65535.0).clamp(0.0, 65535.0) as u16).collect()
        }
        None => image.pixels.iter().map(|v| u16::from(*v) * 257).collect(),
    };
    Ok(image.encode_png16(&values)?)
}

#[cfg(test)]
mod tests {
    use crate::testing::{host, output, run, value};
    use crate::types::ImageBatch;
    use candle_core::{Device, Tensor};
    use data::{DecodeLimits, Image, PixelFormat};
    use spec::Value;
    use std::sync::Arc;

    fn png(bit_depth: &'static str) -> Vec<(&'static str, Value)> {
        vec![
            ("filename_prefix", "deep/x%batch_num%".into()),
            ("format", "png".into()),
            ("format.bit_depth", bit_depth.into()),
            ("format.input_color_space", "sRGB".into()),
        ]
    }

    #[test]
    fn sixteen_bits_keep_what_eight_round_away_and_the_pictures_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = host(dir.path());
        // Two values that are one in 8 bits.
        let exact = Tensor::new(&[[[0.5f32, 0.501]], [[0.0, 1.0]], [[0.25, 2.0]]], &Device::Cpu).unwrap();
        let clear = Image::new(1, 1, PixelFormat::Rgba8, vec![10, 20, 30, 40]).unwrap();
        for (bits, raw, shown) in
            [("8-bit", 8, [127, 0, 63, 127, 255, 255]), ("16-bit", 16, [127, 0, 64, 128, 255, 255])]
        {
            let images = Arc::new(ImageBatch::from_pixels(vec![exact.clone()]).unwrap());
            let mut inputs = png(bits);
            inputs.push(("images", value(&images)));
            let saved = run(&ctx, "SaveImageAdvanced", inputs).unwrap();
            assert_eq!(output::<ImageBatch>(&saved, 0).images().len(), 1);
            let name = saved.ui["images"][0]["filename"].as_str().unwrap();
            let bytes = std::fs::read(dir.path().join("out/deep").join(name)).unwrap();
            assert_eq!(bytes[24], raw, "bits a channel, as the header says");
            let back = Image::decode(&bytes, &DecodeLimits::default()).unwrap();
            assert_eq!(back.pixels[..], shown);
            assert_eq!(back.metadata["prompt"], "{\"1\":{}}");
            let mut inputs = png(bits);
            inputs.push(("images", value(&Arc::new(ImageBatch::new(vec![clear.clone()])))));
            let saved = run(&ctx, "SaveImageAdvanced", inputs).unwrap();
            let name = saved.ui["images"][0]["filename"].as_str().unwrap();
            let bytes = std::fs::read(dir.path().join("out/deep").join(name)).unwrap();
            assert_eq!(Image::decode(&bytes, &DecodeLimits::default()).unwrap().pixels[..], clear.pixels[..]);
        }
        let mut names: Vec<String> = std::fs::read_dir(dir.path().join("out/deep"))
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["x0_00001.png", "x0_00002.png", "x0_00003.png", "x0_00004.png"]);
    }
}
