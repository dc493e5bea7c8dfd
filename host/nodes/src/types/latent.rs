use candle_core::Tensor;
use spec::ObjectType;

/// Compressed pictures, as the network and the samplers have them: scaled to a variance of about 1.
#[derive(Clone, Debug)]
pub struct Latent {
    /// (b, 4, h/8, w/8)
    pub samples: Tensor,
}

impl ObjectType for Latent {
    const SOCKET: &'static str = "LATENT";
}
