//! Trains a LoRA on a folder of pictures with caption files: `character BASE FOLDER OUT [CONFIG-JSON]`. The shortest way
//! to watch the trainer alone.

use anyhow::{Context, Result};
use candle_core::{DType, Device};
use data::{Dataset, DecodeLimits, Image, Item};
use std::path::Path;
use train::{Base, Config, Hooks, LogLine, Place};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [base, folder, out, rest @ ..] = args.as_slice() else {
        anyhow::bail!("usage: character BASE FOLDER OUT [JSON]")
    };
    let config = Config::from_json(rest.first().map_or("{}", String::as_str))?;
    let (base, folder, out) = (base.clone(), folder.clone(), out.clone());
    // Candle goes backward by recursion.
    let thread = std::thread::Builder::new().stack_size(256 << 20);
    let thread = thread.spawn(move || run(&config, base.as_ref(), folder.as_ref(), out.as_ref()))?;
    thread.join().map_err(|_| anyhow::anyhow!("the training thread panicked"))?
}

fn run(config: &Config, base: &Path, folder: &Path, out: &Path) -> Result<()> {
    let loaded = models::load(base, &Device::Cpu, DType::F32)?;
    let base = Base::new(&loaded, &base.file_name().unwrap_or_default().to_string_lossy());
    let dataset = read(folder)?;
    let store = data::Store::open(out.join("store"))?;
    let place = Place { state_dir: out.join("state"), out_dir: out.to_owned(), cache: Some(&store) };
    let trained = train::train(config, &base, &dataset, &place, &mut Print)?;
    for file in &trained.checkpoints {
        println!("{} {}", file.sha256, file.path.display());
    }
    let mut seconds: Vec<f64> = trained.log.iter().map(|l| l.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    println!("{} parameters, median {:.3} s a step", trained.facts.parameters, seconds[seconds.len() / 2]);
    Ok(())
}

struct Print;

impl Hooks for Print {
    fn step(&mut self, line: &LogLine, total: u64) {
        if line.step.is_multiple_of(25) || line.step == total {
            let LogLine { step, smooth, lr, grad_norm, seconds, .. } = line;
            println!("{step}/{total} loss {smooth:.4} lr {lr:.2e} grad {grad_norm:.3} {seconds:.3} s");
        }
    }

    fn note(&mut self, text: &str) {
        println!("note: {text}");
    }
}

fn read(folder: &Path) -> Result<Dataset> {
    let mut dataset = Dataset::default();
    let mut paths: Vec<_> = std::fs::read_dir(folder)?.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    for path in paths.into_iter().filter(|p| p.extension().is_some_and(|e| e == "png" || e == "jpg")) {
        let image = Image::open(&path, &DecodeLimits::default())?;
        let text = std::fs::read_to_string(path.with_extension("txt")).with_context(|| path.display().to_string())?;
        dataset.items.push(Item {
            id: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            digest: data::Digest::of_file(&path)?.to_string(),
            width: image.width,
            height: image.height,
            annotation: data::captions::parse(&text),
            repeats: 1,
            path,
            ..Item::default()
        });
    }
    Ok(dataset)
}
