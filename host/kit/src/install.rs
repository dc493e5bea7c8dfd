//! Putting packages where the host finds them, replacing and removing them.
//!
//! A folder appears, is exchanged or goes as a whole, by renaming; a host that runs meanwhile sees the old plugin or the
//! new one. Before that, a component has been compiled and has described itself, with nothing granted.

use crate::index::{fetch, triple};
use crate::{Package, asks, fingerprint};
use anyhow::{Context, Result, bail, ensure};
use loader::{LoadError, Loader, LoaderConfig, Manifest};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What is noted beside an installed plugin.
const RECORD: &str = "installed.json";

/// Where a plugin came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    /// The package or index, as an absolute path.
    from: PathBuf,
    /// Of the package.
    sha256: String,
    /// Who signed it.
    key: Option<String>,
}

/// What was done, for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    pub id: String,
    pub version: String,
    /// The version that was there before.
    pub before: Option<String>,
    pub folder: PathBuf,
    /// What it asks for, see [`asks()`](crate::asks()).
    pub asks: Vec<String>,
    /// The fingerprint of the key that signed it.
    pub signed_by: Option<String>,
}

/// Where plugins go, and how they are tried out.
pub struct Installer<'a> {
    /// Of the host's configuration: `plugin_dirs` are where plugins lie, the first is where new ones go.
    pub config: &'a LoaderConfig,
}

/// What an update needs to be told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Consent {
    /// A plugin may ask for more than it did.
    pub more: bool,
    /// Another key, or none, may have signed it; an older version may replace a newer.
    pub force: bool,
}

/// Installs a package: `from` is its file, or an index with the plugin's id.
///
/// # Errors
/// The package is not good, the plugin does not load, or it is there already.
pub fn install(installer: &Installer<'_>, from: &Path, id: Option<&str>) -> Result<Done> {
    let package = fetch(from, id)?;
    let into = installer.config.plugin_dirs.first();
    let into = into.context("no folder for plugins; write `plugins = [\"plugins\"]` into anagama.toml")?;
    if let Some((folder, old)) = find(installer.config, &package.manifest.id) {
        bail!(
            "{} {} is installed already, in {}; `anagama plugin update` replaces it",
            old.id,
            old.version,
            folder.display()
        );
    }
    let folder = into.join(&package.manifest.id);
    ensure!(!folder.exists(), "{}: is there already, and is not {}", folder.display(), package.manifest.id);
    put(installer, &package, from, into, &folder)?;
    Ok(done(&package, None, folder))
}

/// Replaces an installed plugin; without `from` by what lies now where it came from. None: it is the newest already.
///
/// # Errors
/// As [`install`]; or it asks for more, or somebody else signed it, and `consent` does not cover that.
pub fn update(installer: &Installer<'_>, id: &str, from: Option<&Path>, consent: Consent) -> Result<Option<Done>> {
    let (folder, old) = find(installer.config, id).with_context(|| unknown(installer.config, id))?;
    let record = record(&folder);
    let from = match (from, &record) {
        (Some(from), _) => from.to_owned(),
        (None, Some(record)) => record.from.clone(),
        (None, None) => bail!("{id}: it was not installed from a package; name one with --from"),
    };
    let package = fetch(&from, Some(id))?;
    if record.as_ref().is_some_and(|r| r.sha256 == package.sha256) {
        return Ok(None);
    }
    let new = &package.manifest;
    ensure!(
        consent.force || triple(&new.version) >= triple(&old.version),
        "{id}: {} is older than the installed {}; --force takes it nevertheless",
        new.version,
        old.version
    );
    let (before, now) = (record.and_then(|r| r.key), &package.key);
    if let Some(key) = before.filter(|key| now.as_ref() != Some(key)) {
        let by = now.as_ref().map_or("nobody".to_owned(), |k| format!("the key {}", fingerprint(k)));
        ensure!(
            consent.force,
            "{id}: the installed one was signed by the key {}, this one by {by}; --force takes it nevertheless",
            fingerprint(&key)
        );
    }
    if crate::asks::grew(new, &old.requests) && !consent.more {
        let lines = asks(new, Some(&old.requests)).join("\n  ");
        bail!("{id} {} asks for more than {} did; --yes agrees:\n  {lines}", new.version, old.version);
    }
    let into = folder.parent().context("a plugin without a folder")?.to_owned();
    put(installer, &package, &from, &into, &folder)?;
    let mut done = done(&package, Some(old.version), folder);
    done.asks = asks(new, Some(&old.requests));
    Ok(Some(done))
}

/// Removes an installed plugin. What it stored stays, with the host's caches. One that was not installed from a package
/// is only removed with `force`: its folder may be somebody's work.
///
/// # Errors
/// It is not installed, or cannot be removed.
pub fn remove(config: &LoaderConfig, id: &str, force: bool) -> Result<Done> {
    let (folder, manifest) = find(config, id).with_context(|| unknown(config, id))?;
    ensure!(
        force || record(&folder).is_some(),
        "{}: it was not installed from a package, so it may be somebody's work; --force removes it nevertheless",
        folder.display()
    );
    let staging = staging(folder.parent().context("a plugin without a folder")?)?;
    let gone = staging.path().join("old");
    std::fs::rename(&folder, &gone).with_context(|| format!("{}: cannot be removed", folder.display()))?;
    Ok(Done { id: manifest.id, version: manifest.version, before: None, folder, asks: Vec::new(), signed_by: None })
}

/// The ids of plugins that were installed from packages.
pub fn installed(config: &LoaderConfig) -> Vec<String> {
    all(config).filter(|(folder, _)| record(folder).is_some()).map(|(_, m)| m.id).collect()
}

fn put(installer: &Installer<'_>, package: &Package, from: &Path, into: &Path, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(into).with_context(|| format!("{}: cannot be made", into.display()))?;
    let staging = staging(into)?;
    let new = staging.path().join("new").join(&package.manifest.id);
    for (name, bytes) in &package.files {
        compile::write(&new.join(name), bytes)?;
    }
    let from = std::fs::canonicalize(from).unwrap_or_else(|_| from.to_owned());
    let record = Record { from, sha256: package.sha256.clone(), key: package.key.clone() };
    compile::write(&new.join(RECORD), &serde_json::to_vec_pretty(&record)?)?;
    try_out(installer.config, &staging.path().join("new"))?;
    let old = staging.path().join("old");
    let there = folder.exists();
    if there {
        std::fs::rename(folder, &old).with_context(|| format!("{}: cannot be replaced", folder.display()))?;
    }
    if let Err(e) = std::fs::rename(&new, folder) {
        if there {
            std::fs::rename(&old, folder)
                .with_context(|| format!("{}: lies in {}", folder.display(), old.display()))?;
        }
        return Err(e).with_context(|| format!("{}: cannot be put there", folder.display()));
    }
    Ok(())
}

/// Compiles and describes what lies in a folder; that an approval is missing is no fault.
fn try_out(config: &LoaderConfig, folder: &Path) -> Result<()> {
    let config = LoaderConfig { plugin_dirs: vec![folder.to_owned()], prefer_native: false, ..config.clone() };
    let problems = Loader::new(config)?.problems();
    let bad = problems.into_iter().find(|p| !matches!(p, LoadError::NotApproved { .. }));
    bad.map_or(Ok(()), |problem| Err(problem).context("it would not load, so nothing was changed"))
}

/// A folder beside the plugins, whose content is two levels down, where no host looks.
fn staging(into: &Path) -> Result<tempfile::TempDir> {
    let made = tempfile::Builder::new().prefix(".staging-").tempdir_in(into);
    made.with_context(|| format!("{}: cannot be written", into.display()))
}

fn all(config: &LoaderConfig) -> impl Iterator<Item = (PathBuf, Manifest)> {
    let folders = config.plugin_dirs.iter().flat_map(|dir| std::fs::read_dir(dir).into_iter().flatten().flatten());
    let mut folders: Vec<PathBuf> = folders.map(|e| e.path()).collect();
    folders.sort();
    folders.into_iter().filter_map(|folder| Manifest::read(&folder).ok().map(|manifest| (folder, manifest)))
}

fn find(config: &LoaderConfig, id: &str) -> Option<(PathBuf, Manifest)> {
    all(config).find(|(_, manifest)| manifest.id == id)
}

fn unknown(config: &LoaderConfig, id: &str) -> String {
    let known: Vec<String> = all(config).map(|(_, m)| m.id).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("`{id}` is not installed; installed are: {known}")
}

fn record(folder: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(folder.join(RECORD)).ok()?).ok()
}

fn done(package: &Package, before: Option<String>, folder: PathBuf) -> Done {
    Done {
        id: package.manifest.id.clone(),
        version: package.manifest.version.clone(),
        before,
        folder,
        asks: asks(&package.manifest, None),
        signed_by: package.key.as_deref().map(fingerprint),
    }
}
