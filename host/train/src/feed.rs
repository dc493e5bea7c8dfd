//! Batches as tensors: latents with the VAE's own noise, noise, times and prompts, all drawn from streams that depend on
//! the number of the batch alone.

use crate::Config;
use crate::batches::{Batches, Slice};
use crate::captions::Captions;
use crate::dice::{Dice, Purpose, Stream};
use crate::diffusion::Path;
use crate::images::{Latents, Pick};
use crate::losses::Prediction;
use crate::noises::{pyramid, with_adaptive_offset, with_offset};
use crate::prompts::Prompts;
use crate::step::Batch;
use crate::time_samplings::{self, Draw};
use anyhow::{Result, bail, ensure};
use candle_core::{Device, Tensor};
use data::Dataset;
use std::cell::RefCell;
use std::rc::Rc;

pub(crate) struct Feed<'a> {
    pub(crate) config: &'a Config,
    pub(crate) dataset: &'a Dataset,
    pub(crate) latents: Latents,
    /// Shared by the feeds of a run.
    pub(crate) prompts: Rc<RefCell<Prompts<'a>>>,
    pub(crate) batches: Batches,
    pub(crate) captions: Captions,
    pub(crate) path: Path,
    pub(crate) prediction: Prediction,
    /// Timesteps that may be drawn: from, to (not included).
    pub(crate) timesteps: (u32, u32),
    /// Is the network told the pictures' sizes?
    pub(crate) sizes: bool,
    pub(crate) device: Device,
}

impl Feed<'_> {
    /// The tensors of a batch.
    pub(crate) fn batch(&mut self, slice: &Slice, step: u64) -> Result<Batch> {
        let latents = self.latents(slice)?;
        let noise = self.noise(slice.index, &latents)?;
        let prompts = self.captions.draw(slice, step, self.config.run.seed);
        Ok(Batch {
            hidden_noise: self.hidden_noise(slice.index, &latents)?,
            times: self.times(slice, &latents)?,
            text: self.prompts.borrow_mut().text(&prompts)?,
            size: self.sizes(slice)?,
            mask: self.mask(slice)?,
            weights: self.batches.weights(slice),
            index: slice.index,
            latents,
            noise,
        })
    }

    /// An image as it is, at a share 0…1 of the timesteps, with noise that depends on `index` alone.
    pub(crate) fn still(&mut self, item: usize, share: f64, index: u64) -> Result<Batch> {
        let Some(view) = self.batches.views.iter().position(|view| view.item == item) else {
            bail!("image {} is in no bucket", self.dataset.items[item].id);
        };
        let Pick { moments, size } = self.latents.plain(view);
        let (c, h, w) = moments.shape;
        let tensor = |values: Vec<f32>, dims: &[usize]| Tensor::from_vec(values, dims, &self.device);
        let mask = moments.mask.clone().map(|mask| tensor(mask, &[1, 1, h, w])).transpose()?;
        let latents = tensor(moments.mean.clone(), &[1, c, h, w])?;
        let noise = tensor(self.stream(Purpose::Validation, index).normals(c * h * w), &[1, c, h, w])?;
        let size = if self.sizes { Some(tensor(size.to_vec(), &[1, 6])?) } else { None };
        let prompt = self.captions.whole(item);
        let times = vec![self.path.time(share, self.timesteps)];
        let text = self.prompts.borrow_mut().text(&[prompt])?;
        Ok(Batch { latents, noise, hidden_noise: None, times, text, size, mask, weights: None, index: 0 })
    }

    fn picks(&self, slice: &Slice) -> Vec<Pick<'_>> {
        self.latents.pick(slice, self.config.run.seed)
    }

    fn stream(&self, purpose: Purpose, index: u64) -> Stream {
        Stream::new(self.config.run.seed, purpose, index)
    }

    /// (b, c, h, w)
    fn latents(&self, slice: &Slice) -> Result<Tensor> {
        let picks = self.picks(slice);
        let moments: Vec<_> = picks.iter().map(|p| p.moments).collect();
        let mut dice = self.stream(Purpose::Latent, slice.index);
        let mut values = Vec::new();
        for m in &moments {
            values.extend(m.mean.iter().zip(&m.spread).map(|(mean, spread)| mean + spread * dice.normal() as f32));
        }
        let Some((c, h, w)) = moments.first().map(|m| m.shape) else { bail!("a batch without images") };
        ensure!(moments.iter().all(|m| m.shape == (c, h, w)), "a batch with latents of different sizes");
        Ok(Tensor::from_vec(values, (moments.len(), c, h, w), &self.device)?)
    }

    fn noise(&self, index: u64, latents: &Tensor) -> Result<Tensor> {
        let (b, c, ..) = latents.dims4()?;
        let o = &self.config.noise;
        let noise = self.stream(Purpose::Noise, index).normals(latents.elem_count());
        let noise = Tensor::from_vec(noise, latents.dims(), &self.device)?;
        if o.noise_offset > 0.0 || o.adaptive_noise_scale != 0.0 {
            let mut dice = self.stream(Purpose::NoiseOffset, index);
            let offset = Tensor::from_vec(dice.normals(b * c), (b, c, 1, 1), &self.device)?;
            let strength = if o.noise_offset_random { o.noise_offset * dice.unit() } else { o.noise_offset };
            return Ok(if o.adaptive_noise_scale == 0.0 {
                with_offset(&noise, &offset, strength)?
            } else {
                with_adaptive_offset(&noise, &offset, strength, latents, o.adaptive_noise_scale)?
            });
        }
        if o.pyramid_noise_levels > 0 {
            let (mut sizes, mut coarse) =
                (self.stream(Purpose::PyramidSize, index), self.stream(Purpose::Pyramid, index));
            let (levels, discount) = (o.pyramid_noise_levels, o.pyramid_noise_discount);
            return pyramid(&noise, levels, discount, &mut || sizes.unit(), &mut |n| coarse.normals(n));
        }
        Ok(noise)
    }

    /// Noise that the network is not told of, if there is any.
    fn hidden_noise(&self, index: u64, latents: &Tensor) -> Result<Option<Tensor>> {
        let o = &self.config.noise;
        if o.ip_noise_gamma == 0.0 {
            return Ok(None);
        }
        let mut dice = self.stream(Purpose::HiddenNoise, index);
        let noise = Tensor::from_vec(dice.normals(latents.elem_count()), latents.dims(), &self.device)?;
        let strength = if o.ip_noise_gamma_random { o.ip_noise_gamma * dice.unit() } else { o.ip_noise_gamma };
        Ok(Some((noise * strength)?))
    }

    fn times(&self, slice: &Slice, latents: &Tensor) -> Result<Vec<f32>> {
        let row = time_samplings::find(self.config.noise.timestep_sampling(self.prediction))?;
        let (_, _, h, w) = latents.dims4()?;
        let shape = self.config.noise.time_shape(h.div_ceil(2) * w.div_ceil(2));
        let mut dice = self.stream(Purpose::Timestep, slice.index);
        let one = |_: &usize| {
            let draw = match row.draw {
                Draw::Uniform => dice.unit(),
                Draw::Normal => dice.normal(),
            };
            self.path.time((row.place)(draw, &shape), self.timesteps)
        };
        Ok(slice.items.iter().map(one).collect())
    }

    /// (b, 6)
    fn sizes(&self, slice: &Slice) -> Result<Option<Tensor>> {
        if !self.sizes {
            return Ok(None);
        }
        let all: Vec<f32> = self.picks(slice).iter().flat_map(|pick| pick.size).collect();
        Ok(Some(Tensor::from_vec(all, (slice.items.len(), 6), &self.device)?))
    }

    fn mask(&self, slice: &Slice) -> Result<Option<Tensor>> {
        let picks = self.picks(slice);
        let moments: Vec<_> = picks.iter().map(|p| p.moments).collect();
        let Some(masks) = moments.iter().map(|m| m.mask.clone()).collect::<Option<Vec<_>>>() else { return Ok(None) };
        let (_, h, w) = moments[0].shape;
        Ok(Some(Tensor::from_vec(masks.concat(), (moments.len(), 1, h, w), &self.device)?))
    }

    /// One note about all captions that are longer than the text encoders read.
    pub(crate) fn cut_captions(&self) -> Result<Option<String>> {
        let (mut cut, mut worst) = (Vec::new(), 0);
        for (item, caption) in self.dataset.items.iter().zip(self.captions.all()) {
            let lost = self.prompts.borrow().lost(&caption)?;
            if lost > 0 {
                cut.push(item.id.as_str());
                worst = worst.max(lost);
            }
        }
        let Some(first) = cut.first() else { return Ok(None) };
        let count = cut.len();
        Ok(Some(format!(
            "{count} captions are too long and lose up to {worst} tokens at their end, {first} among them"
        )))
    }
}
