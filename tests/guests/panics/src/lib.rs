//! A captioner that panics, for tests of what the host does then.

use plugin_sdk::{Annotation, CaptionRequest, Captioner, Info, Inputs, Result, export, info};

/// Panics on chosen images and captions the others with their size.
#[derive(Inputs)]
pub struct Settings {
    /// Panic on the image with this number, counted from 1 since the instance was made. 0: never.
    #[input(default = 2, range = 0..=1_000_000)]
    nth: u32,
    /// Panic on images of this width, however often they are tried. 0: never.
    #[input(default = 0, range = 0..=1_000_000)]
    width: u32,
}

/// The captioner.
pub struct Panics {
    settings: Settings,
    seen: u32,
}

impl Captioner for Panics {
    type Settings = Settings;
    const INFO: Info = info!("test.panics", "Panics");

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self { settings, seen: 0 })
    }

    fn max_batch(&self) -> u32 {
        4
    }

    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
        let one = |request: CaptionRequest| {
            self.seen += 1;
            let (width, height) = (request.image.width(), request.image.height());
            assert!(self.seen != self.settings.nth, "this is image number {}, where the test plugin panics", self.seen);
            assert!(width != self.settings.width, "this image is {width} wide, where the test plugin panics");
            Ok(Annotation { text: Some(format!("{width}x{height}")), ..Annotation::default() })
        };
        Ok(batch.into_iter().map(one).collect())
    }
}

export!(Panics: Captioner);
