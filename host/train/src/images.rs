//! Pictures as the VAE sees them, encoded once and kept in the store.

use crate::Config;
use crate::augment::{Color, Version};
use crate::batches::{Batches, Slice, View};
use crate::dice::{Dice, Purpose, Stream};
use crate::own::Own;
use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use data::{Assignment, ChannelOrder, Dataset, DecodeLimits, Dtype, Image, Item, Layout, Store, TensorSpec};
use models::{Latent, Vae};
use sha2::{Digest, Sha256};
use std::path::Path;

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

/// Every picture of a data set at every resolution, in all the versions that steps draw from.
pub(crate) struct Latents {
    views: Vec<Shown>,
}

/// A view's versions.
struct Shown {
    /// Version, then plain and mirrored, if it is mirrored at all.
    encoded: Vec<Moments>,
    flips: bool,
    crops: bool,
    /// Size of the picture in pixels: height, width.
    original: (u32, u32),
    place: Assignment,
}

/// What a batch shows of one picture.
pub(crate) struct Pick<'a> {
    pub(crate) moments: &'a Moments,
    /// Height and width of the picture, top and left of what is seen, height and width of the bucket, in pixels: what
    /// SDXL is told of sizes.
    pub(crate) size: [f32; 6],
}

impl Latents {
    /// What a batch shows: mirrored or not, and which version, are drawn from streams of their own.
    pub(crate) fn pick(&self, slice: &Slice, seed: u64) -> Vec<Pick<'_>> {
        let mut flips = Stream::new(seed, Purpose::Flip, slice.index);
        let mut variants = Stream::new(seed, Purpose::Variant, slice.index);
        let pick = |&view: &usize| {
            let shown = &self.views[view];
            let sides = 1 + usize::from(shown.flips);
            let mirrored = flips.unit() < 0.5 && shown.flips;
            let version = Version::draw(shown.crops, shown.encoded.len() / sides, &mut variants);
            let moments = &shown.encoded[version * sides + usize::from(mirrored)];
            Pick { moments, size: shown.size(mirrored) }
        };
        slice.views.iter().map(pick).collect()
    }
}

impl Latents {
    /// A view as it is, neither mirrored nor changed.
    pub(crate) fn plain(&self, view: usize) -> Pick<'_> {
        let shown = &self.views[view];
        Pick { moments: &shown.encoded[0], size: shown.size(false) }
    }
}

impl Shown {
    /// As sd-scripts: whole numbers, the crop in pixels of the bucket, and the same for every random crop.
    fn size(&self, mirrored: bool) -> [f32; 6] {
        let (width, height) = self.place.bucket;
        let [left, top, right, _] = self.place.crop_ltrb;
        let left = if mirrored { f64::from(width) - right } else { left };
        let (h, w) = self.original;
        [h as f32, w as f32, top.trunc() as f32, left.trunc() as f32, height as f32, width as f32]
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
}

impl Encoder<'_> {
    /// Encodes what is not in the store yet. `step(done, total)` may stop it with an error.
    pub(crate) fn all(
        &self,
        config: &Config,
        dataset: &Dataset,
        batches: &Batches,
        step: &mut dyn FnMut(u64, u64) -> Result<()>,
    ) -> Result<Latents> {
        let own = Own::new(config, dataset)?;
        let sides = |view: &View| 1 + u64::from(own.of(view.item).images.flip);
        let versions = |view: &View| own.of(view.item).images.versions() as u64 * sides(view);
        let total = batches.views.iter().map(versions).sum();
        let (mut done, mut views) = (0, Vec::with_capacity(batches.views.len()));
        for view in &batches.views {
            let (item, place) = (&dataset.items[view.item], view.assignment);
            let c = &own.of(view.item).images;
            let mut encoded = Vec::new();
            for version in Version::all(item, &place, c.random_crop, c.color_jitter, c.versions()) {
                for mirrored in [false, true].into_iter().filter(|&m| c.flip || !m) {
                    step(done, total)?;
                    let moments = self.one(item, &place, &version, mirrored);
                    encoded.push(moments.with_context(|| format!("image {}", item.id))?);
                    done += 1;
                }
            }
            views.push(Shown {
                encoded,
                flips: c.flip,
                crops: c.random_crop,
                original: (item.height, item.width),
                place,
            });
        }
        step(total, total)?;
        Ok(Latents { views })
    }

    fn one(&self, item: &Item, place: &Assignment, version: &Version, mirrored: bool) -> Result<Moments> {
        let key = self.key(item, place, version, mirrored);
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
        let side = |image: Image| if mirrored { mirror(&image) } else { Ok(image) };
        let image = Image::open(&item.path, &DecodeLimits::default())?;
        let mut moments = self.encode(&side(version.apply(&image, place)?)?)?;
        if self.masked
            && let Some(mask) = &item.mask
        {
            let picture = (image.width, image.height);
            let image = open_mask(&mask.path, picture)?;
            let plain = Version { color: Color::Plain, ..*version };
            moments.mask = Some(self.cells(&side(plain.apply(&image, place)?)?, luminance));
        }
        if let Some(store) = self.store {
            store.put_record(KIND, &key, &write(&moments))?;
        }
        Ok(moments)
    }

    /// What the latents depend on.
    fn key(&self, item: &Item, place: &Assignment, version: &Version, mirrored: bool) -> String {
        let mut hash = Sha256::new();
        let (size, resized) = (place.bucket, place.resized);
        let mask = item.mask.as_ref().map_or("", |m| m.digest.as_str());
        let (image, vae, masked) = (&item.digest, self.digest, self.masked);
        hash.update(format!("2 {image} {vae} {size:?} {resized:?} {version:?} {mirrored} {masked} {mask}"));
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
        self.cells(image, |pixel| if pixel.len() == 4 { f32::from(pixel[3]) } else { 255.0 })
    }

    /// The mean of what `value` reads in the pixels below each number of the latent, as a share of 255.
    fn cells(&self, image: &Image, value: fn(&[u8]) -> f32) -> Vec<f32> {
        let f = self.vae.config().factor();
        let n = image.format.channels();
        let (w, h) = (image.width as usize / f, image.height as usize / f);
        let at = |x: usize, y: usize| value(&image.pixels[(y * image.width as usize + x) * n..][..n]);
        let cell = |i: usize| -> f32 {
            let (x, y) = (i % w * f, i / w * f);
            (0..f * f).map(|k| at(x + k % f, y + k / f)).sum()
        };
        (0..w * h).map(|i| cell(i) / (255 * f * f) as f32).collect()
    }
}

fn luminance(pixel: &[u8]) -> f32 {
    if pixel.len() < 3 {
        return f32::from(pixel[0]);
    }
    0.299 * f32::from(pixel[0]) + 0.587 * f32::from(pixel[1]) + 0.114 * f32::from(pixel[2])
}

/// A mask of the same shape as its picture; it may be smaller or larger.
fn open_mask(path: &Path, (width, height): (u32, u32)) -> Result<Image> {
    let image = Image::open(path, &DecodeLimits::default()).context("its mask")?;
    let shape = |w: u32, h: u32| f64::from(w) / f64::from(h);
    let off = (shape(image.width, image.height) / shape(width, height) - 1.0).abs();
    ensure!(
        off < 0.02,
        "its mask {} is {}×{}, the image {width}×{height}: they must have one shape",
        path.display(),
        image.width,
        image.height
    );
    Ok(image)
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
    use data::PixelFormat;

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
