//! A captioner without weights: colours, background, brightness and framing in the vocabulary of image boards.
//!
//! It says only what pixels tell: nothing of who or what is in the picture. Framing is a guess from the outline and
//! made only in front of plain or transparent backgrounds. All decisions are made on a copy of at most 128 pixels.
//! Start at [`Settings`]; the measurements are in `picture.rs`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod clusters;
mod colours;
mod picture;

use booru::names::underscored;
use colours::Names;
use oklab::Converter;
use picture::{Background, Framing, Picture};
use plugin_sdk::{
    Annotation, CaptionRequest, Captioner, Filter, Fit, Image, Info, Inputs, PixelFormat, ResizeSpec, Result, Tag,
    export, info,
};

/// Describes colours, background, brightness and framing of pictures without any model.
#[derive(Inputs, Clone)]
pub struct Settings {
    /// Name the background: `white background`, `simple background`, `gradient background` …
    #[input(default = true)]
    background: bool,
    /// How many dominant colours to name, as `blue theme`. 0: none.
    #[input(default = 3, range = 0..=8)]
    colors: u32,
    /// Least share of the picture that a named colour covers.
    #[input(default = 0.12, range = 0.0..=1.0, step = 0.01)]
    min_share: f32,
    /// Say if the picture is dark or bright.
    #[input(default = true)]
    brightness: bool,
    /// Guess the framing in front of plain backgrounds (`portrait`, `upper body`, `full body`, `close-up`), and name
    /// bars and extreme shapes.
    #[input(default = true)]
    framing: bool,
    /// How words within a tag are separated.
    #[input(default = "spaces", options = ["spaces", "underscores"])]
    underscores: String,
}

/// The captioner.
pub struct PaletteTagger {
    settings: Settings,
    convert: Converter,
    names: Names,
}

/// Side of the copy that is looked at, in pixels.
const SIDE: u32 = 128;
/// Colours that are told apart before those with one name are added up.
const COLOURS: usize = 8;

impl Captioner for PaletteTagger {
    type Settings = Settings;
    const INFO: Info = Info { category: "dataset/captions", ..info!("anagama.palette-tagger", "Palette tagger") };

    fn open(settings: Settings) -> Result<Self> {
        let convert = Converter::new();
        Ok(Self { settings, names: Names::new(&convert), convert })
    }

    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation>>> {
        Ok(batch.iter().map(|request| self.annotate(&request.image)).collect())
    }
}

impl PaletteTagger {
    fn annotate(&self, image: &Image) -> Result<Annotation> {
        let (width, height) = (image.width(), image.height());
        let small = (width.max(height) > SIDE).then(|| {
            let spec = ResizeSpec { width: SIDE, height: SIDE, fit: Fit::Contain, filter: Filter::Area, pad_color: 0 };
            image.resize(&spec)
        });
        let small = small.transpose()?;
        let small = small.as_ref().unwrap_or(image);
        let rgba = small.read(PixelFormat::Rgba8)?;
        let picture = Picture::new(&self.convert, small.width() as usize, small.height() as usize, &rgba);
        let tags = self.tags(&picture, f64::from(width) / f64::from(height));
        let tags = tags.into_iter().map(|(name, score)| {
            let name = if self.settings.underscores == "underscores" { underscored(&name) } else { name };
            // Shares of pixels with three digits: more would be noise.
            let score = score.map(|s| (s * 1000.0).round() / 1000.0);
            Tag { name, score, category: Some("general".into()) }
        });
        Ok(Annotation { tags: tags.collect(), ..Annotation::default() })
    }

    /// Names with the share of the picture that they speak of, where that means anything.
    fn tags(&self, picture: &Picture, aspect: f64) -> Vec<(String, Option<f32>)> {
        let s = &self.settings;
        let mut out: Vec<(String, Option<f32>)> = Vec::new();
        let mut say = |name: &str, score: Option<f32>| out.push((name.to_owned(), score));
        let background = picture.background();
        if s.background {
            match background {
                Background::Transparent => say("transparent background", None),
                Background::Plain(colour) => {
                    say(&format!("{} background", self.names.of(colour)), None);
                    say("simple background", None);
                }
                Background::Gradient => say("gradient background", None),
                Background::Other => {}
            }
        }
        let grey = picture.high_chroma() < 0.02;
        if grey {
            say("greyscale", None);
        }
        if grey || picture.single_hue() {
            say("monochrome", None);
        }
        for (name, share) in self.shares(picture).into_iter().take(s.colors as usize) {
            if share >= s.min_share {
                say(&format!("{name} theme"), Some(share));
            }
        }
        if s.brightness {
            match picture.lightness() {
                l if l < 0.35 => say("dark", None),
                l if l > 0.85 => say("bright", None),
                _ => {}
            }
        }
        if s.framing {
            match picture.framing(background) {
                Some(Framing::CloseUp) => say("close-up", None),
                Some(Framing::Portrait) => say("portrait", None),
                Some(Framing::UpperBody) => say("upper body", None),
                Some(Framing::FullBody) => say("full body", None),
                None => {}
            }
            let (letterboxed, pillarboxed) = picture.bars();
            if letterboxed {
                say("letterboxed", None);
            }
            if pillarboxed {
                say("pillarboxed", None);
            }
            // Image boards use these for extreme shapes only: four times as long as wide.
            if aspect >= 4.0 {
                say("wide image", None);
            } else if aspect <= 0.25 {
                say("tall image", None);
            }
        }
        out
    }

    /// Colour names with their shares of the picture, largest first.
    fn shares(&self, picture: &Picture) -> Vec<(&'static str, f32)> {
        let mut out: Vec<(&'static str, f32)> = Vec::new();
        for cluster in picture.colours(COLOURS) {
            let name = self.names.of(cluster.colour);
            match out.iter_mut().find(|(n, _)| *n == name) {
                Some((_, share)) => *share += cluster.share,
                None => out.push((name, cluster.share)),
            }
        }
        out.sort_by(|a, b| b.1.total_cmp(&a.1));
        out
    }
}

export!(PaletteTagger: Captioner);

#[cfg(test)]
mod tests;
