//! A captioner that asks the host for an address that its manifest does not request, for tests of the refusal.

use plugin_sdk::http::{self, Request};
use plugin_sdk::{Annotation, CaptionRequest, Captioner, Info, Inputs, Result, export, info};

/// Fetches an address; the caption is the status and the length of the answer. The host's error is passed on.
#[derive(Inputs)]
pub struct Settings {
    /// The address.
    #[input(default = "http://example.invalid/")]
    url: String,
}

/// The captioner.
pub struct Fetcher(Settings);

impl Captioner for Fetcher {
    type Settings = Settings;
    const INFO: Info = info!("test.fetcher", "Fetcher");

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self(settings))
    }

    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
        let answer = http::fetch(&Request { url: self.0.url.clone(), ..Request::default() })?;
        let text = format!("{}: {} bytes", answer.status, answer.body.len());
        let one = |_| Ok(Annotation { text: Some(text.clone()), ..Annotation::default() });
        Ok(batch.into_iter().map(one).collect())
    }
}

export!(Fetcher: Captioner);
