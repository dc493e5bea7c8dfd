//! The generator of CUDA devices, computed anywhere.

/// The stream of `torch.Generator("cuda").manual_seed(seed)` for draws of normals that fit one launch, which gives each
/// number a thread of its own (the «NV» noise of A1111). Philox 4×32-10 (Salmon et al. 2011); the normal is the sine half
/// of Box-Muller over its first two words, as in cuRAND.
#[derive(Clone)]
pub struct Philox {
    key: [u32; 2],
    /// Draws so far.
    offset: u32,
}

impl Philox {
    pub fn new(seed: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], offset: 0 }
    }

    /// `torch.randn(n)` in float32.
    pub fn randn(&mut self, n: usize) -> Vec<f32> {
        let offset = self.offset;
        self.offset = offset.wrapping_add(1);
        (0..n as u64)
            .map(|i| {
                let [a, b, ..] = rounds([offset, 0, i as u32, (i >> 32) as u32], self.key);
                normal(a, b)
            })
            .collect()
    }
}

fn rounds(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
        }
        let a = u64::from(counter[0]) * 0xd251_1f53;
        let b = u64::from(counter[2]) * 0xcd9e_8d57;
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
    }
    counter
}

fn normal(a: u32, b: u32) -> f32 {
    const STEP: f32 = 1.0 / 4_294_967_296.0;
    let u = a as f32 * STEP + STEP / 2.0;
    let v = b as f32 * (STEP * std::f32::consts::TAU) + STEP * std::f32::consts::PI;
    ((-2.0 * f64::from(u).ln()).sqrt() * f64::from(v).sin()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a CUDA device gives for seed 0.
    #[test]
    fn the_first_normals_are_the_known_ones() {
        for (found, known) in Philox::new(0).randn(4).iter().zip([-0.9247, -0.4253, -2.6438, 0.1452]) {
            assert!((found - known).abs() < 1e-4, "{found} {known}");
        }
    }

    #[test]
    fn draws_differ() {
        let mut rng = Philox::new(3);
        assert_ne!(rng.randn(8), rng.randn(8));
    }
}
