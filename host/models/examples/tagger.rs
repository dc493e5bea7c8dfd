//! Scores numbers from a file with a tagger in safetensors and says how long it takes:
//!
//! ```text
//! cargo run -p models --example tagger -- FOLDER INPUT.f32 BATCH OUTPUT.f32 [TIMES]
//! ```
//!
//! Files hold 32-bit floats, as `tests/peers/check_taggers.py` writes and reads them.

use candle_core::{Device, Tensor};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, input, batch, output, rest @ ..] = args.as_slice() else {
        return Err("expected FOLDER INPUT BATCH OUTPUT [TIMES]".into());
    };
    let times: usize = rest.first().map_or(Ok(1), |n| n.parse())?;
    let loaded = models::load_tagger(Path::new(folder), &models::Memory::unlimited())?;
    let side = loaded.net.side();
    let bytes = std::fs::read(input)?;
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let pictures = Tensor::from_vec(values, (batch.parse::<usize>()?, side, side, 3), &Device::Cpu)?;
    let mut scores = loaded.net.scores(&pictures)?;
    let start = Instant::now();
    for _ in 1..times {
        scores = loaded.net.scores(&pictures)?;
    }
    if times > 1 {
        println!("{:.1}", start.elapsed().as_secs_f64() * 1000.0 / (times - 1) as f64);
    }
    let bytes: Vec<u8> = scores.flatten_all()?.to_vec1::<f32>()?.iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(output, bytes)?;
    Ok(())
}
