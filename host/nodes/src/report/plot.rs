//! Line plots as inline SVG.

use crate::scale::{robust_span, short, ticks};
use std::fmt::Write;

/// A point: x and y in data units.
pub(super) type Point = (f64, f64);

/// One picture of lines over a shared x axis.
pub(super) struct Plot<'a> {
    pub(super) label: &'a str,
    pub(super) height: f64,
    pub(super) lines: Vec<Line>,
    /// Steps to mark with a vertical line, with their text; the chosen one stands out.
    pub(super) marks: &'a [(f64, String, bool)],
    /// Shows the y values as powers of ten with one digit, for learning rates.
    pub(super) scientific: bool,
}

pub(super) struct Line {
    pub(super) class: &'static str,
    pub(super) name: String,
    pub(super) points: Vec<Point>,
}

const WIDTH: f64 = 1080.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 62.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 24.0;

pub(super) fn svg(plot: &Plot) -> String {
    let all = || plot.lines.iter().flat_map(|l| &l.points).filter(|p| p.1.is_finite());
    let Some(first) = all().next() else { return String::new() };
    let span = |f: fn(&Point) -> f64| all().map(f).fold((f(first), f(first)), |(lo, hi), v| (lo.min(v), hi.max(v)));
    let (x0, x1) = span(|p| p.0);
    // A single wild step must not flatten everything else: the smooth line and the bulk of the rest decide.
    let (y0, y1) = robust_span(all().map(|p| p.1).collect());
    let ticks = ticks(y0, y1);
    let (y0, y1) = (ticks.first().copied().unwrap_or(y0).min(y0), ticks.last().copied().unwrap_or(y1).max(y1));
    let (bottom, right) = (plot.height - BOTTOM, WIDTH - RIGHT);
    let sx = |x: f64| LEFT + (x - x0) / (x1 - x0).max(1e-12) * (right - LEFT);
    let sy = |y: f64| (bottom - (y - y0) / (y1 - y0).max(1e-12) * (bottom - TOP)).clamp(TOP, bottom);

    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{}\">",
        plot.height,
        super::html::escape(plot.label)
    );
    let _ = write!(out, "<text x=\"4\" y=\"12\">{}</text>", super::html::escape(plot.label));
    for tick in &ticks {
        let y = sy(*tick);
        let text = if plot.scientific && *tick != 0.0 { format!("{tick:.1e}") } else { short(*tick) };
        let _ = write!(out, "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
        let _ = write!(out, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", LEFT - 8.0, y + 4.0);
    }
    for (x, text, chosen) in plot.marks {
        let (class, text_class) = if *chosen { ("mark chosen", "chosen-text") } else { ("mark", "") };
        let at = sx(*x);
        let _ = write!(out, "<line class=\"{class}\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>");
        let (y, text) = (bottom + 16.0, super::html::escape(text));
        let _ =
            write!(out, "<text class=\"{text_class}\" x=\"{at:.1}\" y=\"{y}\" text-anchor=\"middle\">{text}</text>");
    }
    for line in &plot.lines {
        let points: Vec<String> = line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", sx(*x), sy(*y))).collect();
        let _ = write!(out, "<polyline class=\"{}\" points=\"{}\"/>", line.class, points.join(" "));
        if let Some((x, y)) = line.points.last().filter(|_| !line.name.is_empty()) {
            let name = super::html::escape(&line.name);
            let _ = write!(out, "<text x=\"{:.1}\" y=\"{:.1}\">{name}</text>", sx(*x) + 6.0, sy(*y) + 4.0);
        }
    }
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_and_empty_lines_are_drawn_without_nonsense() {
        let line = |points| Line { class: "main", name: String::new(), points };
        let plot = |lines| svg(&Plot { label: "y", height: 100.0, lines, marks: &[], scientific: false });
        assert_eq!(plot(vec![line(vec![])]), "");
        let flat = plot(vec![line(vec![(1.0, 2.0), (2.0, 2.0)])]);
        assert!(flat.contains("polyline") && !flat.contains("NaN") && !flat.contains("inf"), "{flat}");
    }
}
