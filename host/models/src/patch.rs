//! Changes of a network's parameters by files such as LoRAs: merged into the working copies of weights, or computed
//! beside the layers.

use crate::adapter::LoraRef;
use crate::error::Result;
use crate::ops::{Frozen, Owned, Source};
use candle_core::{Result as TensorResult, Tensor};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A change of one layer's parameters, as a file brings it; at strength 1.
pub trait Patch: Send + Sync {
    /// What is added to the weight: f32, of the weight's shape. `weight` is the weight as it is so far, with earlier patches
    /// at their strengths. `None` leaves it as it is.
    fn weight(&self, weight: &Tensor) -> Result<Option<Tensor>>;

    /// What is added to the bias: f32 (out,).
    fn bias(&self) -> Option<&Tensor> {
        None
    }

    /// Whether [`Patch::weight`] can give something; if not, it is not asked.
    fn changes_weight(&self) -> bool {
        true
    }

    /// The change of the weight as two matrices, if that is all it is: then it can be computed beside the layer without
    /// making the change itself. `scale` is alpha / rank.
    fn as_lora(&self) -> Option<LoraRef<'_>> {
        None
    }
}

/// A patch and how much of it.
#[derive(Clone)]
pub struct Patched {
    /// The change.
    pub patch: Arc<dyn Patch>,
    /// Factor on the change.
    pub strength: f64,
}

/// How patches are put onto a network. Both give the same up to rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Added to the weights when these are read: as fast as the base.
    Merge,
    /// Computed beside the weights: made in no time and quick to change in strength, a little slower to run.
    Unmerged,
}

/// A weight with patches added.
pub(crate) struct Merged {
    base: Arc<dyn Source>,
    /// Patches that lie beside the layer: the merged ones see them in the weight, but they stay where they are.
    beside: Vec<Patched>,
    patches: Vec<Patched>,
}

impl Merged {
    pub(crate) fn new(base: Arc<dyn Source>, beside: Vec<Patched>, patches: Vec<Patched>) -> Merged {
        Merged { base, beside, patches }
    }

    fn compute(&self) -> TensorResult<Tensor> {
        let mut result = self.base.tensor()?;
        if self.beside.is_empty() {
            for patched in &self.patches {
                if let Some(delta) = patched.delta(&result)? {
                    result = (result + delta)?;
                }
            }
            return Ok(result);
        }
        let mut seen = changed(&*self.base, &self.beside)?;
        for patched in &self.patches {
            if let Some(delta) = patched.delta(&seen)? {
                seen = (seen + &delta)?;
                result = (result + delta)?;
            }
        }
        Ok(result)
    }
}

/// `base` with patches.
fn changed(base: &dyn Source, patches: &[Patched]) -> TensorResult<Tensor> {
    let mut weight = base.tensor()?;
    for patched in patches {
        if let Some(delta) = patched.delta(&weight)? {
            weight = (weight + delta)?;
        }
    }
    Ok(weight)
}

impl Patched {
    /// strength · Δ.
    fn delta(&self, weight: &Tensor) -> TensorResult<Option<Tensor>> {
        if self.strength == 0.0 {
            return Ok(None);
        }
        self.plain(weight)?.map(|delta| delta * self.strength).transpose()
    }

    /// Δ, whose shape is checked.
    fn plain(&self, weight: &Tensor) -> TensorResult<Option<Tensor>> {
        if !self.patch.changes_weight() {
            return Ok(None);
        }
        let delta = self.patch.weight(weight).map_err(candle_core::Error::wrap)?;
        match delta {
            Some(delta) if delta.dims() != weight.dims() => candle_core::bail!(
                "expected a change of a weight of shape {:?}, found one of {:?}",
                weight.shape(),
                delta.shape()
            ),
            delta => Ok(delta),
        }
    }
}

/// What a source that is computed as a whole gives for single rows: rarely asked for, since readers of all rows open it.
macro_rules! whole {
    ($compute:ident) => {
        fn shape(&self) -> &[usize] {
            self.base.shape()
        }

        fn rows(&self, first: usize, out: &mut [f32]) -> TensorResult<()> {
            Owned::new(&self.$compute()?)?.rows(first, out)
        }

        fn opened(&self) -> TensorResult<Option<Arc<dyn Source>>> {
            Ok(Some(Arc::new(Owned::new(&self.$compute()?)?)))
        }

        fn tensor(&self) -> TensorResult<Tensor> {
            self.$compute()
        }
    };
}

impl Source for Merged {
    whole!(compute);
}

/// The change that a patch makes of a weight, at strength 1. It does not keep the patches alive: the layers that compute
/// with it do, so that changes can be kept for another strength without keeping files that nobody has any more.
struct Delta {
    base: Arc<dyn Source>,
    /// Patches that the change sees in the weight.
    earlier: Vec<Loose>,
    patch: Loose,
}

/// A [`Patched`] that does not keep its patch.
struct Loose {
    patch: Weak<dyn Patch>,
    strength: f64,
}

impl Loose {
    fn of(patched: &Patched) -> Loose {
        Loose { patch: Arc::downgrade(&patched.patch), strength: patched.strength }
    }

    /// The same patch at the same strength.
    fn is(&self, patched: &Patched) -> bool {
        self.is_patch(patched) && self.strength == patched.strength
    }

    fn is_patch(&self, patched: &Patched) -> bool {
        std::ptr::addr_eq(self.patch.as_ptr(), Arc::as_ptr(&patched.patch))
    }

    fn held(&self) -> TensorResult<Patched> {
        match self.patch.upgrade() {
            Some(patch) => Ok(Patched { patch, strength: self.strength }),
            None => candle_core::bail!("a change is asked for whose file has been let go"),
        }
    }
}

impl Delta {
    fn compute(&self) -> TensorResult<Tensor> {
        let earlier = self.earlier.iter().map(Loose::held).collect::<TensorResult<Vec<_>>>()?;
        let weight = changed(&*self.base, &earlier)?;
        match self.patch.held()?.plain(&weight)? {
            Some(delta) => Ok(delta),
            None => weight.zeros_like(),
        }
    }
}

impl Source for Delta {
    whole!(compute);
}

/// A patch that is computed beside a layer.
#[derive(Clone)]
pub(crate) struct Beside {
    pub(crate) patched: Patched,
    /// The change as a layer of its own, where it is not two matrices: read when it is first used.
    pub(crate) delta: Option<Arc<Frozen>>,
}

/// Changes of one weight that have been put beside it, kept so that another strength shares them.
#[derive(Default)]
pub(crate) struct Deltas(Mutex<Vec<Kept>>);

struct Kept {
    patch: Loose,
    earlier: Vec<Loose>,
    delta: Arc<Frozen>,
}

impl Deltas {
    /// `patched` beside `layer`, behind `earlier` ones.
    pub(crate) fn beside(&self, layer: &Frozen, earlier: &[Patched], patched: &Patched) -> Result<Beside> {
        if patched.patch.as_lora().is_some() {
            return Ok(Beside { patched: patched.clone(), delta: None });
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What belongs to files that nobody holds any more.
        kept.retain(|kept| kept.patch.patch.strong_count() > 0);
        let same = |kept: &&Kept| {
            kept.patch.is_patch(patched)
                && kept.earlier.len() == earlier.len()
                && kept.earlier.iter().zip(earlier).all(|(a, b)| a.is(b))
        };
        if let Some(kept) = kept.iter().find(same) {
            return Ok(Beside { patched: patched.clone(), delta: Some(kept.delta.clone()) });
        }
        let all = || earlier.iter().map(Loose::of).collect();
        let delta = Delta { base: layer.source().clone(), earlier: all(), patch: Loose::of(patched) };
        let delta = Arc::new(layer.with_source(Arc::new(delta))?.with_bias(None)?);
        kept.push(Kept { patch: Loose::of(patched), earlier: all(), delta: delta.clone() });
        Ok(Beside { patched: patched.clone(), delta: Some(delta) })
    }
}
