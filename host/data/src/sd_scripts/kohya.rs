//! Folders as kohya's scripts read them without a dataset file: `train/10_ohwx girl`, `reg/1_girl`.

use super::folder::{self, Missing, Pictures};
use super::{Import, unique};
use crate::Item;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// Reads all folders `N_class` below `train`, and as regularisation images those below `reg`. N is how often pictures
/// are shown; the class is the caption of those without a caption file.
///
/// # Errors
/// There is no such folder; a folder without pictures; damaged pictures.
pub fn read_folders(train: &Path, reg: Option<&Path>) -> Result<Import> {
    let mut import = Import::default();
    for (root, is_reg) in [(Some(train), false), (reg, true)] {
        let Some(root) = root else { continue };
        let (found, others) = folders(root)?;
        ensure!(
            !found.is_empty(),
            "{} has no folders named `N_class`, such as `10_ohwx girl`{}",
            root.display(),
            if others.is_empty() { String::new() } else { format!("; found {}", others.join(", ")) }
        );
        if !others.is_empty() {
            let names = others.join(", ");
            import.dataset.notes.push(format!("folders without a number of repeats are left out: {names}"));
        }
        for (path, repeats, class) in found {
            let pictures = Pictures {
                folder: Some(path.clone()),
                metadata: None,
                masks: None,
                ending: None,
                class_tokens: Some(&class),
                all_lines: false,
                missing: Missing::Error,
            };
            let found = pictures.read(root).with_context(|| path.display().to_string())?;
            import.dataset.notes.extend(found.notes.into_iter().map(|note| format!("{class}: {note}")));
            import.files.extend(found.files);
            let item = |item: Item| Item { subset: class.clone(), repeats, is_reg, ..item };
            import.dataset.items.extend(found.pictures.into_iter().map(item));
        }
    }
    unique(&mut import.dataset);
    Ok(import)
}

/// The files that this depends on, without reading them.
///
/// # Errors
/// A folder cannot be read.
pub fn folder_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for (path, ..) in folders(root)?.0 {
        files.extend(folder::files(&path)?);
    }
    Ok(files)
}

/// Folder, repeats, class.
type Named = (PathBuf, u32, String);

/// Folders with a number in front, sorted by name, and the names of the others.
fn folders(root: &Path) -> Result<(Vec<Named>, Vec<String>)> {
    let entries = std::fs::read_dir(root).with_context(|| format!("cannot read the folder {}", root.display()))?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| root.display().to_string())?.path();
        if path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for path in paths {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        match name.split_once('_').and_then(|(n, class)| Some((n.parse().ok()?, class.to_owned()))) {
            Some((repeats, class)) if repeats > 0 && !class.is_empty() => found.push((path, repeats, class)),
            _ if name.starts_with('.') => {}
            _ => others.push(name),
        }
    }
    Ok((found, others))
}
