//! @DESCRIPTION@.

use plugin_sdk::{Evaluator, Image, Info, Inputs, Metric, PixelFormat, Result, Sample, Score, export, info};

/// Measures the contrast of pictures.
#[derive(Inputs)]
pub struct Settings {
    /// Contrast that counts as 1, in grey levels.
    #[input(default = 64.0, range = 1.0..=128.0)]
    full: f64,
}

pub struct Plugin {
    settings: Settings,
    sum: f64,
    count: u32,
}

impl Evaluator for Plugin {
    type Settings = Settings;
    const INFO: Info = info!("@ID@", "@TITLE@");

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self { settings, sum: 0.0, count: 0 })
    }

    fn metrics(&self) -> Vec<Metric> {
        let metric = |name: &str, per_sample, description: &str| Metric {
            name: name.into(),
            higher_is_better: true,
            low: 0.0,
            high: 2.0,
            per_sample,
            description: description.into(),
        };
        vec![
            metric("contrast", true, "standard deviation of the grey levels"),
            metric("mean_contrast", false, "the same, over all pictures"),
        ]
    }

    fn add(&mut self, batch: Vec<Sample>) -> Result<Vec<Vec<Score>>> {
        batch.iter().map(|sample| self.one(&sample.image)).collect()
    }

    /// Scores of the whole set; afterwards it starts anew.
    fn finish(&mut self) -> Result<Vec<Score>> {
        let (sum, count) = (std::mem::take(&mut self.sum), std::mem::take(&mut self.count));
        Ok(if count == 0 { Vec::new() } else { vec![Score::new("mean_contrast", sum / f64::from(count))] })
    }
}

impl Plugin {
    fn one(&mut self, image: &Image) -> Result<Vec<Score>> {
        let grey = image.read(PixelFormat::L8)?;
        let count = grey.len().max(1) as f64;
        let mean = grey.iter().map(|&p| f64::from(p)).sum::<f64>() / count;
        let variance = grey.iter().map(|&p| (f64::from(p) - mean).powi(2)).sum::<f64>() / count;
        let contrast = variance.sqrt() / self.settings.full;
        self.sum += contrast;
        self.count += 1;
        Ok(vec![Score::new("contrast", contrast)])
    }
}

export!(Plugin: Evaluator);

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_sdk::serde_json::json;

    #[test]
    fn black_beside_white_is_full_contrast() {
        let _host = plugin_test::FakeHost::new().install();
        let image = plugin_test::image_from_rgb(2, 1, &[0, 0, 0, 255, 255, 255]).unwrap();
        let mut plugin: Plugin = plugin_test::open_evaluator(json!({"full": 127.5})).unwrap();
        let sample =
            Sample { id: "1".into(), image, prompt: String::new(), reference: None, seed: None, extra: None };
        assert_eq!(plugin.add(vec![sample]).unwrap(), [[Score::new("contrast", 1.0)]]);
        assert_eq!(plugin.finish().unwrap(), [Score::new("mean_contrast", 1.0)]);
        assert!(plugin.finish().unwrap().is_empty());
    }
}
