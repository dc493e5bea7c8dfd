//! Networks of our own behind the names by which plugins ask for models.

mod aesthetics;
mod captioners;
mod encoders;
mod taggers;

use crate::Shared;
use candle_core::{Device, DeviceLocation, Tensor};
use data::{Array, ArrayData, Dtype, Image, IoDesc, Network, Networks, Options, PixelFormat, Writer};
use models::Memory;
use spec::{ErrorKind, PluginError};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// What is read from safetensors for plugins: taggers, encoders of pictures and texts, aesthetic heads, captioners.
pub struct OwnNetworks {
    memory: Memory,
    card: Arc<OnceLock<Device>>,
}

impl OwnNetworks {
    /// On the CPU, with a budget for working copies of weights.
    pub fn new(memory: Memory) -> Self {
        Self { memory, card: Arc::default() }
    }

    /// With the budget that graphs have, and on the card that they compute on.
    pub fn of(shared: &Shared) -> Self {
        Self { memory: shared.memory.clone(), card: shared.card.clone() }
    }

    /// The memory of a large network.
    fn there(&self) -> Memory {
        self.card.get().map_or_else(|| self.memory.clone(), |card| self.memory.on(card))
    }
}

impl Networks for OwnNetworks {
    fn kinds(&self) -> &[&str] {
        &["taggers", "encoders", "aesthetics"]
    }

    fn open(&self, kind: &str, file: &Path, options: &Options) -> Result<Arc<dyn Network>, PluginError> {
        // The configuration lies beside the weights.
        let folder = file.parent().unwrap_or(file);
        let opened = match kind {
            "encoders" => return encoders::open(folder, options, &self.there()),
            _ if !options.is_empty() => {
                let found = serde_json::Value::from(options.clone());
                return invalid(format!("{}: expected no options, found {found}", file.display()));
            }
            "aesthetics" => aesthetics::open(folder, &self.memory),
            _ => taggers::open(folder, &self.there()),
        };
        opened.map_err(|e| PluginError::new(ErrorKind::InvalidInput, e.to_string()))
    }

    fn writers(&self) -> &[&str] {
        &["captioners"]
    }

    fn open_writer(&self, file: &Path) -> Result<Arc<dyn Writer>, PluginError> {
        captioners::open(file.parent().unwrap_or(file), &self.memory)
    }
}

fn invalid<T>(message: String) -> Result<T, PluginError> {
    Err(PluginError::new(ErrorKind::InvalidInput, message))
}

fn failed(e: models::Error) -> PluginError {
    PluginError::new(ErrorKind::Internal, e.to_string())
}

fn told(folder: &Path, found: &[String]) {
    for line in found {
        tracing::info!("{}: {line}", folder.display());
    }
}

fn describe(name: &str, shape: Vec<Option<u32>>) -> Vec<IoDesc> {
    vec![IoDesc { name: name.to_owned(), dtype: Dtype::F32, shape }]
}

/// Where networks with this memory compute.
fn place(memory: &Memory) -> String {
    match memory.device().location() {
        DeviceLocation::Cpu => "cpu".to_owned(),
        DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

/// A tensor's f32 values for a plugin.
fn array(tensor: &Tensor) -> models::Result<Array> {
    let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
    Ok(Array { shape: tensor.dims().to_vec(), data: ArrayData::F32(values.into()) })
}

/// A picture as networks take it: (1, 3, h, w), red first, 0…1; what is transparent is white.
pub(crate) fn picture(image: &Image) -> models::Result<Tensor> {
    let rgb = image.convert(PixelFormat::Rgb8);
    let (w, h) = (rgb.width as usize, rgb.height as usize);
    let values: Vec<f32> =
        (0..3).flat_map(|c| rgb.pixels.iter().skip(c).step_by(3).map(|v| f32::from(*v) / 255.0)).collect();
    Ok(Tensor::from_vec(values, (1, 3, h, w), &Device::Cpu)?)
}
