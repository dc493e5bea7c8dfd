//! What a run may take of memory.

use super::{Problems, Section};
use anyhow::Result;
use models::{Memory, Network, Width};
use serde::{Deserialize, Serialize};

/// What a run may take of memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryOptions {
    /// Keep only the inputs of the network's blocks, and run each block again on the way back: much less memory for about
    /// a third more time, and the same gradients up to rounding. Default false.
    pub gradient_checkpointing: bool,
    /// How the frozen weights of the network lie in memory: `as-is`: as their file has them; `f32`; `bf16`; `fp8` (e4m3 with
    /// a scale for each row). They are widened a layer at a time; what is trained and all that is computed is f32. `bf16`
    /// and `fp8` round the weights of a wider file. Default `as-is`.
    pub base_dtype: BaseDtype,
    /// How much of the network's frozen weights stays in memory: up to 1 a share of them, above that bytes. The others are
    /// read from the file again whenever they are needed, as block swapping does. Default: all, within the program's own
    /// budget.
    pub base_memory: Option<f64>,
}

/// How frozen weights lie in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BaseDtype {
    /// As their file has them.
    #[default]
    #[serde(rename = "as-is")]
    AsIs,
    /// Widened once.
    #[serde(rename = "f32")]
    F32,
    /// At most 16 bits.
    #[serde(rename = "bf16")]
    Bf16,
    /// 8 bits and a scale for each row.
    #[serde(rename = "fp8")]
    Fp8,
}

impl BaseDtype {
    /// The same for the weights' working copies.
    pub fn width(self) -> Width {
        match self {
            Self::AsIs => Width::Stored,
            Self::F32 => Width::Wide,
            Self::Bf16 => Width::Sixteen,
            Self::Fp8 => Width::Eight,
        }
    }
}

impl MemoryOptions {
    /// A network that trains with these settings.
    pub fn apply(&self, network: &Network) -> Result<Network> {
        let width = self.base_dtype.width();
        let mut network = network.within(&network.memory().keeping(width))?;
        if let Some(amount) = self.base_memory {
            let bytes = if amount <= 1.0 { amount * network.weight_bytes() as f64 } else { amount };
            network = network.within(&Memory::new(bytes as usize).keeping(width))?;
        }
        Ok(network.with_checkpointing(self.gradient_checkpointing))
    }
}

impl Section for MemoryOptions {
    fn check(&self, problems: &mut Problems) {
        problems.not_negative("base_memory", self.base_memory.unwrap_or(0.0));
    }
}
