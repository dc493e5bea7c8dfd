//! An evaluator on a tagger: does a picture show what its prompt asks for, and does the activation tag work without
//! working when it is absent?
//!
//! A checkpoint that is under-baked has little trigger strength, one that is over-baked leaks and forgets the other
//! tags of its prompts; no single number here says both. Start at [`METRICS`]; the judgement is in `judge.rs`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod judge;

use booru::wd::Tagger;
use judge::{Finding, Judge};
use plugin_sdk::{Error, Evaluator, Info, Inputs, Metric, MetricRow, Result, Sample, Score, export, info};

/// Looks for the prompt's tags in the picture, with a WD tagger.
#[derive(Inputs)]
pub struct Settings {
    /// The tagger's name below `models/taggers`; `auto` takes the only one.
    #[input(default = "auto", host_list = "models/taggers")]
    model: String,
    /// From which score on a tag counts as found.
    #[input(default = 0.35, range = 0.0..=1.0, step = 0.01)]
    threshold: f32,
    /// The activation tag of the LoRA. Empty: the LoRA has none and should always work.
    #[input(default = "")]
    activation: String,
    /// Tags that show the subject or style, for taggers that do not know the activation tag itself.
    #[input(default = "")]
    traits: String,
    /// Prompt tags to leave out, separated by commas, because model or tagger are weak at them; `*` stands for any
    /// text.
    #[input(default = "", multiline)]
    ignore: String,
    /// Pictures that are given to the model at once.
    #[input(default = 4, range = 1..=64)]
    batch_size: u32,
}

/// What is measured. A number that a sample's prompt says nothing about is left out for that sample.
pub const METRICS: &[MetricRow] = &[
    ("tag_recall", true, 0.0, 1.0, true, "share of the prompt's tags that the tagger finds in the picture"),
    ("tag_confidence", true, 0.0, 1.0, true, "mean score of the prompt's tags"),
    ("trigger_strength", true, 0.0, 1.0, true, "score of the subject where the prompt has the activation tag"),
    ("trigger_leakage", false, 0.0, 1.0, true, "score of the subject where the prompt lacks the activation tag"),
    ("trigger_margin", true, -1.0, 1.0, false, "mean trigger strength less mean trigger leakage"),
];

/// The evaluator.
pub struct TagRecall {
    tagger: Tagger,
    judge: Judge,
    batch_size: usize,
    findings: Vec<Finding>,
}

impl Evaluator for TagRecall {
    type Settings = Settings;
    const INFO: Info = Info { category: "evaluate", ..info!("anagama.tag-recall", "Tag recall") };

    fn open(s: Settings) -> Result<Self> {
        let tagger = Tagger::load(&s.model)?;
        let judge = Judge::new(tagger.labels(), s.threshold, &s.activation, &s.traits, &s.ignore)
            .map_err(Error::invalid_input)?;
        Ok(Self { tagger, judge, batch_size: s.batch_size as usize, findings: Vec::new() })
    }

    fn metrics(&self) -> Vec<Metric> {
        METRICS.iter().map(Metric::from).collect()
    }

    fn add(&mut self, batch: Vec<Sample>) -> Result<Vec<Vec<Score>>> {
        let mut out = Vec::with_capacity(batch.len());
        for part in batch.chunks(self.batch_size) {
            let images: Vec<_> = part.iter().map(|sample| &sample.image).collect();
            for (sample, scores) in part.iter().zip(self.tagger.scores(&images)?) {
                let finding = self.judge.judge(&sample.prompt, &scores);
                self.findings.push(finding);
                out.push(scores_of(finding));
            }
        }
        Ok(out)
    }

    fn finish(&mut self) -> Result<Vec<Score>> {
        let findings = std::mem::take(&mut self.findings);
        let strength = mean(findings.iter().filter_map(|f| f.strength));
        let leakage = mean(findings.iter().filter_map(|f| f.leakage));
        let margin = strength.zip(leakage).map(|(s, l)| Score::new("trigger_margin", s - l));
        Ok(margin.into_iter().collect())
    }
}

fn scores_of(f: Finding) -> Vec<Score> {
    let named = [
        ("tag_recall", f.recall),
        ("tag_confidence", f.confidence),
        ("trigger_strength", f.strength),
        ("trigger_leakage", f.leakage),
    ];
    named.into_iter().filter_map(|(metric, value)| Some(Score::new(metric, value?))).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0_u32), |(sum, n), v| (sum + v, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

export!(TagRecall: Evaluator);

#[cfg(test)]
mod tests;
