//! Line plots as pictures.

use crate::canvas::{Canvas, Color};
use crate::scale::{robust_span, short, ticks};
use anyhow::Result;
use data::Image;

pub(crate) const PAPER: Color = [250, 250, 248];
pub(crate) const INK: Color = [24, 24, 28];
const FAINT: Color = [214, 214, 210];
const MAIN: Color = [32, 84, 184];
const SOFT: Color = [168, 190, 226];

pub(crate) const TEXT: f32 = 15.0;

/// Lines over a shared x axis. The last line lies on top.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    /// What the x axis counts.
    pub(crate) x: &'a str,
    /// Points (x, y) of each line; all but the last are drawn softly.
    pub(crate) lines: Vec<Vec<(f64, f64)>>,
    /// Shows the y values as powers of ten, for learning rates.
    pub(crate) scientific: bool,
}

/// A plot as a picture of its own.
pub(crate) fn picture(chart: &Chart<'_>, width: usize, height: usize) -> Result<Image> {
    let mut canvas = Canvas::new(width, height, PAPER)?;
    draw(&mut canvas, chart, (0, 0, width, height));
    canvas.finish()
}

/// Draws a plot into the rectangle (x, y, width, height). Values that are not finite leave gaps.
pub(crate) fn draw(canvas: &mut Canvas, chart: &Chart<'_>, (x, y, width, height): (usize, usize, usize, usize)) {
    let (left, top) = (x as f32 + 76.0, y as f32 + 34.0);
    let (right, bottom) = ((x + width) as f32 - 20.0, (y + height) as f32 - 34.0);
    canvas.text(x as f32 + 12.0, y as f32 + 8.0, TEXT + 3.0, INK, chart.title);
    let finite = |p: &&(f64, f64)| p.1.is_finite();
    let points = || chart.lines.iter().flatten().filter(finite);
    let Some(first) = points().next() else { return };
    let (x0, x1) = points().fold((first.0, first.0), |(lo, hi), p| (lo.min(p.0), hi.max(p.0)));
    let (y0, y1) = robust_span(points().map(|p| p.1).collect());
    let marks = ticks(y0, y1);
    let (y0, y1) = (marks.first().copied().unwrap_or(y0).min(y0), marks.last().copied().unwrap_or(y1).max(y1));
    let at = |p: &(f64, f64)| {
        let across = ((p.0 - x0) / (x1 - x0).max(1e-12)) as f32;
        let up = ((p.1 - y0) / (y1 - y0).max(1e-30)).clamp(0.0, 1.0) as f32;
        (left + across * (right - left), bottom - up * (bottom - top))
    };
    for mark in marks {
        let (_, line) = at(&(x0, mark));
        canvas.line((left, line), (right, line), FAINT);
        let text = if chart.scientific && mark != 0.0 { format!("{mark:.1e}") } else { short(mark) };
        canvas.text(x as f32 + 12.0, line - TEXT / 2.0, TEXT, INK, &text);
    }
    for (i, line) in chart.lines.iter().enumerate() {
        let color = if i + 1 == chart.lines.len() { MAIN } else { SOFT };
        for pair in line.windows(2).filter(|pair| pair.iter().all(|p| p.1.is_finite())) {
            canvas.line(at(&pair[0]), at(&pair[1]), color);
        }
        // A line of one point would not be seen.
        if let [only] = line.as_slice() {
            canvas.line(at(only), at(only), color);
        }
    }
    canvas.text(left, bottom + 8.0, TEXT, INK, &short(x0));
    let text = format!("{} {}", short(x1), chart.x);
    canvas.text(right - 8.0 * text.len() as f32, bottom + 8.0, TEXT, INK, &text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_drawn_and_nonsense_is_not() {
        let chart =
            |points: Vec<(f64, f64)>| Chart { title: "loss", x: "steps", lines: vec![points], scientific: false };
        let drawn = |points| picture(&chart(points), 300, 200).unwrap();
        let ink = |image: &Image| image.pixels.chunks_exact(3).filter(|p| p[..] == MAIN).count();
        let rising = drawn(vec![(1.0, 0.1), (2.0, 0.2), (3.0, 0.4)]);
        assert_eq!((rising.width, rising.height), (300, 200));
        assert!(ink(&rising) > 300, "{}", ink(&rising));
        assert!(ink(&drawn(vec![(1.0, 0.1), (2.0, f64::NAN), (3.0, 0.4)])) == 0);
        assert!(ink(&drawn(vec![(1.0, 0.1)])) > 0);
        assert!(ink(&drawn(vec![])) == 0);
        assert!(ink(&drawn(vec![(1.0, 0.5), (9.0, 0.5)])) > 100, "a flat line");
    }
}
