//! Gradient checkpointing (Chen et al. 2016, arXiv:1604.06174): a pass is cut into segments of which only the inputs are
//! kept; the backward pass runs a segment again when its turn has come.
//!
//! candle's operations return gradients for at most three tensors, and a segment has more: its inputs and whatever is
//! trained in it. So the cut pass stands in candle's graph as one operation, goes back through its segments by itself,
//! and leaves the gradients of what is trained in them to [`backward`], which adds them to candle's own.

use crate::error::{Error, Result};
use crate::ops;
use candle_core::{DType, Tensor, Var, backprop::GradStore};
use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

/// `loss.backward()` for networks that are cut into segments as well as for those that are not. The gradients are equal up
/// to the order in which those of a value with several uses are added: about 1e-6 of their size.
///
/// # Errors
/// An operation fails.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    let outer = FOUND.with(|found| found.replace(Some(Vec::new())));
    let store = loss.backward();
    let found = FOUND.with(|found| found.replace(outer)).unwrap_or_default();
    let mut store = store?;
    // In the order of the segments, so that sums do not depend on anything else.
    for more in found {
        store.extend(more)?;
    }
    Ok(store)
}

thread_local! {
    /// Gradients of what is trained inside of segments, while [`backward`] runs on this thread. candle calls the
    /// operations' backward passes on the thread of its caller.
    static FOUND: RefCell<Option<Vec<GradStore>>> = const { RefCell::new(None) };
}

/// A pass through a network, cut into segments or not.
pub(crate) struct Tape {
    cut: bool,
    slots: usize,
    /// Tensors from outside that gradients go to.
    inputs: Vec<(Tensor, usize)>,
    segments: Vec<Segment>,
}

/// A tensor of a pass.
#[derive(Clone)]
pub(crate) struct Value {
    tensor: Tensor,
    /// Where its gradient is added up; none where nothing that is trained lies before it, or the pass is not cut.
    slot: Option<usize>,
}

impl std::ops::Deref for Value {
    type Target = Tensor;

    fn deref(&self) -> &Tensor {
        &self.tensor
    }
}

type Run = Box<dyn Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync>;

struct Segment {
    inputs: Vec<Value>,
    outputs: Vec<Option<usize>>,
    run: Run,
}

impl Tape {
    /// A pass that keeps the inputs of its segments only, if `cut`.
    pub(crate) fn new(cut: bool) -> Tape {
        Tape { cut, slots: 0, inputs: Vec::new(), segments: Vec::new() }
    }

    /// A tensor from outside.
    pub(crate) fn input(&mut self, tensor: &Tensor) -> Value {
        if !self.cut || !tensor.track_op() {
            return Value { tensor: tensor.clone(), slot: None };
        }
        let slot = self.slot();
        self.inputs.push((tensor.clone(), slot));
        Value { tensor: tensor.detach(), slot: Some(slot) }
    }

    /// Runs a segment. What `run` returns may depend on its arguments and on what never changes between the passes.
    pub(crate) fn segment(
        &mut self,
        inputs: &[&Value],
        run: impl Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync + 'static,
    ) -> Result<Vec<Value>> {
        let tensors: Vec<Tensor> = inputs.iter().map(|value| value.tensor.clone()).collect();
        let outputs = run(&tensors)?;
        if !self.cut {
            return Ok(outputs.into_iter().map(|tensor| Value { tensor, slot: None }).collect());
        }
        let leads = inputs.iter().any(|value| value.slot.is_some());
        let outputs: Vec<Value> = outputs
            .into_iter()
            .map(|tensor| {
                let slot = (leads || tensor.track_op()).then(|| self.slot());
                // Without its graph, which would keep everything that was computed on the way.
                Value { tensor: tensor.detach(), slot }
            })
            .collect();
        if outputs.iter().any(|value| value.slot.is_some()) {
            self.segments.push(Segment {
                inputs: inputs.iter().copied().cloned().collect(),
                outputs: outputs.iter().map(|value| value.slot).collect(),
                run: Box::new(run),
            });
        }
        Ok(outputs)
    }

    /// The same for a segment with one output.
    pub(crate) fn single(
        &mut self,
        inputs: &[&Value],
        run: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Result<Value> {
        let mut outputs = self.segment(inputs, move |inputs| Ok(vec![run(inputs)?]))?;
        outputs.pop().ok_or_else(|| Error::Unsupported("a segment gave nothing".into()))
    }

    /// The last value as a tensor of candle's graph.
    pub(crate) fn finish(self, value: Value) -> Result<Tensor> {
        let (Some(last), true) = (value.slot, self.cut) else { return Ok(value.tensor) };
        let Tape { slots, inputs, segments, .. } = self;
        let (outside, places): (Vec<Tensor>, Vec<usize>) = inputs.into_iter().unzip();
        let segments = Mutex::new(Some(segments));
        let gradient = move |grad: &Tensor| -> candle_core::Result<Vec<Option<Tensor>>> {
            let taken = segments.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(segments) = taken else {
                candle_core::bail!("a network with gradient checkpointing went backward twice from one forward pass");
            };
            let mut grads: Vec<Option<Tensor>> = vec![None; slots];
            grads[last] = Some(grad.clone());
            back(segments, &mut grads).map_err(candle_core::Error::wrap)?;
            Ok(places.iter().map(|&slot| grads[slot].take()).collect())
        };
        let one = |mut grads: Vec<Option<Tensor>>, i: usize| grads.get_mut(i).and_then(Option::take);
        let y = value.tensor;
        Ok(match outside.as_slice() {
            [] => {
                // candle asks for gradients only where one of the arguments wants one.
                let anchor = Var::zeros(1, DType::F32, y.device())?;
                ops::given(y, anchor.as_tensor(), move |grad| gradient(grad).map(|_| [None]))?
            }
            [a] => ops::given(y, a, move |grad| Ok([one(gradient(grad)?, 0)]))?,
            [a, b] => ops::given2(y, [a, b], move |grad| {
                let mut grads = gradient(grad)?.into_iter();
                Ok([grads.next().flatten(), grads.next().flatten()])
            })?,
            [a, b, c] => ops::given3(y, [a, b, c], move |grad| {
                let mut grads = gradient(grad)?.into_iter();
                Ok([grads.next().flatten(), grads.next().flatten(), grads.next().flatten()])
            })?,
            more => {
                let what = format!(
                    "gradient checkpointing with gradients for {} inputs of the network; expected at most 3",
                    more.len()
                );
                return Err(Error::Unsupported(what));
            }
        })
    }

    fn slot(&mut self) -> usize {
        self.slots += 1;
        self.slots - 1
    }
}

/// Runs the segments again from the last to the first, each with its inputs as variables, and backward from the gradients
/// of its outputs.
fn back(mut segments: Vec<Segment>, grads: &mut [Option<Tensor>]) -> Result<()> {
    while let Some(Segment { inputs, outputs, run }) = segments.pop() {
        let wanted: Vec<Option<Tensor>> = outputs.iter().map(|slot| grads[(*slot)?].take()).collect();
        if wanted.iter().all(Option::is_none) {
            continue;
        }
        let mut arguments = Vec::with_capacity(inputs.len());
        for value in &inputs {
            arguments.push(match value.slot {
                Some(_) => Var::from_tensor(&value.tensor)?.into_inner(),
                None => value.tensor.clone(),
            });
        }
        let again = run(&arguments)?;
        let mut seed: Option<Tensor> = None;
        for (output, grad) in again.iter().zip(wanted) {
            let Some(grad) = grad else { continue };
            // A number whose gradient with respect to the output is the one that came from behind.
            let zero = Tensor::zeros((), DType::F32, output.device())?;
            let part = ops::given(zero, output, move |_| Ok([Some(grad.clone())]))?;
            seed = Some(match seed {
                Some(seed) => (seed + part)?,
                None => part,
            });
        }
        let Some(seed) = seed else { continue };
        drop(again);
        let mut store = seed.backward()?;
        drop(seed);
        for (value, argument) in inputs.iter().zip(&arguments) {
            let found = store.remove(argument);
            let (Some(slot), Some(found)) = (value.slot, found) else { continue };
            grads[slot] = Some(match grads[slot].take() {
                Some(sum) => (sum + found)?,
                None => found,
            });
        }
        FOUND.with(|all| match all.borrow_mut().as_mut() {
            Some(all) => {
                all.push(store);
                Ok(())
            }
            None => Err(Error::Unsupported(
                "a network with gradient checkpointing goes backward by `models::backward(&loss)`, not by \
                 `loss.backward()`, which would lose the gradients of what is trained"
                    .into(),
            )),
        })?;
    }
    Ok(())
}
