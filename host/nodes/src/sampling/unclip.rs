//! Pictures that stand in for the pooled text.

use crate::types::PictureText;
use anyhow::{Result, bail};
use candle_core::{DType, Tensor};
use sample::{Picture, picture_text};

/// All pictures of a prompt as one text, (1, width). Their noise is that of the seed ten before the walk's (ComfyUI,
/// `sdxl_pooled`).
pub(super) fn pooled(pictures: &[PictureText], width: usize, seed: u64) -> Result<Tensor> {
    let mut rows = Vec::new();
    for picture in pictures {
        let (_, found) = picture.embeds.dims2()?;
        if found != width {
            bail!(
                "expected a picture of {width} features, as the network's pooled text has them, found {found}; for SDXL \
                 load the vision model of CLIP bigG (clip_vision_g)"
            );
        }
        for row in picture.embeds.to_dtype(DType::F32)?.to_vec2::<f32>()? {
            rows.push((row, picture.strength, picture.noise));
        }
    }
    let given: Vec<Picture<'_>> =
        rows.iter().map(|(embeds, strength, noise)| Picture { embeds, strength: *strength, noise: *noise }).collect();
    let text = picture_text(&given, seed.wrapping_sub(10));
    let device = pictures.first().map_or(&candle_core::Device::Cpu, |picture| picture.embeds.device());
    Ok(Tensor::from_vec(text, (1, width), device)?)
}
