//! Lettering near the edge: many thin strokes side by side in a small part, and far fewer in the rest of the picture.
//!
//! Counted are strokes in a row: places where grey rises by much and falls again within a few pixels, or the other way.
//! A picture that is full of detail everywhere has no such part, and a faint or tiled watermark is not seen.

use super::plane::Plane;

/// A stroke is at most this wide, in pixels of 512.
const WIDE: usize = 6;
/// And differs from what is beside it by more than this.
const STEP: i32 = 24;
/// Cells a side into which the picture is cut.
const CELLS: (usize, usize) = (8, 16);
/// Fewer strokes in a hundred pixels of a row are no lettering.
const FEW: f64 = 2.5;
/// Shares of the parts' rows that must have strokes.
const ROWS: f64 = 0.25;

/// The cell at the edge with the most strokes: where it is, and how many times those of the median cell, which counts at
/// least half a stroke in a hundred pixels.
pub(super) fn densest(plane: &Plane) -> Option<(String, f64)> {
    let (across, down) = CELLS;
    if plane.width < across * 16 || plane.height < down * 8 {
        return None;
    }
    let mut all = Vec::new();
    let mut best: Option<(f64, usize, usize)> = None;
    for j in 0..down {
        for i in 0..across {
            let density = cell(plane, (i, j));
            all.push(density);
            // Lettering stands in the upper or lower eighth, or in the outer columns.
            let edge = j < 2 || j + 2 >= down || i == 0 || i + 1 == across;
            if edge && density >= FEW && best.is_none_or(|(most, ..)| density > most) {
                best = Some((density, i, j));
            }
        }
    }
    let (density, i, j) = best?;
    all.sort_by(f64::total_cmp);
    // Lettering fills few cells: even the upper quarter of them is without.
    let usual = all[all.len() * 3 / 4].max(0.5);
    Some((place(i, j).to_owned(), (density / usual * 10.0).round() / 10.0))
}

/// Strokes in a hundred pixels of a row; 0 where too few rows have any.
fn cell(plane: &Plane, (i, j): (usize, usize)) -> f64 {
    let (across, down) = CELLS;
    let (left, right) = (plane.width * i / across, plane.width * (i + 1) / across);
    let (top, bottom) = (plane.height * j / down, plane.height * (j + 1) / down);
    let (mut strokes, mut rows) = (0, 0);
    for y in top..bottom {
        let row = &plane.values[y * plane.width + left..y * plane.width + right];
        let found = in_row(row);
        strokes += found;
        rows += usize::from(found >= 2);
    }
    let height = (bottom - top) as f64;
    if (rows as f64) < ROWS * height {
        return 0.0;
    }
    strokes as f64 * 100.0 / (height * (right - left) as f64)
}

fn in_row(row: &[u8]) -> usize {
    let (mut strokes, mut last): (usize, Option<(usize, bool)>) = (0, None);
    for x in 2..row.len() {
        let step = i32::from(row[x]) - i32::from(row[x - 2]);
        if step.abs() <= STEP {
            continue;
        }
        let rises = step > 0;
        match last {
            Some((at, before)) if before != rises => {
                strokes += usize::from(x - at <= WIDE);
                last = Some((x, rises));
            }
            _ => last = Some((x, rises)),
        }
    }
    strokes
}

fn place(i: usize, j: usize) -> &'static str {
    let (across, down) = CELLS;
    match (i * 3 / across, j * 3 / down) {
        (0, 0) => "at the upper left",
        (1, 0) => "at the top",
        (_, 0) => "at the upper right",
        (0, 1) => "at the left",
        (_, 1) => "at the right",
        (0, _) => "at the lower left",
        (1, _) => "at the bottom",
        _ => "at the lower right",
    }
}
