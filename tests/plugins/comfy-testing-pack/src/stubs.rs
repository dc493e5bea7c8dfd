//! Constants.

use crate::nodes;
use crate::values::{Batch, one, out, plain, solid};
use plugin_sdk::{Error, Image, Inputs, PixelFormat, Result, Tensor, Value};
use std::sync::Arc;

/// More pictures than these are a slip.
const MOST: u32 = 4096;

/// A picture of one kind.
#[derive(Inputs)]
pub(crate) struct Picture {
    #[input(options = ["WHITE", "BLACK", "NOISE"])]
    content: String,
    #[input(default = 512, range = 1..=16384, required)]
    height: u32,
    #[input(default = 512, range = 1..=16384, required)]
    width: u32,
    #[input(default = 1, range = 1..=4096, required)]
    batch_size: u32,
}

/// A picture or mask of one value.
#[derive(Inputs)]
pub(crate) struct Constant {
    #[input(default = 0.5, range = 0.0..=1.0, step = 0.01, required)]
    value: f64,
    #[input(default = 512, range = 1..=16384)]
    height: u32,
    #[input(default = 512, range = 1..=16384)]
    width: u32,
    #[input(default = 1, range = 1..=4096)]
    batch_size: u32,
}

/// A whole number.
#[derive(Inputs)]
pub(crate) struct Whole {
    #[input(default = 0, range = -4294967295..=4294967295, required)]
    value: i64,
}

/// A number.
#[derive(Inputs)]
pub(crate) struct Number {
    #[input(default = 0.0, range = -1.0e38..=1.0e38, step = 0.01, required)]
    value: f64,
}

/// Noise that is equal for equal places: splitmix64 of the index.
fn noise(index: u64) -> u8 {
    let mut z = index.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 56) as u8
}

fn batch(count: u32, make: impl Fn(u32) -> Result<Arc<Image>>) -> Result<Batch> {
    if count > MOST {
        return Err(Error::invalid_input(format!("expected at most {MOST} pictures, found {count}")));
    }
    (0..count).map(make).collect::<Result<_>>().map(Batch)
}

nodes! {
    StubImage "Stub Image" (Picture) -> [out("IMAGE")] |i| {
        let size = u64::from(i.width) * u64::from(i.height) * 3;
        let make = |n: u32| match i.content.as_str() {
            "WHITE" => solid(1.0, i.width, i.height),
            "BLACK" => solid(0.0, i.width, i.height),
            _ => {
                let pixels: Vec<u8> = (0..size).map(|p| noise(u64::from(n) * size + p)).collect();
                Ok(Arc::new(Image::from_pixels(i.width, i.height, PixelFormat::Rgb8, &pixels)?))
            }
        };
        one(batch(i.batch_size, make)?)
    }; { fn behaviour() -> plugin_sdk::spec::Behaviour { plain() } }

    StubConstantImage "Stub Constant Image" (Constant) -> [out("IMAGE")] |i| {
        one(batch(i.batch_size, |_| solid(i.value, i.width, i.height))?)
    }; { fn behaviour() -> plugin_sdk::spec::Behaviour { plain() } }

    StubMask "Stub Mask" (Constant) -> [out("MASK")] |i| {
        let count = i.batch_size as usize * i.height as usize * i.width as usize;
        let data = vec![i.value as f32; count];
        one(Value::object(Tensor::from_f32(&[i.batch_size, i.height, i.width], &data)?))
    }; { fn behaviour() -> plugin_sdk::spec::Behaviour { plain() } }

    StubInt "Stub Int" (Whole) -> [out("INT")] |i| one(i.value);
    { fn behaviour() -> plugin_sdk::spec::Behaviour { plain() } }

    StubFloat "Stub Float" (Number) -> [out("FLOAT")] |i| one(i.value);
    { fn behaviour() -> plugin_sdk::spec::Behaviour { plain() } }
}
