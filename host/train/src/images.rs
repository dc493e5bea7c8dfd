//! Pictures as the VAE sees them, encoded once and kept in the store.

use crate::batches::Batches;
use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use data::{ChannelOrder, Dataset, DecodeLimits, Dtype, Image, Item, Layout, PixelFormat, Store, TensorSpec};
use models::{Latent, Vae};
use sha2::{Digest, Sha256};

/// Kind of the store's records.
const KIND: &str = "latents";

/// A picture's place in latent space: the VAE gives a mean and a spread for each number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Moments {
    /// Scaled by the VAE's scaling factor, (c, h, w).
    pub(crate) mean: Vec<f32>,
    /// Standard deviations, scaled too.
    pub(crate) spread: Vec<f32>,
    /// How much of the loss counts where, (h, w), if the run is masked.
    pub(crate) mask: Option<Vec<f32>>,
    /// (c, h, w)
    pub(crate) shape: (usize, usize, usize),
}

/// Every picture of a data set, plain and, if asked for, mirrored.
pub(crate) struct Latents {
    plain: Vec<Moments>,
    mirrored: Vec<Moments>,
}

impl Latents {
    /// The picture with this index.
    pub(crate) fn get(&self, index: usize, mirrored: bool) -> &Moments {
        if mirrored { &self.mirrored[index] } else { &self.plain[index] }
    }
}

/// How pictures are encoded.
pub(crate) struct Encoder<'a> {
    pub(crate) vae: &'a Vae,
    pub(crate) latent: Latent,
    /// Identity of the VAE.
    pub(crate) digest: &'a str,
    pub(crate) device: &'a Device,
    pub(crate) store: Option<&'a Store>,
    pub(crate) masked: bool,
    pub(crate) mirror: bool,
}

impl Encoder<'_> {
    /// Encodes what is not in the store yet. `step(done, total)` may stop it with an error.
    pub(crate) fn all(
        &self,
        dataset: &Dataset,
        batches: &Batches,
        step: &mut dyn FnMut(u64, u64) -> Result<()>,
    ) -> Result<Latents> {
        let sides: &[bool] = if self.mirror { &[false, true] } else { &[false] };
        let total = (dataset.items.len() * sides.len()) as u64;
        let mut latents = Latents { plain: Vec::new(), mirrored: Vec::new() };
        for &mirrored in sides {
            for (index, item) in dataset.items.iter().enumerate() {
                step((latents.plain.len() + latents.mirrored.len()) as u64, total)?;
                let moments = self.one(item, &batches.assignments[index], mirrored);
                let moments = moments.with_context(|| format!("image {}", item.id))?;
                if mirrored { &mut latents.mirrored } else { &mut latents.plain }.push(moments);
            }
        }
        step(total, total)?;
        Ok(latents)
    }

    fn one(&self, item: &Item, place: &data::Assignment, mirrored: bool) -> Result<Moments> {
        let key = self.key(item, place, mirrored);
        if let Some(store) = self.store {
            // A damaged record has been removed and is made again.
            let found = store.get_record(KIND, &key).unwrap_or_else(|e| {
                tracing::warn!("{e}");
                None
            });
            if let Some(moments) = found.as_deref().and_then(parse) {
                return Ok(moments);
            }
        }
        let image = Image::open(&item.path, &DecodeLimits::default())?;
        let mut image = place.apply(&image)?;
        if mirrored {
            image = mirror(&image)?;
        }
        let moments = self.encode(&image)?;
        if let Some(store) = self.store {
            store.put_record(KIND, &key, &write(&moments))?;
        }
        Ok(moments)
    }

    /// What the latents depend on.
    fn key(&self, item: &Item, place: &data::Assignment, mirrored: bool) -> String {
        let mut hash = Sha256::new();
        let (size, resized) = (place.bucket, place.resized);
        let text = format!("1 {} {} {size:?} {resized:?} {mirrored} {}", item.digest, self.digest, self.masked);
        hash.update(text);
        format!("{:x}", hash.finalize())
    }

    fn encode(&self, image: &Image) -> Result<Moments> {
        // 0..255 → −1..1
        let spec = TensorSpec {
            resize: None,
            layout: Layout::Nchw,
            order: ChannelOrder::Rgb,
            scale: 1.0 / 255.0,
            mean: [0.5; 3],
            std: [0.5; 3],
            dtype: Dtype::F32,
        };
        let array = image.to_array(&spec)?;
        let data::ArrayData::F32(values) = &array.data else { anyhow::bail!("expected an array of f32") };
        let pixels = Tensor::from_slice(values, array.shape.as_slice(), self.device)?;
        let (mean, logvar) = self.vae.encode(&pixels)?;
        let (_, c, h, w) = mean.dims4()?;
        let mean = self.latent.scale(&mean)?.flatten_all()?.to_vec1()?;
        // Bounds as in diffusers' DiagonalGaussianDistribution. A spread is scaled but not shifted.
        let spread = (logvar.clamp(-30f32, 20f32)? * 0.5)?.exp()?;
        let spread = (spread * self.latent.scaling)?.flatten_all()?.to_vec1()?;
        let moments = Moments { mean, spread, mask: self.masked.then(|| self.mask(image)), shape: (c, h, w) };
        ensure!(
            moments.mean.iter().chain(&moments.spread).all(|v| v.is_finite()),
            "the VAE's latents are not finite numbers"
        );
        Ok(moments)
    }

    /// Mean opacity below each number of the latent, 0..1.
    fn mask(&self, image: &Image) -> Vec<f32> {
        let f = self.vae.config().factor();
        let (w, h) = (image.width as usize / f, image.height as usize / f);
        if image.format != PixelFormat::Rgba8 {
            return vec![1.0; w * h];
        }
        let alpha = |x: usize, y: usize| u32::from(image.pixels[(y * image.width as usize + x) * 4 + 3]);
        let cell = |i: usize| -> u32 {
            let (x, y) = (i % w * f, i / w * f);
            (0..f * f).map(|k| alpha(x + k % f, y + k / f)).sum()
        };
        (0..w * h).map(|i| cell(i) as f32 / (255 * f * f) as f32).collect()
    }
}

/// Left and right exchanged.
fn mirror(image: &Image) -> Result<Image> {
    let n = image.format.channels();
    let row = image.width as usize * n;
    let rows = image.pixels.chunks_exact(row);
    let pixels: Vec<u8> = rows.flat_map(|r| r.rchunks_exact(n).flatten().copied()).collect();
    Ok(Image::new(image.width, image.height, image.format, pixels)?)
}

fn write(m: &Moments) -> Vec<u8> {
    let (c, h, w) = m.shape;
    let mut out: Vec<u8> =
        [c, h, w, usize::from(m.mask.is_some())].iter().flat_map(|&n| (n as u64).to_le_bytes()).collect();
    let all = m.mean.iter().chain(&m.spread).chain(m.mask.iter().flatten());
    out.extend(all.flat_map(|v| v.to_le_bytes()));
    out
}

fn parse(bytes: &[u8]) -> Option<Moments> {
    let (head, rest) = bytes.split_at_checked(32)?;
    let head: Vec<usize> =
        head.chunks_exact(8).map(|b| b.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b))).collect();
    let [c, h, w, masked] = head[..] else { return None };
    let values: Vec<f32> = rest.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let n = c.checked_mul(h)?.checked_mul(w)?;
    if values.len() != n.checked_mul(2)? + h * w * masked {
        return None;
    }
    Some(Moments {
        mean: values[..n].to_vec(),
        spread: values[n..2 * n].to_vec(),
        mask: (masked == 1).then(|| values[2 * n..].to_vec()),
        shape: (c, h, w),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_moments_come_back() {
        for mask in [None, Some(vec![0.5, 1.0])] {
            let m = Moments { mean: vec![1.0, -2.0], spread: vec![0.1, 0.2], mask, shape: (1, 1, 2) };
            assert_eq!(parse(&write(&m)).unwrap(), m);
        }
        assert!(parse(&[0; 31]).is_none() && parse(&[1; 40]).is_none());
    }

    #[test]
    fn a_mirror_exchanges_left_and_right() {
        let image = Image::new(2, 1, PixelFormat::Rgb8, vec![1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(mirror(&image).unwrap().pixels.as_ref(), [4, 5, 6, 1, 2, 3]);
    }
}
