//! `cargo xtask guests`: every crate in `plugins`, `tests/guests` and `tests/plugins`, as a component and as a native library.
//!
//! A guest is a folder with `Cargo.toml` and `plugin.toml`; its package has the folder's name.

use crate::groups::PROGRAM;
use crate::shell::{cargo, check, programs};
use anyhow::{Context, Result, bail};
use compile::{TARGET, Toolchain, copy, library, prune, wrap, write};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

/// Where guests are, and where they go.
const PLACES: [(&str, &str); 3] =
    [("plugins", "target/plugins"), ("tests/guests", "target/test-plugins"), ("tests/plugins", "target/test-plugins")];

/// Which guests, in which forms.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Request {
    /// None: all.
    pub(crate) names: Vec<String>,
    pub(crate) native: bool,
}

impl Request {
    /// The components of the first-party plugins.
    pub(crate) fn plugins(root: &Path) -> Result<Self> {
        let (from, _) = PLACES[0];
        let guests = find(root)?.into_iter().filter(|g| g.source.starts_with(root.join(from)));
        Ok(Self { names: guests.map(|g| g.name).collect(), native: false })
    }

    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut request = Self::default();
        for &word in words {
            match word {
                "--native" => request.native = true,
                option if option.starts_with('-') => bail!("unknown option `{option}`; known is --native"),
                name => request.names.push(name.to_owned()),
            }
        }
        Ok(request)
    }
}

struct Guest {
    name: String,
    source: PathBuf,
    installed: PathBuf,
}

impl Guest {
    /// Of the files that cargo makes.
    fn stem(&self) -> String {
        self.name.replace('-', "_")
    }

    fn component(&self) -> PathBuf {
        self.installed.join(format!("{}.wasm", self.stem()))
    }

    fn library(&self) -> PathBuf {
        self.installed.join(library(&self.stem()))
    }
}

pub(crate) fn run(root: &Path, request: &Request) -> Result<ExitCode> {
    build(root, request)?;
    Ok(ExitCode::SUCCESS)
}

/// Builds and installs.
pub(crate) fn build(root: &Path, request: &Request) -> Result<()> {
    let all = find(root)?;
    if let Some(unknown) = request.names.iter().find(|n| !all.iter().any(|g| g.name == **n)) {
        let known: Vec<_> = all.iter().map(|g| g.name.as_str()).collect();
        bail!("no guest `{unknown}`; known are {}", known.join(", "));
    }
    let chosen: Vec<&Guest> =
        all.iter().filter(|g| request.names.is_empty() || request.names.contains(&g.name)).collect();
    if request.names.is_empty() {
        for (_, place) in PLACES {
            let wanted: Vec<&str> = all.iter().map(|g| g.name.as_str()).collect();
            prune(&root.join(place), &wanted)?;
        }
    }

    let stamp = root.join("target/guests").join(format!(".stamp-{}-{}", request.names.join("+"), request.native));
    let state = state(root, &chosen, request.native)?;
    if fs::read_to_string(&stamp).is_ok_and(|old| old == state) {
        println!("{} guests are up to date", chosen.len());
        return Ok(());
    }
    let mut changed = components(root, &chosen)?;
    if request.native {
        changed += libraries(root, &chosen, request.names.is_empty())?;
    }
    for guest in &chosen {
        copy(&guest.source.join("plugin.toml"), &guest.installed.join("plugin.toml"))?;
    }
    write(&stamp, self::state(root, &chosen, request.native)?.as_bytes())?;
    println!("{} guests are ready, {changed} files new", chosen.len());
    Ok(())
}

fn find(root: &Path) -> Result<Vec<Guest>> {
    let mut guests = Vec::new();
    for (from, to) in PLACES {
        let Ok(entries) = fs::read_dir(root.join(from)) else { continue };
        for entry in entries {
            let source = entry?.path();
            if !source.join("Cargo.toml").exists() || !source.join("plugin.toml").exists() {
                continue;
            }
            let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let installed = root.join(to).join(&name);
            guests.push(Guest { name, source, installed });
        }
    }
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(guests)
}

/// Compiles and wraps; how many files changed.
fn components(root: &Path, guests: &[&Guest]) -> Result<usize> {
    let mut build = Toolchain::find(true)?.build(&programs(), root, &root.join("target/guests"));
    build.args(["--profile", "guest"]);
    for guest in guests {
        build.args(["-p", &guest.name]);
    }
    println!("building {} components", guests.len());
    check(&mut build)?;
    let mut changed = 0;
    for guest in guests {
        let core = root.join("target/guests").join(TARGET).join("guest").join(format!("{}.wasm", guest.stem()));
        if modified(&guest.component()) > modified(&core) {
            continue;
        }
        let component = fs::read(&core)
            .with_context(|| format!("cannot read `{}`", core.display()))
            .and_then(|module| wrap(&module))
            .with_context(|| format!("guest `{}`", guest.name))?;
        changed += usize::from(write(&guest.component(), &component)?);
    }
    Ok(changed)
}

/// Compiles with the host's own profile, whose dependencies are built anyway; how many files changed.
fn libraries(root: &Path, guests: &[&Guest], all: bool) -> Result<usize> {
    let mut build = cargo(root);
    if all {
        // With the features that the tests build them with, so that they are built once.
        build.args(PROGRAM).arg("--lib");
    } else {
        build.args(["build", "--lib"]);
        for guest in guests {
            build.args(["-p", &guest.name]);
        }
    }
    println!("building {} native libraries", guests.len());
    check(&mut build)?;
    let mut changed = 0;
    for guest in guests {
        let built = root.join("target/debug").join(library(&guest.stem()));
        changed += usize::from(copy(&built, &guest.library())?);
    }
    Ok(changed)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|m| m.modified()).ok()
}

/// Sizes and times of everything that goes into the guests and of what is installed.
fn state(root: &Path, guests: &[&Guest], native: bool) -> Result<String> {
    let mut files = Vec::new();
    for folder in ["sdk", "wit", "plugins", "tests/guests", "tests/plugins"] {
        walk(&root.join(folder), &mut files)?;
    }
    files.extend(["Cargo.toml", "Cargo.lock"].map(|f| root.join(f)));
    for guest in guests {
        files.push(guest.component());
        files.push(guest.installed.join("plugin.toml"));
        if native {
            files.push(guest.library());
        }
    }
    files.sort();
    let mut state = String::new();
    for file in files {
        let meta = fs::metadata(&file).ok();
        let time = meta.as_ref().and_then(|m| m.modified().ok());
        let time = time.and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok()).map(|t| t.as_nanos());
        writeln!(state, "{} {:?} {time:?}", file.display(), meta.map(|m| m.len()))?;
    }
    Ok(state)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() { walk(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_options() {
        let request = Request::parse(&["wd-tagger", "--native"]).unwrap();
        assert_eq!(request, Request { names: vec!["wd-tagger".into()], native: true });
        assert!(Request::parse(&["--nativ"]).unwrap_err().to_string().contains("--native"));
    }

    #[test]
    fn plugins_are_told_from_test_guests() {
        let names = Request::plugins(&crate::root()).unwrap().names;
        assert!(names.contains(&"wd-tagger".to_owned()) && !names.contains(&"panics".to_owned()), "{names:?}");
    }

    #[test]
    fn finds_every_guest_with_a_manifest() {
        let guests = find(&crate::root()).unwrap();
        assert!(guests.iter().any(|g| g.name == "mean-colour"));
        for guest in &guests {
            let manifest = fs::read_to_string(guest.source.join("plugin.toml")).unwrap();
            assert!(manifest.contains(&format!("component = \"{}.wasm\"", guest.stem())), "{}", guest.name);
            let package = fs::read_to_string(guest.source.join("Cargo.toml")).unwrap();
            assert!(package.contains(&format!("name = \"{}\"", guest.name)), "{}", guest.name);
        }
    }
}
