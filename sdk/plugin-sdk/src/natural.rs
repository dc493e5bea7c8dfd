//! Natural order: `2.png` before `10.png`.

use std::cmp::Ordering;

/// Compares runs of digits by their value and everything else by character; equal ones by the plain text, so that the
/// order is total.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a, b);
    loop {
        let (nx, ny) = (digits(x), digits(y));
        let order = if nx > 0 && ny > 0 {
            let (dx, dy) = (x[..nx].trim_start_matches('0'), y[..ny].trim_start_matches('0'));
            (x, y) = (&x[nx..], &y[ny..]);
            // Without leading zeros the longer number is the larger one, whatever its size.
            dx.len().cmp(&dy.len()).then_with(|| dx.cmp(dy))
        } else {
            let (mut cx, mut cy) = (x.chars(), y.chars());
            match (cx.next(), cy.next()) {
                (None, None) => return a.cmp(b),
                (p, q) => {
                    (x, y) = (cx.as_str(), cy.as_str());
                    p.cmp(&q)
                }
            }
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Length of the run of ASCII digits at the start.
fn digits(s: &str) -> usize {
    s.bytes().take_while(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count() {
        let mut names = ["b10", "a", "b2", "10_x/1", "9_x/2", "b02", "b", "ü1", "img99999999999999999999999", "img1"];
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(
            names,
            ["9_x/2", "10_x/1", "a", "b", "b02", "b2", "b10", "img1", "img99999999999999999999999", "ü1"]
        );
    }
}
