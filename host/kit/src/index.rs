//! An index: one JSON file that says which packages a folder has. `anagama plugin index` writes it.

use crate::package::{EXTENSION, Package};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;

/// The packages on offer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    format: u32,
    pub plugins: Vec<Offer>,
}

/// One package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    pub id: String,
    pub version: String,
    /// Name of the file, beside the index.
    pub file: String,
    /// Of the file.
    pub sha256: String,
}

impl Index {
    /// Reads every package in a folder.
    ///
    /// # Errors
    /// The folder or a package cannot be read.
    pub fn of(folder: &Path) -> Result<Self> {
        let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
        files.retain(|p| p.extension().is_some_and(|e| e == EXTENSION));
        files.sort();
        let offer = |path: &PathBuf| {
            let package = Package::read(path)?;
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Package { manifest, sha256, .. } = package;
            Ok(Offer { id: manifest.id, version: manifest.version, file, sha256 })
        };
        Ok(Self { format: FORMAT, plugins: files.iter().map(offer).collect::<Result<_>>()? })
    }

    /// Reads an index.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = std::fs::read(path).with_context(|| format!("{shown}: cannot be read"))?;
        let index: Self = serde_json::from_slice(&text).with_context(|| format!("{shown}: not an index of plugins"))?;
        ensure!(index.format == FORMAT, "{shown}: expected \"format\": {FORMAT}, found {}", index.format);
        Ok(index)
    }

    /// The newest version of a plugin.
    pub fn newest(&self, id: &str) -> Option<&Offer> {
        self.plugins.iter().filter(|o| o.id == id).max_by_key(|o| triple(&o.version))
    }
}

/// A package, from its file or, with an id, from the index that lists it.
///
/// # Errors
/// It is not there, or not what the index says.
pub(crate) fn fetch(from: &Path, id: Option<&str>) -> Result<Package> {
    if from.extension().is_none_or(|e| e != "json") {
        let package = Package::read(from)?;
        if let Some(id) = id.filter(|id| *id != package.manifest.id) {
            bail!("{}: it is {}, not {id}", from.display(), package.manifest.id);
        }
        return Ok(package);
    }
    let index = Index::read(from)?;
    let mut known: Vec<&str> = index.plugins.iter().map(|o| o.id.as_str()).collect();
    known.dedup();
    let id = id.with_context(|| format!("{}: say which; it has: {}", from.display(), known.join(", ")))?;
    let offer =
        index.newest(id).with_context(|| format!("{}: no `{id}`; it has: {}", from.display(), known.join(", ")))?;
    let name = Path::new(&offer.file);
    ensure!(name.file_name().is_some_and(|n| n == name), "{}: `{}` is no plain file name", from.display(), offer.file);
    let package = Package::read(&from.with_file_name(name))?;
    ensure!(
        package.sha256 == offer.sha256,
        "{}: expected sha256 {} as {} says, found {}",
        offer.file,
        offer.sha256,
        from.display(),
        package.sha256
    );
    Ok(package)
}

/// 1.2.3 as numbers; what is no version comes first.
pub(crate) fn triple(version: &str) -> Option<(u64, u64, u64)> {
    let mut parts = version.split(['-', '+']).next()?.split('.').map(|p| p.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::tests::sample;

    #[test]
    fn an_index_offers_the_newest_and_its_hashes_count() {
        let dir = tempfile::tempdir().unwrap();
        for version in ["1.9.0", "1.10.0"] {
            std::fs::write(dir.path().join(format!("{version}.anagama")), sample(version, "", None)).unwrap();
        }
        let index = Index::of(dir.path()).unwrap();
        assert_eq!(index.newest("a.b").unwrap().version, "1.10.0");
        let file = dir.path().join("index.json");
        std::fs::write(&file, serde_json::to_vec(&index).unwrap()).unwrap();
        assert_eq!(Index::read(&file).unwrap(), index);
        assert_eq!(fetch(&file, Some("a.b")).unwrap().manifest.version, "1.10.0");
        assert!(fetch(&file, None).unwrap_err().to_string().contains("a.b"));
        assert!(fetch(&file, Some("a.c")).unwrap_err().to_string().contains("no `a.c`"));
        std::fs::write(dir.path().join("1.10.0.anagama"), sample("1.10.0", "models = [\"*\"]", None)).unwrap();
        assert!(fetch(&file, Some("a.b")).unwrap_err().to_string().contains("expected sha256"));
        assert!(fetch(&dir.path().join("1.9.0.anagama"), Some("a.c")).is_err());
    }

    #[test]
    fn an_index_names_only_files_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("index.json");
        let text =
            r#"{"format": 1, "plugins": [{"id": "a.b", "version": "1.0.0", "file": "../x.anagama", "sha256": ""}]}"#;
        std::fs::write(&file, text).unwrap();
        assert!(fetch(&file, Some("a.b")).unwrap_err().to_string().contains("plain file name"));
    }
}
