//! Changing the size, with the same pixels as the tools that data sets and taggers were made with.
//!
//! `Area` equals OpenCV's `INTER_AREA` when both sides shrink; the others equal Pillow's resampling (antialiased,
//! fixed point, one pass per axis). `CatmullRom` is what Pillow calls bicubic, `Triangle` what it calls bilinear.

use super::{Image, ImageError, PixelFormat, Rect};

/// How neighbouring pixels are mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    Nearest,
    Triangle,
    CatmullRom,
    Lanczos3,
    /// Mean over the covered area.
    Area,
}

/// What to do when the shapes differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fit {
    /// Ignore the aspect ratio.
    Stretch,
    /// Scale so that the box is covered, crop the centre.
    Cover,
    /// Scale so that the whole picture fits, pad the rest.
    Pad,
    /// Scale so that the whole picture fits, keep the smaller size.
    Contain,
}

/// A size to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResizeSpec {
    pub width: u32,
    pub height: u32,
    pub fit: Fit,
    pub filter: Filter,
    /// `0xRRGGBB`, for [`Fit::Pad`].
    pub pad_color: u32,
}

const MAX_PIXELS: u64 = 64_000_000;

pub(super) fn resize(img: &Image, spec: &ResizeSpec) -> Result<Image, ImageError> {
    let (width, height) = (spec.width, spec.height);
    if width == 0 || height == 0 {
        return Err(ImageError::Empty { width, height });
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(ImageError::TooLarge { width, height, limit: MAX_PIXELS });
    }
    let (sx, sy) = (f64::from(width) / f64::from(img.width), f64::from(height) / f64::from(img.height));
    let scaled = |s: f64| {
        let side = |n: u32| ((f64::from(n) * s + 0.5) as u32).max(1);
        (side(img.width), side(img.height))
    };
    match spec.fit {
        Fit::Stretch => Ok(stretch(img, width, height, spec.filter)),
        Fit::Contain => {
            let (w, h) = scaled(sx.min(sy));
            Ok(stretch(img, w.min(width), h.min(height), spec.filter))
        }
        Fit::Cover => {
            let (w, h) = scaled(sx.max(sy));
            let (w, h) = (w.max(width), h.max(height));
            if u64::from(w) * u64::from(h) > 16 * MAX_PIXELS {
                return Err(ImageError::TooLarge { width: w, height: h, limit: 16 * MAX_PIXELS });
            }
            let area = Rect { x: (w - width) / 2, y: (h - height) / 2, width, height };
            stretch(img, w, h, spec.filter).crop(area)
        }
        Fit::Pad => {
            let (w, h) = scaled(sx.min(sy));
            let small = stretch(img, w.min(width), h.min(height), spec.filter);
            Ok(pad(&small, width, height, spec.pad_color))
        }
    }
}

fn pad(img: &Image, width: u32, height: u32, color: u32) -> Image {
    let n = img.format.channels();
    let rgb = [(color >> 16) as u8, (color >> 8) as u8, color as u8];
    let pixel: Vec<u8> = match img.format {
        PixelFormat::L8 => vec![super::luminance(&rgb)],
        PixelFormat::Rgb8 => rgb.to_vec(),
        PixelFormat::Rgba8 => [&rgb[..], &[255]].concat(),
    };
    let mut pixels = pixel.repeat(width as usize * height as usize);
    let (x, y) = ((width - img.width) / 2, (height - img.height) / 2);
    for (row, source) in img.pixels.chunks_exact(img.width as usize * n).enumerate() {
        let at = ((y as usize + row) * width as usize + x as usize) * n;
        pixels[at..at + source.len()].copy_from_slice(source);
    }
    Image { width, height, pixels: pixels.into(), ..img.clone() }
}

/// The whole picture at exactly this size.
fn stretch(img: &Image, width: u32, height: u32, filter: Filter) -> Image {
    if (width, height) == (img.width, img.height) {
        return img.clone();
    }
    let n = img.format.channels();
    let from = (img.width as usize, img.height as usize);
    let to = (width as usize, height as usize);
    // Colours of transparent pixels must not bleed into visible ones: mix them premultiplied, as Pillow does.
    let alpha = img.format == PixelFormat::Rgba8 && filter != Filter::Nearest;
    let premultiplied;
    let pixels: &[u8] = if alpha {
        premultiplied = premultiply(&img.pixels);
        &premultiplied
    } else {
        &img.pixels
    };
    let shrinks = width <= img.width && height <= img.height;
    let mut out = match filter {
        Filter::Nearest => nearest(pixels, from, to, n),
        Filter::Area if shrinks => area(pixels, from, to, n),
        Filter::Area => separable(pixels, from, to, n, &BOX),
        Filter::Triangle => separable(pixels, from, to, n, &TRIANGLE),
        Filter::CatmullRom => separable(pixels, from, to, n, &CATMULL_ROM),
        Filter::Lanczos3 => separable(pixels, from, to, n, &LANCZOS3),
    };
    if alpha {
        unpremultiply(&mut out);
    }
    Image { width, height, pixels: out.into(), ..img.clone() }
}

fn premultiply(rgba: &[u8]) -> Vec<u8> {
    let mul = |a: u8, b: u8| {
        let t = u32::from(a) * u32::from(b) + 128;
        (((t >> 8) + t) >> 8) as u8
    };
    rgba.chunks_exact(4).flat_map(|p| [mul(p[0], p[3]), mul(p[1], p[3]), mul(p[2], p[3]), p[3]]).collect()
}

fn unpremultiply(rgba: &mut [u8]) {
    for p in rgba.chunks_exact_mut(4).filter(|p| p[3] != 0 && p[3] != 255) {
        let alpha = u32::from(p[3]);
        for c in &mut p[..3] {
            *c = (255 * u32::from(*c) / alpha).min(255) as u8;
        }
    }
}

fn nearest(pixels: &[u8], (w, h): (usize, usize), (tw, th): (usize, usize), n: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(tw * th * n);
    for y in 0..th {
        let sy = (2 * y + 1) * h / (2 * th);
        for x in 0..tw {
            let at = (sy * w + (2 * x + 1) * w / (2 * tw)) * n;
            out.extend_from_slice(&pixels[at..at + n]);
        }
    }
    out
}

/// A window of Pillow's `Resample.c`.
struct Kernel {
    /// Half width at scale 1.
    support: f64,
    weight: fn(f64) -> f64,
}

const BOX: Kernel = Kernel { support: 0.5, weight: |x| f64::from(u8::from(x > -0.5 && x <= 0.5)) };
const TRIANGLE: Kernel = Kernel { support: 1.0, weight: |x| (1.0 - x.abs()).max(0.0) };
/// Keys' cubic with a = −0.5.
const CATMULL_ROM: Kernel = Kernel {
    support: 2.0,
    weight: |x| {
        const A: f64 = -0.5;
        let x = x.abs();
        if x < 1.0 {
            ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
        } else if x < 2.0 {
            (((x - 5.0) * x + 8.0) * x - 4.0) * A
        } else {
            0.0
        }
    },
};
const LANCZOS3: Kernel = Kernel {
    support: 3.0,
    weight: |x| {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * std::f64::consts::PI).sin() / (x * std::f64::consts::PI) };
        if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
    },
};

/// Bits behind the binary point of a weight.
const PRECISION: u32 = 32 - 8 - 2;

/// For each output position: the first input position and the weights from there on.
fn weights(from: usize, to: usize, kernel: &Kernel) -> Vec<(usize, Vec<i32>)> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = kernel.support * stretch;
    (0..to)
        .map(|x| {
            let center = (x as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            let raw: Vec<f64> = (first..end).map(|i| (kernel.weight)((i as f64 - center + 0.5) / stretch)).collect();
            let sum: f64 = raw.iter().sum();
            let norm = if sum == 0.0 { 1.0 } else { 1.0 / sum };
            let fixed = raw.iter().map(|w| (w * norm * f64::from(1 << PRECISION)).round() as i32).collect();
            (first, fixed)
        })
        .collect()
}

/// Pillow's two passes: rows first, then columns, with 8-bit values between.
fn separable(pixels: &[u8], (w, h): (usize, usize), (tw, th): (usize, usize), n: usize, kernel: &Kernel) -> Vec<u8> {
    let rows;
    let pixels = if tw == w {
        pixels
    } else {
        let plan = weights(w, tw, kernel);
        let mut out = Vec::with_capacity(tw * h * n);
        for row in pixels.chunks_exact(w * n) {
            for (first, weights) in &plan {
                for c in 0..n {
                    let values = row[first * n + c..].iter().step_by(n);
                    out.push(mix(weights, values));
                }
            }
        }
        rows = out;
        &rows
    };
    if th == h {
        return pixels.to_vec();
    }
    let stride = tw * n;
    let mut out = Vec::with_capacity(stride * th);
    for (first, weights) in &weights(h, th, kernel) {
        for i in 0..stride {
            out.push(mix(weights, pixels[first * stride + i..].iter().step_by(stride)));
        }
    }
    out
}

fn mix<'a>(weights: &[i32], values: impl Iterator<Item = &'a u8>) -> u8 {
    let start = 1i64 << (PRECISION - 1);
    let sum = weights.iter().zip(values).fold(start, |sum, (w, v)| sum + i64::from(*w) * i64::from(*v));
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// OpenCV's `computeResizeAreaTab`: (output, input, weight) in order of the output.
fn area_table(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    let scale = 1.0 / (to as f64 / from as f64);
    let mut table = Vec::new();
    for out in 0..to {
        let start = out as f64 * scale;
        let end = start + scale;
        let cell = scale.min(from as f64 - start);
        let last = (end.floor() as usize).min(from - 1);
        let first = (start.ceil() as usize).min(last);
        if first as f64 - start > 1e-3 {
            table.push((out, first - 1, ((first as f64 - start) / cell) as f32));
        }
        table.extend((first..last).map(|i| (out, i, (1.0 / cell) as f32)));
        if end - last as f64 > 1e-3 {
            table.push((out, last, ((end - last as f64).min(1.0).min(cell) / cell) as f32));
        }
    }
    table
}

fn area(pixels: &[u8], (w, h): (usize, usize), (tw, th): (usize, usize), n: usize) -> Vec<u8> {
    let stride = tw * n;
    let columns = area_table(w, tw);
    let mut out = vec![0f32; stride * th];
    let mut line = vec![0f32; stride];
    for (to, from, weight) in area_table(h, th) {
        line.fill(0.0);
        let row = &pixels[from * w * n..][..w * n];
        for (x, source, weight) in &columns {
            for c in 0..n {
                line[x * n + c] += f32::from(row[source * n + c]) * weight;
            }
        }
        for (sum, v) in out[to * stride..][..stride].iter_mut().zip(&line) {
            *sum += v * weight;
        }
    }
    out.iter().map(|v| v.round_ties_even().clamp(0.0, 255.0) as u8).collect()
}

/// Mean over the covered area of a one-channel plane, unrounded, also where it grows.
pub(super) fn plane_area(plane: &[u8], w: usize, h: usize, tw: usize, th: usize) -> Vec<f32> {
    let mut out = vec![0f32; tw * th];
    let columns = area_table(w, tw);
    for (y, sy, wy) in area_table(h, th) {
        for (x, sx, wx) in &columns {
            out[y * tw + x] += f32::from(plane[sy * w + sx]) * wx * wy;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{gradient, reference};

    fn spec(width: u32, height: u32, fit: Fit, filter: Filter) -> ResizeSpec {
        ResizeSpec { width, height, fit, filter, pad_color: 0xff_80_00 }
    }

    /// Largest difference and share of different bytes.
    fn compare(a: &[u8], b: &[u8]) -> (u8, f64) {
        assert_eq!(a.len(), b.len());
        let worst = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
        let different = a.iter().zip(b).filter(|(a, b)| a != b).count();
        (worst, different as f64 / a.len() as f64)
    }

    #[test]
    fn equals_the_reference() {
        let file = reference("dataset/resize.safetensors");
        let input = file.image("input");
        // Resized to 81×56, then cropped to 80×56 from the left.
        for (name, filter) in [("method.area", Filter::Area), ("method.lanczos", Filter::Lanczos3)] {
            let wanted = file.image(name);
            let got = stretch(&input, wanted.width + 1, wanted.height, filter);
            let got = got.crop(Rect { x: 0, y: 0, width: wanted.width, height: wanted.height }).unwrap();
            let (worst, share) = compare(&got.pixels, &wanted.pixels);
            // Area sums floats in another order than OpenCV's vector code, so a tie may round the other way.
            let allowed = if filter == Filter::Area { (1, 0.002) } else { (0, 0.0) };
            assert!(worst <= allowed.0 && share <= allowed.1, "{name}: worst {worst}, share {share}");
        }
        let wanted = file.image("method.box");
        let got = separable(&input.pixels, (130, 90), (81, 56), 3, &BOX);
        let got = Image::new(81, 56, PixelFormat::Rgb8, got).unwrap();
        let got = got.crop(Rect { x: 0, y: 0, width: 80, height: 56 }).unwrap();
        assert_eq!(compare(&got.pixels, &wanted.pixels).0, 0);
    }

    #[test]
    fn a_flat_picture_stays_flat() {
        let img = Image::new(7, 5, PixelFormat::Rgb8, [10, 200, 255].repeat(35)).unwrap();
        for filter in [Filter::Nearest, Filter::Triangle, Filter::CatmullRom, Filter::Lanczos3, Filter::Area] {
            for (w, h) in [(3, 3), (20, 11), (7, 2), (1, 1)] {
                let out = img.resize(&spec(w, h, Fit::Stretch, filter)).unwrap();
                assert_eq!(out.pixels.as_ref(), [10, 200, 255].repeat((w * h) as usize), "{filter:?} {w}×{h}");
            }
        }
    }

    #[test]
    fn fits_as_asked() {
        let img = gradient(40, 20);
        let size = |fit| {
            let out = img.resize(&spec(10, 10, fit, Filter::Area)).unwrap();
            (out.width, out.height, out.pixels[..3].to_vec())
        };
        assert_eq!(size(Fit::Stretch).0, 10);
        assert_eq!((size(Fit::Contain).0, size(Fit::Contain).1), (10, 5));
        assert_eq!(size(Fit::Pad), (10, 10, vec![255, 128, 0]));
        assert_eq!((size(Fit::Cover).0, size(Fit::Cover).1), (10, 10));
        assert!(img.resize(&spec(0, 10, Fit::Pad, Filter::Area)).is_err());
        assert!(img.resize(&spec(60_000, 60_000, Fit::Pad, Filter::Area)).is_err());
    }

    #[test]
    fn colours_of_transparent_pixels_do_not_bleed() {
        let img = Image::new(2, 1, PixelFormat::Rgba8, vec![255, 0, 0, 255, 0, 255, 0, 0]).unwrap();
        let out = img.resize(&spec(1, 1, Fit::Stretch, Filter::Triangle)).unwrap();
        assert_eq!(out.pixels.as_ref(), [255, 0, 0, 128]);
    }
}
