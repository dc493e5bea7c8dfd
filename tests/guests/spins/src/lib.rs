//! A captioner that never returns, for tests of the deadline. Natively, where nothing could stop it, it refuses.

use plugin_sdk::{Annotation, CaptionRequest, Captioner, Info, Inputs, Result, export, info};

/// Spins forever on images of a chosen width.
#[derive(Inputs)]
pub struct Settings {
    /// Spin on images of this width only. 0: on all.
    #[input(default = 0, range = 0..=1_000_000)]
    width: u32,
}

/// The captioner.
pub struct Spins(Settings);

impl Captioner for Spins {
    type Settings = Settings;
    const INFO: Info = info!("test.spins", "Spins");

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self(settings))
    }

    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
        let one = |request: CaptionRequest| {
            if self.0.width == 0 || request.image.width() == self.0.width {
                spin()?;
            }
            Ok(Annotation { text: Some("did not spin".into()), ..Annotation::default() })
        };
        Ok(batch.into_iter().map(one).collect())
    }
}

#[cfg(target_family = "wasm")]
fn spin() -> Result<()> {
    let mut n = 0_u64;
    // `black_box` keeps the loop from being removed.
    while std::hint::black_box(n) != u64::MAX {
        n = n.wrapping_add(2);
    }
    Ok(())
}

#[cfg(not(target_family = "wasm"))]
fn spin() -> Result<()> {
    Err(plugin_sdk::Error::new(plugin_sdk::ErrorKind::Unsupported, "spinning natively would hang the host"))
}

export!(Spins: Captioner);
