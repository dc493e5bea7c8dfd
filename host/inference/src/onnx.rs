//! One ONNX model, run by tract.

use crate::convert;
use data::{Array, Dtype, IoDesc, Network};
use parking_lot::Mutex;
use spec::{ErrorKind, PluginError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;

/// Plans kept per model: one per combination of input shapes. A run uses a full and a last, shorter batch.
const MAX_PLANS: usize = 4;

type Plan = Arc<TypedRunnableModel>;
type Shapes = Vec<Vec<usize>>;

/// A model as read from its file, and the plans made of it so far.
pub(crate) struct OnnxNetwork {
    path: PathBuf,
    model: InferenceModel,
    inputs: Vec<IoDesc>,
    outputs: Vec<IoDesc>,
    types: Vec<DatumType>,
    plans: Mutex<Vec<(Shapes, Plan)>>,
}

impl OnnxNetwork {
    /// Reads and analyses the file; it is optimised when the first shapes are known.
    pub(crate) fn open(path: &Path) -> Result<Self, PluginError> {
        let bad = |e: &dyn std::fmt::Display| {
            PluginError::new(
                ErrorKind::InvalidInput,
                format!("{}: not an ONNX model that can be run: {e}", path.display()),
            )
        };
        let model = guarded(|| tract_onnx::onnx().with_ignore_output_shapes(false).model_for_path(path))
            .map_err(|e| bad(&e))?;
        let (mut inputs, mut types) = (Vec::new(), Vec::new());
        for (i, outlet) in model.inputs.iter().enumerate() {
            let fact = model.input_fact(i).map_err(|e| bad(&e))?;
            let name = model.node(outlet.node).name.clone();
            let datum = fact.datum_type.concretize().unwrap_or(DatumType::F32);
            inputs.push(describe(name, fact).ok_or_else(|| bad(&format!("input {i} has elements of type {datum:?}")))?);
            types.push(datum);
        }
        let mut outputs = Vec::new();
        for (i, outlet) in model.outputs.iter().enumerate() {
            let fact = model.output_fact(i).map_err(|e| bad(&e))?;
            let label = model.outlet_label(*outlet).map(str::to_owned);
            let name = label.unwrap_or_else(|| model.node(outlet.node).name.clone());
            outputs.push(describe(name, fact).ok_or_else(|| bad(&format!("output {i} has an unknown element type")))?);
        }
        if inputs.is_empty() || outputs.is_empty() {
            return Err(bad(&"it has no inputs or no outputs"));
        }
        Ok(Self { path: path.to_owned(), model, inputs, outputs, types, plans: Mutex::default() })
    }

    /// The optimised plan for these input shapes.
    fn plan(&self, shapes: &Shapes) -> Result<Plan, PluginError> {
        let mut plans = self.plans.lock();
        if let Some(at) = plans.iter().position(|(known, _)| known == shapes) {
            // The most recently used comes last.
            let hit = plans.remove(at);
            plans.push(hit.clone());
            return Ok(hit.1);
        }
        let plan = guarded(|| {
            let mut model = self.model.clone();
            for (i, (shape, datum)) in shapes.iter().zip(&self.types).enumerate() {
                model.set_input_fact(i, InferenceFact::dt_shape(*datum, shape))?;
            }
            // Declared output shapes may hold a symbolic batch that contradicts the concrete one.
            for i in 0..model.outputs.len() {
                model.set_output_fact(i, InferenceFact::default())?;
            }
            model.into_optimized()?.into_runnable()
        })
        .map_err(|e| {
            PluginError::new(
                ErrorKind::Unsupported,
                format!("{}: cannot be run on inputs of shape {shapes:?}: {e}", self.path.display()),
            )
        })?;
        if plans.len() == MAX_PLANS {
            plans.remove(0);
        }
        plans.push((shapes.clone(), plan.clone()));
        Ok(plan)
    }
}

impl Network for OnnxNetwork {
    fn inputs(&self) -> &[IoDesc] {
        &self.inputs
    }

    fn outputs(&self) -> &[IoDesc] {
        &self.outputs
    }

    fn run(&self, arrays: &[Array]) -> Result<Vec<Array>, PluginError> {
        let plan = self.plan(&arrays.iter().map(|a| a.shape.clone()).collect())?;
        let failed = |e: &dyn std::fmt::Display| {
            PluginError::new(ErrorKind::Internal, format!("{}: the run failed: {e}", self.path.display()))
        };
        let outputs = guarded(|| {
            let tensors = arrays.iter().zip(&self.types).map(|(a, t)| Ok(convert::tensor(a, *t)?.into_tvalue()));
            plan.run(tensors.collect::<TractResult<TVec<TValue>>>()?)
        })
        .map_err(|e| failed(&e))?;
        let array = |(desc, value): (&IoDesc, TValue)| {
            let array = convert::array(&value).map_err(|e| failed(&e))?;
            array.ok_or_else(|| failed(&format!("output `{}` has an unknown element type", desc.name)))
        };
        self.outputs.iter().zip(outputs).map(array).collect()
    }
}

/// A file made by a user must not end the program, not even where tract panics.
fn guarded<T>(f: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(format!("{e:#}")),
        Err(panic) => Err(panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_else(|| "the model reader gave up".to_owned())),
    }
}

fn describe(name: String, fact: &InferenceFact) -> Option<IoDesc> {
    let dtype = match fact.datum_type.concretize() {
        Some(datum) => convert::dtype(datum)?,
        None => Dtype::F32,
    };
    let dim = |d: Option<TDim>| d.and_then(|d| d.to_i64().ok()).and_then(|d| u32::try_from(d).ok()).filter(|d| *d > 0);
    let shape = fact.shape.dims().map(|d| dim(d.concretize())).collect();
    Some(IoDesc { name, dtype, shape })
}
