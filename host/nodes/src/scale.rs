//! The axes of plots.

/// From the smallest value to the 99th percentile.
pub(crate) fn robust_span(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    let (lo, hi) = (values[0], values[(last as f64 * 0.99).round() as usize]);
    if hi > lo { (lo, hi) } else { (lo - lo.abs() * 0.05 - 1e-9, hi + hi.abs() * 0.05 + 1e-9) }
}

/// Three to six round numbers that cover the span.
pub(crate) fn ticks(lo: f64, hi: f64) -> Vec<f64> {
    let raw = (hi - lo) / 4.0;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= raw * 0.999).unwrap_or(raw);
    let (first, last) = ((lo / step).floor() as i64, (hi / step).ceil() as i64);
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A number with at most four digits after the point.
pub(crate) fn short(v: f64) -> String {
    let text = format!("{v:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_span() {
        assert_eq!(ticks(0.03, 0.19), [0.0, 0.05, 0.1, 0.15000000000000002, 0.2]);
        for (lo, hi) in [(0.0, 1e-6), (-3.0, 5.0), (1e6, 1.1e6)] {
            let t = ticks(lo, hi);
            assert!(t[0] <= lo && *t.last().unwrap() >= hi && (3..=7).contains(&t.len()), "{t:?}");
        }
    }
}
