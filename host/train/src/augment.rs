//! Versions of a picture: other crops, other colours. Which they are follows from the picture alone, so that every run
//! finds the same ones in the store.

use crate::dice::{Dice, Purpose, Stream};
use anyhow::Result;
use data::{Assignment, Image, Item, PixelFormat, Rect};

/// How one version of a picture is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Version {
    /// Upper left corner of what is kept of the scaled picture, in pixels.
    pub(crate) corner: (u32, u32),
    pub(crate) color: Color,
}

/// A change of all colours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Color {
    Plain,
    /// Turned around the colour circle, in degrees.
    Hue(f32),
    /// Each channel, as 0 to 1, to this power.
    Gamma(f32),
}

/// Share of draws with another colour, and the limits, as in sd-scripts (`AugHelper.color_aug`): hue by up to 16°,
/// gamma within 5 %. Deviation: sd-scripts raises values of 0 to 255 to the power, so that bright parts are cut off;
/// here they are 0 to 1.
const COLORED: f64 = 0.33;
const MAX_HUE: f64 = 16.0;
const MAX_GAMMA: f64 = 0.05;

impl Version {
    /// The centre, with its own colours.
    pub(crate) fn plain(place: &Assignment) -> Self {
        Self { corner: (place.crop.x, place.crop.y), color: Color::Plain }
    }

    /// `count` versions of a picture, the plain one first.
    pub(crate) fn all(item: &Item, place: &Assignment, crops: bool, colors: bool, count: usize) -> Vec<Self> {
        let start = u64::from_str_radix(item.digest.get(..16).unwrap_or_default(), 16).unwrap_or_default();
        let slack = (place.resized.0 - place.bucket.0, place.resized.1 - place.bucket.1);
        let version = |n: usize| {
            let mut dice = Stream::new(start, Purpose::Version, n as u64);
            let mut version = Self::plain(place);
            let (x, y) = (dice.below(slack.0 as usize + 1) as u32, dice.below(slack.1 as usize + 1) as u32);
            // With crops, versions are drawn evenly, so that only some may have other colours.
            let (colored, hue) = (!crops || dice.unit() < COLORED, dice.unit() < 0.5);
            let swing = dice.unit() * 2.0 - 1.0;
            if crops {
                version.corner = (x, y);
            }
            if colors && colored {
                version.color = if hue {
                    Color::Hue((swing * MAX_HUE) as f32)
                } else {
                    Color::Gamma((1.0 + swing * MAX_GAMMA) as f32)
                };
            }
            version
        };
        (0..count).map(|n| if n == 0 { Self::plain(place) } else { version(n) }).collect()
    }

    /// Draws the number of a version.
    pub(crate) fn draw(crops: bool, count: usize, dice: &mut dyn Dice) -> usize {
        if count < 2 {
            0
        } else if crops {
            dice.below(count)
        } else if dice.unit() < COLORED {
            1 + dice.below(count - 1)
        } else {
            0
        }
    }

    /// Scales, crops and colours a picture.
    pub(crate) fn apply(&self, image: &Image, place: &Assignment) -> Result<Image> {
        let crop = Rect { x: self.corner.0, y: self.corner.1, ..place.crop };
        let image = Assignment { crop, ..*place }.apply(image)?;
        Ok(match self.color {
            Color::Plain => image,
            color => color.apply(&image)?,
        })
    }
}

impl Color {
    fn apply(self, image: &Image) -> Result<Image> {
        let n = image.format.channels();
        let mut pixels = image.pixels.to_vec();
        for pixel in pixels.chunks_exact_mut(n) {
            let shown = if image.format == PixelFormat::L8 { 1 } else { 3 };
            match self {
                Self::Plain => {}
                Self::Gamma(power) => {
                    for v in &mut pixel[..shown] {
                        *v = ((f32::from(*v) / 255.0).powf(power) * 255.0).round() as u8;
                    }
                }
                Self::Hue(degrees) if shown == 3 => turn(&mut pixel[..3], degrees),
                Self::Hue(_) => {}
            }
        }
        Ok(Image::new(image.width, image.height, image.format, pixels)?)
    }
}

/// Turns a colour's hue, keeping saturation and value of HSV.
fn turn(rgb: &mut [u8], degrees: f32) {
    let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(f32::from);
    let (high, low) = (r.max(g).max(b), r.min(g).min(b));
    let chroma = high - low;
    if chroma == 0.0 {
        return;
    }
    let sixth = if high == r {
        (g - b) / chroma
    } else if high == g {
        (b - r) / chroma + 2.0
    } else {
        (r - g) / chroma + 4.0
    };
    let hue = (sixth + degrees / 60.0).rem_euclid(6.0);
    let middle = low + chroma * (1.0 - (hue % 2.0 - 1.0).abs());
    let turned = match hue as u32 {
        0 => [high, middle, low],
        1 => [middle, high, low],
        2 => [low, high, middle],
        3 => [low, middle, high],
        4 => [middle, low, high],
        _ => [high, low, middle],
    };
    for (to, v) in rgb.iter_mut().zip(turned) {
        *to = v.round() as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::{BucketConfig, Buckets};

    fn place() -> Assignment {
        Buckets::new(BucketConfig { enabled: false, resolution: (64, 64), ..BucketConfig::default() })
            .unwrap()
            .assign(128, 64)
    }

    fn item() -> Item {
        Item { digest: "0123456789abcdef00".into(), ..Item::default() }
    }

    #[test]
    fn crops_stay_within_the_picture_and_differ() {
        let versions = Version::all(&item(), &place(), true, false, 16);
        assert_eq!(versions[0], Version::plain(&place()));
        assert!(versions.iter().all(|v| v.corner.0 <= 64 && v.corner.1 == 0 && v.color == Color::Plain));
        assert!(versions.iter().map(|v| v.corner).collect::<std::collections::BTreeSet<_>>().len() > 8);
        assert_eq!(versions, Version::all(&item(), &place(), true, false, 16));
        let image = Image::new(128, 64, PixelFormat::Rgb8, (0..128 * 64 * 3).map(|n| n as u8).collect::<Vec<_>>());
        let image = image.unwrap();
        let cut = versions[1].apply(&image, &place()).unwrap();
        let at = versions[1].corner.0 as usize * 3;
        assert_eq!((cut.width, cut.height, &cut.pixels[..3]), (64, 64, &image.pixels[at..at + 3]));
    }

    #[test]
    fn colours_alone_leave_the_crop_and_the_plain_picture_often() {
        let versions = Version::all(&item(), &place(), false, true, 8);
        assert!(versions[1..].iter().all(|v| v.corner == versions[0].corner && v.color != Color::Plain));
        let mut dice = Stream::new(0, Purpose::Version, 0);
        let drawn: Vec<usize> = (0..1000).map(|_| Version::draw(false, 8, &mut dice)).collect();
        let plain = drawn.iter().filter(|&&n| n == 0).count();
        assert!((600..740).contains(&plain) && drawn.contains(&7), "{plain}");
    }

    #[test]
    fn hue_and_gamma() {
        let image = Image::new(2, 1, PixelFormat::Rgba8, vec![255, 0, 0, 9, 80, 80, 80, 10]).unwrap();
        let turned = Color::Hue(120.0).apply(&image).unwrap();
        assert_eq!(turned.pixels.as_ref(), [0, 255, 0, 9, 80, 80, 80, 10]);
        let back = Color::Hue(-120.0).apply(&turned).unwrap();
        assert_eq!(back.pixels, image.pixels);
        assert_eq!(Color::Gamma(2.0).apply(&image).unwrap().pixels.as_ref(), [255, 0, 0, 9, 25, 25, 25, 10]);
    }
}
