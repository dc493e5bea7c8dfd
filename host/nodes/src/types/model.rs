use models::{Family, TextEncoder, UNet, Vae};
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
}

impl ObjectType for Model {
    const SOCKET: &'static str = "MODEL";
}

/// The text encoder, perhaps with LoRAs on it.
#[derive(Clone)]
pub struct Clip {
    pub text: TextEncoder,
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
