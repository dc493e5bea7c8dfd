use crate::Host;
use crate::types::{ImageBatch, Mask};
use candle_core::{DType, Device, Tensor};
use data::{DecodeLimits, Image, PixelFormat};
use engine::{Context, TypedNode};
use serde_json::Value as Json;
use spec::{Inputs, Value, Values};
use std::sync::Arc;

/// Reads a picture, and what is transparent in it as a mask.
#[derive(Inputs)]
pub(crate) struct LoadImage {
    /// The file; a relative path begins at the workflow's folder.
    #[input(host_list = "file")]
    pub(super) image: String,
}

impl TypedNode for LoadImage {
    const ID: &'static str = "LoadImage";
    const CATEGORY: &'static str = "image";
    const DISPLAY_NAME: &'static str = "Load Image";
    const STRICT: bool = false;
    type Output = (Arc<ImageBatch>, Arc<Mask>);

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        file_fingerprint(ctx, constants)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let image = open(ctx, &self.image)?;
        let mask = channel(&image, 3)?;
        Ok((Arc::new(ImageBatch::new(vec![opaque(image)?])), Arc::new(mask)))
    }
}

/// Identity of the file that the constant `image` names.
pub(super) fn file_fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
    let host = ctx.services::<Host>();
    match constants.get("image") {
        Some(Value::Data(Json::String(path))) => Ok(host.file_digest(&host.input_path(path))?.to_string()),
        _ => Ok(String::new()),
    }
}

pub(super) fn open(ctx: &Context, path: &str) -> anyhow::Result<Image> {
    Ok(Image::open(&ctx.services::<Host>().input_path(path), &DecodeLimits::default())?)
}

/// One channel as a mask (1, h, w): red, green, blue, or with 3 what is transparent. Of a picture without alpha
/// nothing is: 64×64 zeros, as in ComfyUI.
pub(super) fn channel(image: &Image, channel: usize) -> anyhow::Result<Mask> {
    if channel == 3 && image.format != PixelFormat::Rgba8 {
        return Ok(Mask(Tensor::zeros((1, 64, 64), DType::F32, &Device::Cpu)?));
    }
    let image = image.convert(PixelFormat::Rgba8);
    let values: Vec<f32> = image.pixels.chunks_exact(4).map(|p| f32::from(p[channel]) / 255.0).collect();
    let values = Tensor::from_vec(values, (1, image.height as usize, image.width as usize), &Device::Cpu)?;
    Ok(Mask(if channel == 3 { (1.0 - values)? } else { values }))
}

/// The picture without its alpha: transparent pixels show the colour that they have, as in ComfyUI, so that a picture
/// whose alpha is a mask to paint in stays whole.
fn opaque(image: Image) -> anyhow::Result<Image> {
    if image.format != PixelFormat::Rgba8 {
        return Ok(image);
    }
    let pixels: Vec<u8> = image.pixels.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
    let opaque = Image::new(image.width, image.height, PixelFormat::Rgb8, pixels)?;
    Ok(Image { metadata: image.metadata, ..opaque })
}
