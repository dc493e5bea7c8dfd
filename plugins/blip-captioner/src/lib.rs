//! A captioner: one sentence for each picture by a BLIP that the host runs, without any server.
//!
//! Decides how a caption begins and how long it may be. The network, its tokens and the loop that writes are the host's.
//! Start at [`Settings`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

use plugin_sdk::control::{self, Level};
use plugin_sdk::generation::{Prompt, Reply, generate};
use plugin_sdk::{Annotation, CaptionRequest, Captioner, Error, Info, Inputs, Result, export, info};
use serde_json::{Map, Value, json};

/// Describes pictures by a BLIP on this machine: one plain sentence each.
#[derive(Inputs, Clone)]
pub struct Settings {
    /// The model's name below `models/captioners`; `auto` takes the first.
    #[input(default = "auto", host_list = "models/captioners")]
    model: String,
    /// How every caption begins, such as `a photography of`. Empty: the model begins by itself.
    #[input(default = "")]
    prompt: String,
    /// Leave the prompt out of the caption.
    #[input(default = false)]
    drop_prompt: bool,
    /// Longest caption, in tokens, without the prompt. One that is longer is cut, and marked.
    #[input(default = 30, range = 1..=400)]
    max_tokens: u32,
    /// Shortest caption, in tokens, without the prompt.
    #[input(default = 5, range = 0..=400)]
    min_tokens: u32,
    /// A caption with fewer words is an error; 0: only an empty one is.
    #[input(default = 2, range = 0..=100)]
    min_words: u32,
    /// How freely the words are chosen. 0: always the likeliest.
    #[input(default = 0.0, range = 0.0..=2.0, step = 0.05)]
    temperature: f64,
    /// Only the likeliest words that make up this share are drawn from.
    #[input(default = 0.9, range = 0.01..=1.0, step = 0.01)]
    top_p: f64,
    /// What was said already becomes less likely, against captions that go in circles. 1: not.
    #[input(default = 1.1, range = 0.5..=3.0, step = 0.05)]
    repetition_penalty: f64,
    /// Another seed gives other captions, unless `temperature` is 0.
    #[input(default = 0, seed)]
    seed: u64,
    /// Keep the tags that are already known beside the caption.
    #[input(default = false)]
    keep_tags: bool,
}

/// The captioner.
pub struct BlipCaptioner {
    settings: Settings,
}

impl Captioner for BlipCaptioner {
    type Settings = Settings;
    const INFO: Info =
        Info { category: "dataset/captions", aliases: &["BLIP"], ..info!("anagama.blip-captioner", "BLIP captioner") };

    fn open(settings: Settings) -> Result<Self> {
        if settings.min_tokens > settings.max_tokens {
            return Err(Error::invalid_input(format!(
                "min_tokens: expected at most max_tokens ({}), found {}",
                settings.max_tokens, settings.min_tokens
            )));
        }
        if settings.drop_prompt && settings.prompt.trim().is_empty() {
            control::log(Level::Warn, "drop_prompt: there is no prompt to leave out");
        }
        let prompt = settings.prompt.trim().to_owned();
        Ok(Self { settings: Settings { prompt, ..settings } })
    }

    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
        Ok(batch.into_iter().map(|request| self.describe(request)).collect())
    }
}

impl BlipCaptioner {
    fn describe(&self, request: CaptionRequest) -> Result<Annotation> {
        let s = &self.settings;
        let prompt = Prompt {
            model: s.model.clone(),
            system: None,
            prompt: s.prompt.clone(),
            max_tokens: s.max_tokens,
            temperature: s.temperature as f32,
            top_p: s.top_p as f32,
            seed: s.seed,
            stop: Vec::new(),
            extra: Some(json!({"min-tokens": s.min_tokens, "repetition-penalty": s.repetition_penalty}).to_string()),
        };
        let reply = generate(&prompt, &[&request.image])?;
        let written = if s.drop_prompt { reply.text.clone() } else { format!("{}{}", s.prompt, reply.text) };
        let text = written.split_whitespace().collect::<Vec<_>>().join(" ");
        let words = reply.text.split_whitespace().filter(|w| w.chars().any(char::is_alphanumeric)).count();
        if words < (s.min_words as usize).max(1) {
            let least = s.min_words.max(1);
            return Err(Error::internal(format!(
                "model `{}` wrote {words} words ({text:?}), expected {least} or more; raise min_tokens, or give it another \
                 prompt or seed",
                s.model
            )));
        }
        let tags = if s.keep_tags { request.known.tags } else { Vec::new() };
        Ok(Annotation { text: Some(text), tags, extra: Some(self.said(request.known.extra.as_deref(), &reply)) })
    }

    /// What was known beside the caption, with what this model did.
    fn said(&self, known: Option<&str>, reply: &Reply) -> String {
        let mut extra: Map<String, Value> = known.and_then(|k| serde_json::from_str(k).ok()).unwrap_or_default();
        let mut said = json!({"model": self.settings.model, "tokens_out": reply.tokens});
        if !reply.finished {
            said["cut_off"] = true.into();
        }
        extra.insert("captioner".to_owned(), said);
        Value::Object(extra).to_string()
    }
}

export!(BlipCaptioner: Captioner);

#[cfg(test)]
mod tests;
