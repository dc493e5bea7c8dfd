//! What is left out by chance while a network is trained: whole modules, ranks, neurons. Drawn from streams that depend
//! on the seed, the module and the number of the micro batch alone, so that a resumed run, any number of threads and
//! computing a part again under gradient checkpointing give the same bits.

use crate::dice::{Dice, Purpose, Stream};
use candle_core::{Device, Result, Tensor};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// No micro batch: nothing is left out.
const NONE: u64 = u64::MAX;

/// Modules of a network at most; batches and modules share one number.
const MODULES: u64 = 1 << 20;

/// Says to all modules of a network which micro batch runs. Clones speak to the same modules.
#[derive(Clone, Debug)]
pub struct Chance(Arc<State>);

#[derive(Debug)]
struct State {
    seed: u64,
    batch: AtomicU64,
}

impl Chance {
    /// Nothing is left out until [`Self::at`] names a micro batch.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(State { seed, batch: AtomicU64::new(NONE) }))
    }

    /// The number of the micro batch that runs from now on; none for validation, samples and saving, which use the whole
    /// network.
    pub fn at(&self, batch: Option<u64>) {
        self.0.batch.store(batch.unwrap_or(NONE), Ordering::Relaxed);
    }

    fn stream(&self, module: u64) -> Option<Stream> {
        let batch = self.0.batch.load(Ordering::Relaxed);
        let index = || batch.wrapping_mul(MODULES).wrapping_add(module);
        (batch != NONE).then(|| Stream::new(self.0.seed, Purpose::Dropout, index()))
    }
}

/// How often something is left out, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Values between the two matrices.
    pub neurons: f64,
    /// Ranks of an image's pass through LoRA; rows of the change for the kinds of LyCORIS.
    pub ranks: f64,
    /// The whole network of a layer.
    pub module: f64,
}

/// What may be left out at one layer.
pub(crate) struct Drops {
    pub(crate) chance: Chance,
    /// The layer's number.
    pub(crate) module: u64,
    pub(crate) rates: Rates,
}

impl Drops {
    /// The draws of the micro batch that runs. None: nothing is left out.
    pub(crate) fn draw(&self) -> Option<Drawn> {
        if self.rates == Rates::default() {
            return None;
        }
        let mut dice = self.chance.stream(self.module)?;
        // As sd-scripts: `torch.rand(1) < module_dropout`.
        let whole = self.rates.module > 0.0 && dice.unit() < self.rates.module;
        Some(Drawn { whole, dice, rates: self.rates })
    }
}

/// Draws of one layer in one micro batch, to be asked in the order of the passage.
pub(crate) struct Drawn {
    /// The layer runs without its network.
    pub(crate) whole: bool,
    dice: Stream,
    rates: Rates,
}

impl Drawn {
    /// `x` with some values zero and the others larger, so that the mean stays. As `torch.nn.functional.dropout`.
    pub(crate) fn neurons(&mut self, x: Tensor) -> Result<Tensor> {
        if self.rates.neurons == 0.0 {
            return Ok(x);
        }
        let mask = self.mask(self.rates.neurons, x.elem_count(), x.device())?;
        &x * mask.reshape(x.shape())?
    }

    /// `x` (b, …, r) with some of the r ranks zero for each of the b images. As sd-scripts, networks/lora.py, which makes
    /// up for it with 1 / (1 − p).
    pub(crate) fn ranks(&mut self, x: Tensor) -> Result<Tensor> {
        if self.rates.ranks == 0.0 {
            return Ok(x);
        }
        let (mut shape, last) = (vec![1; x.rank()], x.rank() - 1);
        (shape[0], shape[last]) = (x.dim(0)?, x.dim(last)?);
        let mask = self.mask(self.rates.ranks, shape[0] * shape[last], x.device())?;
        x.broadcast_mul(&mask.reshape(shape)?)
    }

    /// A factor for each row of a change (out,), if rows are left out. As LyCORIS' `rank_dropout` with
    /// `rank_dropout_scale`, but for the factor: it divides by the share of rows that are left, which may be none.
    pub(crate) fn rows(&mut self, out: usize, device: &Device) -> Result<Option<Tensor>> {
        if self.rates.ranks == 0.0 {
            return Ok(None);
        }
        self.mask(self.rates.ranks, out, device).map(Some)
    }

    /// `n` times 0 with probability `p`, else 1 / (1 − p).
    fn mask(&mut self, p: f64, n: usize, device: &Device) -> Result<Tensor> {
        let kept = (1.0 / (1.0 - p)) as f32;
        let values: Vec<f32> = (0..n).map(|_| if self.dice.unit() < p { 0.0 } else { kept }).collect();
        Tensor::from_vec(values, n, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    fn drops(module: u64, rates: Rates) -> (Chance, Drops) {
        let chance = Chance::new(5);
        (chance.clone(), Drops { chance, module, rates })
    }

    #[test]
    fn draws_belong_to_module_and_batch_and_keep_the_mean() -> Result<()> {
        let rates = Rates { neurons: 0.25, ranks: 0.5, module: 0.0 };
        let (chance, one) = drops(1, rates);
        let two = Drops { chance: chance.clone(), module: 2, rates };
        assert!(one.draw().is_none(), "no micro batch");
        let ones = Tensor::ones((4, 30, 50), DType::F32, &Device::Cpu)?;
        let draw = |drops: &Drops, batch| -> Result<Vec<f32>> {
            chance.at(Some(batch));
            let mut drawn = drops.draw().unwrap();
            drawn.neurons(ones.clone())?.flatten_all()?.to_vec1()
        };
        let first = draw(&one, 3)?;
        assert_eq!(draw(&one, 3)?, first);
        assert!(draw(&two, 3)? != first && draw(&one, 4)? != first);
        let mean = first.iter().sum::<f32>() / first.len() as f32;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        assert!(first.iter().all(|&v| v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));

        let masked = one.draw().unwrap().ranks(ones.clone())?;
        // One decision for all tokens of an image.
        assert_eq!(masked.get(0)?.get(0)?.to_vec1::<f32>()?, masked.get(0)?.get(29)?.to_vec1::<f32>()?);
        assert!(masked.get(0)?.get(0)?.to_vec1::<f32>()? != masked.get(1)?.get(0)?.to_vec1::<f32>()?);
        assert!(one.draw().unwrap().rows(8, &Device::Cpu)?.is_some());
        chance.at(None);
        assert!(one.draw().is_none());
        Ok(())
    }

    #[test]
    fn modules_are_left_out_as_often_as_asked() {
        let (chance, drops) = drops(0, Rates { module: 0.3, ..Rates::default() });
        let count = (0..2000)
            .filter(|&batch| {
                chance.at(Some(batch));
                drops.draw().unwrap().whole
            })
            .count();
        assert!((500..700).contains(&count), "{count}");
    }
}
