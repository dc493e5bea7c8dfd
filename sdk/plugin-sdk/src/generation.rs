//! Autoregressive models: the token loop and its cache stay in the host.

use crate::host::with_host;
use crate::{Image, Result};
use serde::{Deserialize, Serialize};

/// What to write, and with which model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Prompt {
    pub model: String,
    pub system: Option<String>,
    pub prompt: String,
    pub max_tokens: u32,
    pub temperature: f32,
    pub top_p: f32,
    pub seed: u64,
    pub stop: Vec<String>,
    /// JSON text.
    pub extra: Option<String>,
}

/// What the model wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reply {
    pub text: String,
    pub tokens: u32,
    /// False: `max_tokens` cut it off.
    pub finished: bool,
}

/// Writes a text about images.
///
/// # Errors
/// The model is not granted or not there.
pub fn generate(prompt: &Prompt, images: &[&Image]) -> Result<Reply> {
    let images: Vec<u64> = images.iter().map(|i| i.raw()).collect();
    with_host(|h| h.generate(prompt, &images))
}
