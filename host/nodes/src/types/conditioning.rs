use candle_core::Tensor;
use spec::ObjectType;

/// A prompt as the network reads it.
#[derive(Clone, Debug)]
pub struct Conditioning {
    /// Text states, (1, n, d): n is 77 per chunk of the prompt.
    pub states: Tensor,
}

impl ObjectType for Conditioning {
    const SOCKET: &'static str = "CONDITIONING";
}
