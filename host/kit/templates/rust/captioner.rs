//! @DESCRIPTION@.

use plugin_sdk::{
    Annotation, CaptionRequest, Captioner, Image, Info, Inputs, PixelFormat, Result, Tag, export, info,
};

/// Tags pictures as dark or bright.
#[derive(Inputs)]
pub struct Settings {
    /// Pictures whose mean is below this are dark.
    #[input(default = 100, range = 0..=255)]
    threshold: u8,
}

pub struct Plugin(Settings);

impl Captioner for Plugin {
    type Settings = Settings;
    const INFO: Info = info!("@ID@", "@TITLE@");

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self(settings))
    }

    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
        // One answer for each picture: an error of one is no error of the others.
        Ok(batch.into_iter().map(|request| self.one(&request.image)).collect())
    }
}

impl Plugin {
    fn one(&self, image: &Image) -> Result<Annotation> {
        let grey = image.read(PixelFormat::L8)?;
        let sum: u64 = grey.iter().map(|&p| u64::from(p)).sum();
        let mean = sum / grey.len().max(1) as u64;
        let name = if mean < u64::from(self.0.threshold) { "dark" } else { "bright" };
        Ok(Annotation { tags: vec![Tag { name: name.into(), ..Tag::default() }], ..Annotation::default() })
    }
}

export!(Plugin: Captioner);

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_sdk::serde_json::json;

    #[test]
    fn dark_pictures_are_called_dark() {
        let _host = plugin_test::FakeHost::new().install();
        let image = plugin_test::image_from_rgb(2, 1, &[0, 0, 0, 30, 30, 30]).unwrap();
        let mut plugin: Plugin = plugin_test::open_captioner(json!({})).unwrap();
        let captions = plugin.caption(vec![CaptionRequest { image, known: Annotation::default() }]).unwrap();
        assert_eq!(captions[0].as_ref().unwrap().tags[0].name, "dark");
    }
}
