//! Pictures and reference data for this crate's tests.

use crate::{Image, PixelFormat};
use std::path::PathBuf;

/// A colourful picture that compresses well.
pub(crate) fn gradient(width: u32, height: u32) -> Image {
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            pixels.extend([(x * 255 / width) as u8, (y * 255 / height) as u8, 128]);
        }
    }
    Image::new(width, height, PixelFormat::Rgb8, pixels).unwrap()
}

/// Blocks of random grey, 8×8 pixels each.
pub(crate) fn noise(width: u32, height: u32, seed: u32) -> Image {
    let block = |x: u32, y: u32| {
        let mut h =
            seed.wrapping_mul(0x9e37_79b9) ^ (x / 8).wrapping_mul(0x85eb_ca6b) ^ (y / 8).wrapping_mul(0xc2b2_ae35);
        h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
        (h ^ (h >> 12)) as u8
    };
    let pixels: Vec<u8> = (0..height).flat_map(|y| (0..width).map(move |x| block(x, y))).collect();
    Image::new(width, height, PixelFormat::L8, pixels).unwrap()
}

fn folder() -> PathBuf {
    std::env::var_os("ANAGAMA_REFERENCE")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference")), PathBuf::from)
}

/// A reference file of JSON.
pub(crate) fn reference_json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(folder().join(name)).unwrap()).unwrap()
}

/// A reference file of tensors.
pub(crate) fn reference(name: &str) -> Tensors {
    Tensors(std::fs::read(folder().join(name)).unwrap())
}

pub(crate) struct Tensors(Vec<u8>);

impl Tensors {
    /// Names of all tensors.
    pub(crate) fn names(&self) -> Vec<String> {
        let header = u64::from_le_bytes(self.0[..8].try_into().unwrap()) as usize;
        let all: serde_json::Value = serde_json::from_slice(&self.0[8..8 + header]).unwrap();
        all.as_object().unwrap().keys().filter(|k| *k != "__metadata__").cloned().collect()
    }

    /// Shape and bytes of a tensor.
    fn get(&self, name: &str) -> (Vec<u32>, &[u8]) {
        let header = u64::from_le_bytes(self.0[..8].try_into().unwrap()) as usize;
        let all: serde_json::Value = serde_json::from_slice(&self.0[8..8 + header]).unwrap();
        let entry = &all[name];
        let numbers = |key: &str| -> Vec<usize> {
            entry[key].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
        };
        let range = numbers("data_offsets");
        let shape = numbers("shape").into_iter().map(|n| n as u32).collect();
        (shape, &self.0[8 + header..][range[0]..range[1]])
    }

    /// An (h, w, 3) tensor of bytes.
    pub(crate) fn image(&self, name: &str) -> Image {
        let (shape, bytes) = self.get(name);
        Image::new(shape[1], shape[0], PixelFormat::Rgb8, bytes).unwrap()
    }

    /// A tensor of f64.
    pub(crate) fn floats(&self, name: &str) -> Vec<f64> {
        self.get(name).1.chunks_exact(8).map(|c| f64::from_le_bytes(c.try_into().unwrap())).collect()
    }

    /// A tensor of i64.
    pub(crate) fn integers(&self, name: &str) -> Vec<i64> {
        self.get(name).1.chunks_exact(8).map(|c| i64::from_le_bytes(c.try_into().unwrap())).collect()
    }
}
