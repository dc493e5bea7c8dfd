//! Finds duplicates in a folder of pictures, and times it: `cargo run -p data --example duplicates -- FOLDER`. Prints JSON.

use data::DecodeLimits;
use data::duplicates::{Limits, Print, links};
use std::error::Error;
use std::time::{Duration, Instant};

/// Time that this thread computed, where the system tells; elsewhere time that passed.
fn computed(since: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|line| line.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("expected a folder")?;
    let mut paths: Vec<_> = std::fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.sort();
    let limits = DecodeLimits::default();
    let begin = Instant::now();
    let mut prints = Vec::new();
    for path in &paths {
        prints.push(Print::read(&std::fs::read(path)?, &path.to_string_lossy(), &limits, true)?);
    }
    let printed = computed(begin);
    let found = links(&prints, &Limits::default());
    let all = computed(begin);
    let each = |time: Duration| time.as_secs_f64() * 1000.0 / paths.len() as f64;
    let name = |i: usize| paths[i].file_name().unwrap_or_default().to_string_lossy().into_owned();
    let pairs: Vec<_> = found.iter().map(|l| (name(l.first), name(l.second), l.relation)).collect();
    let report = serde_json::json!({
        "pictures": paths.len(), "seconds": all.as_secs_f64(), "milliseconds": {
            "decoding and prints": each(printed), "comparing": each(all - printed),
        }, "pairs": pairs,
    });
    println!("{report}");
    Ok(())
}
