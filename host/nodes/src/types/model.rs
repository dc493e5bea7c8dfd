use models::{Betas, Family, Prediction, TextEncoder, UNet, Vae};
use sample::SigmaTable;
use spec::ObjectType;

/// The network that denoises, perhaps with LoRAs on it.
#[derive(Clone)]
pub struct Model {
    pub unet: UNet,
    pub family: &'static Family,
    /// The folder's or file's name.
    pub name: String,
    /// Identity of the base's weights.
    pub digest: String,
    /// What the network predicts.
    pub prediction: Prediction,
    /// The noise schedule of its training.
    pub betas: Betas,
    /// The text encoder that it came with: the keys of a LoRA file are matched with both networks.
    pub base_text: TextEncoder,
}

impl Model {
    /// The noise levels that it was trained on.
    pub(crate) fn sigma_table(&self) -> SigmaTable {
        let Betas { start, end, steps, scaled } = self.betas;
        if scaled { SigmaTable::scaled_linear(start, end, steps) } else { SigmaTable::linear(start, end, steps) }
    }

    /// What the network predicts, as the samplers call it.
    pub(crate) fn sampler_prediction(&self) -> sample::Prediction {
        match self.prediction {
            Prediction::Epsilon => sample::Prediction::Epsilon,
            Prediction::Velocity => sample::Prediction::V,
        }
    }
}

impl ObjectType for Model {
    const SOCKET: &'static str = "MODEL";
}

/// The text encoder, perhaps with LoRAs on it.
#[derive(Clone)]
pub struct Clip {
    pub text: TextEncoder,
    /// Which of the last layers conditions the network: 1 is the last.
    pub skip: usize,
}

impl ObjectType for Clip {
    const SOCKET: &'static str = "CLIP";
}

/// The autoencoder between pictures and latents.
#[derive(Clone)]
pub struct VaeModel {
    pub vae: Vae,
}

impl ObjectType for VaeModel {
    const SOCKET: &'static str = "VAE";
}
