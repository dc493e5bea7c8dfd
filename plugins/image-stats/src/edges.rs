//! Which edges a picture has: how strong and in which direction. Tells line art from paint and soft from crisp, where
//! colours cannot.

/// Numbers of [`edges`]: one for where there is none, then one for each strength and direction.
pub(crate) const BINS: usize = 1 + STRENGTHS.len() * DIRECTIONS;
/// Least steps of the luma (0..=255) between the two neighbours of a pixel: soft, clear, hard.
const STRENGTHS: [f32; 3] = [16.0, 48.0, 112.0];
const DIRECTIONS: usize = 4;
/// tan 22.5°: the border between upright and slanted.
const SLANT: f32 = 0.414_213_57;

/// The share of inner pixels in each bin; they sum to 1.
pub(crate) fn edges(width: usize, height: usize, rgb: &[u8]) -> Vec<f32> {
    let mut bins = vec![0u32; BINS];
    let luma: Vec<f32> = rgb
        .chunks_exact(3)
        .map(|p| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]))
        .collect();
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let i = y * width + x;
            bins[bin(luma[i + 1] - luma[i - 1], luma[i + width] - luma[i - width])] += 1;
        }
    }
    let all = bins.iter().sum::<u32>();
    if all == 0 {
        bins[0] = 1;
    }
    bins.into_iter().map(|n| n as f32 / all.max(1) as f32).collect()
}

fn bin(across: f32, down: f32) -> usize {
    let square = across * across + down * down;
    let strength = STRENGTHS.iter().filter(|s| square >= **s * **s).count();
    if strength == 0 {
        return 0;
    }
    let direction = match (across.abs(), down.abs()) {
        (a, d) if d <= SLANT * a => 0,
        (a, d) if a <= SLANT * d => 1,
        _ if across * down > 0.0 => 2,
        _ => 3,
    };
    1 + (strength - 1) * DIRECTIONS + direction
}

#[cfg(test)]
mod tests {
    use super::*;
    use oklab::chi_squared;

    /// Squares of 4 pixels' light and dark, by the sum of these multiples of x and y.
    fn stripes(light: u8, fx: i32, fy: i32) -> Vec<f32> {
        let at = |i: i32| [if ((i % 32) * fx + (i / 32) * fy).rem_euclid(8) < 4 { light } else { 0 }; 3];
        edges(32, 32, &(0..32 * 32).flat_map(at).collect::<Vec<u8>>())
    }

    #[test]
    fn directions_and_strengths_have_bins_of_their_own() {
        let (upright, level) = (stripes(200, 1, 0), stripes(200, 0, 1));
        // Two of four pixels lie beside a step.
        assert!((upright[0] - 0.5).abs() < 0.04, "{upright:?}");
        assert!((upright.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        let hard = 1 + 2 * DIRECTIONS;
        assert!((upright[hard] - (1.0 - upright[0])).abs() < 1e-6, "{upright:?}");
        assert!((level[hard + 1] - (1.0 - level[0])).abs() < 1e-6, "{level:?}");
        let (rising, falling) = (stripes(200, 1, 1), stripes(200, 1, -1));
        assert!(rising[hard + 2] > 0.4 && falling[hard + 3] > 0.4, "{rising:?} {falling:?}");
        let soft = stripes(30, 1, 0);
        assert!((soft[1] - (1.0 - soft[0])).abs() < 1e-6, "{soft:?}");
    }

    #[test]
    fn the_distance_is_the_share_of_other_edges() {
        let (upright, level) = (stripes(200, 1, 0), stripes(200, 0, 1));
        assert_eq!(chi_squared(&upright, &upright), 0.0);
        assert!((chi_squared(&upright, &level) - (1.0 - upright[0])).abs() < 1e-6);
        let flat = edges(8, 8, &[90; 8 * 8 * 3]);
        assert_eq!(flat[0], 1.0);
        assert_eq!(edges(2, 2, &[0; 12]), flat, "too small for an edge");
    }
}
