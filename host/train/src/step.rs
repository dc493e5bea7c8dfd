//! One training step: noise onto latents, prediction, loss, gradients, update. The loop and the tests use the same.

use crate::diffusion::Path;
use crate::losses::{HuberSchedule, Loss, Prediction, Weighting, noise_scale};
use crate::networks::{Chance, Part, Trained};
use crate::optimizers::Optimize;
use crate::text_rows::join_rows;
use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use models::{Cond, Encoded, Network, PartStates, Texts};

/// What a step learns from. All tensors on the device of the model.
#[derive(Clone)]
pub struct Batch {
    /// Scaled latents without noise, (b, c, h, w).
    pub latents: Tensor,
    /// Noise, with its offset if any, (b, c, h, w).
    pub noise: Tensor,
    /// Noise that the network sees but is not told of, (b, c, h, w).
    pub hidden_noise: Option<Tensor>,
    /// One for each image: timesteps, or sigmas 0…1 for flow matching.
    pub times: Vec<f32>,
    pub text: Text,
    /// Original height and width, top and left of the crop, target height and width, in pixels, (b, 6); for families
    /// that take it.
    pub size: Option<Tensor>,
    /// How much of the loss counts where, 0..1, (b, 1, h, w).
    pub mask: Option<Tensor>,
    /// Weight of each image's loss.
    pub weights: Option<Vec<f32>>,
    /// Number of the batch in the run: what networks draw by chance depends on it.
    pub index: u64,
}

/// The prompts of a batch.
#[derive(Clone)]
pub enum Text {
    /// What the text encoders made of them.
    States {
        /// (b, n, d)
        context: Tensor,
        /// (b, d), for families that take it
        pooled: Option<Tensor>,
    },
    /// For each text encoder in the family's order, its tokens or what it made of them.
    Parts(Vec<PartText>),
}

/// The prompts of a batch for one text encoder.
#[derive(Clone)]
pub enum PartText {
    /// Token ids (b · rows, n), u32, to be encoded with the network that is trained.
    Ids(Tensor),
    /// From an encoder that is not trained.
    States(PartStates),
}

/// How a prediction is judged.
pub struct Objective {
    pub path: Path,
    pub prediction: Prediction,
    pub loss: &'static Loss,
    pub huber_c: f64,
    pub huber_schedule: HuberSchedule,
    pub weighting: &'static Weighting,
    pub min_snr_gamma: f64,
    /// Multiply by [`noise_scale`].
    pub like_noise: bool,
    /// Add the loss divided by [`noise_scale`], times this.
    pub v_like: f64,
    /// For networks that take a guidance.
    pub guidance: f64,
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
    /// As [`Self::network`]; without trained tensors if the text encoders are not trained.
    pub text: Texts,
    pub trained: Trained,
    pub optimizer: Box<dyn Optimize>,
    pub objective: Objective,
    /// Largest norm of the gradient; 0: any.
    pub max_grad_norm: f64,
    /// Batches of one optimizer step.
    pub accumulation: u64,
    /// Layers before the text encoders' end that the states are taken from; 1 is the last. None: the family's own.
    pub clip_skip: Option<usize>,
    /// Rows of token ids that each prompt has.
    pub rows: usize,
    /// Tells the networks which batch runs, for what they leave out by chance.
    pub chance: Chance,
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
            clip_skip: None,
            rows: 1,
            chance: Chance::new(0),
            grads,
        }
    }

    /// What the network makes of a batch, and what it should; both (b, c, h, w).
    pub fn predict(&self, batch: &Batch) -> Result<(Tensor, Tensor)> {
        let o = &self.objective;
        let seen = match &batch.hidden_noise {
            Some(hidden) => (&batch.noise + hidden)?,
            None => batch.noise.clone(),
        };
        let noisy = o.path.noisy(&batch.latents, &seen, &batch.times)?;
        let times = Tensor::from_slice(&batch.times, batch.times.len(), noisy.device())?;
        let prediction = self.network.forward(&noisy, &times, &self.cond(batch)?)?;
        let target = o.path.target(o.prediction, &batch.latents, &batch.noise, &batch.times)?;
        Ok((prediction, target))
    }

    /// The losses of a batch as a tensor to go backward from, and as numbers.
    pub fn forward(&self, batch: &Batch) -> Result<(Tensor, Losses)> {
        let (prediction, target) = self.predict(batch)?;
        let per_image = self.objective.losses(&prediction, &target, batch)?;
        let numbers: Vec<f32> = per_image.to_vec1()?;
        let loss = per_image.mean(0)?;
        let mean = f64::from(loss.to_scalar::<f32>()?);
        Ok((loss, Losses { mean, per_image: numbers }))
    }

    /// What leads the network.
    fn cond(&self, batch: &Batch) -> Result<Cond> {
        let Encoded { states, pooled } = match &batch.text {
            Text::States { context, pooled } => Encoded { states: context.clone(), pooled: pooled.clone() },
            Text::Parts(given) => {
                let parts = self.text.parts();
                ensure!(given.len() == parts.len(), "expected {} text encoders, found {}", parts.len(), given.len());
                let one = |(part, given): (&models::TextPart, &PartText)| match given {
                    PartText::Ids(ids) => join_rows(part.encode_ids(ids, self.clip_skip)?, self.rows),
                    PartText::States(states) => Ok(states.clone()),
                };
                self.text.combine(parts.iter().zip(given).map(one).collect::<Result<_>>()?)?
            }
        };
        let guidance = vec![self.objective.guidance as f32; batch.times.len()];
        let guidance = Tensor::from_vec(guidance, batch.times.len(), batch.latents.device())?;
        Ok(Cond { context: states, pooled, size: batch.size.clone(), guidance: Some(guidance) })
    }

    /// Adds a batch's gradients to those of this optimizer step.
    pub fn accumulate(&mut self, batch: &Batch) -> Result<Losses> {
        // Until the way back is done: checkpointing runs parts of the network again there.
        self.chance.at(Some(batch.index));
        let losses = self.accumulate_whole(batch);
        self.chance.at(None);
        losses
    }

    /// The same with nothing left out by chance.
    pub(crate) fn accumulate_whole(&mut self, batch: &Batch) -> Result<Losses> {
        let (loss, losses) = self.forward(batch)?;
        if !losses.mean.is_finite() {
            // Gradients of a broken loss would only hide which image broke it.
            return Ok(losses);
        }
        self.backward(&loss)?;
        Ok(losses)
    }

    /// Adds a loss's gradients to those of this optimizer step.
    pub fn backward(&mut self, loss: &Tensor) -> Result<()> {
        let store = models::backward(loss)?;
        let share = 1.0 / self.accumulation as f32;
        for (param, sum) in self.trained.params.iter().zip(&mut self.grads) {
            let Some(grad) = store.get(&param.var) else { continue };
            let grad: Vec<f32> = grad.flatten_all()?.to_vec1()?;
            for (s, g) in sum.iter_mut().zip(grad) {
                *s += g * share;
            }
        }
        Ok(())
    }

    /// The losses of a batch, nothing left out by chance.
    pub fn evaluate(&self, batch: &Batch) -> Result<Losses> {
        Ok(self.forward(batch)?.1)
    }

    /// Names of trained tensors that are not finite numbers any more.
    fn lost(&self) -> Vec<&str> {
        let params = self.trained.params.iter();
        params.filter(|p| p.values.iter().any(|v| !v.is_finite())).map(|p| p.name.as_str()).collect()
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
    pub(crate) fn broken(&self) -> Vec<&str> {
        let named = self.trained.params.iter().zip(&self.grads);
        named.filter(|(_, g)| g.iter().any(|v| !v.is_finite())).map(|(p, _)| p.name.as_str()).collect()
    }

    /// Forgets the gradients.
    pub fn clear(&mut self) {
        self.grads.iter_mut().for_each(|g| g.fill(0.0));
    }

    /// Clips, updates all tensors, and forgets the gradients; gives the norm before clipping. `lrs` are the learning
    /// rates of the parts. Clipping as torch.nn.utils.clip_grad_norm_.
    ///
    /// # Errors
    /// A gradient is not finite: nothing is changed. A weight is not finite afterwards.
    pub fn update(&mut self, lrs: &Lrs) -> Result<f64> {
        let broken = self.broken();
        if let Some(first) = broken.first() {
            bail!("the gradient of {} tensors is not finite, the first is `{first}`", broken.len());
        }
        let norm = self.grad_norm();
        if self.max_grad_norm > 0.0 {
            let factor = (self.max_grad_norm / (norm + 1e-6)).min(1.0) as f32;
            self.grads.iter_mut().flatten().for_each(|g| *g *= factor);
        }
        let rates: Vec<f64> = self.trained.params.iter().map(|p| lrs.of(p.part) * p.rate).collect();
        let mut values: Vec<&mut [f32]> = self.trained.params.iter_mut().map(|p| p.values.as_mut_slice()).collect();
        let grads: Vec<&[f32]> = self.grads.iter().map(Vec::as_slice).collect();
        self.optimizer.step(&mut values, &grads, &rates);
        for param in &self.trained.params {
            param.publish()?;
        }
        self.clear();
        let lost = self.lost();
        if let Some(first) = lost.first() {
            bail!("{} tensors are not finite numbers after the update, the first is `{first}`", lost.len());
        }
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
#[derive(Clone, Debug, PartialEq)]
pub struct Lrs {
    /// For each text encoder in the family's order; the last holds for those behind it.
    pub texts: Vec<f64>,
    pub network: f64,
}

impl Lrs {
    fn of(&self, part: Part) -> f64 {
        match part {
            Part::Text(i) => self.texts.get(i).or(self.texts.last()).copied().unwrap_or(self.network),
            Part::Network => self.network,
        }
    }
}

impl Objective {
    /// Weight of the loss at a time, without that of the image.
    pub fn weight(&self, time: f32) -> f64 {
        let snr = self.path.snr(time);
        let mut weight = (self.weighting.weight)(snr, self.prediction, self.min_snr_gamma);
        if self.like_noise {
            weight *= noise_scale(snr);
        }
        if self.v_like > 0.0 {
            weight *= 1.0 + self.v_like / noise_scale(snr);
        }
        weight
    }

    /// Loss of each image, (b,).
    fn losses(&self, prediction: &Tensor, target: &Tensor, batch: &Batch) -> Result<Tensor> {
        let (n, device) = (batch.times.len(), prediction.device());
        let c = batch.times.iter().map(|&t| {
            let (place, snr) = (self.path.share(t), self.path.snr(t));
            self.huber_schedule.c(self.huber_c, place, snr) as f32
        });
        let c = Tensor::from_iter(c, device)?.reshape((n, 1, 1, 1))?;
        let mut loss = (self.loss.apply)(prediction, target, &c)?;
        if let Some(mask) = &batch.mask {
            loss = loss.broadcast_mul(mask)?;
        }
        let weights = batch.times.iter().enumerate().map(|(i, &t)| {
            let own = batch.weights.as_ref().map_or(1.0, |w| w[i]);
            own * self.weight(t) as f32
        });
        let weights = Tensor::from_iter(weights, device)?;
        // (b, c·h·w) → (b,)
        Ok((loss.flatten_from(1)?.mean(1)? * weights)?)
    }
}
