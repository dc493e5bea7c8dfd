//! What can be told against a picture without a model: too small, blurred, dark, bright, framed by bars, compressed hard,
//! or with what may be a watermark. Each check is a row of [`CHECKS`]; all look at one copy of the picture.
//!
//! These are suspicions: a night scene is dark, and a signature is no watermark. Start at [`Look::of`], then [`problems`].

mod border;
mod jpeg;
mod plane;
mod strokes;

use crate::image::Small;
use crate::{DecodeLimits, ImageError};
use plane::Plane;
use serde::{Deserialize, Serialize};

/// Longest side of the copy that is looked at.
const SIDE: u32 = 512;

/// From where on something is told against a picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Least length of the shorter side.
    pub side: u32,
    /// Least variance of the Laplacian in the sharpest part; 0: not checked.
    pub sharpness: f64,
    /// The brightest 5 % are below this (of 255): dark.
    pub dark: f64,
    /// The darkest 5 % are above this: bright.
    pub bright: f64,
    /// Bars on two opposite sides that take more than this share of the length; 1: not checked.
    pub border: f64,
    /// Least quality of a JPEG, 1 to 100, as its tables tell.
    pub jpeg: f64,
    /// How many times as many strokes as elsewhere a part at the edge may have; 0: not checked.
    pub watermark: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { side: 512, sharpness: 60.0, dark: 55.0, bright: 225.0, border: 0.03, jpeg: 50.0, watermark: 4.0 }
    }
}

/// What was measured of a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    pub width: u32,
    pub height: u32,
    /// Variance of the Laplacian in the sharpest of 8×8 parts, at 512 pixels.
    pub sharpness: f64,
    /// What the darkest 5 % do not exceed, and what the brightest 5 % reach, of 255.
    pub darkest: f64,
    pub brightest: f64,
    /// Share of the height that bars above and below take, and of the width that bars beside it take.
    pub bars: (f64, f64),
    /// Quality of a JPEG from its quantisation tables; none for other formats.
    pub jpeg: Option<f64>,
    /// The part of the edge that looks most like lettering, and how many times as many strokes as the rest it has.
    pub strokes: Option<(String, f64)>,
}

impl Look {
    /// Of an image file.
    ///
    /// # Errors
    /// It is no good picture, or larger than the limits allow.
    pub fn of(bytes: &[u8], limits: &DecodeLimits) -> Result<Self, ImageError> {
        let small = Small::decode(bytes, limits, SIDE)?;
        let plane = Plane::of(&small.image);
        let (darkest, brightest) = plane.extremes();
        Ok(Self {
            width: small.width,
            height: small.height,
            sharpness: plane.sharpness(),
            darkest,
            brightest,
            bars: border::bars(&plane),
            jpeg: jpeg::quality(bytes),
            strokes: strokes::densest(&plane),
        })
    }
}

/// One thing that is wrong with a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Name of the check.
    pub check: &'static str,
    pub text: String,
}

/// A check: its name, how much it tells against a picture, from 0 to 1, and what it says if one does not pass.
pub type Check = (&'static str, f64, fn(&Look, &Limits) -> Option<String>);

/// All checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    ("tiny", 0.5, |look, limits| {
        let side = look.width.min(look.height);
        (side < limits.side).then(|| {
            format!(
                "{}×{}: the shorter side has {side} pixels, at least {} are wanted",
                look.width, look.height, limits.side
            )
        })
    }),
    ("blur", 0.5, |look, limits| {
        (look.sharpness < limits.sharpness).then(|| {
            format!(
                "blurred: even its sharpest part has {:.0}, at least {:.0} is wanted",
                look.sharpness, limits.sharpness
            )
        })
    }),
    ("dark", 0.3, |look, limits| {
        (look.brightest < limits.dark).then(|| format!("dark: 95 % are below {:.0} of 255", look.brightest + 1.0))
    }),
    ("bright", 0.3, |look, limits| {
        (look.darkest > limits.bright).then(|| format!("bright: 95 % are above {:.0} of 255", look.darkest - 1.0))
    }),
    ("border", 0.4, |look, limits| {
        let (high, wide) = look.bars;
        let part = |share: f64, place: &str, of: &str| {
            (share > limits.border).then(|| format!("bars {place} take {:.0} % of its {of}", share * 100.0))
        };
        let found: Vec<String> = [part(high, "above and below", "height"), part(wide, "at both sides", "width")]
            .into_iter()
            .flatten()
            .collect();
        (!found.is_empty()).then(|| found.join(", "))
    }),
    ("jpeg", 0.4, |look, limits| {
        look.jpeg
            .filter(|q| *q < limits.jpeg)
            .map(|q| format!("a JPEG of quality {q:.0}, at least {:.0} is wanted", limits.jpeg))
    }),
    ("watermark", 0.25, |look, limits| {
        let (place, times) = look.strokes.as_ref().filter(|_| limits.watermark > 0.0)?;
        (*times > limits.watermark)
            .then(|| format!("perhaps a watermark or lettering {place}: {times:.1} times as many strokes as elsewhere"))
    }),
];

/// What is wrong with a picture; nothing, for most.
pub fn problems(look: &Look, limits: &Limits) -> Vec<Problem> {
    CHECKS.iter().filter_map(|(check, _, judge)| judge(look, limits).map(|text| Problem { check, text })).collect()
}

/// How suspicious a picture is that did not pass these checks, from 0 to 1: 1 − the product of what each leaves of the
/// trust. Names that are none of [`CHECKS`] count nothing.
pub fn suspicion<'a>(checks: impl IntoIterator<Item = &'a str>) -> f64 {
    let weight = |name: &str| CHECKS.iter().find(|(check, ..)| *check == name).map_or(0.0, |(_, weight, _)| *weight);
    1.0 - checks.into_iter().map(|name| 1.0 - weight(name)).product::<f64>()
}

#[cfg(test)]
mod tests;
