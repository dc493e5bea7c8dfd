//! Bars: plain rows or columns on two opposite sides that end all along at once, as those of letter-boxed films do. The
//! plain background of a drawing ends here and there, and is none.

use super::plane::Plane;

/// Values of a plain line differ by no more than this.
const PLAIN: i32 = 14;
/// Behind a bar at least this share of the line is something else.
const ENDS: f64 = 0.6;
/// And differs by more than this.
const STEP: i32 = 20;
/// Lines in which a bar may fade.
const FADE: usize = 3;

/// Share of the height that bars above and below take, and of the width that bars beside it take.
pub(super) fn bars(plane: &Plane) -> (f64, f64) {
    let row = |i: usize, along: usize| plane.at(along, i);
    let column = |i: usize, along: usize| plane.at(i, along);
    (pair(plane.height, plane.width, &row), pair(plane.width, plane.height, &column))
}

/// Of `lines` lines with `length` values each: the share of both bars, 0 unless there are two.
fn pair(lines: usize, length: usize, at: &dyn Fn(usize, usize) -> i32) -> f64 {
    let first = bar(lines, length, at);
    let last = bar(lines, length, &|i, along| at(lines - 1 - i, along));
    match (first, last) {
        (Some(a), Some(b)) => (a + b) as f64 / lines as f64,
        _ => 0.0,
    }
}

/// Lines of the bar at the beginning.
fn bar(lines: usize, length: usize, at: &dyn Fn(usize, usize) -> i32) -> Option<usize> {
    let colour = at(0, 0);
    let plain = |i: usize| (0..length).all(|along| (at(i, along) - colour).abs() <= PLAIN);
    let count = (0..lines).take_while(|i| plain(*i)).count();
    // A picture of one colour has no bars.
    if count == 0 || count + FADE >= lines / 2 {
        return None;
    }
    let other = (0..length).filter(|along| (at(count + FADE - 1, *along) - colour).abs() > STEP).count();
    (other as f64 >= ENDS * length as f64).then_some(count)
}
