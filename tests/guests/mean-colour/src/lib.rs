//! Names the mean colour of a picture: the smallest captioner that uses images, tensors and settings.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use plugin_sdk::control::{Level, log};
use plugin_sdk::{
    Annotation, CaptionRequest, Captioner, ChannelOrder, Filter, Fit, Image, Info, Inputs, Layout, ResizeSpec, Result,
    TensorSpec, export, info,
};

/// Writes the mean colour as the caption.
#[derive(Inputs)]
pub struct Settings {
    /// Text before the colour.
    #[input(default = "a picture")]
    prefix: String,
    /// The picture is reduced to this many pixels a side first.
    #[input(default = 32, range = 1..=1024)]
    side: u32,
}

pub struct MeanColour(Settings);

impl Captioner for MeanColour {
    type Settings = Settings;
    const INFO: Info = Info { category: "test", ..info!("test.mean-colour", "Mean colour") };

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self(settings))
    }

    fn max_batch(&self) -> u32 {
        16
    }

    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
        log(Level::Debug, &format!("{} pictures", batch.len()));
        Ok(batch.into_iter().map(|request| self.one(&request.image)).collect())
    }
}

impl MeanColour {
    fn one(&self, image: &Image) -> Result<Annotation> {
        let side = self.0.side;
        let tensor = image.to_tensor(&TensorSpec {
            resize: Some(ResizeSpec {
                width: side,
                height: side,
                fit: Fit::Pad,
                filter: Filter::Area,
                pad_color: 0xffffff,
            }),
            layout: Layout::Nhwc,
            order: ChannelOrder::Bgr,
            scale: 1.0,
            ..TensorSpec::default()
        })?;
        let values = tensor.read_f32()?;
        let mean = |c: usize| {
            let sum: f64 = values.iter().skip(c).step_by(3).map(|&v| f64::from(v)).sum();
            (sum * 3.0 / values.len() as f64).round() as u8
        };
        let text = format!(
            "{}, {}x{}, mean #{:02x}{:02x}{:02x}",
            self.0.prefix,
            image.width(),
            image.height(),
            mean(2),
            mean(1),
            mean(0)
        );
        Ok(Annotation { text: Some(text), ..Annotation::default() })
    }
}

export!(MeanColour: Captioner);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_the_mean_colour() {
        let host = plugin_test::FakeHost::new().install();
        let image = plugin_test::image_from_rgb(2, 1, &[255, 0, 0, 255, 0, 100]).unwrap();
        let mut plugin: MeanColour = plugin_test::open_captioner(json!({"prefix": "x", "side": 2})).unwrap();
        let captions = plugin.caption(vec![CaptionRequest { image, known: Annotation::default() }]).unwrap();
        // Padded to a square: two white pixels below.
        assert_eq!(captions[0].as_ref().unwrap().text.as_deref(), Some("x, 2x1, mean #ff8099"));
        assert_eq!(host.open_handles(), 0);
    }
}
