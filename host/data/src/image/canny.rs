//! Edges of pictures (Canny 1986, «A Computational Approach to Edge Detection»), with kornia's choices: a blur of 5
//! pixels with sigma 1, Sobel's gradients, eight directions, and edges that grow while a weak pixel touches a strong one.

/// What keeps the root of a flat place's gradient away from 0 (kornia's default).
const EPS: f32 = 1e-6;

/// Red, green and blue in a grey.
const GREY: [f32; 3] = [0.299, 0.587, 0.114];

/// The pixel of each direction, from the right, clockwise.
const AROUND: [(isize, isize); 8] = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)];

/// 1 on edges, else 0, of a picture in planes (3, h, w), red first, 0…1. Gradients above `high` are edges; those above
/// `low` are where they touch one.
pub fn canny(planes: &[f32], width: usize, height: usize, low: f32, high: f32) -> Vec<f32> {
    let size = width * height;
    let grey: Vec<f32> = (0..size).map(|i| (0..3).map(|c| GREY[c] * planes[c * size + i]).sum()).collect();
    let plane = Plane { width, height };
    let (magnitude, direction) = plane.gradients(&plane.blurred(&grey));
    let mut strength: Vec<u8> = (0..size)
        .map(|i| {
            let ahead = |turn: usize| plane.beside(&magnitude, i, AROUND[(direction[i] + turn) % 8]);
            let ridge = magnitude[i] > ahead(0) && magnitude[i] > ahead(4);
            if ridge { u8::from(magnitude[i] > low) + u8::from(magnitude[i] > high) } else { 0 }
        })
        .collect();
    plane.grow(&mut strength);
    strength.into_iter().map(|s| if s == 2 { 1.0 } else { 0.0 }).collect()
}

#[derive(Clone, Copy)]
struct Plane {
    width: usize,
    height: usize,
}

impl Plane {
    /// Mirrored at its borders, without repeating the border itself.
    fn blurred(self, x: &[f32]) -> Vec<f32> {
        let weights = [-2f32, -1.0, 0.0, 1.0, 2.0].map(|d| (-d * d / 2.0).exp());
        let sum: f32 = weights.iter().sum();
        let mirrored = |at: isize, length: usize| {
            let last = length as isize - 1;
            if last == 0 {
                return 0;
            }
            let at = at.rem_euclid(2 * last);
            (if at > last { 2 * last - at } else { at }) as usize
        };
        let along = |at: usize, length: usize, value: &dyn Fn(usize) -> f32| -> f32 {
            weights.iter().enumerate().map(|(k, w)| w / sum * value(mirrored((at + k) as isize - 2, length))).sum()
        };
        let (w, h) = (self.width, self.height);
        let wide: Vec<f32> = (0..w * h).map(|i| along(i % w, w, &|at| x[i / w * w + at])).collect();
        (0..w * h).map(|i| along(i / w, h, &|at| wide[at * w + i % w])).collect()
    }

    /// Length and direction of the gradient; outside of the picture its border goes on.
    fn gradients(self, x: &[f32]) -> (Vec<f32>, Vec<usize>) {
        let (w, h) = (self.width as isize, self.height as isize);
        let at = |column: isize, row: isize| x[(row.clamp(0, h - 1) * w + column.clamp(0, w - 1)) as usize];
        let each = (0..w * h).map(|i| {
            let (c, r) = (i % w, i / w);
            let across = |r: isize| at(c + 1, r) - at(c - 1, r);
            let down = |c: isize| at(c, r + 1) - at(c, r - 1);
            let gx = across(r - 1) + 2.0 * across(r) + across(r + 1);
            let gy = down(c - 1) + 2.0 * down(c) + down(c + 1);
            let eighths = (gy.atan2(gx) * (4.0 / std::f32::consts::PI)).round_ties_even() as isize;
            ((gx * gx + gy * gy + EPS).sqrt(), eighths.rem_euclid(8) as usize)
        });
        each.unzip()
    }

    /// The neighbour in a direction; 0 outside of the picture.
    fn beside(self, x: &[f32], i: usize, step: (isize, isize)) -> f32 {
        self.neighbour(i, step).map_or(0.0, |n| x[n])
    }

    fn neighbour(self, i: usize, (dx, dy): (isize, isize)) -> Option<usize> {
        let x = (i % self.width).checked_add_signed(dx).filter(|x| *x < self.width)?;
        let y = (i / self.width).checked_add_signed(dy).filter(|y| *y < self.height)?;
        Some(y * self.width + x)
    }

    /// Weak pixels (1) that touch a strong one (2) become strong, until none is left.
    fn grow(self, strength: &mut [u8]) {
        let mut fresh: Vec<usize> = (0..strength.len()).filter(|&i| strength[i] == 2).collect();
        while let Some(i) = fresh.pop() {
            for n in AROUND.iter().filter_map(|step| self.neighbour(i, *step)) {
                if strength[n] == 1 {
                    strength[n] = 2;
                    fresh.push(n);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disc, a corner and a ramp, in red, green and blue.
    fn picture() -> Vec<f32> {
        let each = |value: &dyn Fn(i32, i32) -> f32| {
            (0..10).flat_map(|y| (0..12).map(move |x| (x, y))).map(|(x, y)| value(x, y)).collect::<Vec<f32>>()
        };
        let disc = |x: i32, y: i32| f32::from(u8::from((x - 5) * (x - 5) + (y - 4) * (y - 4) < 10)) * 0.6;
        let red = each(&|x, y| ((x * 37 + y * 11) % 23) as f32 / 23.0 * 0.15 + disc(x, y));
        let green = each(&|x, y| f32::from(u8::from(x > 7 && y > 5)) * 0.5 + 0.1);
        [red, green, each(&|x, y| (x + y) as f32 / 40.0)].concat()
    }

    fn drawn(low: f32, high: f32) -> Vec<String> {
        let edges = canny(&picture(), 12, 10, low, high);
        edges.chunks(12).map(|row| row.iter().map(|v| if *v == 1.0 { '#' } else { '.' }).collect()).collect()
    }

    /// kornia 0.7.3, `filters.canny` of the same picture.
    #[test]
    fn edges_are_kornias() {
        let few = [
            "............",
            "............",
            "......##....",
            "........#...",
            "........##..",
            ".........###",
            "............",
            "............",
            "............",
            "............",
        ];
        assert_eq!(drawn(0.4, 0.8), few);
        let many = [
            "............",
            "....#.......",
            "...#####....",
            "..##...##...",
            "..#.....##..",
            "..#......###",
            "...##...#...",
            "....###.#...",
            "........#...",
            "........#...",
        ];
        assert_eq!(drawn(0.1, 0.3), many);
    }

    #[test]
    fn a_flat_picture_and_a_single_pixel_have_no_edges() {
        assert_eq!(canny(&[0.5; 3 * 20], 5, 4, 0.1, 0.2), [0.0; 20]);
        assert_eq!(canny(&[1.0; 3], 1, 1, 0.1, 0.2), [0.0]);
    }
}
