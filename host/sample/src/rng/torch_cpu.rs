//! torch's CPU generator: MT19937 and the ways its draws become numbers.

const WORDS: usize = 624;
const MIDDLE: usize = 397;

/// The stream of `torch.Generator("cpu").manual_seed(seed)`.
///
/// Draws of fewer than 16 normals and all uniforms and integers are equal to the bit. Larger normal draws
/// differ by up to 3e-7 from torch's, whose vectorised logarithm and sine round differently.
#[derive(Clone)]
pub struct TorchCpu {
    state: Box<[u32; WORDS]>,
    next: usize,
    /// The second value of a pair that the scalar path made; it outlives other draws.
    cached: Option<f64>,
}

impl TorchCpu {
    /// Only the low 32 bits of the seed count, as in torch.
    pub fn new(seed: u64) -> Self {
        let mut state = Box::new([0u32; WORDS]);
        state[0] = seed as u32;
        for i in 1..WORDS {
            let last = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: WORDS, cached: None }
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.next == WORDS {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn twist(&mut self) {
        for i in 0..WORDS {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % WORDS] & 0x7fff_ffff);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + MIDDLE) % WORDS] ^ (y >> 1) ^ odd;
        }
        self.next = 0;
    }

    /// The next 64 random bits, first word high.
    fn next_u64(&mut self) -> u64 {
        let high = u64::from(self.next_u32());
        (high << 32) | u64::from(self.next_u32())
    }

    fn uniform_f32(&mut self) -> f32 {
        (self.next_u32() & 0x00ff_ffff) as f32 * (1.0 / 16_777_216.0)
    }

    fn uniform_f64(&mut self) -> f64 {
        (self.next_u64() & ((1 << 53) - 1)) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// `torch.rand(n)` in float32: uniform over 0 ≤ x < 1.
    pub fn rand(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.uniform_f32()).collect()
    }

    /// `tensor.uniform_(low, high)` in float32.
    pub fn uniform(&mut self, n: usize, low: f32, high: f32) -> Vec<f32> {
        (0..n).map(|_| self.uniform_f32() * (high - low) + low).collect()
    }

    /// `torch.randint(low, high, (n,))`; `high` is exclusive.
    ///
    /// # Panics
    /// When the range is empty.
    pub fn randint(&mut self, low: i64, high: i64, n: usize) -> Vec<i64> {
        assert!(low < high, "an empty range, {low} to {high}");
        let range = high.wrapping_sub(low) as u64;
        (0..n)
            .map(|_| {
                let random = if range >= 1 << 32 { self.next_u64() } else { u64::from(self.next_u32()) };
                low.wrapping_add((random % range) as i64)
            })
            .collect()
    }

    /// `torch.randperm(n)`.
    pub fn randperm(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in 0..n.saturating_sub(1) {
            let other = i + self.next_u32() as usize % (n - i);
            order.swap(i, other);
        }
        order
    }

    /// `torch.randn(n)` in float32: mean 0, variance 1.
    pub fn randn(&mut self, n: usize) -> Vec<f32> {
        self.normal(n, 0.0, 1.0)
    }

    /// `tensor.normal_(mean, std)` in float32.
    pub fn normal(&mut self, n: usize, mean: f32, std: f32) -> Vec<f32> {
        if n < 16 {
            return (0..n).map(|_| (self.normal_f64() * f64::from(std) + f64::from(mean)) as f32).collect();
        }
        let mut data = self.rand(n);
        let blocks = n / 16;
        for block in data.chunks_exact_mut(16).take(blocks) {
            combine_f32(block, mean, std);
        }
        if !n.is_multiple_of(16) {
            // The last 16 values are drawn again, over part of the last whole block.
            let tail = self.rand(16);
            data[n - 16..].copy_from_slice(&tail);
            combine_f32(&mut data[n - 16..], mean, std);
        }
        data
    }

    /// `torch.randn(n, dtype=float64)`.
    pub fn randn_f64(&mut self, n: usize) -> Vec<f64> {
        if n < 16 {
            return (0..n).map(|_| self.normal_f64()).collect();
        }
        let mut data: Vec<f64> = (0..n).map(|_| self.uniform_f64()).collect();
        for block in data.chunks_exact_mut(16) {
            combine_f64(block);
        }
        if !n.is_multiple_of(16) {
            for value in &mut data[n - 16..] {
                *value = self.uniform_f64();
            }
            combine_f64(&mut data[n - 16..]);
        }
        data
    }

    /// One value of the scalar path: Box-Muller in double precision, the second value kept for the next call.
    fn normal_f64(&mut self) -> f64 {
        if let Some(value) = self.cached.take() {
            return value;
        }
        let (u1, u2) = (self.uniform_f64(), self.uniform_f64());
        let radius = (-2.0 * (-u2).ln_1p()).sqrt();
        let theta = 2.0 * std::f64::consts::PI * u1;
        self.cached = Some(radius * theta.sin());
        radius * theta.cos()
    }
}

/// Box-Muller over a block: value j of the first 8 with value j + 8. Angle and radius are float32, as
/// in torch; the functions are evaluated in float64 so that they do not depend on the machine's libm.
fn combine_f32(block: &mut [f32], mean: f32, std: f32) {
    for j in 0..8 {
        let (u1, u2) = (1.0 - block[j], block[j + 8]);
        let radius = f64::from((-2.0 * f64::from(u1).ln()) as f32).sqrt() as f32;
        let theta = f64::from(2.0 * std::f32::consts::PI * u2);
        block[j] = radius * theta.cos() as f32 * std + mean;
        block[j + 8] = radius * theta.sin() as f32 * std + mean;
    }
}

fn combine_f64(block: &mut [f64]) {
    for j in 0..8 {
        let radius = (-2.0 * (1.0 - block[j]).ln()).sqrt();
        let theta = 2.0 * std::f64::consts::PI * block[j + 8];
        block[j] = radius * theta.cos();
        block[j + 8] = radius * theta.sin();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first output of MT19937 with its usual seed.
    #[test]
    fn the_engine_is_mt19937() {
        let mut rng = TorchCpu::new(5489);
        assert_eq!(rng.next_u32(), 3_499_211_612);
        // The standard names the 10,000th output.
        for _ in 0..9_998 {
            rng.next_u32();
        }
        assert_eq!(rng.next_u32(), 4_123_659_995);
    }

    #[test]
    fn only_the_low_half_of_the_seed_counts() {
        assert_eq!(TorchCpu::new(7).randn(40), TorchCpu::new(7 + (1 << 32)).randn(40));
    }

    #[test]
    fn small_draws_continue_each_other() {
        let whole = TorchCpu::new(3).randn(6);
        let mut rng = TorchCpu::new(3);
        let parts = [rng.randn(3), rng.randn(3)].concat();
        assert_eq!(whole, parts);
    }

    #[test]
    fn an_order_has_each_index_once() {
        let mut order = TorchCpu::new(1).randperm(50);
        order.sort_unstable();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
}
