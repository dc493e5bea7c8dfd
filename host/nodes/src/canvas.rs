//! A picture to draw on: rectangles, pictures and text.

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use anyhow::{Context as _, Result};
use data::{Image, PixelFormat};

/// Red, green, blue.
pub(crate) type Color = [u8; 3];

/// RGB pixels, row by row from the top.
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
    font: FontRef<'static>,
}

/// The font of all labels.
pub(crate) fn font() -> Result<FontRef<'static>> {
    FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT).context("the built-in font is damaged")
}

/// The width of a line in pixels.
pub(crate) fn text_width(font: &FontRef<'_>, size: f32, text: &str) -> f32 {
    let scaled = font.as_scaled(PxScale::from(size));
    text.chars().map(|c| scaled.h_advance(font.glyph_id(c))).sum()
}

/// Breaks a text into lines of at most `width` pixels, at spaces where there are some; what is over `lines` lines ends
/// with an ellipsis.
pub(crate) fn wrap(font: &FontRef<'_>, size: f32, width: f32, lines: usize, text: &str) -> Vec<String> {
    let mut wrapped: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if text_width(font, size, &longer) <= width {
            line = longer;
            continue;
        }
        if !line.is_empty() {
            wrapped.push(std::mem::take(&mut line));
        }
        // A word that is wider than the line is torn.
        for c in word.chars() {
            line.push(c);
            if text_width(font, size, &line) > width && line.chars().count() > 1 {
                line.pop();
                wrapped.push(std::mem::replace(&mut line, c.to_string()));
            }
        }
    }
    if !line.is_empty() {
        wrapped.push(line);
    }
    if wrapped.len() > lines {
        wrapped.truncate(lines);
        if let Some(last) = wrapped.last_mut() {
            while !last.is_empty() && text_width(font, size, &format!("{last}…")) > width {
                last.pop();
            }
            last.push('…');
        }
    }
    wrapped
}

impl Canvas {
    pub(crate) fn new(width: usize, height: usize, color: Color) -> Result<Self> {
        let pixels = color.iter().copied().cycle().take(width * height * 3).collect();
        Ok(Self { width, height, pixels, font: font()? })
    }

    /// Draws one line with its upper left corner at (x, y).
    pub(crate) fn text(&mut self, x: f32, y: f32, size: f32, color: Color, text: &str) {
        let font = self.font.clone();
        let scaled = font.as_scaled(PxScale::from(size));
        let mut pen = point(x, y + scaled.ascent());
        for c in text.chars() {
            let id = font.glyph_id(c);
            let glyph = id.with_scale_and_position(PxScale::from(size), pen);
            pen.x += scaled.h_advance(id);
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let bounds = outline.px_bounds();
            outline.draw(|dx, dy, cover| {
                self.blend(bounds.min.x as i64 + i64::from(dx), bounds.min.y as i64 + i64::from(dy), color, cover);
            });
        }
    }

    /// Draws a straight line of two pixels' width.
    pub(crate) fn line(&mut self, from: (f32, f32), to: (f32, f32), color: Color) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let points = (dx.hypot(dy) * 2.0).ceil().max(1.0);
        for i in 0..=points as usize {
            let share = i as f32 / points;
            let (x, y) = ((from.0 + dx * share).floor() as i64, (from.1 + dy * share).floor() as i64);
            for (x, y) in [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)] {
                self.blend(x, y, color, 1.0);
            }
        }
    }

    fn blend(&mut self, x: i64, y: i64, color: Color, cover: f32) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x >= self.width || y >= self.height {
            return;
        }
        let at = (y * self.width + x) * 3;
        for (pixel, c) in self.pixels[at..at + 3].iter_mut().zip(color) {
            let mixed = f32::from(*pixel) + (f32::from(c) - f32::from(*pixel)) * cover.clamp(0.0, 1.0);
            *pixel = mixed.round() as u8;
        }
    }

    /// Puts a picture with its upper left corner at (x, y), each pixel as a square of `zoom` pixels.
    pub(crate) fn put(&mut self, x: usize, y: usize, zoom: usize, image: &Image) {
        let rgb = image.convert(PixelFormat::Rgb8);
        let (w, h) = (rgb.width as usize * zoom, rgb.height as usize * zoom);
        for dy in 0..h.min(self.height.saturating_sub(y)) {
            for dx in 0..w.min(self.width.saturating_sub(x)) {
                let from = (dy / zoom * rgb.width as usize + dx / zoom) * 3;
                let to = ((y + dy) * self.width + x + dx) * 3;
                self.pixels[to..to + 3].copy_from_slice(&rgb.pixels[from..from + 3]);
            }
        }
    }

    pub(crate) fn finish(self) -> Result<Image> {
        Ok(Image::new(self.width as u32, self.height as u32, PixelFormat::Rgb8, self.pixels)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_long_texts_end_with_an_ellipsis() {
        let font = font().unwrap();
        let lines = wrap(&font, 16.0, 100.0, 3, "red hair, bangs, blue shirt, light skin, glasses, yellow background");
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|l| text_width(&font, 16.0, l) <= 100.0), "{lines:?}");
        assert!(lines[2].ends_with('…'));
        let torn = wrap(&font, 16.0, 50.0, 99, "abcdefghijklmnopqrstuvwxyz");
        assert!(torn.len() > 2 && torn.concat() == "abcdefghijklmnopqrstuvwxyz");
        assert!(wrap(&font, 16.0, 50.0, 3, " ").is_empty());
    }

    #[test]
    fn text_and_pictures_land_where_they_should() {
        let mut canvas = Canvas::new(40, 30, [255; 3]).unwrap();
        canvas.put(2, 3, 2, &Image::new(1, 1, PixelFormat::L8, vec![7]).unwrap());
        canvas.text(20.0, 5.0, 16.0, [0; 3], "H");
        canvas.put(38, 28, 5, &Image::new(1, 1, PixelFormat::L8, vec![9]).unwrap());
        let image = canvas.finish().unwrap();
        let at = |x: usize, y: usize| image.pixels[(y * 40 + x) * 3];
        assert_eq!((at(2, 3), at(3, 4), at(4, 3), at(1, 3), at(39, 29)), (7, 7, 255, 255, 9));
        assert!((20..36).any(|x| (5..24).any(|y| at(x, y) < 128)));
    }
}
