//! What one small copy of a picture tells: its border, what stands before it, its brightness, its colours.

use crate::clusters::{Cluster, clusters, mean};
use oklab::{Converter, Lab};

/// A picture in OKLab, with the share of each pixel that is opaque.
pub(crate) struct Picture {
    width: usize,
    height: usize,
    lab: Vec<Lab>,
    opaque: Vec<bool>,
}

/// Two colours closer than this belong to one flat area, JPEG noise included.
const FLAT: f32 = 0.05;
/// A border is a background if this share of it has one colour.
const UNIFORM: f32 = 0.75;

/// What is behind the subject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Background {
    Transparent,
    Plain(Lab),
    Gradient,
    Other,
}

/// How much of the subject is in the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    CloseUp,
    Portrait,
    UpperBody,
    FullBody,
}

impl Picture {
    /// From R, G, B, A bytes; transparent parts count as white.
    pub(crate) fn new(convert: &Converter, width: usize, height: usize, rgba: &[u8]) -> Self {
        let over = |v: u8, a: u8| ((u32::from(v) * u32::from(a) + 255 * (255 - u32::from(a)) + 127) / 255) as u8;
        let lab =
            rgba.chunks_exact(4).map(|p| convert.lab([over(p[0], p[3]), over(p[1], p[3]), over(p[2], p[3])])).collect();
        Self { width, height, lab, opaque: rgba.chunks_exact(4).map(|p| p[3] > 127).collect() }
    }

    /// Up to `k` colours of the opaque pixels, largest first.
    pub(crate) fn colours(&self, k: usize) -> Vec<Cluster> {
        let opaque: Vec<Lab> = self.lab.iter().zip(&self.opaque).filter(|(_, o)| **o).map(|(p, _)| *p).collect();
        clusters(if opaque.is_empty() { &self.lab } else { &opaque }, k)
    }

    /// Mean lightness, 0..=1.
    pub(crate) fn lightness(&self) -> f32 {
        mean(self.lab.iter()).l
    }

    /// The chroma that 95 % of the pixels stay below.
    pub(crate) fn high_chroma(&self) -> f32 {
        let mut all: Vec<f32> = self.lab.iter().map(|p| p.chroma()).collect();
        all.sort_by(f32::total_cmp);
        all.get(all.len() * 95 / 100).copied().unwrap_or(0.0)
    }

    /// Are all colours shades of one hue? The chroma-weighted mean of the hue vectors is then as long as the mean
    /// chroma.
    pub(crate) fn single_hue(&self) -> bool {
        let total: f32 = self.lab.iter().map(|p| p.chroma()).sum();
        let centre = mean(self.lab.iter());
        total > 0.0 && centre.chroma() * self.lab.len() as f32 > 0.97 * total
    }

    /// Judged by the left, upper and right border: subjects usually leave through the lower one.
    pub(crate) fn background(&self) -> Background {
        let border = self.border();
        let transparent = border.iter().filter(|&&i| !self.opaque[i]).count();
        if transparent as f32 >= UNIFORM * border.len() as f32 {
            return Background::Transparent;
        }
        let pixels: Vec<Lab> = border.iter().map(|&i| self.lab[i]).collect();
        let Some(main) = clusters(&pixels, 5).first().map(|c| c.colour) else { return Background::Other };
        let near = pixels.iter().filter(|p| p.distance(main) < FLAT).count();
        if near as f32 >= UNIFORM * pixels.len() as f32 {
            return Background::Plain(main);
        }
        // Around the border, a gradient changes little from one pixel to the next and much from one end to the other.
        let steps: Vec<f32> = self.walk().windows(2).map(|w| self.lab[w[0]].distance(self.lab[w[1]])).collect();
        let smooth = steps.iter().filter(|d| **d < 0.03).count();
        if smooth as f32 >= 0.97 * steps.len() as f32 { Background::Gradient } else { Background::Other }
    }

    /// How the subject stands in front of a plain or transparent background; none if there is nothing to see.
    pub(crate) fn framing(&self, background: Background) -> Option<Framing> {
        let subject: Vec<bool> = match background {
            Background::Transparent => self.opaque.clone(),
            Background::Plain(colour) => self.lab.iter().map(|p| p.distance(colour) > 2.0 * FLAT).collect(),
            _ => return None,
        };
        let (w, h) = (self.width, self.height);
        let in_row = |y: usize| (0..w).filter(|x| subject[y * w + x]).count() as f32 / w as f32;
        let in_column = |x: usize| (0..h).filter(|y| subject[y * w + x]).count() as f32 / h as f32;
        // Two per cent forgive specks of noise.
        let top = (0..h).find(|&y| in_row(y) > 0.02)?;
        let bottom = (0..h).rev().find(|&y| in_row(y) > 0.02)?;
        let left = (0..w).find(|&x| in_column(x) > 0.02)?;
        let right = (0..w).rev().find(|&x| in_column(x) > 0.02)?;
        let cut = bottom + 1 >= h;
        let tall = (bottom - top + 1) as f32 / (right - left + 1) as f32;
        let wide = (right - left + 1) as f32 / w as f32;
        match cut {
            true if top == 0 && left == 0 && right + 1 == w => Some(Framing::CloseUp),
            // Head and shoulders fill the width; with more of the body the figure is narrower than tall.
            true if tall > 1.4 || wide < 0.5 => Some(Framing::UpperBody),
            true => Some(Framing::Portrait),
            // What stands free is a whole figure if it is tall; a free head or thing has no name here.
            false => (tall > 1.5).then_some(Framing::FullBody),
        }
    }

    /// Bars across the full picture above and below, or left and right: (horizontal, vertical).
    pub(crate) fn bars(&self) -> (bool, bool) {
        let (w, h) = (self.width, self.height);
        let black = |i: usize| self.lab[i].l < 0.12;
        let rows = |ys: &mut dyn Iterator<Item = usize>| ys.take_while(|y| (0..w).all(|x| black(y * w + x))).count();
        let columns = |xs: &mut dyn Iterator<Item = usize>| xs.take_while(|x| (0..h).all(|y| black(y * w + x))).count();
        let (top, bottom) = (rows(&mut (0..h)), rows(&mut (0..h).rev()));
        let (left, right) = (columns(&mut (0..w)), columns(&mut (0..w).rev()));
        // Bars leave a picture between them, are at least 4 % each and about equally thick.
        let bar = |a: usize, b: usize, side: usize| {
            a + b < side && a * 25 >= side && b * 25 >= side && a.abs_diff(b) * 25 <= side
        };
        (bar(top, bottom, h), bar(left, right, w))
    }

    /// Indices of a band along the left, upper and right edge.
    fn border(&self) -> Vec<usize> {
        let (w, h) = (self.width, self.height);
        let band = (w.min(h) / 24).max(1);
        (0..w * h).filter(|i| i / w < band || i % w < band || i % w >= w - band.min(w)).collect()
    }

    /// The outermost pixels in order: up the left edge, along the upper one, down the right one.
    fn walk(&self) -> Vec<usize> {
        let (w, h) = (self.width, self.height);
        let left = (0..h).rev().map(|y| y * w);
        let right = (0..h).map(|y| y * w + w - 1);
        left.chain(0..w).chain(right).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: usize = 48;

    /// A square of `N` pixels painted by a function of (x, y).
    fn paint(f: impl Fn(usize, usize) -> [u8; 4]) -> Picture {
        let rgba: Vec<u8> = (0..N * N).flat_map(|i| f(i % N, i / N)).collect();
        Picture::new(&Converter::new(), N, N, &rgba)
    }

    const WHITE: [u8; 4] = [255; 4];
    const BLUE: [u8; 4] = [30, 60, 200, 255];

    #[test]
    fn backgrounds() {
        let plain = paint(|x, y| if (12..36).contains(&x) && y > 10 { BLUE } else { WHITE });
        assert!(matches!(plain.background(), Background::Plain(c) if c.l > 0.95));
        let clear = paint(|x, y| if (12..36).contains(&x) && y > 10 { BLUE } else { [0; 4] });
        assert_eq!(clear.background(), Background::Transparent);
        let gradient = paint(|_, y| [(y * 5) as u8, (y * 5) as u8, 128, 255]);
        assert_eq!(gradient.background(), Background::Gradient);
        let checks = paint(|x, y| if (x / 6 + y / 6) % 2 == 0 { BLUE } else { WHITE });
        assert_eq!(checks.background(), Background::Other);
    }

    #[test]
    fn framings() {
        let framing = |x0: usize, x1: usize, y0: usize, y1: usize| {
            let p = paint(|x, y| if (x0..x1).contains(&x) && (y0..y1).contains(&y) { BLUE } else { WHITE });
            p.framing(p.background())
        };
        assert_eq!(framing(16, 32, 4, 44), Some(Framing::FullBody));
        assert_eq!(framing(14, 34, 8, 48), Some(Framing::UpperBody));
        assert_eq!(framing(4, 44, 12, 48), Some(Framing::Portrait));
        assert_eq!(framing(10, 38, 10, 38), None);
        assert_eq!(framing(0, 0, 0, 0), None);
    }

    #[test]
    fn bars_are_seen() {
        let letterbox = paint(|_, y| if !(6..42).contains(&y) { [0, 0, 0, 255] } else { BLUE });
        assert_eq!(letterbox.bars(), (true, false));
        assert_eq!(paint(|_, _| [0, 0, 0, 255]).bars(), (false, false));
    }

    #[test]
    fn hues() {
        assert!(paint(|x, _| [(x * 2) as u8, 0, 0, 255]).single_hue());
        assert!(!paint(|x, _| if x < 24 { BLUE } else { [200, 30, 30, 255] }).single_hue());
        assert!(
            paint(|x, _| [(x * 5) as u8; 3]
                .map(|v| v)
                .into_iter()
                .chain([255])
                .collect::<Vec<_>>()
                .try_into()
                .unwrap())
            .high_chroma()
                < 0.01
        );
    }
}
