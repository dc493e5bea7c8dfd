//! A captioner that answers fewer images than it was asked for, for tests of the host's check.

use plugin_sdk::{Annotation, CaptionRequest, Captioner, Info, Inputs, Result, export, info};

/// Leaves out the last answers of each batch.
#[derive(Inputs)]
pub struct Settings {
    /// How many answers to leave out.
    #[input(default = 1, range = 0..=100)]
    missing: u32,
}

/// The captioner.
pub struct WrongCount(Settings);

impl Captioner for WrongCount {
    type Settings = Settings;
    const INFO: Info = info!("test.wrong-count", "Wrong count");

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self(settings))
    }

    fn max_batch(&self) -> u32 {
        4
    }

    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
        let answers = batch.len().saturating_sub(self.0.missing as usize);
        Ok((0..answers).map(|_| Ok(Annotation::default())).collect())
    }
}

export!(WrongCount: Captioner);
