use super::encode::{COMFYUI, Encoded, embeddings_fingerprint, encode_each, shown};
use super::refuse_tags;
use crate::types::{Clip, Size};
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Encodes a prompt for SDXL: a text for each of its encoders, and what it is told of the picture's size.
#[derive(Inputs)]
pub(crate) struct CLIPTextEncodeSDXL {
    /// The text encoders.
    clip: Arc<Clip>,
    /// Width of the picture as it was before cropping, in pixels.
    #[input(default = 1024, range = 0..=16384)]
    width: u32,
    /// Height of the picture as it was before cropping, in pixels.
    #[input(default = 1024, range = 0..=16384)]
    height: u32,
    /// Pixels cut off at the left.
    #[input(default = 0, range = 0..=16384)]
    crop_w: u32,
    /// Pixels cut off at the top.
    #[input(default = 0, range = 0..=16384)]
    crop_h: u32,
    /// Width of the picture to make, in pixels.
    #[input(default = 1024, range = 0..=16384)]
    target_width: u32,
    /// Height of the picture to make, in pixels.
    #[input(default = 1024, range = 0..=16384)]
    target_height: u32,
    /// The prompt for the large encoder, OpenCLIP G.
    #[input(multiline)]
    text_g: String,
    /// The prompt for the small encoder, CLIP L.
    #[input(multiline)]
    text_l: String,
}

impl TypedNode for CLIPTextEncodeSDXL {
    const ID: &'static str = "CLIPTextEncodeSDXL";
    const CATEGORY: &'static str = "advanced/conditioning";
    const STRICT: bool = false;
    type Output = Encoded;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        embeddings_fingerprint(ctx, constants, &["text_g", "text_l"])
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        refuse_tags(&self.text_g)?;
        refuse_tags(&self.text_l)?;
        let text = |encoder: &str| if encoder == "clip_g" { self.text_g.as_str() } else { self.text_l.as_str() };
        let prompted = encode_each(ctx, &self.clip, COMFYUI, text)?;
        let size = Size {
            width: self.width,
            height: self.height,
            crop_left: self.crop_w,
            crop_top: self.crop_h,
            target_width: self.target_width,
            target_height: self.target_height,
        };
        Ok(shown(prompted, |one| one.size = Some(size)))
    }
}
