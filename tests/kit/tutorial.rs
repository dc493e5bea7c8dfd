//! docs/plugins.md is followed word by word: its commands are typed, its files written, and what it says is printed must be
//! printed, line by line; `…` stands for anything. What needs the tool of a language says so, and is left out, with the
//! reason printed, where that cannot be had.

use std::path::{Path, PathBuf};
use std::process::Command;
use tests::{bin_dir, root, skip};

/// A block of the page.
enum Step {
    /// A file to write, below the folder that the reader is in.
    Write(String, String),
    /// A command, and lines that it prints.
    Type(String, Vec<String>),
    /// What follows up to the next block needs a language's tool; none: no longer.
    Needs(Option<String>),
}

fn steps(page: &str) -> Vec<Step> {
    let (mut steps, mut lines) = (Vec::new(), page.lines());
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```").filter(|i| !i.is_empty()) else { continue };
        let body: Vec<&str> = lines.by_ref().take_while(|l| *l != "```").collect();
        if let Some(file) = info.split_whitespace().find_map(|w| w.strip_prefix("file=")) {
            steps.push(Step::Write(file.to_owned(), body.join("\n") + "\n"));
        } else if info.split_whitespace().next() == Some("console") {
            let needs = info.split_whitespace().find_map(|w| w.strip_prefix("needs="));
            steps.push(Step::Needs(needs.map(str::to_owned)));
            for line in body {
                match (line.strip_prefix("$ "), steps.last_mut()) {
                    (Some(command), _) => steps.push(Step::Type(command.to_owned(), Vec::new())),
                    (None, Some(Step::Type(_, printed))) => printed.push(line.to_owned()),
                    (None, _) => panic!("`{line}` belongs to no command"),
                }
            }
        }
    }
    steps
}

/// Do these lines stand in the text, in this order?
fn find(printed: &[String], text: &str) -> Result<(), String> {
    let mut lines = text.lines();
    for wanted in printed {
        if !lines.any(|line| fits(wanted, line)) {
            return Err(wanted.clone());
        }
    }
    Ok(())
}

/// Does a line begin with what the page shows of it?
fn fits(wanted: &str, line: &str) -> bool {
    let mut rest = line;
    for (n, part) in wanted.split('…').enumerate() {
        match rest.find(part) {
            Some(at) if n > 0 || at == 0 => rest = &rest[at + part.len()..],
            _ => return false,
        }
    }
    true
}

fn type_in(command: &str, folder: &Path, home: &Path, tools: &[PathBuf]) -> (bool, String) {
    let folders = tools.iter().filter_map(|t| t.parent()).map(|t| format!(":{}", t.display()));
    let path = std::env::var("PATH").unwrap() + &folders.collect::<String>();
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(folder).env("PATH", format!("{}:{path}", bin_dir().display()));
    for name in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"] {
        shell.env(name, home.join(name.to_lowercase()));
    }
    // What the kit's crates need is there, because the host needs it too. One folder for all runs of this test, so that only
    // the first one waits for the dependencies.
    shell.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", root().join("target/kit-tests"));
    let output = shell.output().unwrap();
    let text = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned());
    (output.status.success(), text.concat())
}

#[test]
fn the_guide_is_followed_word_by_word() {
    if let Err(e) = compile::Toolchain::find(false) {
        return skip("kit::tutorial", &format!("{e:#}"));
    }
    let page = std::fs::read_to_string(root().join("docs/plugins.md")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    // Always the same place, or what cargo keeps of each run would pile up.
    let mut folder: PathBuf = root().join("target/kit-tests/guide");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let (mut typed, mut tools, mut left_out) = (0, Vec::new(), false);
    for step in steps(&page) {
        match step {
            Step::Needs(None) => left_out = false,
            Step::Needs(Some(word)) => match tests::languages::tool(&word) {
                Ok(program) => tools.push(program),
                Err(e) => {
                    skip(&format!("kit::tutorial, {word}"), &format!("{e:#}"));
                    left_out = true;
                }
            },
            Step::Type(..) if left_out => {}
            Step::Write(file, text) => {
                let path = folder.join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Step::Type(command, _) if command.starts_with("cd ") => {
                folder = std::fs::canonicalize(folder.join(&command[3..])).unwrap();
            }
            Step::Type(command, printed) => {
                let (good, text) = type_in(&command, &folder, dir.path(), &tools);
                assert!(good, "`{command}` failed:\n{text}");
                if let Err(line) = find(&printed, &text) {
                    panic!("`{command}` did not print `{line}`, but:\n{text}");
                }
                typed += 1;
            }
        }
    }
    assert!(typed > 15, "the page has only {typed} commands");
}

#[test]
fn what_the_page_shows_is_looked_for() {
    let steps = steps("x\n```console\n$ a b\none\n$ c\n```\n```toml file=x/y.toml\nk = 1\n```\n```json\n{}\n```\n");
    assert_eq!(steps.len(), 4);
    assert!(matches!(&steps[1], Step::Type(c, p) if c == "a b" && p == &["one"]));
    assert!(matches!(&steps[3], Step::Write(f, t) if f == "x/y.toml" && t == "k = 1\n"));
    assert!(fits("built … (…", "built a.wasm (3 KiB)") && !fits("built … (…", "not built x ("));
    assert!(find(&["b".into(), "a".into()], "a\nb\n").is_err());
}

#[test]
fn every_command_of_the_program_is_in_the_page() {
    let page = std::fs::read_to_string(root().join("docs/plugins.md")).unwrap();
    for command in ["new", "build", "test", "pack", "key", "index", "install", "update", "remove"] {
        assert!(page.contains(&format!("anagama plugin {command}")), "{command}");
    }
}
