//! Runs a model on numbers from a file and says how long it takes:
//!
//! ```text
//! cargo run -p inference --example run -- MODELS taggers/NAME INPUT.f32 BATCH OUTPUT.f32 [TIMES]
//! ```
//!
//! Files hold 32-bit floats, as `tests/peers/check_taggers.py` writes and reads them.

use data::{Array, Inference};
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [models, name, input, batch, output, rest @ ..] = args.as_slice() else {
        return Err("expected MODELS NAME INPUT BATCH OUTPUT [TIMES]".into());
    };
    let times: usize = rest.first().map_or(Ok(1), |n| n.parse())?;
    let session = inference::Registry::new(vec![models.into()]).load(name, None)?;
    let desc = session.info().inputs[0].clone();
    let bytes = std::fs::read(input)?;
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let mut shape: Vec<usize> = desc.shape.iter().map(|d| d.map_or(0, |d| d as usize)).collect();
    shape[0] = batch.parse()?;
    let array = Array::from_f32(shape, values)?;
    let mut result = session.run(vec![(desc.name.clone(), array.clone())])?;
    let start = Instant::now();
    for _ in 1..times {
        result = session.run(vec![(desc.name.clone(), array.clone())])?;
    }
    if times > 1 {
        println!("{:.1}", start.elapsed().as_secs_f64() * 1000.0 / (times - 1) as f64);
    }
    let bytes: Vec<u8> = result[0].1.to_f32().iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(output, bytes)?;
    Ok(())
}
