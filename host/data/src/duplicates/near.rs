//! Which of many 64-bit hashes are near to one: four bands of 16 bits in tables.

const BANDS: u32 = 4;
/// Hashes that differ in at most so many bits have a band that differs in at most two.
pub(super) const MOST: u32 = 3 * BANDS - 1;

pub(super) struct Index {
    hashes: Vec<u64>,
    bands: Vec<Band>,
}

/// The places of the hashes, sorted by one band's value.
struct Band {
    /// Where the places of each value begin, and at the end how many there are.
    begins: Vec<u32>,
    places: Vec<u32>,
}

impl Band {
    fn new(hashes: &[u64], band: usize) -> Self {
        let mut begins = vec![0u32; (1 << 16) + 1];
        for hash in hashes {
            begins[usize::from(part(*hash, band)) + 1] += 1;
        }
        let mut sum = 0;
        for begin in &mut begins {
            sum += *begin;
            *begin = sum;
        }
        let mut next = begins.clone();
        let mut places = vec![0u32; hashes.len()];
        for (i, hash) in hashes.iter().enumerate() {
            let at = &mut next[usize::from(part(*hash, band))];
            places[*at as usize] = i as u32;
            *at += 1;
        }
        Self { begins, places }
    }

    fn of(&self, value: u16) -> &[u32] {
        let value = usize::from(value);
        &self.places[self.begins[value] as usize..self.begins[value + 1] as usize]
    }
}

impl Index {
    pub(super) fn new(hashes: impl Iterator<Item = u64>) -> Self {
        let hashes: Vec<u64> = hashes.collect();
        let bands = (0..BANDS as usize).map(|band| Band::new(&hashes, band)).collect();
        Self { hashes, bands }
    }

    /// Places of all hashes that differ in at most `bits` bits (up to [`MOST`]), in order.
    pub(super) fn near(&self, hash: u64, bits: u32) -> Vec<usize> {
        let mut out = Vec::new();
        let reach = bits / BANDS;
        for (band, table) in self.bands.iter().enumerate() {
            let own = part(hash, band);
            let mut look = |value: u16| {
                let found = table.of(value).iter().map(|i| *i as usize);
                out.extend(found.filter(|i| (self.hashes[*i] ^ hash).count_ones() <= bits));
            };
            look(own);
            for a in 0..16 {
                if reach >= 1 {
                    look(own ^ 1 << a);
                }
                for b in (0..a).filter(|_| reach >= 2) {
                    look(own ^ (1 << a | 1 << b));
                }
            }
        }
        out.sort_unstable();
        out.dedup();
        out
    }
}

fn part(hash: u64, band: usize) -> u16 {
    (hash >> (16 * band)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_look_at_all_would_find() {
        // Pairs at every distance up to 16, and others.
        let mut state = 7u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut hashes = Vec::new();
        for n in 0..400 {
            let base = next();
            hashes.push(base);
            let mut other = base;
            while (other ^ base).count_ones() < n % 17 {
                other ^= 1 << (next() % 64);
            }
            hashes.push(other);
        }
        let index = Index::new(hashes.iter().copied());
        for bits in [0, 3, 4, 8, 10, MOST] {
            for hash in &hashes {
                let all: Vec<usize> = (0..hashes.len()).filter(|i| (hashes[*i] ^ hash).count_ones() <= bits).collect();
                assert_eq!(index.near(*hash, bits), all, "{bits}");
            }
        }
    }
}
