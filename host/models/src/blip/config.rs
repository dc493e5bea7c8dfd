//! The shape of a BLIP, from its `config.json`. What newer files leave out is as in transformers' BlipConfig.

use crate::config::Json;
use crate::error::Result;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct BlipConfig {
    pub(super) vision: VisionConfig,
    pub(super) text: TextConfig,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct VisionConfig {
    pub(super) hidden: usize,
    pub(super) inside: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    /// Pixels of a picture's side.
    pub(super) side: usize,
    /// Pixels of a patch's side.
    pub(super) patch: usize,
    pub(super) eps: f32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct TextConfig {
    pub(super) vocabulary: usize,
    pub(super) hidden: usize,
    pub(super) inside: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    /// Longest text in tokens.
    pub(super) positions: usize,
    pub(super) eps: f32,
    /// What every text begins with.
    pub(super) start: u32,
    /// What ends one.
    pub(super) end: u32,
}

impl BlipConfig {
    pub(super) fn from_json(json: &Json) -> Result<BlipConfig> {
        let kind: Option<String> = json.optional("model_type")?;
        if kind.as_deref() != Some("blip") {
            let found = kind.unwrap_or_else(|| "none".to_owned());
            return Err(json.wrong(format!(
                "`model_type`: expected blip, found {found}; of the networks that write captions only BLIP is run here, others \
                 behind a server (anagama.vlm-captioner)"
            )));
        }
        let config = BlipConfig {
            vision: VisionConfig::from_json(&json.part("vision_config")?)?,
            text: TextConfig::from_json(&json.part("text_config")?)?,
        };
        Ok(config)
    }
}

impl VisionConfig {
    fn from_json(json: &Json) -> Result<VisionConfig> {
        gelu(json)?;
        let number = |key: &str, usual: usize| Ok::<_, crate::Error>(json.optional(key)?.unwrap_or(usual));
        let config = VisionConfig {
            hidden: number("hidden_size", 768)?,
            inside: number("intermediate_size", 3072)?,
            layers: number("num_hidden_layers", 12)?,
            heads: number("num_attention_heads", 12)?,
            side: number("image_size", 384)?,
            patch: number("patch_size", 16)?,
            eps: json.optional("layer_norm_eps")?.unwrap_or(1e-5),
        };
        if config.patch == 0 || config.side < config.patch {
            return Err(json.wrong(format!("pictures of {} pixels in patches of {}", config.side, config.patch)));
        }
        heads(json, config.hidden, config.heads)?;
        Ok(config)
    }

    /// Patches of a picture's side.
    pub(super) fn row(&self) -> usize {
        self.side / self.patch
    }
}

impl TextConfig {
    fn from_json(json: &Json) -> Result<TextConfig> {
        gelu(json)?;
        let number = |key: &str, usual: usize| Ok::<_, crate::Error>(json.optional(key)?.unwrap_or(usual));
        let config = TextConfig {
            vocabulary: number("vocab_size", 30524)?,
            hidden: number("hidden_size", 768)?,
            inside: number("intermediate_size", 3072)?,
            layers: number("num_hidden_layers", 12)?,
            heads: number("num_attention_heads", 8)?,
            positions: number("max_position_embeddings", 512)?,
            eps: json.optional("layer_norm_eps")?.unwrap_or(1e-12),
            start: json.optional("bos_token_id")?.unwrap_or(30522),
            end: json.optional("sep_token_id")?.unwrap_or(102),
        };
        if config.start.max(config.end) as usize >= config.vocabulary {
            let (start, end) = (config.start, config.end);
            return Err(json.wrong(format!("tokens {start} and {end} of a vocabulary of {}", config.vocabulary)));
        }
        heads(json, config.hidden, config.heads)?;
        Ok(config)
    }
}

fn heads(json: &Json, hidden: usize, heads: usize) -> Result<()> {
    if heads == 0 || hidden == 0 || !hidden.is_multiple_of(heads) {
        return Err(json.wrong(format!("{hidden} features do not divide into {heads} heads")));
    }
    Ok(())
}

fn gelu(json: &Json) -> Result<()> {
    match json.optional::<String>("hidden_act")?.as_deref() {
        None | Some("gelu") => Ok(()),
        Some(other) => Err(json.wrong(format!("`hidden_act`: expected gelu, found {other}"))),
    }
}
