//! A plugin's own folder: `plugin.toml` with sources beside it, what was built in `dist`.

use crate::interpreted::{self, Interpreted};
use anyhow::{Context, Result, bail};
use loader::Manifest;
use std::path::{Path, PathBuf};

/// Where built plugins are put, below their own folder.
pub const DIST: &str = "dist";
/// Name of the manifest.
pub(crate) const MANIFEST: &str = "plugin.toml";

/// The folder of a plugin that is being written.
#[derive(Clone, Debug)]
pub struct Project {
    pub folder: PathBuf,
    pub manifest: Manifest,
}

/// How its sources are built.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sources {
    Rust,
    C,
    Interpreted(&'static Interpreted),
}

impl Project {
    /// The plugin in `folder`.
    ///
    /// # Errors
    /// No manifest there, or a wrong one.
    pub fn open(folder: &Path) -> Result<Self> {
        let folder = std::fs::canonicalize(folder).with_context(|| format!("{}: no such folder", folder.display()))?;
        if !folder.join(MANIFEST).is_file() {
            bail!("{}: no plugin: expected a {MANIFEST}; `anagama plugin new` makes a plugin", folder.display());
        }
        let manifest = Manifest::read(&folder)?;
        Ok(Self { folder, manifest })
    }

    /// Where what was built lies.
    pub fn dist(&self) -> PathBuf {
        self.folder.join(DIST)
    }

    pub(crate) fn sources(&self) -> Result<Sources> {
        if self.folder.join("Cargo.toml").is_file() {
            return Ok(Sources::Rust);
        }
        if let Some(lang) = interpreted::LANGUAGES.into_iter().find(|l| self.folder.join(l.source).is_file()) {
            return Ok(Sources::Interpreted(lang));
        }
        if !self.c_files().is_empty() {
            return Ok(Sources::C);
        }
        bail!(
            "{}: no sources: expected a Cargo.toml, {}, or C files in src",
            self.folder.display(),
            interpreted::LANGUAGES.map(|l| l.source).join(", ")
        )
    }

    /// Sorted.
    pub(crate) fn c_files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.join("src")).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> =
            entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "c")).collect();
        files.sort();
        files
    }
}
