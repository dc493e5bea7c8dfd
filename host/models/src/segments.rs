//! Gradient checkpointing (Chen et al. 2016, arXiv:1604.06174): a pass is cut into segments of which only the inputs are
//! kept; the backward pass runs a segment again when its turn has come.
//!
//! candle's operations return gradients for at most three tensors, and a segment has more: its inputs and whatever is
//! trained in it. So the cut pass stands in candle's graph as one operation, goes back through its segments by itself,
//! and leaves the gradients of what is trained in them to [`backward`], which adds them to candle's own.

use crate::error::{Error, Result};
use crate::ops;
use candle_core::{CpuStorage, DType, Storage, Tensor, Var, backprop::GradStore};
use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

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

/// What a pass through a network keeps.
#[derive(Clone, Default)]
pub(crate) enum Mode {
    /// Everything that the way back needs.
    #[default]
    Whole,
    /// The inputs of its segments.
    Cut,
    /// As [`Mode::Cut`], and notes what each segment would keep.
    Measured(Arc<Mutex<Vec<Footprint>>>),
}

impl Mode {
    pub(crate) fn checkpointing(on: bool) -> Mode {
        if on { Mode::Cut } else { Mode::Whole }
    }
}

/// Bytes that one segment of a pass keeps for the way back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// All that is computed in it and needed again.
    pub inside: usize,
    /// What it hands on: all that stays of it with gradient checkpointing.
    pub outputs: usize,
    /// The largest tensor, as large as which gradients are.
    pub largest: usize,
}

impl Footprint {
    /// Tensors as large as the largest one that the way back holds at a time: the gradient of what lies behind, the one that is
    /// made of it, and the sum that it is added to.
    const GRADIENTS: usize = 3;

    /// Bytes that a pass of these segments takes at most until its way back has ended.
    pub fn peak(segments: &[Footprint], checkpointing: bool) -> usize {
        let sum = |of: fn(&Footprint) -> usize| segments.iter().map(of).sum::<usize>();
        let most = |of: fn(&Footprint) -> usize| segments.iter().map(of).max().unwrap_or(0);
        if checkpointing {
            sum(|s| s.outputs) + most(|s| s.inside + Footprint::GRADIENTS * s.largest)
        } else {
            sum(|s| s.inside) + Footprint::GRADIENTS * most(|s| s.largest)
        }
    }

    fn of(outputs: &[Tensor]) -> Footprint {
        let mut seen = HashSet::new();
        let mut found = Footprint::default();
        for output in outputs {
            // Views share what they are views of.
            let mut bytes = |node: &Tensor| {
                let (storage, _) = node.storage_and_layout();
                let (place, count) = match &*storage {
                    Storage::Cpu(CpuStorage::F32(values)) => (values.as_ptr() as usize, values.len()),
                    other => (std::ptr::from_ref(other) as usize, node.elem_count()),
                };
                if seen.insert(place) { count * node.dtype().size_in_bytes() } else { 0 }
            };
            let of_output = bytes(output);
            found.outputs += of_output;
            found.inside += of_output;
            found.largest = found.largest.max(of_output);
            for node in output.sorted_nodes().into_iter().filter(|node| !node.is_variable()) {
                let bytes = bytes(node);
                found.inside += bytes;
                found.largest = found.largest.max(bytes);
            }
        }
        found
    }
}

/// A pass through a network, cut into segments or not.
pub(crate) struct Tape {
    mode: Mode,
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
    /// A pass that keeps what `mode` says.
    pub(crate) fn new(mode: &Mode) -> Tape {
        let cut = !matches!(mode, Mode::Whole);
        Tape { mode: mode.clone(), cut, slots: 0, inputs: Vec::new(), segments: Vec::new() }
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
        if let Mode::Measured(found) = &self.mode {
            let again = inputs.iter().map(|value| argument(value)).collect::<Result<Vec<_>>>()?;
            let footprint = Footprint::of(&run(&again)?);
            found.lock().unwrap_or_else(PoisonError::into_inner).push(footprint);
        }
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

/// The tensor as a segment gets it for its way back.
fn argument(value: &Value) -> Result<Tensor> {
    Ok(match value.slot {
        Some(_) => Var::from_tensor(&value.tensor)?.into_inner(),
        None => value.tensor.clone(),
    })
}

/// Runs the segments again from the last to the first, each with its inputs as variables, and backward from the gradients
/// of its outputs.
fn back(mut segments: Vec<Segment>, grads: &mut [Option<Tensor>]) -> Result<()> {
    while let Some(Segment { inputs, outputs, run }) = segments.pop() {
        let wanted: Vec<Option<Tensor>> = outputs.iter().map(|slot| grads[(*slot)?].take()).collect();
        if wanted.iter().all(Option::is_none) {
            continue;
        }
        let arguments = inputs.iter().map(argument).collect::<Result<Vec<_>>>()?;
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
