//! BRISQUE: how far the statistics of a picture are from those of natural photographs (Mittal, Moorthy and Bovik 2012,
//! doi 10.1109/TIP.2012.2214050), by the model of the authors' own release (see the file NOTICE).
//!
//! All is computed by operations that are exact or the same in wasm and native builds: no maths library of the system.
//! Start at [`features`], then [`score`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod fit;
mod model;
mod plane;

pub use model::score;
pub use plane::features;

use plugin_sdk::{Evaluator, Info, Metric, PixelFormat, Result, Sample, Score, export, info};

/// Numbers that describe a picture: 18 at each of two sizes.
pub const FEATURES: usize = 36;

/// The evaluator.
pub struct Brisque;

impl Evaluator for Brisque {
    type Settings = ();
    const INFO: Info = Info {
        category: "evaluate",
        aliases: &["image quality", "naturalness"],
        ..info!("anagama.brisque", "BRISQUE")
    };

    fn open((): ()) -> Result<Self> {
        Ok(Self)
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![Metric {
            name: "brisque".into(),
            higher_is_better: false,
            low: 0.0,
            high: 100.0,
            per_sample: true,
            description: "0: as natural as a good photograph, 100: as distorted as the worst of LIVE's database".into(),
        }]
    }

    fn add(&mut self, batch: Vec<Sample>) -> Result<Vec<Vec<Score>>> {
        batch.iter().map(scores).collect()
    }
}

/// None for a picture without detail, which has no statistics.
fn scores(sample: &Sample) -> Result<Vec<Score>> {
    let image = &sample.image;
    let grey = image.read(PixelFormat::L8)?;
    let found = features(&grey, image.width() as usize, image.height() as usize);
    // The regression goes beyond the scale on pictures unlike all that it was trained on.
    Ok(found.map(|f| Score::new("brisque", score(&f).clamp(0.0, 100.0))).into_iter().collect())
}

export!(Brisque: Evaluator);

#[cfg(test)]
mod tests;
