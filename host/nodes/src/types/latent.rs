use candle_core::Tensor;
use spec::ObjectType;

/// Compressed pictures, as the VAE has them; samplers scale them to a variance of about 1 and back.
#[derive(Clone, Debug)]
pub struct Latent {
    /// (b, c, h, w): the channels and the scale of the sides are the family's.
    pub samples: Tensor,
    /// Where samplers make the picture anew (1) and where they keep it (0): (b or 1, 1, H, W), of any size; it is
    /// stretched over the latent.
    pub noise_mask: Option<Tensor>,
    /// For each picture its number in the batch that it was taken from: it gets the noise of that number.
    pub batch_index: Option<Vec<usize>>,
}

impl Latent {
    /// Latents without mask, numbered from 0.
    pub fn new(samples: Tensor) -> Self {
        Self { samples, noise_mask: None, batch_index: None }
    }

    /// For each picture the number whose noise it gets.
    pub fn numbers(&self) -> candle_core::Result<Vec<usize>> {
        let count = self.samples.dim(0)?;
        Ok(self.batch_index.clone().filter(|n| n.len() == count).unwrap_or_else(|| (0..count).collect()))
    }

    /// The same mask and numbers with other samples.
    pub fn with(&self, samples: Tensor) -> Self {
        Self { samples, ..self.clone() }
    }
}

impl ObjectType for Latent {
    const SOCKET: &'static str = "LATENT";
}
