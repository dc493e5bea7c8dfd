//! A small copy of a large picture, quickly: rows are summed before columns, in 16 bits, which the compiler turns into
//! vector code. And sums over any window of a grey plane from one table.

/// Weights of one position's rows or columns add up to this, so that 255 times all of them fits 16 bits.
const ONE: f64 = 256.0;

/// For each position of the result: the first place that it covers, and the places' weights.
fn spans(from: usize, to: usize) -> Vec<(usize, Vec<u16>)> {
    let scale = from as f64 / to as f64;
    let span = |at: usize| {
        let (start, end) = (at as f64 * scale, ((at + 1) as f64 * scale).min(from as f64));
        let (first, last) = (start as usize, (end.ceil() as usize).clamp(start as usize + 1, from));
        // Shares of the way so far are rounded, not those of each place: so the weights add up.
        let passed = |place: usize| (((place as f64).clamp(start, end) - start) / (end - start) * ONE).round() as u16;
        (first, (first..last).map(|place| passed(place + 1) - passed(place)).collect())
    };
    (0..to).map(span).collect()
}

/// The mean over the covered area, of pixels of `N` channels; the result is not larger than the picture.
pub(crate) fn shrink<const N: usize>(pixels: &[u8], (w, h): (usize, usize), (tw, th): (usize, usize)) -> Vec<u8> {
    let columns = spans(w, tw);
    let mut line = vec![0u16; w * N];
    let mut out = Vec::with_capacity(tw * th * N);
    for (first, weights) in spans(h, th) {
        line.fill(0);
        for (row, weight) in pixels[first * w * N..].chunks_exact(w * N).zip(weights) {
            for (sum, v) in line.iter_mut().zip(row) {
                // Cannot overflow; checks would keep the compiler from vector code.
                *sum = sum.wrapping_add(u16::from(*v).wrapping_mul(weight));
            }
        }
        for (first, weights) in &columns {
            let mut sums = [1u32 << 15; N];
            for (pixel, weight) in line[first * N..].as_chunks::<N>().0.iter().zip(weights) {
                for (sum, v) in sums.iter_mut().zip(pixel) {
                    *sum = sum.wrapping_add(u32::from(*v).wrapping_mul(u32::from(*weight)));
                }
            }
            out.extend(sums.map(|sum| (sum >> 16) as u8));
        }
    }
    out
}

/// Sums over rectangles of a grey plane.
pub(super) struct Sums {
    width: usize,
    height: usize,
    /// (height + 1, width + 1): the sum of all that is above and left of a corner.
    table: Vec<u32>,
}

/// A rectangle in pixels.
#[derive(Clone, Copy)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Sums {
    pub(super) fn new(grey: &[u8], width: usize, height: usize) -> Self {
        let stride = width + 1;
        let mut table = vec![0u32; stride * (height + 1)];
        for (y, row) in grey.chunks_exact(width).enumerate() {
            let mut sum = 0;
            for (x, v) in row.iter().enumerate() {
                sum += u32::from(*v);
                table[(y + 1) * stride + x + 1] = table[y * stride + x + 1] + sum;
            }
        }
        Self { width, height, table }
    }

    pub(super) fn whole(&self) -> Area {
        Area { x: 0.0, y: 0.0, width: self.width as f64, height: self.height as f64 }
    }

    /// The area in `w` × `h` cells, the mean of each.
    pub(super) fn means(&self, area: Area, w: usize, h: usize) -> Vec<f32> {
        let corners = |from: f64, length: f64, cells: usize, limit: usize| -> Vec<(usize, f64)> {
            let place = |i: usize| {
                let at = (from + length * i as f64 / cells as f64).min(limit as f64);
                let whole = (at as usize).min(limit - 1);
                (whole, at - whole as f64)
            };
            (0..=cells).map(place).collect()
        };
        let across = corners(area.x, area.width, w, self.width);
        let down = corners(area.y, area.height, h, self.height);
        let stride = self.width + 1;
        let line = |(y, part): (usize, f64)| -> Vec<f64> {
            let (above, below) = (&self.table[y * stride..], &self.table[(y + 1) * stride..]);
            let at = |x: usize| f64::from(above[x]) * (1.0 - part) + f64::from(below[x]) * part;
            across.iter().map(|(x, part)| at(*x) * (1.0 - part) + at(x + 1) * part).collect()
        };
        let size = area.width * area.height / (w * h) as f64;
        let lines: Vec<Vec<f64>> = down.into_iter().map(line).collect();
        let mut out = Vec::with_capacity(w * h);
        for pair in lines.windows(2) {
            out.extend((0..w).map(|x| ((pair[1][x + 1] - pair[1][x] - pair[0][x + 1] + pair[0][x]) / size) as f32));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;
    use crate::{Filter, Fit, PixelFormat, ResizeSpec};

    #[test]
    fn weights_add_up_for_any_sizes() {
        for (from, to) in [(1100, 256), (256, 256), (257, 256), (4000, 3), (7, 2), (1, 1), (64_000, 256)] {
            let spans = spans(from, to);
            assert_eq!(spans.len(), to);
            for (first, weights) in spans {
                assert_eq!(weights.iter().map(|w| u32::from(*w)).sum::<u32>(), 256, "{from} {to}");
                assert!(first + weights.len() <= from);
            }
        }
    }

    #[test]
    fn means_are_those_of_the_exact_filter_but_for_rounding() {
        let image = noise(301, 203, 5).convert(PixelFormat::Rgb8);
        for (w, h) in [(256, 173), (64, 64), (301, 203), (100, 7)] {
            let spec = ResizeSpec { width: w, height: h, fit: Fit::Stretch, filter: Filter::Area, pad_color: 0 };
            let exact = image.resize(&spec).unwrap();
            let quick = shrink::<3>(&image.pixels, (301, 203), (w as usize, h as usize));
            let worst = exact.pixels.iter().zip(&quick).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(worst <= 3, "{w}×{h}: {worst}");
        }
        let white = shrink::<1>(&[255; 90 * 70], (90, 70), (13, 11));
        assert!(white.iter().all(|v| *v == 255));
    }

    #[test]
    fn sums_of_a_window_are_those_of_the_window_alone() {
        let image = noise(120, 90, 7);
        let sums = Sums::new(&image.pixels, 120, 90);
        let part = image.crop(crate::Rect { x: 13, y: 7, width: 100, height: 83 }).unwrap();
        let window = Area { x: 13.0, y: 7.0, width: 100.0, height: 83.0 };
        for (area, image) in [(sums.whole(), &image), (window, &part)] {
            let alone = Sums::new(&image.pixels, image.width as usize, image.height as usize);
            for (w, h) in [(32, 32), (9, 8), (1, 1)] {
                let (found, wanted) = (sums.means(area, w, h), alone.means(alone.whole(), w, h));
                assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-3));
            }
        }
        let mean = image.pixels.iter().map(|v| f32::from(*v)).sum::<f32>() / (120.0 * 90.0);
        assert!((sums.means(sums.whole(), 1, 1)[0] - mean).abs() < 1e-2);
    }
}
