//! An evaluator on CLIP: does a picture fit its prompt, and is it like the data set?
//!
//! The encoder is the host's; here are only cosines. Start at [`METRICS`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

use plugin_sdk::inference::{self, Session};
use plugin_sdk::{
    Dtype, Error, Evaluator, Image, Info, Inputs, Metric, MetricRow, Result, Sample, Score, Tensor, TensorSpec, export,
    info,
};
use serde_json::json;
use std::collections::BTreeMap;

/// Compares pictures with their prompts and with the data set, by CLIP.
#[derive(Inputs)]
pub struct Settings {
    /// The encoder's name below `models/encoders`; `auto` takes the first.
    #[input(default = "auto", host_list = "models/encoders")]
    model: String,
    /// Compare pictures with their prompts. An encoder without texts, such as SigLIP's, cannot.
    #[input(default = true)]
    text: bool,
    /// Parts of prompts that CLIP does not know, such as the activation tag, separated by commas; they are left out.
    #[input(default = "", multiline)]
    ignore: String,
}

/// What is measured. Distances to the data set need its pictures, `clip_text` texts, `clip_lora_shift` the picture without
/// the LoRA; without them these numbers are left out.
pub const METRICS: &[MetricRow] = &[
    (
        "clip_text",
        true,
        0.0,
        40.0,
        true,
        "100 · cosine of picture and prompt, none below 0 (CLIPScore without its weight)",
    ),
    ("clip_dataset", true, 0.0, 1.0, true, "mean cosine of the picture and those of the data set"),
    (
        "clip_nearest",
        false,
        0.0,
        1.0,
        true,
        "cosine of the picture and the nearest of the data set; near 1: it was learned by heart",
    ),
    ("clip_lora_shift", true, 0.0, 1.0, true, "1 − cosine of the picture and the same seed without the LoRA"),
    ("clip_diversity", true, 0.0, 1.0, false, "1 − mean cosine of the pictures of a prompt"),
];

/// The evaluator.
pub struct ClipScore {
    pictures: Session,
    texts: Option<Session>,
    ignore: Vec<String>,
    reference: Vec<Vec<f32>>,
    prompts: BTreeMap<String, Vec<f32>>,
    /// Embeddings of samples that differ in their seed alone.
    groups: BTreeMap<String, Vec<Vec<f32>>>,
}

impl Evaluator for ClipScore {
    type Settings = Settings;
    const INFO: Info = Info { category: "evaluate", aliases: &["CLIP"], ..info!("anagama.clip-score", "CLIP score") };

    fn open(s: Settings) -> Result<Self> {
        let pictures = inference::load(&s.model, None)?;
        let texts = s.text.then(|| inference::load(&s.model, Some(&json!({"part": "text"})))).transpose();
        let texts =
            texts.map_err(|e| Error { message: format!("{}; `text` off goes without prompts", e.message), ..e })?;
        let ignore = s.ignore.split([',', '\n']).map(|part| part.trim().to_lowercase());
        Ok(Self {
            pictures,
            texts,
            ignore: ignore.filter(|part| !part.is_empty()).collect(),
            reference: Vec::new(),
            prompts: BTreeMap::new(),
            groups: BTreeMap::new(),
        })
    }

    fn metrics(&self) -> Vec<Metric> {
        METRICS.iter().map(Metric::from).collect()
    }

    fn reference(&mut self, images: Vec<Image>) -> Result<()> {
        for image in &images {
            let embedding = self.picture(image)?;
            self.reference.push(embedding);
        }
        Ok(())
    }

    fn add(&mut self, batch: Vec<Sample>) -> Result<Vec<Vec<Score>>> {
        batch.iter().map(|sample| self.score(sample)).collect()
    }

    fn finish(&mut self) -> Result<Vec<Score>> {
        let groups = std::mem::take(&mut self.groups);
        let spread = groups.values().filter_map(|group| {
            let pairs = (1..group.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
            mean(pairs.map(|(a, b)| 1.0 - cosine(&group[a], &group[b])))
        });
        Ok(mean(spread).map(|v| Score::new("clip_diversity", v)).into_iter().collect())
    }
}

impl ClipScore {
    fn score(&mut self, sample: &Sample) -> Result<Vec<Score>> {
        let seen = self.picture(&sample.image)?;
        let mut scores = Vec::new();
        if let Some(text) = self.text(&sample.prompt)? {
            scores.push(Score::new("clip_text", 100.0 * cosine(&seen, &text).max(0.0)));
        }
        if let Some(mean) = mean(self.reference.iter().map(|r| cosine(&seen, r))) {
            scores.push(Score::new("clip_dataset", mean));
            let nearest = self.reference.iter().map(|r| cosine(&seen, r)).fold(-1.0, f64::max);
            scores.push(Score::new("clip_nearest", nearest));
        }
        if let Some(off) = &sample.reference {
            scores.push(Score::new("clip_lora_shift", 1.0 - cosine(&seen, &self.picture(off)?)));
        }
        self.groups.entry(group(sample)).or_default().push(seen);
        Ok(scores)
    }

    fn picture(&self, image: &Image) -> Result<Vec<f32>> {
        let outputs = self.pictures.run(&[("pixels", &image.to_tensor(&TensorSpec::default())?)])?;
        embedding(outputs)
    }

    /// A prompt's embedding without the parts to ignore; none if nothing is left or texts are not compared.
    fn text(&mut self, prompt: &str) -> Result<Option<Vec<f32>>> {
        let Some(session) = &self.texts else { return Ok(None) };
        let parts = prompt.split(',').map(str::trim);
        let kept: Vec<&str> =
            parts.filter(|part| !part.is_empty() && !self.ignore.contains(&part.to_lowercase())).collect();
        let text = kept.join(", ");
        if text.is_empty() {
            return Ok(None);
        }
        if let Some(known) = self.prompts.get(&text) {
            return Ok(Some(known.clone()));
        }
        let bytes = Tensor::from_bytes(&[text.len() as u32], Dtype::Uint8, text.as_bytes())?;
        let found = embedding(session.run(&[("text", &bytes)])?)?;
        self.prompts.insert(text, found.clone());
        Ok(Some(found))
    }
}

fn embedding(outputs: Vec<(String, Tensor)>) -> Result<Vec<f32>> {
    match outputs.into_iter().find(|(name, _)| name == "embeds") {
        Some((_, embeds)) => embeds.read_f32(),
        None => Err(Error::invalid_input("the model gives no `embeds`: expected an encoder of pictures")),
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let lengths = (product(a, a) * product(b, b)).sqrt();
    if lengths > 0.0 && a.len() == b.len() { product(a, b) / lengths } else { 0.0 }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0_u32), |(sum, n), v| (sum + v, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

/// Samples that differ only in their seed belong together.
fn group(sample: &Sample) -> String {
    let extra = |key| sample.extra.as_ref().and_then(|e| e.get(key)).map(ToString::to_string).unwrap_or_default();
    format!("{}\n{}\n{}", sample.prompt, extra("checkpoint"), extra("strength"))
}

export!(ClipScore: Evaluator);

#[cfg(test)]
mod tests;
