//! A captioner that asks the host about an image it was never given, for tests of handle checks.
//! Handles are numbers, so a guest that goes around the SDK can name any.

use plugin_sdk::{Annotation, CaptionRequest, Captioner, Info, Result, export, info};

/// The captioner.
pub struct Forger;

impl Captioner for Forger {
    type Settings = ();
    const INFO: Info = info!("test.forger", "Forger");

    fn open((): ()) -> Result<Self> {
        Ok(Self)
    }

    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
        let width = forged_width();
        let one = |_| Ok(Annotation { text: Some(format!("forged {width}")), ..Annotation::default() });
        Ok(batch.into_iter().map(one).collect())
    }
}

#[cfg(target_family = "wasm")]
fn forged_width() -> u32 {
    #[link(wasm_import_module = "anagama:plugin/images@0.1.0")]
    unsafe extern "C" {
        #[link_name = "[method]image.width"]
        fn image_width(handle: i32) -> i32;
    }
    // SAFETY: the signature is that of the canonical ABI for `image.width`. That the handle is forged is the point:
    // the host must trap.
    unsafe { image_width(77_777) as u32 }
}

#[cfg(not(target_family = "wasm"))]
fn forged_width() -> u32 {
    panic!("handles of a native plugin are not sandboxed")
}

export!(Forger: Captioner);
