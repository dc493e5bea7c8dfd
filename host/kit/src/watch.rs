//! `anagama plugin build --watch`: built again whenever something is saved. A running host takes the new artefact at its
//! next run, by its hash.

use crate::{Making, Project, build};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often the sources are looked at.
const PAUSE: Duration = Duration::from_millis(300);

/// Size and time of every source.
type State = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

/// Builds the plugin in `folder`, and again after each change, until `built` answers no. A build that fails ends nothing.
///
/// # Errors
/// The folder is no plugin's, or cannot be read any more.
pub fn watch(folder: &Path, making: &Making, mut built: impl FnMut(Result<Vec<PathBuf>>) -> bool) -> Result<()> {
    Project::open(folder)?;
    let mut last = State::new();
    loop {
        // Taken before building: what is saved meanwhile is another round.
        let now = state(folder)?;
        if now != last {
            last = now;
            if !built(Project::open(folder).and_then(|project| build(&project, making))) {
                return Ok(());
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// Of the manifests and everything below `src`; what builds write is not among it.
fn state(folder: &Path) -> Result<State> {
    ensure!(folder.is_dir(), "{}: is gone", folder.display());
    let mut state = State::new();
    let mut open = vec![folder.join("src")];
    let mut note = |path: PathBuf| {
        if let Ok(meta) = std::fs::metadata(&path) {
            state.insert(path, (meta.len(), meta.modified().ok()));
        }
    };
    for name in ["Cargo.toml", crate::project::MANIFEST, "kit/wit/this-plugin.wit"] {
        note(folder.join(name));
    }
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries {
            let path = entry.with_context(|| dir.display().to_string())?.path();
            match path.is_dir() {
                // Python writes it at each build.
                true if path.ends_with("__pycache__") => {}
                true => open.push(path),
                false => note(path),
            }
        }
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_count_and_what_builds_write_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            compile::write(&dir.path().join(name), text.as_bytes()).unwrap();
        };
        write("plugin.toml", "a");
        write("src/deep/a.rs", "a");
        let before = state(dir.path()).unwrap();
        assert_eq!(before.len(), 2);
        write("dist/a.wasm", "a");
        write("target/x", "a");
        write("Cargo.lock", "a");
        write("src/__pycache__/plugin.cpython-314.pyc", "a");
        assert_eq!(state(dir.path()).unwrap(), before);
        write("src/deep/b.rs", "b");
        assert_ne!(state(dir.path()).unwrap(), before);
        assert!(state(&dir.path().join("gone")).is_err());
    }
}
