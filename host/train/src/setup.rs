//! From a base and a configuration to a network in training.

use crate::diffusion::{NoiseSchedule, Path};
use crate::losses::Prediction;
use crate::networks::{self, Attached};
use crate::plan::Needs;
use crate::step::{Objective, Trainer};
use crate::text_rows::check_rows;
use crate::{Config, losses};
use anyhow::{Result, bail, ensure};
use models::{Family, Latent, Network, Noise, Texts, Vae};

/// The frozen model that is trained on.
#[derive(Clone)]
pub struct Base {
    pub network: Network,
    pub text: Texts,
    pub vae: Vae,
    /// The scale of its latents.
    pub latent: Latent,
    pub family: &'static Family,
    /// What the network outputs.
    pub prediction: models::Prediction,
    /// The noise of its training.
    pub noise: Noise,
    /// For metadata: the folder's or file's name.
    pub name: String,
    /// Identity of the weights.
    pub digest: String,
}

impl Base {
    /// A loaded model as a base to train on.
    pub fn new(loaded: &models::Loaded, name: &str) -> Self {
        Self {
            network: loaded.network.clone(),
            text: loaded.text.clone(),
            vae: loaded.vae.clone(),
            latent: loaded.latent,
            family: loaded.family,
            prediction: loaded.prediction,
            noise: loaded.noise,
            name: name.to_owned(),
            digest: loaded.digest.clone(),
        }
    }

    /// What the network outputs, unless a configuration says otherwise, and the way between picture and noise.
    ///
    /// # Errors
    /// They do not fit together.
    pub fn path(&self, config: &Config) -> Result<(Prediction, Path)> {
        path(config, self.family, self.prediction, self.noise)
    }
}

/// What a network of a family outputs, unless a configuration says otherwise, and the way between picture and noise.
pub(crate) fn path(
    config: &Config,
    family: &Family,
    prediction: models::Prediction,
    noise: Noise,
) -> Result<(Prediction, Path)> {
    let own = match prediction {
        models::Prediction::Epsilon => Prediction::Epsilon,
        models::Prediction::Velocity => Prediction::V,
        models::Prediction::Flow => Prediction::Flow,
    };
    let prediction = config.noise.prediction.unwrap_or(own);
    match noise {
        Noise::Betas(betas) if !prediction.is_flow() => {
            let zero_snr = config.noise.zero_terminal_snr.unwrap_or(betas.zero_snr);
            ensure!(
                !zero_snr || prediction == Prediction::V,
                "`zero_terminal_snr`: only a network that predicts v can learn from pure noise, this one predicts \
                 {prediction:?}"
            );
            Ok((prediction, Path::Betas(NoiseSchedule::new(models::Betas { zero_snr, ..betas }))))
        }
        Noise::Flow { .. } if prediction.is_flow() => {
            let (n, l) = (&config.noise, &config.loss);
            ensure!(n.zero_terminal_snr.is_none(), "`zero_terminal_snr`: {} has no betas", family.name);
            ensure!(
                !l.scale_v_pred_loss_like_noise_pred && l.v_pred_like_loss == 0.0,
                "`scale_v_pred_loss_like_noise_pred` and `v_pred_like_loss` are for networks that predict noise or v"
            );
            Ok((prediction, Path::Flow))
        }
        _ => bail!("`prediction`: {} cannot be trained to predict {prediction:?}", family.name),
    }
}

impl Base {
    /// What the base needs of its pictures.
    pub fn needs(&self) -> Needs {
        let takes = self.network.takes();
        let step = (self.vae.config().factor() * takes.multiple) as u32;
        let sample = takes.side.map(|n| (n * self.vae.config().factor()) as u32);
        Needs { resolution: sample.unwrap_or(self.family.side as u32), step }
    }
}

/// The network that a configuration asks for, applied to the base.
pub fn trainer(config: &Config, base: &Base) -> Result<Trainer> {
    assemble(config, &base.network, &base.text, base.path(config)?)
}

/// The network that a configuration asks for, applied to a network and its text encoders, if it has any.
pub(crate) fn assemble(
    config: &Config,
    base: &Network,
    texts: &Texts,
    (prediction, path): (Prediction, Path),
) -> Result<Trainer> {
    config.check()?;
    check_rows(texts, config.captions.rows())?;
    let Attached { network, text, trained, chance } = networks::attach(config, base, texts)?;
    let optimizer = config.optimizer.build(&trained.shapes())?;
    let network = config.memory.apply(&network)?;
    let mut trainer = Trainer::new(network, text, trained, optimizer, objective(config, prediction, path)?);
    trainer.max_grad_norm = config.optimizer.max_grad_norm;
    trainer.accumulation = config.run.gradient_accumulation;
    trainer.clip_skip = config.captions.clip_skip;
    trainer.chance = chance;
    trainer.rows = config.captions.rows();
    Ok(trainer)
}

/// The text encoders that are trained, if any are: those with a length, whose states end with the prompt. T5 is too
/// large and too well-read to gain from a few pictures; trainers leave it out.
pub(crate) fn trained_texts(texts: &Texts) -> Vec<usize> {
    let parts = texts.parts().iter().enumerate();
    parts.filter(|(_, part)| part.tokens().length().is_some()).map(|(i, _)| i).collect()
}

fn objective(config: &Config, prediction: Prediction, path: Path) -> Result<Objective> {
    let weighting = losses::find_weighting(config.loss.weighting(prediction))?;
    ensure!(
        (weighting.suits)(prediction),
        "`loss_weighting`: `{}` means nothing for a network that predicts {prediction:?}",
        weighting.name
    );
    Ok(Objective {
        path,
        prediction,
        loss: losses::find(&config.loss.kind)?,
        huber_c: config.loss.huber_c,
        huber_schedule: config.loss.huber_schedule,
        weighting,
        min_snr_gamma: config.loss.min_snr_gamma,
        like_noise: config.loss.scale_v_pred_loss_like_noise_pred,
        v_like: config.loss.v_pred_like_loss,
        guidance: config.noise.guidance_scale,
    })
}
