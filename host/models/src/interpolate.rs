//! Pictures and latents at another size, by the rules of torch's `interpolate` (without antialiasing, corners not
//! aligned) and ComfyUI's bislerp.

use crate::error::{Error, Result};
use candle_core::{DType, Tensor};
use rayon::prelude::*;

/// A way to mix neighbours.
#[derive(Debug)]
pub struct Interpolation {
    /// ComfyUI's name.
    pub name: &'static str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Rows and columns one after the other: which values an output is made of, from (length, new length).
    Separable(fn(usize, usize) -> Vec<Taps>),
    /// Rows and columns one after the other, each pair of pixels as directions in the space of channels.
    Slerp,
}

/// What one output is made of: places and weights.
type Taps = Vec<(usize, f32)>;

/// The ways there are.
pub const INTERPOLATIONS: &[Interpolation] = &[
    Interpolation { name: "nearest-exact", kind: Kind::Separable(nearest) },
    Interpolation { name: "bilinear", kind: Kind::Separable(linear) },
    Interpolation { name: "area", kind: Kind::Separable(area) },
    Interpolation { name: "bicubic", kind: Kind::Separable(cubic) },
    Interpolation { name: "bislerp", kind: Kind::Slerp },
];

/// Bicubic, over more pixels where a picture shrinks, as Pillow has it (torch, `antialias=True`).
pub(crate) static BICUBIC_SMOOTHED: Interpolation =
    Interpolation { name: "bicubic, smoothed", kind: Kind::Separable(cubic_smoothed) };

/// The way of this name.
///
/// # Errors
/// There is none; the message lists those there are.
pub fn interpolation(name: &str) -> Result<&'static Interpolation> {
    INTERPOLATIONS.iter().find(|i| i.name == name).ok_or_else(|| {
        let known: Vec<&str> = INTERPOLATIONS.iter().map(|i| i.name).collect();
        Error::Unsupported(format!("unknown way to change a size `{name}`; known are {}", known.join(", ")))
    })
}

impl Interpolation {
    /// x (b, c, h, w) at another size, in f32.
    pub fn resize(&self, x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
        let (b, c, h, w) = x.dims4()?;
        if height == 0 || width == 0 || h == 0 || w == 0 {
            return Err(Error::Unsupported(format!("cannot change a size of {w}×{h} to {width}×{height}")));
        }
        if (h, w) == (height, width) && !matches!(self.kind, Kind::Slerp) {
            return Ok(x.to_dtype(DType::F32)?);
        }
        let values = x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let out = match self.kind {
            Kind::Separable(taps) => separable(&values, (h, w), &taps(h, height), &taps(w, width)),
            Kind::Slerp => slerped(&values, (b, c, h, w), (height, width)),
        };
        Ok(Tensor::from_vec(out, (b, c, height, width), x.device())?)
    }
}

fn separable(values: &[f32], (h, w): (usize, usize), rows: &[Taps], cols: &[Taps]) -> Vec<f32> {
    let mut out = vec![0f32; values.len() / (h * w) * rows.len() * cols.len()];
    out.par_chunks_mut(rows.len() * cols.len()).zip(values.par_chunks(h * w)).for_each(|(out, plane)| {
        // (h, new width)
        let wide: Vec<f32> =
            plane.chunks_exact(w).flat_map(|line| cols.iter().map(|taps| mix(taps, |x| line[x]))).collect();
        for (line, taps) in out.chunks_exact_mut(cols.len()).zip(rows) {
            for (x, value) in line.iter_mut().enumerate() {
                *value = mix(taps, |y| wide[y * cols.len() + x]);
            }
        }
    });
    out
}

fn mix(taps: &Taps, value: impl Fn(usize) -> f32) -> f32 {
    taps.iter().map(|(at, weight)| value(*at) * weight).sum()
}

/// Where output `i` lies among the inputs, their centres being whole numbers.
fn place(i: usize, from: usize, to: usize) -> f32 {
    (i as f32 + 0.5) * (from as f32 / to as f32) - 0.5
}

fn nearest(from: usize, to: usize) -> Vec<Taps> {
    let at = |i: usize| (((i as f32 + 0.5) * (from as f32 / to as f32)) as usize).min(from - 1);
    (0..to).map(|i| vec![(at(i), 1.0)]).collect()
}

fn linear(from: usize, to: usize) -> Vec<Taps> {
    let taps = |i: usize| {
        let x = place(i, from, to).max(0.0);
        let low = (x as usize).min(from - 1);
        let share = (x - low as f32).clamp(0.0, 1.0);
        vec![(low, 1.0 - share), ((low + 1).min(from - 1), share)]
    };
    (0..to).map(taps).collect()
}

/// The mean of what an output covers, whole inputs only.
fn area(from: usize, to: usize) -> Vec<Taps> {
    let taps = |i: usize| {
        let (start, end) = (i * from / to, ((i + 1) * from).div_ceil(to));
        (start..end).map(|x| (x, 1.0 / (end - start) as f32)).collect()
    };
    (0..to).map(taps).collect()
}

/// Keys 1981, «Cubic convolution interpolation for digital image processing», with a = −0.75 as torch has it.
fn cubic(from: usize, to: usize) -> Vec<Taps> {
    const A: f32 = -0.75;
    let near = |x: f32| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f32| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let taps = |i: usize| {
        let x = place(i, from, to);
        let (low, t) = (x.floor(), x - x.floor());
        let at = |n: i64| (low as i64 + n).clamp(0, from as i64 - 1) as usize;
        vec![(at(-1), far(t + 1.0)), (at(0), near(t)), (at(1), near(1.0 - t)), (at(2), far(2.0 - t))]
    };
    (0..to).map(taps).collect()
}

/// Keys' cubic with a = −0.5, as wide as an output is of the inputs; weights add up to one.
fn cubic_smoothed(from: usize, to: usize) -> Vec<Taps> {
    const A: f64 = -0.5;
    let weight = |x: f64| match x.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    };
    let scale = from as f64 / to as f64;
    let (wide, support) = (scale.max(1.0), 2.0 * scale.max(1.0));
    let taps = |i: usize| {
        let centre = scale * (i as f64 + 0.5);
        let first = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let weights: Vec<f64> = (first..end).map(|at| weight((at as f64 + 0.5 - centre) / wide)).collect();
        let sum: f64 = weights.iter().sum();
        (first..end).zip(weights).map(|(at, weight)| (at, (weight / sum) as f32)).collect()
    };
    (0..to).map(taps).collect()
}

/// Along rows, then along columns (ComfyUI, `comfy.utils.bislerp`).
fn slerped(values: &[f32], (b, c, h, w): (usize, usize, usize, usize), (height, width): (usize, usize)) -> Vec<f32> {
    let mut out = Vec::with_capacity(b * c * height * width);
    for picture in values.chunks_exact(c * h * w) {
        let wide = slerp_lines(picture, c, (h, w), width, |y, x| y * w + x, |y, x| y * width + x, h);
        out.extend(slerp_lines(&wide, c, (h, width), height, |x, y| y * width + x, |x, y| y * width + x, width));
    }
    out
}

/// All lines of one direction: `at(line, i)` is a pixel's place before, `to(line, i)` after.
fn slerp_lines(
    picture: &[f32],
    c: usize,
    (h, w): (usize, usize),
    length: usize,
    at: impl Fn(usize, usize) -> usize,
    to: impl Fn(usize, usize) -> usize,
    lines: usize,
) -> Vec<f32> {
    let (old, new) = (h * w, lines * length);
    let places = slerp_places(old / lines, length);
    let mut out = vec![0f32; c * new];
    let pixel = |i: usize| -> Vec<f32> { (0..c).map(|k| picture[k * old + i]).collect() };
    for line in 0..lines {
        for (i, (low, high, share)) in places.iter().enumerate() {
            let mixed = slerp(&pixel(at(line, *low)), &pixel(at(line, *high)), *share);
            for (k, value) in mixed.into_iter().enumerate() {
                out[k * new + to(line, i)] = value;
            }
        }
    }
    out
}

/// For each output the pixels on both sides and the share of the second.
fn slerp_places(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    let ramp = |taps: &Taps, value: &dyn Fn(usize) -> f32| mix(taps, value);
    let taps = linear(from, to);
    taps.iter()
        .map(|taps| {
            let low = ramp(taps, &|x| x as f32);
            let high = ramp(taps, &|x| (x + 1).min(from - 1) as f32);
            (low as usize, high as usize, low - low.floor())
        })
        .collect()
}

fn slerp(a: &[f32], b: &[f32], share: f32) -> Vec<f32> {
    let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
    let (na, nb) = (norm(a), norm(b));
    let unit = |x: f32, n: f32| if n == 0.0 { 0.0 } else { x / n };
    let dot: f32 = a.iter().zip(b).map(|(x, y)| unit(*x, na) * unit(*y, nb)).sum();
    let pairs = a.iter().zip(b);
    // Equal and opposite directions have no angle to go through.
    if dot > 1.0 - 1e-5 {
        return a.to_vec();
    }
    if dot < 1e-5 - 1.0 {
        return pairs.map(|(x, y)| x * (1.0 - share) + y * share).collect();
    }
    let angle = dot.acos();
    let (first, second) = (((1.0 - share) * angle).sin() / angle.sin(), (share * angle).sin() / angle.sin());
    let length = na * (1.0 - share) + nb * share;
    pairs.map(|(x, y)| (first * unit(*x, na) + second * unit(*y, nb)) * length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn resized(name: &str, values: &[f32], (h, w): (usize, usize), (height, width): (usize, usize)) -> Vec<f32> {
        let x = Tensor::from_slice(values, (1, values.len() / (h * w), h, w), &Device::Cpu).unwrap();
        interpolation(name).unwrap().resize(&x, height, width).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    fn close(found: &[f32], want: &[f32]) {
        assert_eq!(found.len(), want.len());
        assert!(found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}, expected {want:?}");
    }

    #[test]
    fn lines_are_torch_s() {
        let line = [0.0, 1.0, 4.0, 9.0];
        close(&resized("nearest-exact", &line, (1, 4), (1, 6)), &[0.0, 1.0, 1.0, 4.0, 9.0, 9.0]);
        close(&resized("nearest-exact", &line, (1, 4), (1, 2)), &[1.0, 9.0]);
        close(&resized("bilinear", &line, (1, 4), (1, 8)), &[0.0, 0.25, 0.75, 1.75, 3.25, 5.25, 7.75, 9.0]);
        close(&resized("bilinear", &line, (1, 4), (1, 2)), &[0.5, 6.5]);
        close(&resized("area", &line, (1, 4), (1, 2)), &[0.5, 6.5]);
        close(&resized("area", &line, (1, 4), (1, 3)), &[0.5, 2.5, 6.5]);
        // a = −0.75 at t = 0.5: −0.09375, 0.59375, 0.59375, −0.09375.
        let want = [-0.09375 * (0.0 + 4.0) + 0.59375, 0.59375 * 13.0 - 0.09375 * 10.0];
        close(&resized("bicubic", &line, (1, 4), (1, 2)), &want);
    }

    /// torch: `interpolate(x, size=(1, n), mode="bicubic", antialias=True)`.
    #[test]
    fn smoothed_lines_are_torch_s() {
        let line = Tensor::new(&[[[[0f32, 1.0, 4.0, 9.0, 16.0, 25.0]]]], &Device::Cpu).unwrap();
        let at = |n: usize| {
            let smoothed = BICUBIC_SMOOTHED.resize(&line, 1, n).unwrap().flatten_all().unwrap();
            smoothed.to_vec1::<f32>().unwrap()
        };
        close(&at(3), &[0.41004187, 6.5305343, 19.97071]);
        close(&at(4), &[0.15857436, 2.9770288, 10.886677, 22.27832]);
        close(
            &at(9),
            &[-0.06578932, 0.2941177, 1.3611108, 3.3611114, 6.25, 10.027779, 14.694446, 21.176472, 25.592106],
        );
    }

    #[test]
    fn constants_stay_and_axes_are_not_mixed_up() {
        for way in INTERPOLATIONS {
            close(&resized(way.name, &[3.0; 12], (2, 3), (5, 4)), &[3.0; 40]);
            let upright = resized(way.name, &[1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 5.0, 5.0], (2, 2), (4, 2));
            let lying = resized(way.name, &[1.0, 2.0, 1.0, 2.0, 1.0, 5.0, 1.0, 5.0], (2, 2), (2, 4));
            let turned: Vec<f32> = (0..16).map(|i| lying[i / 8 * 8 + i % 2 * 4 + i % 8 / 2]).collect();
            close(&upright, &turned);
        }
    }

    /// Between two directions at a right angle lies the one at half the angle, as long as both.
    #[test]
    fn bislerp_keeps_lengths() {
        // Two channels, two pixels: (2, 0) and (0, 2).
        let found = resized("bislerp", &[2.0, 0.0, 0.0, 2.0], (1, 2), (1, 3));
        let half = 2.0 * std::f32::consts::FRAC_1_SQRT_2;
        close(&found, &[2.0, half, 0.0, 0.0, half, 2.0]);
        // Opposite directions are mixed straight.
        close(&resized("bislerp", &[2.0, -2.0], (1, 2), (1, 3)), &[2.0, 0.0, -2.0]);
    }

    #[test]
    fn unknown_ways_are_told() {
        assert!(interpolation("lanczos").unwrap_err().to_string().contains("bislerp"));
    }
}
