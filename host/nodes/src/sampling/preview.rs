//! Pictures of the work so far.

use crate::Host;
use crate::types::Model;
use anyhow::Result;
use candle_core::{Device, Tensor};
use data::{Codec, Image, PixelFormat};
use engine::{Context, Level};
use models::Preview;
use std::time::{Duration, Instant};

/// Previews go out at most this often.
const INTERVAL: Duration = Duration::from_millis(250);

/// Of the time between two previews, making them takes at most one part in so many.
const SHARE: u32 = 8;

/// Pixels of a preview for each pixel of a latent, both ways, where there is no small decoder.
const ENLARGE: usize = 4;

/// How clean guesses are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PreviewMethod {
    /// Not at all.
    None,
    /// Finely where a small decoder (TAESD) lies in `vae_approx`, else roughly.
    #[default]
    Auto,
    /// Roughly: each cell of the latent by a colour.
    Rough,
    /// As `Auto`; that there is no decoder is told.
    Fine,
}

impl PreviewMethod {
    /// By ComfyUI's name.
    pub fn named(name: &str) -> Option<Self> {
        const ROWS: [(&str, PreviewMethod); 4] = [
            ("none", PreviewMethod::None),
            ("auto", PreviewMethod::Auto),
            ("latent2rgb", PreviewMethod::Rough),
            ("taesd", PreviewMethod::Fine),
        ];
        ROWS.iter().find(|(row, _)| *row == name).map(|(_, method)| *method)
    }
}

/// Shows what clean guesses look like.
pub(super) struct Previews<'a> {
    ctx: &'a Context,
    model: &'a Model,
    method: PreviewMethod,
    decoder: Option<Preview>,
    /// When the next one may go out.
    next: Option<Instant>,
}

impl<'a> Previews<'a> {
    pub(super) fn new(ctx: &'a Context, model: &'a Model) -> Self {
        let method = ctx.service::<Host>().map_or_else(PreviewMethod::default, |host| host.previews);
        let decoder = match method {
            PreviewMethod::None | PreviewMethod::Rough => None,
            PreviewMethod::Auto => decoder(ctx, model),
            PreviewMethod::Fine => decoder(ctx, model).or_else(|| {
                let stem = model.family.small_decoder;
                ctx.log(Level::Warn, &format!("previews are rough without {stem}_decoder.safetensors in vae_approx"));
                None
            }),
        };
        Self { ctx, model, method, decoder, next: None }
    }

    /// The first picture of a batch of guesses (b, c, h, w), scaled as samplers have them.
    pub(super) fn show(&mut self, guess: &Tensor) -> Result<()> {
        let start = Instant::now();
        if self.method == PreviewMethod::None || self.next.is_some_and(|next| start < next) {
            return Ok(());
        }
        self.ctx.preview(self.picture(guess)?.encode(Codec::Png, 100)?);
        let end = Instant::now();
        self.next = Some((start + INTERVAL).max(end + (end - start) * SHARE));
        Ok(())
    }

    fn picture(&self, guess: &Tensor) -> Result<Image> {
        let first = guess.narrow(0, 0, 1)?;
        match &self.decoder {
            Some(decoder) => image(&decoder.decode(&first.to_device(&Device::Cpu)?)?, 1),
            None => image(&self.model.latent.picture(&first)?, ENLARGE),
        }
    }
}

/// The small decoder of the model's family, if the user has one. One that cannot be read is told, and left out.
fn decoder(ctx: &Context, model: &Model) -> Option<Preview> {
    let stem = model.family.small_decoder;
    let folders = ctx.service::<Host>()?.models.folders("vae_approx");
    let names = [format!("{stem}_decoder.safetensors"), format!("{stem}.safetensors")];
    let path = folders.iter().flat_map(|dir| names.iter().map(move |name| dir.join(name))).find(|p| p.is_file())?;
    let found = Preview::load(&path).map_err(|e| e.to_string()).and_then(|decoder| {
        let (found, want) = (decoder.channels(), model.latent.channels);
        if found == want { Ok(decoder) } else { Err(format!("it decodes {found} channels, the model has {want}")) }
    });
    match found {
        Ok(decoder) => Some(decoder),
        Err(why) => {
            ctx.log(Level::Warn, &format!("{}: previews are made without this decoder: {why}", path.display()));
            None
        }
    }
}

/// A picture (1, 3, h, w) in about -1…1, each pixel `times` as large both ways.
fn image(rough: &Tensor, times: usize) -> Result<Image> {
    let (_, _, h, w) = rough.dims4()?;
    let values = rough.squeeze(0)?.permute((1, 2, 0))?.contiguous()?.flatten_all()?.to_vec1::<f32>()?;
    let (tall, wide) = (h * times, w * times);
    let pixels = (0..tall * wide)
        .flat_map(|i| {
            let at = (i / wide / times * w + i % wide / times) * 3;
            &values[at..at + 3]
        })
        .map(|v| ((v + 1.0) / 2.0).clamp(0.0, 1.0) * 255.0)
        .map(|v| v as u8)
        .collect::<Vec<u8>>();
    Ok(Image::new(wide as u32, tall as u32, PixelFormat::Rgb8, pixels)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{base, host, host_with, repository};

    #[test]
    fn a_small_decoder_is_used_where_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = host(dir.path());
        let (model, ..) = base(&ctx);
        let guess = Tensor::randn(0f32, 1.0, (2, 4, 6, 5), &Device::Cpu).unwrap();
        let size = || {
            let image = Previews::new(&ctx, &model).picture(&guess).unwrap();
            (image.width, image.height)
        };
        assert_eq!(size(), (20, 24));
        let folder = dir.path().join("models/vae_approx");
        std::fs::create_dir_all(&folder).unwrap();
        let put = |from: &str| {
            let from = repository("host/models/tests/data").join(from);
            std::fs::copy(from, folder.join("taesd_decoder.safetensors")).unwrap();
        };
        put("taesd_decoder.safetensors");
        assert_eq!(size(), (40, 48));
        // A job may want it otherwise.
        for (name, expected) in [("latent2rgb", (20, 24)), ("taesd", (40, 48)), ("auto", (40, 48))] {
            let ctx = host_with(dir.path(), |host| host.with_previews(PreviewMethod::named(name).unwrap()));
            let image = Previews::new(&ctx, &model).picture(&guess).unwrap();
            assert_eq!((image.width, image.height), expected, "{name}");
        }
        // One of another family's latents, or no decoder at all, does not stop the sampling.
        put("taef1_decoder.safetensors");
        assert_eq!(size(), (20, 24));
        std::fs::write(folder.join("taesd_decoder.safetensors"), "nothing").unwrap();
        assert_eq!(size(), (20, 24));
    }
}
