//! The regression: an epsilon-SVR with an RBF kernel, trained by the authors on all distorted pictures of LIVE's database.

use crate::FEATURES;

/// The notice that belongs into all copies; then f32, the least significant byte first: the least and the most that each
/// feature was in training; γ and ρ; then for each support vector its coefficient and its features, scaled to −1…1. Made by
/// tests/peers/make_brisque.py.
const BYTES: &[u8] = include_bytes!("model.bin");
const VECTORS: usize = 770;
const ROW: usize = 1 + FEATURES;
/// Values in front of the vectors.
const HEAD: usize = 2 * FEATURES + 2;
/// Where the values begin.
const START: usize = BYTES.len() - 4 * (HEAD + VECTORS * ROW);

/// The value at a place of the file.
fn at(place: usize) -> f64 {
    let [a, b, c, d] = [0, 1, 2, 3].map(|i| BYTES[START + 4 * place + i]);
    f64::from(f32::from_le_bytes([a, b, c, d]))
}

/// The score of a picture with these [features](crate::features): 0 for a good photograph, 100 for a badly distorted one.
/// Less and more is possible for pictures unlike those of the training.
pub fn score(features: &[f64; FEATURES]) -> f64 {
    let scaled: [f64; FEATURES] = std::array::from_fn(|i| {
        let (least, most) = (at(i), at(FEATURES + i));
        -1.0 + 2.0 / (most - least) * (features[i] - least)
    });
    let (gamma, rho) = (at(2 * FEATURES), at(2 * FEATURES + 1));
    let kernel = |vector: usize| {
        let row = HEAD + vector * ROW;
        let squares = scaled.iter().enumerate().map(|(i, v)| {
            let difference = v - at(row + 1 + i);
            difference * difference
        });
        at(row) * libm::exp(-gamma * squares.sum::<f64>())
    };
    (0..VECTORS).map(kernel).sum::<f64>() - rho
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_lies_in_front_of_the_values() {
        assert_eq!(&BYTES[..START], include_bytes!("../NOTICE"), "run tests/peers/make_brisque.py");
        assert_eq!((at(2 * FEATURES) * 1e6).round(), 50_000.0);
        assert!((0..FEATURES).all(|i| at(i) < at(FEATURES + i)));
    }

    #[test]
    fn features_at_the_least_are_scaled_to_minus_one() {
        // At a picture with the least of all features every scaled one is −1.
        let least: [f64; FEATURES] = std::array::from_fn(at);
        let by_hand: f64 = (0..VECTORS)
            .map(|vector| {
                let row = HEAD + vector * ROW;
                let squares: f64 = (1..ROW).map(|i| (at(row + i) + 1.0).powi(2)).sum();
                at(row) * (-0.05 * squares).exp()
            })
            .sum();
        assert!((score(&least) - (by_hand + 155.845)).abs() < 1e-3);
    }
}
