//! Native libraries in processes of their own.

use super::{Home, Installed, Row, answers, caption, limits, requests, says};
use data::{FilterRequest, Sample};
use loader::CallContext;
use serde_json::json;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

pub(crate) fn rows() -> Vec<Row> {
    let after = "a new process describes the other pictures";
    let row = |does, happens, check| Row { does, happens, after, within: SOON, check };
    vec![
        row(
            "**as a library in a process of its own:** panics",
            "the picture fails, with the words of the panic",
            || {
                says(
                    caption(Home::Process, "panic", limits(5.0)),
                    &["native", "image 2 of 3", "where the plugin panics"],
                )
            },
        ),
        row(
            "writes to an address that is nobody's",
            "the process dies; the picture fails and says by which signal",
            || {
                says(
                    caption(Home::Process, "wild-pointer", limits(5.0)),
                    &["image 2 of 3", "signal 11 (segmentation fault)"],
                )
            },
        ),
        row("recurses without end", "the same", || {
            says(caption(Home::Process, "recursion", limits(10.0)), &["image 2 of 3", "signal"])
        }),
        row("aborts", "the same", || {
            says(caption(Home::Process, "abort", limits(5.0)), &["image 2 of 3", "signal 6 (abort)"])
        }),
        row("ends the process as if all were well", "the picture fails: there was no answer", || {
            says(caption(Home::Process, "exit", limits(5.0)), &["image 2 of 3", "exit code 0, without an answer"])
        }),
        row("loops without end", "the process is ended at the deadline", || {
            says(caption(Home::Process, "loop", limits(0.7)), &["image 2 of 3", "took longer than the 0.7 s"])
        }),
        row("calls the host without end", "the same", || {
            says(caption(Home::Process, "sleep", limits(0.7)), &["image 2 of 3", "took longer"])
        }),
        row("writes garbage to standard output", "nothing: answers go another way", || {
            answers(caption(Home::Process, "garbage", limits(5.0)), &["13 wide"])
        }),
        row("answers a gigabyte", "refused, the picture fails", || {
            says(caption(Home::Process, "one-gigabyte", limits(30.0)), &["image 2 of 3"])
        }),
        row("answers too much, too little, or keeps a million images", "as with components", || {
            says(caption(Home::Process, "too-few", limits(5.0)), &["image 2 of 3", "expected 1 answers"])?;
            says(caption(Home::Process, "many-tags", limits(10.0)), &["50000 tags, found 200000"])?;
            says(caption(Home::Process, "leak-images", limits(20.0)), &["10000 handles are open"])
        }),
        Row {
            does: "is open when the host is killed, and loops",
            happens: "its process ends with the host",
            after: "nothing is left behind",
            within: SOON,
            check: orphans,
        },
        Row {
            does: "dies as a filter, as an evaluator or as a source",
            happens: "the item, the sample or the page fails and is named",
            after: "a new process goes on, and is shown what the old one had seen",
            within: SOON,
            check: other_kinds,
        },
    ]
}

fn other_kinds() -> Result<String, String> {
    let installed = Installed::new(Home::Process, limits(10.0), &[]);
    let how = json!({"how": "wild-pointer"});
    let text = |e: loader::LoadError| e.to_string();

    let mut filter = installed.plugin.open_tag_filter(&how, CallContext::default()).map_err(text)?;
    let item = |id: &str| FilterRequest { id: id.into(), subset: String::new(), annotation: Default::default() };
    let error = filter.apply(&[item("x"), item("bad")]).err().ok_or("the filter lived")?;
    let said = says(Ok(error.message), &["item `bad`", "signal 11"])?;
    filter.apply(&[item("x")]).map_err(|e| e.to_string())?;

    let mut evaluator = installed.plugin.open_evaluator(&how, CallContext::default()).map_err(text)?;
    let sample = |id: &str| Sample {
        id: id.into(),
        image: requests(&[9]).remove(0).image,
        prompt: String::new(),
        reference: None,
        seed: None,
        extra: None,
    };
    let error = evaluator.add(vec![sample("x"), sample("bad")]).err().ok_or("the evaluator lived")?;
    says(Ok(error.message), &["sample `bad`", "signal 11"])?;
    evaluator.add(vec![sample("y")]).map_err(|e| e.to_string())?;

    let source = installed.plugin.open_dataset_source(&json!({"how": "panic"}), CallContext::default());
    let mut source = source.map_err(text)?;
    let first = source.next_page(None, 4).map_err(|e| e.to_string())?;
    let error = source.next_page(first.next, 4).err().ok_or("the source lived")?;
    says(Ok(error.message), &["the page at \"1\"", "where the source panics"])?;
    source.next_page(None, 4).map_err(|e| e.to_string())?;
    Ok(said)
}

/// A program that is killed while its library loops: this test's own binary, as [`looping_host`].
fn orphans() -> Result<String, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut host = Command::new(own);
    host.args(["process::looping_host", "--exact", "--nocapture"]).env(LOOPING, "1");
    let mut host = host.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(|e| e.to_string())?;
    let wait = |what: &str, holds: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !holds() {
            if began.elapsed() > Duration::from_secs(8) {
                return Err(what.to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(began.elapsed())
    };
    let library = std::cell::Cell::new(0);
    // The first process only describes the library.
    let busy = || {
        library.set(child_of(host.id()).unwrap_or(0));
        library.get() != 0 && cpu(library.get()) > 20
    };
    let started = wait("no library loops", &busy);
    let _ = host.kill();
    let _ = host.wait();
    started?;
    let took = wait("the library's process outlived its host", &|| cpu(library.get()) == 0)?;
    Ok(format!("it was gone {} ms after the host", took.as_millis()))
}

const LOOPING: &str = "ANAGAMA_TEST_LOOPING_HOST";

/// The host that [`orphans`] kills.
#[test]
fn looping_host() {
    if std::env::var_os(LOOPING).is_none() || super::built().is_none() {
        return;
    }
    let installed = Installed::new(Home::Process, limits(60.0), &[]);
    let looped = installed.open(&json!({"how": "loop"})).caption(requests(&[13]));
    panic!("nobody killed this host: {looped:?}");
}

fn stat(process: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

fn child_of(parent: u32) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    processes.into_iter().find(|p| stat(*p).is_some_and(|s| s[1] == parent.to_string()))
}

/// Hundredths of a second that a living process has computed for.
fn cpu(process: u32) -> u64 {
    stat(process).filter(|s| s[0] != "Z").and_then(|s| s[11].parse().ok()).unwrap_or(0)
}

/// It crashes before anything could be asked: listing it must not take the program along.
#[test]
fn a_library_that_crashes_when_it_is_loaded_is_a_problem_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("plugins/bomb");
    std::fs::create_dir_all(&folder).unwrap();
    let code = "#include <stdlib.h>\n#include <stdio.h>\n__attribute__((constructor)) static void go(void) {\n    \
                fputs(\"here I go\\n\", stderr);\n    abort();\n}\n";
    std::fs::write(dir.path().join("bomb.c"), code).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(folder.join("libbomb.so")).arg(dir.path().join("bomb.c"));
    if !compiler.status().is_ok_and(|s| s.success()) {
        eprintln!("SKIPPED: isolation: no C compiler `cc`, so no library that crashes when it is loaded");
        return;
    }
    let manifest = format!(
        "id = \"test.bomb\"\nversion = \"0.1.0\"\nwit = \"anagama:plugin@0.1.0\"\n[native]\n{} = \"libbomb.so\"\n",
        loader::NATIVE_TARGET
    );
    std::fs::write(folder.join("plugin.toml"), manifest).unwrap();
    let config = loader::LoaderConfig {
        plugin_dirs: vec![dir.path().join("plugins")],
        cache_dir: dir.path().join("cache"),
        lock_file: dir.path().join("lock.json"),
        // Where it would run does not matter: it is asked elsewhere first.
        native: loader::NativeHome::InProcess,
        runner: Some(loader::Runner { program: env!("CARGO_BIN_EXE_native-runner").into(), arguments: Vec::new() }),
        ..loader::LoaderConfig::default()
    };
    loader::approve(&config.lock_file, &folder).unwrap();
    let loader = loader::Loader::new(config).unwrap();
    let problems: Vec<String> = loader.problems().iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    for wanted in ["plugin test.bomb 0.1.0 (native ", "describe", "signal 6 (abort)", "here I go"] {
        assert!(problems[0].contains(wanted), "`{wanted}` is not in {}", problems[0]);
    }
}
