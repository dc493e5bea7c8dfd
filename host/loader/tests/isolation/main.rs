//! The isolation report: what a bad plugin does, what happens then, and that the host and the next item go on. Rows that
//! `docs/plugins.md` shows are these rows: `ANAGAMA_BLESS=1` writes the page anew.
//!
//! Needs `cargo xtask guests misbehaves --native`; without it each test prints that it is skipped.
#![allow(clippy::unwrap_used)]

mod answers;
mod crashes;
mod network;
mod process;
mod server;
mod sources;

use data::{CaptionRequest, Captioner, Image, PixelFormat};
use loader::{CallContext, Form, Grant, Grants, Limits, Loader, LoaderConfig, NativeHome, Plugin, Runner};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How the guest runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Home {
    Wasm,
    /// A native library in a process of its own.
    Process,
}

/// One line of the report.
struct Row {
    /// What the guest does.
    does: &'static str,
    /// What happens then.
    happens: &'static str,
    /// What the host can do afterwards.
    after: &'static str,
    /// It must have ended by then.
    within: Duration,
    /// Fails with a reason.
    check: fn() -> Result<String, String>,
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where guests were built; none: say so.
fn built() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    let folder = target.join("test-plugins/misbehaves");
    let there = folder.join("misbehaves.wasm").is_file() && folder.join("libmisbehaves.so").is_file();
    there.then_some(folder)
}

struct Installed {
    plugin: Arc<Plugin>,
    _dir: tempfile::TempDir,
}

impl Installed {
    fn new(home: Home, limits: Limits, http: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("plugins/misbehaves");
        std::fs::create_dir_all(&folder).unwrap();
        for file in std::fs::read_dir(built().unwrap()).unwrap().flatten() {
            std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
        let grant = Grant { http: http.to_vec(), ..Grant::default() };
        let config = LoaderConfig {
            plugin_dirs: vec![dir.path().join("plugins")],
            cache_dir: dir.path().join("cache"),
            lock_file: dir.path().join("lock.json"),
            prefer_native: home != Home::Wasm,
            grants: Grants { default: grant, ..Grants::default() },
            limits,
            native: if home == Home::Process { NativeHome::Process } else { NativeHome::InProcess },
            runner: Some(Runner { program: env!("CARGO_BIN_EXE_native-runner").into(), arguments: Vec::new() }),
            ..LoaderConfig::default()
        };
        if home != Home::Wasm {
            loader::approve(&config.lock_file, &folder).unwrap();
        }
        let loader = Loader::new(config).unwrap();
        assert!(loader.problems().is_empty(), "{:?}", loader.problems());
        let plugin = loader.plugin("test.misbehaves").unwrap();
        assert_eq!(plugin.form() == Form::Wasm, home == Home::Wasm);
        Self { plugin, _dir: dir }
    }

    fn open(&self, settings: &Value) -> Box<dyn Captioner> {
        self.plugin.open_captioner(settings, CallContext::default()).unwrap()
    }
}

fn limits(seconds: f64) -> Limits {
    Limits { deadline: Duration::from_secs_f64(seconds), memory: 64 << 20, ..Limits::default() }
}

fn requests(widths: &[u32]) -> Vec<CaptionRequest> {
    let image = |w: u32| Image::new(w, 2, PixelFormat::Rgb8, vec![100; w as usize * 6]).unwrap();
    widths.iter().map(|w| CaptionRequest { image: image(*w), known: Default::default() }).collect()
}

/// Describes pictures of which the second makes the guest misbehave: the error of that one, or what it answered. The
/// others must be described, by the same captioner, before and after.
fn caption(home: Home, how: &str, limits: Limits) -> Result<String, String> {
    caption_with(home, &json!({ "how": how }), limits, &[])
}

fn caption_with(home: Home, settings: &Value, limits: Limits, http: &[String]) -> Result<String, String> {
    let installed = Installed::new(home, limits, http);
    let mut captioner = installed.open(settings);
    let answers = captioner.caption(requests(&[7, 13, 9])).map_err(|e| format!("the whole batch failed: {e}"))?;
    let after = captioner.caption(requests(&[21])).map_err(|e| format!("the next batch failed: {e}"))?;
    let text = |answer: &Result<spec::Annotation, spec::PluginError>| match answer {
        Ok(annotation) => annotation.text.clone().unwrap_or_default(),
        Err(e) => e.to_string(),
    };
    for (answer, wanted) in
        answers.iter().take(1).chain(answers.last()).chain(&after).zip(["7 wide", "9 wide", "21 wide"])
    {
        if text(answer) != wanted {
            return Err(format!("a neighbour should be `{wanted}`, but is {answer:?}"));
        }
    }
    match &answers[1] {
        Ok(annotation) => Ok(format!("answered {annotation:?}")),
        Err(e) => Ok(e.message.clone()),
    }
}

/// The error names plugin, form, call and item, and says all of `words`.
fn says(found: Result<String, String>, words: &[&str]) -> Result<String, String> {
    let text = found?;
    let short: String = text.chars().take(400).collect();
    match ["plugin test.misbehaves 0.1.0 ("].iter().chain(words).find(|w| !text.contains(**w)) {
        Some(missing) => Err(format!("`{missing}` is not in: {short}")),
        None => Ok(short),
    }
}

/// An answer that is used, and what it must hold.
fn answers(found: Result<String, String>, words: &[&str]) -> Result<String, String> {
    let text = found?;
    let short: String = text.chars().take(400).collect();
    match words.iter().find(|w| !text.contains(**w)) {
        Some(missing) => Err(format!("`{missing}` is not in: {short}")),
        None if !text.starts_with("answered") => Err(format!("expected an answer, found: {short}")),
        None => Ok(short),
    }
}

fn rows() -> Vec<Row> {
    [crashes::rows(), answers::rows(), sources::rows(), network::rows(), process::rows()]
        .into_iter()
        .flatten()
        .collect()
}

/// The part of the page that the rows make.
fn table() -> String {
    let mut text = "| what the plugin does | what happens | afterwards |\n|---|---|---|\n".to_owned();
    for row in rows() {
        writeln!(text, "| {} | {} | {} |", row.does, row.happens, row.after).unwrap();
    }
    text
}

#[test]
fn the_boundary_holds() {
    if built().is_none() {
        eprintln!("SKIPPED: isolation: the guest is not built; `cargo xtask guests misbehaves --native` builds it");
        return;
    }
    let mut lines = Vec::new();
    let mut failures = Vec::new();
    let rows = rows();
    // Two at a time: some only wait.
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done = std::sync::Mutex::new((&mut lines, &mut failures));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let began = Instant::now();
                    let result =
                        std::panic::catch_unwind(row.check).unwrap_or_else(|_| Err("the test panicked".into()));
                    let took = began.elapsed();
                    let mut done = done.lock().unwrap();
                    let said = match result {
                        Ok(_) if took > row.within => Err(format!("took {took:.1?}, allowed are {:?}", row.within)),
                        other => other,
                    };
                    let (mark, said) = match said {
                        Ok(said) => ("ok  ", said),
                        Err(why) => {
                            done.1.push(format!("{}: {why}", row.does));
                            ("FAIL", why)
                        }
                    };
                    done.0.push(format!("{mark} {:>7.2?}  {}: {}", took, row.does, said.replace('\n', " / ")));
                }
            });
        }
    });
    println!("{}", lines.join("\n"));
    assert!(failures.is_empty(), "{} of {} rows failed:\n{}", failures.len(), rows.len(), failures.join("\n"));
}

#[test]
fn the_page_shows_the_rows() {
    let file = repository().join("docs/plugins.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let (begin, end) = ("<!-- the isolation report -->\n", "<!-- end of the report -->\n");
    let from = page.find(begin).map(|at| at + begin.len()).expect("docs/plugins.md has no place for the report");
    let to = from + page[from..].find(end).unwrap();
    if std::env::var_os("ANAGAMA_BLESS").is_some() {
        std::fs::write(&file, format!("{}{}{}", &page[..from], table(), &page[to..])).unwrap();
        return;
    }
    assert!(page[from..to] == table(), "docs/plugins.md is out of date; run this test with ANAGAMA_BLESS=1");
}
