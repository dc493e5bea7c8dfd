//! A captioner: asks a vision model behind an OpenAI-compatible chat interface (vLLM, llama.cpp, Ollama, LM Studio …).
//!
//! Decides what is asked and what of the answer is a caption. Connections, pace and keys are the host's, and so is how
//! many pictures are asked about at a time. Start at [`Settings`]; texts are in `prompt.rs`, answers in `answer.rs`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answer;
mod ask;
mod faults;
mod prompt;

use answer::Answer;
use ask::{Server, picture};
use plugin_sdk::control::{self, Level};
use plugin_sdk::{
    Annotation, CaptionRequest, Captioner, Error, ErrorKind, Info, Inputs, Result, Tag, control::cancelled, export,
    info,
};
use prompt::Prompt;
use serde_json::{Map, Value, json};

/// Describes pictures by a vision model that a server runs: JoyCaption, Qwen-VL and the like behind vLLM, llama.cpp,
/// Ollama or LM Studio.
#[derive(Inputs, Clone)]
pub struct Settings {
    /// Where the server listens. It must be granted, for GET and for POST.
    #[input(default = "http://127.0.0.1:8080/v1")]
    url: String,
    /// The model's name at the server; `auto` takes the only one.
    #[input(default = "auto")]
    model: String,
    /// What kind of caption to ask for; `own` asks what `prompt` says.
    #[input(default = "straightforward", options = [
        "straightforward", "descriptive", "casual", "stable diffusion", "midjourney", "tags", "danbooru tags",
        "e621 tags", "rule34 tags", "art critic", "product", "social post", "own",
    ])]
    kind: String,
    /// About how long.
    #[input(default = "any", options = ["any", "very short", "short", "medium", "long", "very long"])]
    length: String,
    /// Number of words instead of `length`. 0: by `length`.
    #[input(default = 0, range = 0..=1000)]
    words: u32,
    /// Further wishes by name, separated by commas: `no text, no watermark, no ambiguity, no mood, no artist, safe, camera,
    /// lighting, composition, quality, people, known tags`.
    #[input(default = "")]
    wishes: String,
    /// What the person or thing in the picture is called. It also fills `{name}`.
    #[input(default = "")]
    name: String,
    /// The own prompt, or more to add to that of the kind. `{tags}`, `{characters}`, `{copyrights}`, `{artists}`,
    /// `{text}`, `{subset}` and `{name}` stand for what is known of the picture.
    #[input(default = "", multiline)]
    prompt: String,
    /// What the model is told about itself. Empty: nothing.
    #[input(
        default = "You write captions for pictures. You name what is visible, in plain words, and never guess.",
        multiline
    )]
    system: String,
    /// The words that every caption begins with.
    #[input(default = "")]
    start: String,
    /// Words and phrases that no caption may hold, separated by commas. One that does is asked for again.
    #[input(default = "", multiline)]
    avoid: String,
    /// Keep the tags that are already known beside the caption.
    #[input(default = false)]
    keep_tags: bool,
    /// What to do with an answer that ran into `max_tokens`: cut it back to its last whole sentence or tag, keep it as it
    /// is, or make it an error. What was cut is marked in any case.
    #[input(default = "trim", options = ["trim", "keep", "error"])]
    cut_off: String,
    /// Longest answer, in tokens, thinking included.
    #[input(default = 512, range = 1..=32768)]
    max_tokens: u32,
    /// How freely the words are chosen. 0: always the most likely.
    #[input(default = 0.6, range = 0.0..=2.0, step = 0.05)]
    temperature: f64,
    /// Only the likeliest words that make up this share are drawn from.
    #[input(default = 0.9, range = 0.0..=1.0, step = 0.05)]
    top_p: f64,
    /// Another seed gives other captions.
    #[input(default = 0, seed)]
    seed: u64,
    /// Larger pictures are sent smaller, with this many megapixels.
    #[input(default = 1.2, range = 0.05..=16.0, step = 0.05)]
    megapixels: f64,
    /// Times that one picture is asked about before it counts as failed.
    #[input(default = 4, range = 1..=10)]
    tries: u32,
    /// Seconds that one answer may take.
    #[input(default = 300, range = 1..=900)]
    timeout: u32,
    /// Name of the secret that holds the server's key. Empty: it needs none.
    #[input(default = "")]
    secret: String,
    /// Price of a million tokens that are sent, for the estimate.
    #[input(default = 0.0, range = 0.0..=1000.0, step = 0.01)]
    price_in: f64,
    /// Price of a million tokens that are answered.
    #[input(default = 0.0, range = 0.0..=1000.0, step = 0.01)]
    price_out: f64,
}

/// The captioner.
pub struct VlmCaptioner {
    settings: Settings,
    prompt: Prompt,
    server: Server,
    avoid: Vec<String>,
    said: bool,
}

impl Captioner for VlmCaptioner {
    type Settings = Settings;
    const INFO: Info = Info {
        category: "dataset/captions",
        aliases: &["JoyCaption", "Qwen-VL", "OpenAI", "Ollama", "llama.cpp", "vLLM", "LM Studio"],
        ..info!("anagama.vlm-captioner", "Vision-language captioner")
    };

    fn open(settings: Settings) -> Result<Self> {
        let prompt = Prompt::new(&settings).map_err(Error::invalid_input)?;
        let server = Server::new(&settings)?;
        let avoid = settings.avoid.split([',', '\n']).map(|w| w.trim().to_lowercase()).filter(|w| !w.is_empty());
        Ok(Self { avoid: avoid.collect(), prompt, server, settings, said: false })
    }

    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
        Ok(batch.into_iter().map(|request| self.one(request)).collect())
    }
}

impl VlmCaptioner {
    fn one(&mut self, request: CaptionRequest) -> Result<Annotation> {
        let CaptionRequest { image, known } = request;
        let image = picture(&image, self.settings.megapixels)?;
        let text = self.prompt.text(&known);
        let (mut used, mut last) = ((0, 0), None);
        for tried in 0..self.settings.tries {
            if cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
            }
            let body = self.body(&text, &image, tried)?;
            let found = self.server.ask(&body, tried).and_then(|answer| {
                used = (used.0 + answer.tokens_in, used.1 + answer.tokens_out);
                self.check(answer)
            });
            match found {
                Ok(answer) => return Ok(self.annotation(known, &answer, used, tried)),
                Err(fault) if fault.again() => last = Some(fault),
                Err(fault) => return Err(fault.error(&self.server.name())),
            }
        }
        match last {
            Some(fault) => {
                let mut error = fault.error(&self.server.name());
                error.message = format!("{} (after {} tries)", error.message, self.settings.tries);
                Err(error)
            }
            None => Err(Error::internal("nothing was asked")),
        }
    }

    fn body(&mut self, text: &str, image: &str, tried: u32) -> Result<Value> {
        let s = &self.settings;
        let mut messages = Vec::new();
        if !s.system.trim().is_empty() {
            messages.push(json!({"role": "system", "content": s.system.trim()}));
        }
        messages.push(json!({"role": "user", "content": [
            {"type": "text", "text": text},
            {"type": "image_url", "image_url": {"url": image}},
        ]}));
        // Servers take different ranges; all take 31 bits. Another try is another draw.
        let seed = (s.seed + u64::from(tried)) & 0x7fff_ffff;
        Ok(json!({
            "model": self.server.model(s)?,
            "messages": messages,
            "max_tokens": s.max_tokens,
            "temperature": s.temperature,
            "top_p": s.top_p,
            "seed": seed,
            "stream": false,
        }))
    }

    /// What of the answer is the caption.
    fn check(&self, mut answer: Answer) -> Result<Answer, faults::Fault> {
        if answer.cut {
            match self.settings.cut_off.as_str() {
                "error" => return Err(answer.cut_fault(self.settings.max_tokens)),
                "keep" => {}
                _ => answer.trim(self.prompt.tags()).ok_or_else(|| answer.cut_fault(self.settings.max_tokens))?,
            }
        }
        let lower = answer.text.to_lowercase();
        match self.avoid.iter().find(|word| holds(&lower, word)) {
            Some(word) => Err(faults::Fault::new(
                faults::What::Avoided,
                format!("found `{word}` in the answer \"{}\"", faults::shortened(&answer.text)),
            )),
            None => Ok(answer),
        }
    }

    fn annotation(&mut self, known: Annotation, answer: &Answer, used: (u64, u64), tried: u32) -> Annotation {
        let s = &self.settings;
        let cost = (used.0 as f64 * s.price_in + used.1 as f64 * s.price_out) / 1e6;
        let mut facts = json!({"model": self.server.known(), "tokens_in": used.0, "tokens_out": used.1});
        if cost > 0.0 {
            facts["cost"] = json!(cost);
        }
        if tried > 0 {
            facts["tries"] = json!(tried + 1);
        }
        if answer.cut {
            facts["cut_off"] = json!(true);
            if !std::mem::replace(&mut self.said, true) {
                let text = format!("an answer ran into `max_tokens` ({}); it is marked `cut_off`", s.max_tokens);
                control::log(Level::Warn, &text);
            }
        }
        let extra = known.extra.as_deref().and_then(|e| serde_json::from_str::<Map<String, Value>>(e).ok());
        let mut extra = extra.unwrap_or_default();
        extra.insert("captioner".to_owned(), facts);
        let mut tags = if s.keep_tags { known.tags } else { Vec::new() };
        let text = self.prompt.begin(&answer.text);
        let text = if self.prompt.tags() {
            for name in prompt::split_tags(&text) {
                if !tags.iter().any(|t| t.name == name) {
                    tags.push(Tag { name, score: None, category: None });
                }
            }
            None
        } else {
            Some(text)
        };
        Annotation { text, tags, extra: Some(Value::Object(extra).to_string()) }
    }
}

/// Is the phrase in the text, as whole words? Both are lower case.
fn holds(text: &str, phrase: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    text.match_indices(phrase)
        .any(|(at, _)| edge(text[..at].chars().next_back()) && edge(text[at + phrase.len()..].chars().next()))
}

export!(VlmCaptioner: Captioner);

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;
