//! A captioner that allocates without end, for tests of the memory cap. Natively it stops at 256 MiB.

use plugin_sdk::{Annotation, CaptionRequest, Captioner, Error, ErrorKind, Info, Result, export, info};

/// The captioner.
pub struct Hungry;

/// One bite.
const BLOCK: usize = 4 << 20;

impl Captioner for Hungry {
    type Settings = ();
    const INFO: Info = info!("test.hungry", "Hungry");

    fn open((): ()) -> Result<Self> {
        Ok(Self)
    }

    fn caption(&mut self, _: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
        let mut eaten: Vec<Vec<u8>> = Vec::new();
        loop {
            // Every page is written to, so that the memory is really used.
            eaten.push(vec![eaten.len() as u8 | 1; BLOCK]);
            std::hint::black_box(&eaten);
            if cfg!(not(target_family = "wasm")) && eaten.len() * BLOCK >= 256 << 20 {
                return Err(Error::new(ErrorKind::TooLarge, "eating more natively would harm the host"));
            }
        }
    }
}

export!(Hungry: Captioner);
