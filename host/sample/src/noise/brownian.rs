//! Brownian motion that gives the same path whatever parts of it are asked for, and in which order.

use super::{Engine, StepNoise};
use crate::rng::seed_words;
use anyhow::Result;
use candle_core::{DType, Tensor};

/// A path over an interval of sigmas, halved again and again; each half is drawn from a seed that its place in the tree
/// gives it. Equal to `torchsde.BrownianTree` (google-research/torchsde: `BrownianInterval` with `halfway_tree`), up to
/// the last bits of torch's normal numbers: the places are rounded to 6 digits as there, and seeds come from numpy's
/// `SeedSequence` over 24 words.
pub struct BrownianTree {
    start: f64,
    end: f64,
    seed: u64,
    engine: Engine,
    /// The whole path's increment.
    whole: Vec<f32>,
}

/// Words of numpy's entropy pool.
const POOL: usize = 24;

impl BrownianTree {
    /// A path of `n` numbers from `start` to `end`.
    pub fn new(start: f64, end: f64, n: usize, seed: u64, engine: Engine) -> Self {
        let first = seed_words(seed, &[], POOL, 3)[0];
        let whole = scaled(engine.generator(first.into()).randn(n), (end - start).sqrt());
        Self { start: round(start), end: round(end), seed, engine, whole }
    }

    /// The increment from `from` to `to` > `from`: normal, of variance `to` − `from`. What lies outside of the
    /// interval is left out.
    pub fn increment(&self, from: f64, to: f64) -> Vec<f32> {
        let inside = |sigma: f64| round(sigma.max(self.start).min(self.end));
        let (from, to) = (inside(from), inside(to));
        let mut sum = vec![0.0; self.whole.len()];
        if from < to {
            self.add(Node { start: self.start, end: self.end, key: 0, depth: 0 }, &self.whole, from, to, &mut sum);
        }
        sum
    }

    /// Adds the parts of a node, whose increment is `w`, that lie between `from` and `to`.
    fn add(&self, node: Node, w: &[f32], from: f64, to: f64, sum: &mut [f32]) {
        if from <= node.start && to >= node.end {
            for (sum, w) in sum.iter_mut().zip(w) {
                *sum += w;
            }
            return;
        }
        let middle = round(0.5 * (node.end + node.start));
        if middle <= node.start || middle >= node.end {
            // Finer than the places are rounded.
            return;
        }
        let seed = seed_words(self.seed, &[node.key, node.depth], POOL, 4)[0];
        let noise = self.engine.generator(seed.into()).randn(w.len());
        let (left, right) = (middle - node.start, node.end - middle);
        let whole = 1.0 / (node.end - node.start);
        let deviation = (left * right * whole).sqrt() as f32;
        let first: Vec<f32> =
            w.iter().zip(noise).map(|(w, noise)| left as f32 * w * whole as f32 + deviation * noise).collect();
        let child = |start, end, side| Node { start, end, key: 2 * node.key + side, depth: node.depth + 1 };
        if from < middle {
            self.add(child(node.start, middle, 0), &first, from, to.min(middle), sum);
        }
        if to > middle {
            let second: Vec<f32> = w.iter().zip(&first).map(|(w, first)| w - first).collect();
            self.add(child(middle, node.end, 1), &second, from.max(middle), to, sum);
        }
    }
}

#[derive(Clone, Copy)]
struct Node {
    start: f64,
    end: f64,
    /// The way down from the top, a bit a level.
    key: u64,
    depth: u64,
}

/// To 6 digits after the point, as Python's `round`: the exact value, ties to even.
fn round(x: f64) -> f64 {
    format!("{x:.6}").parse().unwrap_or(x)
}

fn scaled(mut values: Vec<f32>, factor: f64) -> Vec<f32> {
    values.iter_mut().for_each(|v| *v *= factor as f32);
    values
}

/// The trees of a walk: one for the batch, or one per image, or none where draws are given.
pub(crate) struct Tree {
    trees: Vec<BrownianTree>,
    like: Tensor,
}

impl Tree {
    pub(crate) fn new(x: &Tensor, sigmas: &[f64], seeds: &[u64], engine: Engine) -> Self {
        // Sigmas are float32 in the programs that we compare with.
        let positive = || sigmas.iter().map(|&s| f64::from(s as f32)).filter(|s| *s > 0.0);
        let (low, high) = (positive().fold(f64::INFINITY, f64::min), positive().fold(0.0, f64::max));
        let each = x.elem_count() / seeds.len().max(1);
        let trees = seeds.iter().map(|&seed| BrownianTree::new(low, high, each, seed, engine)).collect();
        Self { trees, like: x.clone() }
    }

    /// Noise of variance 1 for a step from one sigma down to another: the path's increment over its deviation.
    pub(crate) fn between(&self, noise: &mut StepNoise, from: f64, to: f64) -> Result<Tensor> {
        let x = &self.like;
        if self.trees.is_empty() {
            return noise.draw(x);
        }
        let (from, to) = (f64::from(from as f32), f64::from(to as f32));
        // The path is walked downwards.
        let scale = -1.0 / (from as f32 - to as f32).sqrt();
        let all: Vec<f32> = self.trees.iter().flat_map(|tree| tree.increment(to, from)).map(|w| w * scale).collect();
        Ok(Tensor::from_vec(all, x.shape(), x.device())?.to_dtype(DType::F32)?.to_dtype(x.dtype())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torchsde.BrownianTree(0.0291675, zeros(1, 4, 2, 2), 14.614646, entropy=2**40 + 7)`, torchsde 0.2.6.
    #[test]
    fn the_path_is_that_of_torchsde() {
        let known = [
            (14.614646, 7.902923, [0.29738215, -0.53547758, -3.3538697, 2.5095813, -1.4217137, 0.43375197]),
            (7.902923, 4.0277, [-1.699658, 1.5821676, 0.064971447, 0.4529568, -0.10566106, -0.46384266]),
            (0.107198, 0.0291675, [0.7630713, -0.37972558, 0.50148541, 0.13570502, -1.5255027, -1.6925088]),
        ];
        let x = Tensor::zeros((1, 4, 2, 2), DType::F32, &candle_core::Device::Cpu).unwrap();
        let tree = Tree::new(&x, &[14.614646, 0.0291675, 0.0], &[(1 << 40) + 7], Engine::TorchCpu);
        let mut none = StepNoise::Given(Vec::new().into_iter());
        for (from, to, expected) in known {
            let found = tree.between(&mut none, from, to).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (found, expected) in found.iter().zip(expected) {
                assert!((f64::from(*found) - expected).abs() < 2e-5, "{from}: {found} {expected}");
            }
        }
    }

    #[test]
    fn parts_add_up_and_have_their_variance() {
        let tree = BrownianTree::new(0.03, 14.6, 4096, 5, Engine::TorchCpu);
        let (a, b, both) = (tree.increment(0.5, 2.0), tree.increment(2.0, 7.3), tree.increment(0.5, 7.3));
        for i in 0..4096 {
            assert!((a[i] + b[i] - both[i]).abs() < 1e-4);
        }
        let variance = |w: &[f32]| w.iter().map(|w| f64::from(w * w)).sum::<f64>() / w.len() as f64;
        assert!((variance(&a) / 1.5 - 1.0).abs() < 0.1 && (variance(&b) / 5.3 - 1.0).abs() < 0.1);
        let product: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a * b)).sum::<f64>() / 4096.0;
        assert!(product.abs() < 0.2, "neighbours are independent: {product}");
    }
}
