//! One loaded ONNX model.

use crate::convert;
use crate::registry::unreadable;
use data::{Array, Dtype, IoDesc, ModelInfo, Session};
use parking_lot::Mutex;
use spec::{ErrorKind, PluginError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;

/// Plans kept per model: one per combination of input shapes. A run uses a full and a last, shorter batch.
const MAX_PLANS: usize = 4;
/// Largest side file that is handed out.
const MAX_ASSET: u64 = 64 << 20;

type Plan = Arc<TypedRunnableModel>;
type Shapes = Vec<Vec<usize>>;

/// A model as read from its file, and the plans made of it so far.
pub(crate) struct OnnxSession {
    info: ModelInfo,
    path: PathBuf,
    model: InferenceModel,
    types: Vec<DatumType>,
    plans: Mutex<Vec<(Shapes, Plan)>>,
}

impl OnnxSession {
    /// Reads and analyses the file; it is optimised when the first shapes are known.
    pub(crate) fn open(name: &str, path: &Path, digest: String) -> Result<Self, PluginError> {
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
        let category = name.split('/').next().unwrap_or_default();
        let info = ModelInfo {
            name: name.to_owned(),
            family: category.strip_suffix('s').unwrap_or(category).to_owned(),
            digest,
            device: "cpu".to_owned(),
            inputs,
            outputs,
            assets: assets(path),
        };
        Ok(Self { info, path: path.to_owned(), model, types, plans: Mutex::default() })
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

    /// The inputs in the model's order.
    fn arrange(&self, inputs: Vec<(String, Array)>) -> Result<Vec<Array>, PluginError> {
        let invalid = |m: String| PluginError::new(ErrorKind::InvalidInput, format!("model `{}`: {m}", self.info.name));
        let known: Vec<&str> = self.info.inputs.iter().map(|i| i.name.as_str()).collect();
        if let Some((name, _)) = inputs.iter().find(|(n, _)| !known.contains(&n.as_str())) {
            return Err(invalid(format!("no input `{name}`; its inputs are {}", known.join(", "))));
        }
        let mut arranged = Vec::new();
        for desc in &self.info.inputs {
            let mut given = inputs.iter().filter(|(n, _)| *n == desc.name);
            let (_, array) = given.next().ok_or_else(|| invalid(format!("input `{}` is missing", desc.name)))?;
            let fits = array.shape.len() == desc.shape.len()
                && array.shape.iter().zip(&desc.shape).all(|(have, want)| want.is_none_or(|w| w as usize == *have));
            if !fits {
                let want: Vec<String> = desc.shape.iter().map(|d| d.map_or("any".into(), |d| d.to_string())).collect();
                return Err(invalid(format!(
                    "input `{}`: expected shape [{}], found {:?}",
                    desc.name,
                    want.join(", "),
                    array.shape
                )));
            }
            arranged.push(array.clone());
        }
        Ok(arranged)
    }
}

impl Session for OnnxSession {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn asset(&self, name: &str) -> Result<Vec<u8>, PluginError> {
        if !self.info.assets.iter().any(|a| a == name) {
            return Err(PluginError::new(
                ErrorKind::NotFound,
                format!("model `{}`: no file `{name}`; it has: {}", self.info.name, self.info.assets.join(", ")),
            ));
        }
        let path = self.path.with_file_name(name);
        std::fs::read(&path).map_err(|e| unreadable(&path, &e))
    }

    fn run(&self, inputs: Vec<(String, Array)>) -> Result<Vec<(String, Array)>, PluginError> {
        let arrays = self.arrange(inputs)?;
        let plan = self.plan(&arrays.iter().map(|a| a.shape.clone()).collect())?;
        let failed = |e: &dyn std::fmt::Display| {
            PluginError::new(ErrorKind::Internal, format!("{}: the run failed: {e}", self.path.display()))
        };
        let outputs = guarded(|| {
            let tensors = arrays.iter().zip(&self.types).map(|(a, t)| Ok(convert::tensor(a, *t)?.into_tvalue()));
            plan.run(tensors.collect::<TractResult<TVec<TValue>>>()?)
        })
        .map_err(|e| failed(&e))?;
        let mut named = Vec::new();
        for (desc, value) in self.info.outputs.iter().zip(outputs) {
            let array = convert::array(&value).map_err(|e| failed(&e))?;
            let array = array.ok_or_else(|| failed(&format!("output `{}` has an unknown element type", desc.name)))?;
            named.push((desc.name.clone(), array));
        }
        Ok(named)
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

/// The side files next to the model: labels and configurations, not weights.
fn assets(path: &Path) -> Vec<String> {
    let Some(folder) = path.parent() else { return Vec::new() };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|e| e.metadata().is_ok_and(|m| m.is_file() && m.len() <= MAX_ASSET))
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|n| [".csv", ".json", ".txt"].iter().any(|end| n.ends_with(end)))
        .collect();
    names.sort();
    names
}
