//! An evaluator whose scores are none.

use crate::crash;
use plugin_sdk::{Evaluator, Info, Inputs, Metric, Result, Sample, Score, info};

/// What to do, and to which sample.
#[derive(Inputs)]
pub(crate) struct Settings {
    /// Which misbehaviour.
    #[input(default = "nothing")]
    how: String,
    /// The sample that gets it.
    #[input(default = "bad")]
    id: String,
}

/// The evaluator.
pub(crate) struct NotNumbers(Settings);

impl Evaluator for NotNumbers {
    type Settings = Settings;
    const INFO: Info = info!("test.misbehaves-score", "Misbehaves, score");

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self(settings))
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![Metric {
            name: "width".into(),
            higher_is_better: true,
            low: 0.0,
            high: 100.0,
            per_sample: true,
            description: "pixels".into(),
        }]
    }

    fn add(&mut self, batch: Vec<Sample>) -> Result<Vec<Vec<Score>>> {
        let one = |sample: Sample| {
            let mut score = Score::new("width", f64::from(sample.image.width()));
            if sample.id == self.0.id {
                match self.0.how.as_str() {
                    "unknown-metric" => score.metric = "height".into(),
                    "nan" => score.value = f64::NAN,
                    how => crash::now(how),
                }
            }
            vec![score]
        };
        Ok(batch.into_iter().map(one).collect())
    }
}
