//! An evaluator on an aesthetic head: what people would have said of a picture, from 1 to 10, as far as CLIP can tell.
//!
//! Encoder and head are the host's. Start at [`METRICS`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

use plugin_sdk::inference::{self, Session};
use plugin_sdk::{
    Error, Evaluator, Image, Info, Inputs, Metric, MetricRow, Result, Sample, Score, Tensor, TensorSpec, export, info,
};

/// Judges pictures by a head behind CLIP's embedding, as LAION's aesthetic predictors do.
#[derive(Inputs)]
pub struct Settings {
    /// The encoder's name below `models/encoders`; `auto` takes the first. It must be the one that the head was trained
    /// on: mostly CLIP ViT-L/14.
    #[input(default = "auto", host_list = "models/encoders")]
    encoder: String,
    /// The head's name below `models/aesthetics`; `auto` takes the first.
    #[input(default = "auto", host_list = "models/aesthetics")]
    head: String,
}

/// What is measured. `aesthetic_gain` needs the picture without the LoRA.
pub const METRICS: &[MetricRow] = &[
    ("aesthetic", true, 1.0, 10.0, true, "score of the head; LAION's give 1 to 10"),
    ("aesthetic_gain", true, -2.0, 2.0, true, "the same less that of the same seed and prompt without the LoRA"),
];

/// The evaluator.
pub struct AestheticScore {
    encoder: Session,
    head: Session,
}

impl Evaluator for AestheticScore {
    type Settings = Settings;
    const INFO: Info =
        Info { category: "evaluate", aliases: &["LAION"], ..info!("anagama.aesthetic-score", "Aesthetic score") };

    fn open(s: Settings) -> Result<Self> {
        Ok(Self { encoder: inference::load(&s.encoder, None)?, head: inference::load(&s.head, None)? })
    }

    fn metrics(&self) -> Vec<Metric> {
        METRICS.iter().map(Metric::from).collect()
    }

    fn add(&mut self, batch: Vec<Sample>) -> Result<Vec<Vec<Score>>> {
        batch.iter().map(|sample| self.score(sample)).collect()
    }
}

impl AestheticScore {
    fn score(&self, sample: &Sample) -> Result<Vec<Score>> {
        let score = self.judge(&sample.image)?;
        let mut scores = vec![Score::new("aesthetic", score)];
        if let Some(off) = &sample.reference {
            scores.push(Score::new("aesthetic_gain", score - self.judge(off)?));
        }
        Ok(scores)
    }

    fn judge(&self, image: &Image) -> Result<f64> {
        let pixels = image.to_tensor(&TensorSpec::default())?;
        let embeds = named(self.encoder.run(&[("pixels", &pixels)])?, "embeds")?;
        let scores = named(self.head.run(&[("embeds", &embeds)])?, "scores")?.read_f32()?;
        match scores.as_slice() {
            [score] => Ok(f64::from(*score)),
            other => Err(Error::invalid_input(format!("expected one score of the head, found {}", other.len()))),
        }
    }
}

fn named(outputs: Vec<(String, Tensor)>, name: &str) -> Result<Tensor> {
    let found = outputs.into_iter().find(|(output, _)| output == name).map(|(_, tensor)| tensor);
    found.ok_or_else(|| Error::invalid_input(format!("expected a model that gives `{name}`, found one without")))
}

export!(AestheticScore: Evaluator);

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_test::{Array, FakeHost, FakeModel, image_from_rgb, open_evaluator};
    use serde_json::json;

    #[test]
    fn a_picture_is_judged_by_its_embedding_and_against_the_one_without_the_lora() {
        let encoder = FakeModel::new("encoders/e")
            .run(|inputs| Ok(vec![("embeds".into(), Array::new(&[1, 1], vec![inputs[0].1.data[0]])?)]));
        let head = FakeModel::new("aesthetics/h")
            .run(|inputs| Ok(vec![("scores".into(), Array::new(&[1, 1], vec![10.0 * inputs[0].1.data[0]])?)]));
        let _host = FakeHost::new().model(encoder).model(head).install();
        let image = |red: u8| image_from_rgb(2, 2, &[red, 0, 0].repeat(4)).unwrap();
        let sample = |off: Option<Image>| Sample {
            id: "s".into(),
            image: image(255),
            prompt: String::new(),
            reference: off,
            seed: None,
            extra: None,
        };
        let mut e: AestheticScore = open_evaluator(json!({"encoder": "encoders/e", "head": "aesthetics/h"})).unwrap();
        let found = e.add(vec![sample(None), sample(Some(image(51)))]).unwrap();
        assert_eq!(found[0], [Score::new("aesthetic", 10.0)]);
        assert_eq!((found[1].len(), found[1][1].metric.as_str()), (2, "aesthetic_gain"));
        assert!((found[1][1].value - 8.0).abs() < 1e-5, "{found:?}");
        // A head is no encoder.
        let mut wrong: AestheticScore =
            open_evaluator(json!({"encoder": "aesthetics/h", "head": "aesthetics/h"})).unwrap();
        assert!(wrong.add(vec![sample(None)]).unwrap_err().message.contains("gives `embeds`"));
    }
}
