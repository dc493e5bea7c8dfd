use models::{Betas, Family, Latent, Network, Noise, Prediction, Texts, Vae};
use sample::SigmaTable;
use spec::ObjectType;

/// The network that denoises, perhaps with LoRAs on it.
#[derive(Clone)]
pub struct Model {
    pub network: Network,
    pub family: &'static Family,
    /// The folder's or file's name.
    pub name: String,
    /// Identity of the base's weights.
    pub digest: String,
    /// What the network predicts.
    pub prediction: Prediction,
    /// The noise of its training.
    pub noise: Noise,
    /// Its latents: samplers work on them scaled, links carry them as the VAE has them.
    pub latent: Latent,
    /// The text encoders that it came with: the keys of a LoRA file are matched with all networks. None if it was
    /// loaded from a file of its own.
    pub base_text: Option<Texts>,
    /// Noise levels that a node gave it instead of those of its training.
    pub sampling: Option<SigmaTable>,
    /// What the network predicts, if a node said so instead of its file.
    pub predicts: Option<sample::Prediction>,
    /// The greys of noise masks say from when on a part is made; share of the sharp mask (DifferentialDiffusion).
    pub differential: Option<f64>,
}

/// ᾱ of the last timestep where training had none left, as ComfyUI has it.
const LAST_SIGNAL: f64 = 4.8973451890853435e-8;

impl Model {
    /// Its noise levels.
    pub(crate) fn sigma_table(&self) -> SigmaTable {
        if let Some(table) = &self.sampling {
            return table.clone();
        }
        match self.noise {
            Noise::Betas(Betas { start, end, steps, scaled, zero_snr }) => {
                let table = if scaled { SigmaTable::scaled_linear } else { SigmaTable::linear };
                let table = table(start, end, steps);
                if zero_snr { table.zero_terminal_snr(LAST_SIGNAL) } else { table }
            }
            Noise::Flow { shift } => SigmaTable::flow(shift),
        }
    }

    /// What the network predicts, as the samplers call it.
    pub(crate) fn sampler_prediction(&self) -> sample::Prediction {
        if let Some(predicts) = self.predicts {
            return predicts;
        }
        match self.prediction {
            Prediction::Epsilon => sample::Prediction::Epsilon,
            Prediction::Velocity => sample::Prediction::V,
            Prediction::Flow => sample::Prediction::Flow,
        }
    }
}

impl ObjectType for Model {
    const SOCKET: &'static str = "MODEL";
}

/// The text encoders, perhaps with LoRAs on them.
#[derive(Clone)]
pub struct Clip {
    pub text: Texts,
    /// Which of the last layers conditions the network: 1 is the last. None: the one that the family reads.
    pub skip: Option<usize>,
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
