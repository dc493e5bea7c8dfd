use super::settings::Settings;
use crate::types::{Clip, Model, TrainOptions, VaeModel};
use anyhow::Result;
use data::Dataset;
use engine::Context;
use spec::Inputs;
use std::sync::Arc;
use train::{Base, Config};

/// What is trained on what, and how.
#[derive(Inputs)]
pub(crate) struct Job {
    /// The base to train on.
    model: Arc<Model>,
    /// Its text encoder.
    clip: Arc<Clip>,
    /// Its autoencoder.
    vae: Arc<VaeModel>,
    /// The pictures with their captions.
    pub(super) dataset: Arc<Dataset>,
    #[input(flatten)]
    settings: Settings,
    /// Settings of option nodes and presets. A widget that has been changed counts as a setting too; two different
    /// values of one setting are an error, only presets give way.
    #[input(optional)]
    options: Option<Arc<TrainOptions>>,
}

impl Job {
    /// All settings together.
    pub(super) fn config(&self, ctx: &Context) -> Result<Config> {
        self.settings.config(ctx, self.options.as_deref())
    }

    /// The model as the sampling nodes take it.
    pub(super) fn parts(&self) -> (Arc<Model>, Arc<Clip>, Arc<VaeModel>) {
        (self.model.clone(), self.clip.clone(), self.vae.clone())
    }

    /// The model as the trainer takes it.
    pub(super) fn base(&self) -> Result<Base> {
        Ok(Base {
            network: self.model.network.clone(),
            text: self.clip.text.clone(),
            vae: self.vae.vae.clone(),
            latent: self.model.latent,
            family: self.model.family,
            prediction: self.model.prediction,
            noise: self.model.noise,
            name: self.model.name.clone(),
            digest: self.model.digest.clone(),
        })
    }
}
