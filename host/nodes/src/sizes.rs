//! How much memory results take, for whoever has to choose which to forget.

use crate::types::{ImageBatch, Latent, Mask};
use engine::Outputs;
use spec::{Object, Value};

/// Bytes that these outputs keep: pictures, masks and latents. Models count in the budget of weights.
pub fn outputs_size(outputs: &Outputs) -> u64 {
    outputs.values.iter().map(size).sum()
}

fn size(value: &Value) -> u64 {
    match value {
        Value::Data(_) => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Object(object) => of_object(object),
    }
}

fn of_object(object: &Object) -> u64 {
    let tensor = |t: &candle_core::Tensor| (t.elem_count() * t.dtype().size_in_bytes()) as u64;
    if let Some(batch) = object.get::<ImageBatch>() {
        let pixels: u64 = batch.images().iter().map(|i| i.pixels.len() as u64).sum();
        // Computed pictures keep their exact values too: four bytes for each of one.
        return if batch.exact().is_some() { pixels * 5 } else { pixels };
    }
    if let Some(latent) = object.get::<Latent>() {
        return tensor(&latent.samples) + latent.noise_mask.as_ref().map_or(0, tensor);
    }
    object.get::<Mask>().map_or(0, |mask| tensor(&mask.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Tensor};

    #[test]
    fn pictures_and_latents_have_their_sizes() {
        let mask = Mask(Tensor::zeros((1, 4, 8), DType::F32, &Device::Cpu).unwrap());
        let pixels = Tensor::zeros((3, 4, 8), DType::F32, &Device::Cpu).unwrap();
        let batch = ImageBatch::from_pixels(vec![pixels]).unwrap();
        let values = vec![Value::List(vec![Value::object(mask), Value::from(3)]), Value::object(batch)];
        assert_eq!(outputs_size(&Outputs { values, ..Outputs::default() }), 128 + 96 * 5);
    }
}
