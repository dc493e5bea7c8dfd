//! Times what finds duplicates in a folder of pictures: `cargo run -p data --example duplicates -- FOLDER`.

use data::duplicates::{Limits, Print, links};
use data::{DecodeLimits, Image};
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
    let begin = Instant::now();
    let (mut decoding, mut printing) = (Duration::ZERO, Duration::ZERO);
    let mut prints = Vec::new();
    for path in &paths {
        let start = computed(begin);
        let image = Image::decode(&std::fs::read(path)?, &DecodeLimits::default())?;
        let decoded = computed(begin);
        prints.push(Print::of(&image, &path.to_string_lossy(), true)?);
        decoding += decoded - start;
        printing += computed(begin) - decoded;
    }
    let start = computed(begin);
    let found = links(&prints, &Limits::default());
    let comparing = computed(begin) - start;
    let each = |time: Duration| time.as_secs_f64() * 1000.0 / paths.len() as f64;
    println!("{} pictures, {} pairs", paths.len(), found.len());
    println!(
        "reading and decoding {:.2} ms, prints {:.2}, comparing {:.2}",
        each(decoding),
        each(printing),
        each(comparing)
    );
    println!("{:.0} pictures a second", 1000.0 / each(decoding + printing + comparing));
    for link in found {
        let name = |i: usize| paths[i].file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("{} {} {:?}", name(link.first), name(link.second), link.relation);
    }
    Ok(())
}
