//! ONNX files run by an onnxruntime that the user has, instead of tract.

use data::{Array, ArrayData, Dtype, IoDesc, Network};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor, TensorElementType, ValueType};
use parking_lot::Mutex;
use spec::{ErrorKind, PluginError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// The least version that has what is called here.
const LEAST: &str = "1.17";

/// A loaded onnxruntime. A process has one: the first that was loaded.
pub(crate) struct Runtime {
    environment: Environment,
    path: PathBuf,
}

impl Runtime {
    /// Loads the library.
    ///
    /// # Errors
    /// There is none, or it cannot be loaded; the message says what to do.
    pub(crate) fn load(path: &Path) -> Result<Self, PluginError> {
        let wrong = |what: &str| {
            let message = format!(
                "onnxruntime: {}: {what}. Give the path of libonnxruntime.so (onnxruntime.dll, libonnxruntime.dylib) {LEAST} or \
                 newer as `onnxruntime` in anagama.toml, or take the line out to run ONNX models without it",
                path.display()
            );
            PluginError::new(ErrorKind::Unavailable, message)
        };
        if !path.is_file() {
            return Err(wrong("there is no such file"));
        }
        let loaded = guarded(|| {
            let builder = ort::init_from(path).map_err(|e| e.to_string())?;
            builder.with_name("anagama").build().map_err(|e| e.to_string())
        });
        let environment = loaded.map_err(|e| wrong(&e))?;
        tracing::info!("onnxruntime: {}", path.display());
        Ok(Self { environment, path: path.to_owned() })
    }
}

/// A model that the library runs.
pub(crate) struct RuntimeNetwork {
    path: PathBuf,
    /// Runs one after the other: each of them uses all threads.
    session: Mutex<Session>,
    inputs: Vec<IoDesc>,
    outputs: Vec<IoDesc>,
    types: Vec<TensorElementType>,
    device: String,
}

impl RuntimeNetwork {
    /// Reads and optimises a file.
    pub(crate) fn open(runtime: &Runtime, path: &Path) -> Result<Self, PluginError> {
        let bad = |e: String| {
            let library = runtime.path.display();
            let message = format!("{}: not an ONNX model that {library} can run: {e}", path.display());
            PluginError::new(ErrorKind::InvalidInput, message)
        };
        let session = guarded(|| {
            let mut builder = Session::builder(&runtime.environment).map_err(|e| e.to_string())?;
            builder.commit_from_file(path).map_err(|e| e.to_string())
        });
        let session = session.map_err(bad)?;
        let (mut inputs, mut outputs, mut types) = (Vec::new(), Vec::new(), Vec::new());
        for input in session.inputs() {
            let (desc, kind) = describe(input.name(), input.dtype()).map_err(bad)?;
            inputs.push(desc);
            types.push(kind);
        }
        for output in session.outputs() {
            outputs.push(describe(output.name(), output.dtype()).map_err(bad)?.0);
        }
        if inputs.is_empty() || outputs.is_empty() {
            return Err(bad("it has no inputs or no outputs".to_owned()));
        }
        let device = "cpu, by onnxruntime".to_owned();
        Ok(Self { path: path.to_owned(), session: Mutex::new(session), inputs, outputs, types, device })
    }
}

impl Network for RuntimeNetwork {
    fn inputs(&self) -> &[IoDesc] {
        &self.inputs
    }

    fn outputs(&self) -> &[IoDesc] {
        &self.outputs
    }

    fn device(&self) -> String {
        self.device.clone()
    }

    fn run(&self, arrays: &[Array]) -> Result<Vec<Array>, PluginError> {
        let run = || -> Result<Vec<Array>, String> {
            let mut given = Vec::new();
            for ((array, kind), desc) in arrays.iter().zip(&self.types).zip(&self.inputs) {
                given.push((desc.name.clone(), value(array, *kind)?));
            }
            let mut session = self.session.lock();
            let outputs = session.run(given).map_err(|e| e.to_string())?;
            let named = |desc: &IoDesc| {
                let found =
                    outputs.get(desc.name.as_str()).ok_or_else(|| format!("output `{}` is missing", desc.name))?;
                array(found)
            };
            self.outputs.iter().map(named).collect()
        };
        guarded(run)
            .map_err(|e| PluginError::new(ErrorKind::Internal, format!("{}: the run failed: {e}", self.path.display())))
    }
}

/// A library of the user's must not end the program, where that can be helped.
fn guarded<T>(f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.unwrap_or_else(|| "the library does not answer as an onnxruntime does".to_owned()))
    })
}

fn describe(name: &str, kind: &ValueType) -> Result<(IoDesc, TensorElementType), String> {
    let ValueType::Tensor { ty, shape, .. } = kind else {
        return Err(format!("`{name}` is no tensor"));
    };
    let dtype = match ty {
        TensorElementType::Bool | TensorElementType::Uint8 => Dtype::U8,
        TensorElementType::Uint32 => Dtype::U32,
        TensorElementType::Int32 | TensorElementType::Int64 => Dtype::I64,
        TensorElementType::Float16 => Dtype::F16,
        TensorElementType::Float32 => Dtype::F32,
        TensorElementType::Float64 => Dtype::F64,
        other => return Err(format!("`{name}` has elements of type {other:?}")),
    };
    let shape = shape.iter().map(|d| u32::try_from(*d).ok().filter(|d| *d > 0)).collect();
    Ok((IoDesc { name: name.to_owned(), dtype, shape }, *ty))
}

fn value(array: &Array, kind: TensorElementType) -> Result<DynValue, String> {
    fn made<T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static>(
        shape: &[usize],
        values: Vec<T>,
    ) -> Result<DynValue, String> {
        Ok(Tensor::from_array((shape.to_vec(), values)).map_err(|e| e.to_string())?.into_dyn())
    }
    let shape = &array.shape;
    let to = |dtype: Dtype| array.cast(dtype).data;
    match kind {
        TensorElementType::Float32 => made(shape, array.to_f32().to_vec()),
        TensorElementType::Bool => match to(Dtype::U8) {
            ArrayData::U8(v) => made(shape, v.iter().map(|v| *v != 0).collect::<Vec<bool>>()),
            _ => Err("no bytes".to_owned()),
        },
        TensorElementType::Int32 => match to(Dtype::I64) {
            ArrayData::I64(v) => {
                let values: Result<Vec<i32>, _> = v.iter().map(|v| i32::try_from(*v)).collect();
                made(shape, values.map_err(|e| e.to_string())?)
            }
            _ => Err("no whole numbers".to_owned()),
        },
        TensorElementType::Uint8 => match to(Dtype::U8) {
            ArrayData::U8(v) => made(shape, v.to_vec()),
            _ => Err("no bytes".to_owned()),
        },
        TensorElementType::Uint32 => match to(Dtype::U32) {
            ArrayData::U32(v) => made(shape, v.to_vec()),
            _ => Err("no whole numbers".to_owned()),
        },
        TensorElementType::Int64 => match to(Dtype::I64) {
            ArrayData::I64(v) => made(shape, v.to_vec()),
            _ => Err("no whole numbers".to_owned()),
        },
        TensorElementType::Float16 => match to(Dtype::F16) {
            ArrayData::F16(v) => made(shape, v.to_vec()),
            _ => Err("no halves".to_owned()),
        },
        TensorElementType::Float64 => match to(Dtype::F64) {
            ArrayData::F64(v) => made(shape, v.to_vec()),
            _ => Err("no doubles".to_owned()),
        },
        other => Err(format!("elements of type {other:?}")),
    }
}

fn array(value: &DynValue) -> Result<Array, String> {
    fn read<T: PrimitiveTensorElementType + Clone>(value: &DynValue) -> Result<Vec<T>, String> {
        Ok(value.try_extract_tensor::<T>().map_err(|e| e.to_string())?.1.to_vec())
    }
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err("an output is no tensor".to_owned());
    };
    let data = match ty {
        TensorElementType::Float32 => ArrayData::F32(read::<f32>(value)?.into()),
        TensorElementType::Float64 => ArrayData::F64(read::<f64>(value)?.into()),
        TensorElementType::Float16 => ArrayData::F16(read::<half::f16>(value)?.into()),
        TensorElementType::Int64 => ArrayData::I64(read::<i64>(value)?.into()),
        TensorElementType::Int32 => ArrayData::I64(read::<i32>(value)?.into_iter().map(i64::from).collect()),
        TensorElementType::Uint32 => ArrayData::U32(read::<u32>(value)?.into()),
        TensorElementType::Uint8 => ArrayData::U8(read::<u8>(value)?.into()),
        TensorElementType::Bool => ArrayData::U8(read::<bool>(value)?.into_iter().map(u8::from).collect()),
        other => return Err(format!("an output has elements of type {other:?}")),
    };
    Ok(Array { shape: shape.iter().map(|d| usize::try_from(*d).unwrap_or(0)).collect(), data })
}
