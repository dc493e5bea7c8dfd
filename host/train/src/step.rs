//! One training step: noise onto latents, prediction, loss, gradients, update. The loop and the tests use the same.

use crate::diffusion::NoiseSchedule;
use crate::losses::{HuberSchedule, Loss, Prediction, Weighting};
use crate::networks::{Part, Trained};
use crate::optimizers::Optimize;
use crate::text_rows::join_rows;
use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use models::{Cond, Network, Texts};

/// What a step learns from. All tensors on the device of the model.
pub struct Batch {
    /// Scaled latents without noise, (b, c, h, w).
    pub latents: Tensor,
    /// Noise, with its offset if any, (b, c, h, w).
    pub noise: Tensor,
    /// One for each image.
    pub timesteps: Vec<u32>,
    pub text: Text,
    /// How much of the loss counts where, 0..1, (b, 1, h, w).
    pub mask: Option<Tensor>,
    /// Weight of each image's loss.
    pub weights: Option<Vec<f32>>,
}

/// The prompts of a batch.
pub enum Text {
    /// What the text encoder made of them, (b, n, d).
    States(Tensor),
    /// Token ids (b · rows, n), u32, to be encoded with the network that is trained.
    Ids(Tensor),
}

/// How a prediction is judged.
pub struct Objective {
    pub noise: NoiseSchedule,
    pub prediction: Prediction,
    pub loss: &'static Loss,
    pub huber_c: f64,
    pub huber_schedule: HuberSchedule,
    pub weighting: &'static Weighting,
    pub min_snr_gamma: f64,
}

/// Losses of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Losses {
    /// Mean over the images, with their weights.
    pub mean: f64,
    /// For each image, with its weight.
    pub per_image: Vec<f32>,
}

/// A network in training.
pub struct Trainer {
    /// The base with the network applied.
    pub network: Network,
    /// As [`Self::network`]; without trained tensors if the text encoder is not trained.
    pub text: Texts,
    pub trained: Trained,
    pub optimizer: Box<dyn Optimize>,
    pub objective: Objective,
    /// Largest norm of the gradient; 0: any.
    pub max_grad_norm: f64,
    /// Batches of one optimizer step.
    pub accumulation: u64,
    /// Layers before the text encoder's end that the states are taken from; 1 is the last.
    pub clip_skip: usize,
    /// Rows of token ids that each prompt has.
    pub rows: usize,
    /// Sum of the gradients since the last update, in the order of the trained tensors.
    grads: Vec<Vec<f32>>,
}

impl Trainer {
    /// Everything in its place before the first step.
    pub fn new(
        network: Network,
        text: Texts,
        trained: Trained,
        optimizer: Box<dyn Optimize>,
        objective: Objective,
    ) -> Self {
        let grads = trained.params.iter().map(|p| vec![0.0; p.values.len()]).collect();
        Self {
            network,
            text,
            trained,
            optimizer,
            objective,
            max_grad_norm: 1.0,
            accumulation: 1,
            clip_skip: 1,
            rows: 1,
            grads,
        }
    }

    /// The losses of a batch as a tensor to go backward from, and as numbers.
    pub fn forward(&self, batch: &Batch) -> Result<(Tensor, Losses)> {
        let context = match &batch.text {
            Text::States(states) => states.clone(),
            Text::Ids(ids) => {
                let part = self.text.parts().first().context("a base without a text encoder")?;
                let states = join_rows(part.encode_ids(ids, Some(self.clip_skip))?, self.rows)?;
                self.text.combine(vec![states])?.states
            }
        };
        let o = &self.objective;
        let noisy = o.noise.add_noise(&batch.latents, &batch.noise, &batch.timesteps)?;
        let times = Tensor::from_iter(batch.timesteps.iter().map(|&t| t as f32), noisy.device())?;
        let prediction = self.network.forward(&noisy, &times, &Cond::text(context))?;
        let target = o.noise.target(o.prediction, &batch.latents, &batch.noise, &batch.timesteps)?;
        let per_image = o.losses(&prediction, &target, batch)?;
        let numbers: Vec<f32> = per_image.to_vec1()?;
        let loss = per_image.mean(0)?;
        let mean = f64::from(loss.to_scalar::<f32>()?);
        Ok((loss, Losses { mean, per_image: numbers }))
    }

    /// Adds a batch's gradients to those of this optimizer step.
    pub fn accumulate(&mut self, batch: &Batch) -> Result<Losses> {
        let (loss, losses) = self.forward(batch)?;
        if !losses.mean.is_finite() {
            // Gradients of a broken loss would only hide which image broke it.
            return Ok(losses);
        }
        let store = models::backward(&loss)?;
        let share = 1.0 / self.accumulation as f32;
        for (param, sum) in self.trained.params.iter().zip(&mut self.grads) {
            let Some(grad) = store.get(&param.var) else { continue };
            let grad: Vec<f32> = grad.flatten_all()?.to_vec1()?;
            for (s, g) in sum.iter_mut().zip(grad) {
                *s += g * share;
            }
        }
        Ok(losses)
    }

    /// Gradients so far, in the order of the trained tensors.
    pub fn gradients(&self) -> &[Vec<f32>] {
        &self.grads
    }

    /// Norm of the whole gradient.
    pub fn grad_norm(&self) -> f64 {
        let square = |g: &Vec<f32>| g.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
        self.grads.iter().map(square).sum::<f64>().sqrt()
    }

    /// Names of tensors whose gradient is not a number, or infinite.
    pub fn broken(&self) -> Vec<&str> {
        let named = self.trained.params.iter().zip(&self.grads);
        named.filter(|(_, g)| g.iter().any(|v| !v.is_finite())).map(|(p, _)| p.name.as_str()).collect()
    }

    /// Forgets the gradients.
    pub fn clear(&mut self) {
        self.grads.iter_mut().for_each(|g| g.fill(0.0));
    }

    /// Clips, updates all tensors, and forgets the gradients; gives the norm before clipping. `lrs` are the learning
    /// rates of text encoder and UNet. Clipping as torch.nn.utils.clip_grad_norm_.
    pub fn update(&mut self, lrs: Lrs) -> Result<f64> {
        let norm = self.grad_norm();
        if self.max_grad_norm > 0.0 {
            let factor = (self.max_grad_norm / (norm + 1e-6)).min(1.0) as f32;
            self.grads.iter_mut().flatten().for_each(|g| *g *= factor);
        }
        let rates: Vec<f64> = self.trained.params.iter().map(|p| lrs.of(p.part)).collect();
        let mut values: Vec<&mut [f32]> = self.trained.params.iter_mut().map(|p| p.values.as_mut_slice()).collect();
        let grads: Vec<&[f32]> = self.grads.iter().map(Vec::as_slice).collect();
        self.optimizer.step(&mut values, &grads, &rates);
        for param in &self.trained.params {
            param.publish()?;
        }
        self.clear();
        Ok(norm)
    }

    /// Replaces a trained tensor's values.
    pub fn set(&mut self, name: &str, values: Vec<f32>) -> Result<()> {
        let Some(param) = self.trained.params.iter_mut().find(|p| p.name == name) else {
            bail!("no trained tensor is named `{name}`");
        };
        ensure!(values.len() == param.values.len(), "`{name}`: expected {} numbers", param.values.len());
        param.values = values;
        param.publish().with_context(|| name.to_owned())
    }

    /// The device that the model computes on.
    pub fn device(&self) -> Device {
        self.trained.params.first().map_or(Device::Cpu, |p| p.var.device().clone())
    }
}

/// Learning rates of the parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lrs {
    pub text_encoder: f64,
    pub unet: f64,
}

impl Lrs {
    fn of(self, part: Part) -> f64 {
        match part {
            Part::TextEncoder => self.text_encoder,
            Part::Unet => self.unet,
        }
    }
}

impl Objective {
    /// Loss of each image, (b,).
    fn losses(&self, prediction: &Tensor, target: &Tensor, batch: &Batch) -> Result<Tensor> {
        let (n, device) = (batch.timesteps.len(), prediction.device());
        let c = batch.timesteps.iter().map(|&t| {
            let bar = self.noise.alpha_bar(t);
            self.huber_schedule.c(self.huber_c, t, self.noise.len(), bar) as f32
        });
        let c = Tensor::from_iter(c, device)?.reshape((n, 1, 1, 1))?;
        let mut loss = (self.loss.apply)(prediction, target, &c)?;
        if let Some(mask) = &batch.mask {
            loss = loss.broadcast_mul(mask)?;
        }
        let weights = batch.timesteps.iter().enumerate().map(|(i, &t)| {
            let own = batch.weights.as_ref().map_or(1.0, |w| w[i]);
            own * (self.weighting.weight)(self.noise.snr(t), self.prediction, self.min_snr_gamma) as f32
        });
        let weights = Tensor::from_iter(weights, device)?;
        // (b, c·h·w) → (b,)
        Ok((loss.flatten_from(1)?.mean(1)? * weights)?)
    }
}
