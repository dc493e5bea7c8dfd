//! Numbers of one picture, from its RGB bytes.

/// What is measured on every picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Measures {
    /// Variance of the Laplacian of the luma (0..=255), in squared levels.
    pub(crate) sharpness: f64,
    /// Share of pixels with a channel at 0 or 255.
    pub(crate) clipping: f64,
    /// Mean HSV saturation.
    pub(crate) saturation: f64,
}

/// Measures a picture of R, G, B bytes.
pub(crate) fn measure(width: usize, height: usize, rgb: &[u8]) -> Measures {
    let pixels = (width * height).max(1) as f64;
    let clipped = rgb.chunks_exact(3).filter(|p| p.iter().any(|&v| v == 0 || v == 255)).count();
    let saturation: f64 = rgb
        .chunks_exact(3)
        .map(|p| {
            let (low, high) = (p[0].min(p[1]).min(p[2]), p[0].max(p[1]).max(p[2]));
            if high == 0 { 0.0 } else { f64::from(high - low) / f64::from(high) }
        })
        .sum();
    Measures {
        sharpness: laplacian_variance(width, height, rgb),
        clipping: clipped as f64 / pixels,
        saturation: saturation / pixels,
    }
}

/// Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (2000), with the kernel
/// 0 1 0 / 1 −4 1 / 0 1 0 on inner pixels and the luma of ITU-R BT.601.
fn laplacian_variance(width: usize, height: usize, rgb: &[u8]) -> f64 {
    if width < 3 || height < 3 {
        return 0.0;
    }
    let luma: Vec<f64> = rgb
        .chunks_exact(3)
        .map(|p| 0.299 * f64::from(p[0]) + 0.587 * f64::from(p[1]) + 0.114 * f64::from(p[2]))
        .collect();
    let (mut sum, mut squares) = (0.0, 0.0);
    for y in 1..height - 1 {
        for x in 1..width - 1 {
            let i = y * width + x;
            let l = luma[i - 1] + luma[i + 1] + luma[i - width] + luma[i + width] - 4.0 * luma[i];
            sum += l;
            squares += l * l;
        }
    }
    let n = ((width - 2) * (height - 2)) as f64;
    (squares / n - (sum / n) * (sum / n)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_pictures_are_not_sharp_and_checks_are() {
        assert_eq!(measure(8, 8, &[90; 8 * 8 * 3]), Measures::default());
        let checks: Vec<u8> = (0..64).flat_map(|i| [if (i % 8 + i / 8) % 2 == 0 { 200 } else { 100 }; 3]).collect();
        // Each inner pixel: 4 · ±100, mean 0.
        assert!((measure(8, 8, &checks).sharpness - 160_000.0).abs() < 1e-6);
    }

    #[test]
    fn clipping_and_saturation() {
        let m = measure(2, 2, &[255, 0, 0, 100, 50, 100, 30, 30, 30, 0, 0, 0]);
        assert_eq!(m.clipping, 0.5);
        assert_eq!(m.saturation, (1.0 + 0.5) / 4.0);
    }
}
