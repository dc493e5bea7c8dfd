//! What a captioner costs in each language: the templates are built, loaded and called, and the table of docs/plugins.md is
//! printed. `cargo run -p kit --example languages`
#![allow(clippy::unwrap_used)]

use data::{CaptionRequest, Captioner, Image, PixelFormat};
use kit::{Lang, Making, Project};
use loader::{CallContext, Kind, Limits, Loader, LoaderConfig};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const ROUNDS: usize = 30;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let making = Making {
        programs: compile::Programs { cargo: "cargo".into(), path: std::env::var_os("PATH").unwrap() },
        target: Some(root.join("target/kit-tests")),
        native: false,
        set_up: true,
        cc: "cc".into(),
        tools: root.join("target/kit-tests/tools"),
    };
    println!(
        "| language | artefact | building again | compiling once | on disk | loading | opening | empty call | 1024×1024 | memory |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (lang, name) in
        [(Lang::Rust, "Rust"), (Lang::Js, "JavaScript"), (Lang::Python, "Python"), (Lang::C, "C, native library")]
    {
        match measure(lang, &root.join("target/kit-tests/languages"), &making) {
            Ok(row) => println!("| {name} | {} |", row.join(" | ")),
            Err(e) => println!("{name}: skipped: {e:#}"),
        }
    }
}

fn measure(lang: Lang, place: &Path, making: &Making) -> anyhow::Result<Vec<String>> {
    let place = place.join(lang.word());
    let _ = std::fs::remove_dir_all(place.join("dark"));
    let folder = kit::create(Kind::Captioner, "me.dark", lang, &place, None)?;
    let project = Project::open(&folder)?;
    let artefact = kit::build(&project, making)?.remove(1);
    // The first build waits for dependencies; what an author waits for is the next.
    let source = std::fs::read_dir(folder.join("src"))?.next().unwrap()?.path();
    let text = std::fs::read_to_string(&source)?;
    std::fs::write(&source, format!("{text}\n"))?;
    let building = time(|| kit::build(&project, making)).0;

    let dir = tempfile::tempdir()?;
    let config = || LoaderConfig {
        plugin_dirs: vec![folder.clone()],
        cache_dir: dir.path().join("cache"),
        lock_file: dir.path().join("lock.json"),
        ..LoaderConfig::default()
    };
    if lang == Lang::C {
        loader::approve(&dir.path().join("lock.json"), &project.dist())?;
    }
    let (compiling, first) = time(|| Loader::new(config()).unwrap());
    anyhow::ensure!(first.problems().is_empty(), "{:?}", first.problems());
    drop(first);
    let loader = Loader::new(config())?;
    let plugin = loader.plugin("me.dark")?;
    let open = || plugin.open_captioner(&json!({}), CallContext::default()).unwrap();
    let (first, mut captioner) = time(open);
    let opening = best(open);
    let empty = best(|| captioner.caption(Vec::new()).unwrap());
    let image =
        Image::new(1024, 1024, PixelFormat::Rgb8, (0..3 << 20).map(|i| (i * 37 % 251) as u8).collect::<Vec<u8>>())?;
    caption(&mut *captioner, &image);
    let call = best(|| caption(&mut *captioner, &image));
    let wasm = lang != Lang::C;
    let enough = |mib: &u64| {
        let limits = Limits { memory: mib << 20, ..Limits::default() };
        let call = CallContext { limits: Some(limits), ..CallContext::default() };
        let request = CaptionRequest { image: image.clone(), known: spec::Annotation::default() };
        plugin.open_captioner(&json!({}), call).is_ok_and(|mut c| c.caption(vec![request]).is_ok_and(|a| a[0].is_ok()))
    };
    let memory = (1..=256).find(enough).map_or("more".to_owned(), |mib| format!("{mib} MiB"));
    Ok(vec![
        bytes(std::fs::metadata(&artefact)?.len()),
        shown(building),
        if wasm { shown(compiling) } else { "–".to_owned() },
        if wasm { bytes(size(&dir.path().join("cache/aot"))) } else { "–".to_owned() },
        shown(first.saturating_sub(opening)),
        shown(opening),
        shown(empty),
        shown(call),
        if wasm { memory } else { "–".to_owned() },
    ])
}

fn caption(captioner: &mut dyn Captioner, image: &Image) {
    let request = CaptionRequest { image: image.clone(), known: spec::Annotation::default() };
    captioner.caption(vec![request]).unwrap().remove(0).unwrap();
}

fn time<T>(f: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let out = f();
    (start.elapsed(), out)
}

fn best<T>(mut f: impl FnMut() -> T) -> Duration {
    (0..ROUNDS).map(|_| time(&mut f).0).min().unwrap()
}

fn size(folder: &PathBuf) -> u64 {
    std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum()
}

fn bytes(n: u64) -> String {
    match n {
        0..1_000_000 => format!("{} KB", n.div_ceil(1000)),
        _ => format!("{:.1} MB", n as f64 / 1e6),
    }
}

fn shown(time: Duration) -> String {
    let s = time.as_secs_f64();
    match s {
        1.0.. => format!("{s:.1} s"),
        1e-3.. => format!("{:.1} ms", s * 1e3),
        _ => format!("{:.1} µs", s * 1e6),
    }
}
