//! numpy's `SeedSequence`: well mixed seeds from a number and a place in a tree.

/// `numpy.random.SeedSequence(entropy, spawn_key=key, pool_size=pool).generate_state(count)`, 32-bit words
/// (O'Neill's `seed_seq_fe`; numpy, `bit_generator.pyx`).
pub fn seed_words(entropy: u64, key: &[u64], pool: usize, count: usize) -> Vec<u32> {
    let mut source = words(entropy);
    if !key.is_empty() {
        source.resize(source.len().max(pool), 0);
        source.extend(key.iter().flat_map(|&part| words(part)));
    }
    let mut hash = Hash(0x43b0_d7e5);
    let mut mixed: Vec<u32> = (0..pool).map(|i| hash.mix(source.get(i).copied().unwrap_or(0))).collect();
    for from in 0..pool {
        for to in (0..pool).filter(|&to| to != from) {
            mixed[to] = join(mixed[to], hash.mix(mixed[from]));
        }
    }
    for &word in source.iter().skip(pool) {
        for value in &mut mixed {
            *value = join(*value, hash.mix(word));
        }
    }
    let mut constant = 0x8b51_f9ddu32;
    mixed
        .iter()
        .cycle()
        .take(count)
        .map(|&value| {
            let value = value ^ constant;
            constant = constant.wrapping_mul(0x58f3_8ded);
            let value = value.wrapping_mul(constant);
            value ^ (value >> 16)
        })
        .collect()
}

/// As many 32-bit words as the number needs, lowest first.
fn words(number: u64) -> Vec<u32> {
    if number >> 32 == 0 { vec![number as u32] } else { vec![number as u32, (number >> 32) as u32] }
}

struct Hash(u32);

impl Hash {
    fn mix(&mut self, value: u32) -> u32 {
        let value = value ^ self.0;
        self.0 = self.0.wrapping_mul(0x931e_8875);
        let value = value.wrapping_mul(self.0);
        value ^ (value >> 16)
    }
}

fn join(a: u32, b: u32) -> u32 {
    let value = a.wrapping_mul(0xca01_f9dd).wrapping_sub(b.wrapping_mul(0x4973_f715));
    value ^ (value >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that numpy 2.4 gives.
    #[test]
    fn words_are_those_of_numpy() {
        assert_eq!(seed_words(7, &[3, 2], 24, 4), [136_233_753, 1_309_325_778, 1_961_886_070, 2_005_581_940]);
        assert_eq!(seed_words((1 << 40) + 7, &[], 24, 3), [3_531_690_330, 3_002_667_236, 1_514_406_079]);
    }
}
