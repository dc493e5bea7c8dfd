//! What networks of more channels than a latent has see beside the noise: a picture, and a mask of what to make anew in it.

use super::leads::Sides;
use crate::image::resize;
use crate::types::{Cond, Model};
use anyhow::{Result, bail};
use candle_core::{DType, Device, Tensor};
use models::Prediction;

/// What a walk is made of, for networks that are told so where a prompt says nothing of it.
#[derive(Clone, Copy, Default)]
pub(super) struct Scene<'a> {
    /// What is walked from, scaled, (b, c, h, w).
    pub(super) latent: Option<&'a Tensor>,
    /// Where it is made anew, (1 or b, 1, h, w).
    pub(super) mask: Option<&'a Tensor>,
    /// Of the walk's noise.
    pub(super) seed: u64,
}

/// Grey, as the VAE of SD 1.x and 2.x has it, scaled (ComfyUI, `blank_inpaint_image_like`).
const GREY: [f32; 4] = [0.8223, -0.6876, 0.6364, 0.1380];

/// The channels behind those of the latent, (b, n, h, w), if the network has any.
pub(super) fn channels(
    cond: &Cond,
    model: &Model,
    sides: Sides,
    scene: Scene<'_>,
    device: &Device,
) -> Result<Option<Tensor>> {
    let (takes, factor) = (model.network.takes(), model.latent.factor);
    let c = takes.out_channels;
    let more = takes.channels.saturating_sub(c);
    let (picture, mask) = match &cond.beside {
        Some(beside) => (Some(&beside.latent), beside.mask.as_ref().or(scene.mask)),
        None => (None, scene.mask),
    };
    let maker = Maker { model, sides, device, c };
    let made = match (model.prediction == Prediction::Flow, more) {
        (_, 0) => return Ok(None),
        // Flux.1 Canny and Depth.
        (true, n) if n == c => vec![maker.flow_picture(picture)?],
        // Flux.1 Fill: the mask's pixels behind each of the latent's are channels.
        (true, n) if n == c + factor * factor => vec![maker.flow_picture(picture)?, maker.flow_mask(mask)?],
        // InstructPix2Pix, whose picture is not scaled.
        (false, n) if n == c => vec![match picture {
            Some(picture) => maker.fit(picture)?,
            None => maker.zeros()?,
        }],
        // The inpainting networks of SD 1.x, 2.x and SDXL.
        (false, n) if n == c + 1 => maker.inpainting(picture, mask, scene)?,
        _ => bail!(
            "{} takes {more} channels beside the {c} of its latents; known are networks for edges and depths, for filling, \
             for inpainting and for edits by instruction",
            model.name
        ),
    };
    Ok(Some(Tensor::cat(&made, 1)?))
}

struct Maker<'a> {
    model: &'a Model,
    sides: Sides,
    device: &'a Device,
    c: usize,
}

impl Maker<'_> {
    fn zeros(&self) -> Result<Tensor> {
        Ok(Tensor::zeros((self.sides.b, self.c, self.sides.h, self.sides.w), DType::F32, self.device)?)
    }

    /// A latent of the walk's size and number; what does not fit its shape is cut off.
    fn fit(&self, latent: &Tensor) -> Result<Tensor> {
        let (_, c, h, w) = latent.dims4()?;
        if c != self.c {
            bail!(
                "the picture of a prompt has {c} channels, {} takes {}; encode it with this model's VAE",
                self.model.name,
                self.c
            );
        }
        let latent = latent.to_device(self.device)?;
        let latent = match (h, w) == (self.sides.h, self.sides.w) {
            true => latent,
            false => resize(&latent, models::interpolation("bilinear")?, self.sides.h, self.sides.w, true)?,
        };
        spread_evenly(&latent, self.sides.b)
    }

    fn flow_picture(&self, picture: Option<&Tensor>) -> Result<Tensor> {
        // Without one it is a latent of zeros, which is scaled as others are.
        let picture = picture.map_or_else(|| self.zeros(), |picture| self.fit(picture))?;
        Ok(self.model.latent.scale(&picture)?)
    }

    /// (b, f², h, w) of a mask that is brought to f times the latent's sides.
    fn flow_mask(&self, mask: Option<&Tensor>) -> Result<Tensor> {
        let (f, Sides { b, h, w }) = (self.model.latent.factor, self.sides);
        let Some(mask) = mask else {
            return Ok(Tensor::ones((b, f * f, h, w), DType::F32, self.device)?);
        };
        let mask = mask.to_device(self.device)?.to_dtype(DType::F32)?.mean_keepdim(1)?;
        let pixels = resize(&mask, models::interpolation("bilinear")?, h * f, w * f, true)?;
        let m = pixels.dim(0)?;
        // (m, h, f, w, f) → (m, f, f, h, w)
        let channels = pixels.reshape((m, h, f, w, f))?.permute(vec![0, 2, 4, 1, 3])?.contiguous()?;
        spread_evenly(&channels.reshape((m, f * f, h, w))?, b)
    }

    /// The mask, sharp, and the picture that it was cut out of; of what is walked from if the prompt has none.
    fn inpainting(&self, picture: Option<&Tensor>, mask: Option<&Tensor>, scene: Scene<'_>) -> Result<Vec<Tensor>> {
        let Sides { b, h, w } = self.sides;
        let Some(mask) = mask else {
            let ones = Tensor::ones((b, 1, h, w), DType::F32, self.device)?;
            let known = self.c.min(GREY.len());
            let grey = Tensor::new(&GREY[..known], self.device)?.reshape((1, known, 1, 1))?;
            return Ok(vec![ones, grey.broadcast_as((b, self.c, h, w))?.contiguous()?]);
        };
        let mask = mask.to_device(self.device)?.to_dtype(DType::F32)?.narrow(1, 0, 1)?;
        let mask = match mask.dims()[2..] == [h, w] {
            true => mask,
            false => resize(&mask, models::interpolation("bilinear")?, h, w, true)?,
        };
        let mask = spread_evenly(&mask.gt(0.5f32)?.to_dtype(DType::F32)?, b)?;
        let picture = match (picture, scene.latent) {
            (Some(picture), _) => self.model.latent.scale(&self.fit(picture)?)?,
            (None, Some(latent)) => self.fit(latent)?,
            (None, None) => self.zeros()?,
        };
        Ok(vec![mask, picture])
    }
}

/// As many as there are pictures: some left out or repeated, evenly (ComfyUI, `resize_to_batch_size`).
fn spread_evenly(t: &Tensor, b: usize) -> Result<Tensor> {
    let n = t.dim(0)?;
    if n == b {
        return Ok(t.clone());
    }
    let at = |i: usize| match b {
        1 => 0,
        _ if b < n => (i as f64 * (n - 1) as f64 / (b - 1) as f64).round_ties_even() as usize,
        _ => ((i as f64 + 0.5) * n as f64 / b as f64).floor() as usize,
    };
    let places: Vec<u32> = (0..b).map(|i| at(i).min(n - 1) as u32).collect();
    Ok(t.index_select(&Tensor::from_vec(places, b, t.device())?, 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_spread_evenly() {
        let t = Tensor::arange(0f32, 4.0, &Device::Cpu).unwrap();
        let spread = |b| spread_evenly(&t, b).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(spread(4), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(spread(1), [0.0]);
        assert_eq!(spread(2), [0.0, 3.0]);
        assert_eq!(spread(6), [0.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
    }
}
