//! The shape of a CLIP text encoder, from its `config.json`.

use crate::config::Json;
use crate::error::Result;

/// The shape of a CLIPTextModel. Field names follow transformers' `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Features of each state.
    pub hidden_size: usize,
    /// Features inside the feed-forward.
    pub intermediate_size: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Longest text in tokens, start and end included.
    pub max_position_embeddings: usize,
    /// The feed-forward's activation.
    pub hidden_act: Activation,
    /// Added to the variance in layer norms.
    pub layer_norm_eps: f64,
    /// The end token, whose state is the pooled output. 2, as in the first CLIP configs, means the highest id.
    pub eos_token_id: u32,
    /// Features of the pooled state behind the projection, where there is one.
    pub projection_dim: usize,
}

/// What the feed-forward applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x·sigmoid(1.702 x)
    QuickGelu,
    /// x·Φ(x)
    Gelu,
}

impl TextConfig {
    pub(crate) fn from_json(json: &Json) -> Result<TextConfig> {
        let config = TextConfig {
            vocab_size: json.required("vocab_size")?,
            hidden_size: json.required("hidden_size")?,
            intermediate_size: json.required("intermediate_size")?,
            num_hidden_layers: json.required("num_hidden_layers")?,
            num_attention_heads: json.required("num_attention_heads")?,
            max_position_embeddings: json.optional("max_position_embeddings")?.unwrap_or(77),
            hidden_act: json.optional("hidden_act")?.unwrap_or(Activation::QuickGelu),
            layer_norm_eps: json.optional("layer_norm_eps")?.unwrap_or(1e-5),
            eos_token_id: json.optional("eos_token_id")?.unwrap_or(2),
            projection_dim: match json.optional("projection_dim")? {
                Some(projection) => projection,
                None => json.required("hidden_size")?,
            },
        };
        config.check().map_err(|what| json.wrong(what))?;
        Ok(config)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(format!("{} features do not divide into {} heads", self.hidden_size, self.num_attention_heads));
        }
        if self.num_hidden_layers == 0 || self.vocab_size == 0 || self.max_position_embeddings == 0 {
            return Err("a text encoder needs at least one layer, token and position".into());
        }
        Ok(())
    }
}
