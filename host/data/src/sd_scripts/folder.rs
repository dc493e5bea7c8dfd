//! The pictures of one folder, with the captions beside them.

use super::mask;
use crate::{DecodeLimits, Digest, Image, Item, captions};
use anyhow::{Context, Result, bail, ensure};
use rayon::prelude::*;
use serde_json::Value;
use spec::{Annotation, Tag};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Endings of pictures, in lower case.
const PICTURES: [&str; 7] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tiff"];
/// Endings of captions that are looked for if none is named; the first counts.
const CAPTIONS: [&str; 2] = ["txt", "caption"];
/// How many names a message lists.
const SHOWN: usize = 8;

/// May pictures be without a caption?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Error,
    Allowed,
}

/// What is to be read.
pub(super) struct Pictures<'a> {
    pub(super) folder: Option<PathBuf>,
    /// A JSON file with captions by picture, instead of files beside the pictures.
    pub(super) metadata: Option<PathBuf>,
    /// A folder of masks with the pictures' names.
    pub(super) masks: Option<PathBuf>,
    /// Ending of the caption files.
    pub(super) ending: Option<&'a str>,
    /// The caption of pictures that have none.
    pub(super) class_tokens: Option<&'a str>,
    /// Keep all lines of a caption, instead of the first.
    pub(super) all_lines: bool,
    pub(super) missing: Missing,
}

/// What was found: pictures without subset, repeats and settings.
pub(super) struct Found {
    pub(super) pictures: Vec<Item>,
    pub(super) notes: Vec<String>,
    pub(super) files: Vec<PathBuf>,
}

impl Pictures<'_> {
    /// The last part of the folder's name.
    pub(super) fn name(&self) -> String {
        let path = self.folder.as_ref().or(self.metadata.as_ref());
        path.and_then(|p| p.file_stem()).map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Reads everything. Names begin below `base`.
    pub(super) fn read(self, base: &Path) -> Result<Found> {
        let (mut notes, mut files) = (Vec::new(), Vec::new());
        let all = self.folder.as_deref().map(files_of).transpose()?.unwrap_or_default();
        let captions: Vec<(PathBuf, Option<String>)> = match &self.metadata {
            Some(path) => self.captions_of_json(path, base, &all, &mut files)?,
            None => self.beside(&all, &mut notes, &mut files)?,
        };
        let captions = self.complete(captions, &mut notes)?;
        let masks = self.masks.as_deref().map(masks).transpose()?.unwrap_or_default();
        files.extend(masks.values().cloned());
        files.extend(captions.iter().map(|(path, _)| path.clone()));
        let read = |(path, caption): &(PathBuf, String)| -> Result<Item> {
            let mut item = open(path, base)?;
            item.annotation = annotation(caption);
            item.natural_language = item.annotation.text.is_some();
            if let Some(folder) = &self.masks {
                let found = masks.get(&stem(path));
                let found = found.with_context(|| format!("{} has no mask in {}", item.id, folder.display()))?;
                item.mask = Some(mask(found)?);
            }
            Ok(item)
        };
        let read: Vec<Result<Item>> = captions.par_iter().map(read).collect();
        let (good, bad): (Vec<_>, Vec<_>) = read.into_iter().partition(Result::is_ok);
        let bad: Vec<String> = bad.into_iter().filter_map(Result::err).map(|e| format!("{e:#}")).collect();
        ensure!(bad.is_empty(), "{} pictures cannot be used: {}", bad.len(), some(&bad));
        Ok(Found { pictures: good.into_iter().flatten().collect(), notes, files })
    }

    /// Captions in files beside the pictures.
    fn beside(
        &self,
        all: &[PathBuf],
        notes: &mut Vec<String>,
        files: &mut Vec<PathBuf>,
    ) -> Result<Vec<(PathBuf, Option<String>)>> {
        let folder = self.folder.as_deref().context("a subset without `image_dir`")?;
        let named = self.ending.map(|e| e.trim_start_matches('.').to_lowercase());
        let endings: Vec<&str> = named.as_deref().map_or(CAPTIONS.to_vec(), |e| vec![e]);
        let pictures: Vec<&PathBuf> = all.iter().filter(|p| is_picture(p)).collect();
        ensure!(!pictures.is_empty(), "{} has no pictures ({})", folder.display(), PICTURES.join(", "));
        let known: BTreeSet<&PathBuf> = all.iter().collect();
        let mut read: BTreeMap<&str, usize> = BTreeMap::new();
        let mut used = BTreeSet::new();
        let mut out = Vec::new();
        for picture in pictures {
            let beside = endings.iter().map(|e| (*e, picture.with_extension(e))).find(|(_, p)| known.contains(p));
            let caption = match beside {
                Some((ending, path)) => {
                    *read.entry(ending).or_default() += 1;
                    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                    let text = String::from_utf8(bytes)
                        .map_err(|e| anyhow::anyhow!("{}: expected UTF-8: {}", path.display(), e.utf8_error()))?;
                    used.insert(path.clone());
                    files.push(path);
                    Some(self.lines(&text))
                }
                None => None,
            };
            out.push((picture.clone(), caption));
        }
        for (ending, n) in &read {
            notes.push(format!("{n} captions read from `.{ending}` files"));
        }
        let other = |p: &&PathBuf| CAPTIONS.iter().chain(&endings).any(|e| ending_of(p) == *e) && !used.contains(*p);
        let unused: Vec<String> = all.iter().filter(other).map(|p| name(p)).collect();
        if !unused.is_empty() {
            let looked = endings.iter().map(|e| format!("`.{e}`")).collect::<Vec<_>>().join(" and ");
            notes.push(format!("{} caption files are not used (looked for {looked}): {}", unused.len(), some(&unused)));
        }
        Ok(out)
    }

    /// Captions of a JSON file: `{"picture": {"caption": "…", "tags": "…"}}`, as sd-scripts' `FineTuningDataset`.
    fn captions_of_json(
        &self,
        path: &Path,
        base: &Path,
        all: &[PathBuf],
        files: &mut Vec<PathBuf>,
    ) -> Result<Vec<(PathBuf, Option<String>)>> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        files.push(path.to_owned());
        let json: Value = serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?;
        let Value::Object(rows) = json else { bail!("{}: expected an object of pictures", path.display()) };
        let mut out = Vec::new();
        for (key, facts) in rows {
            let direct = base.join(&key);
            let picture = if direct.is_file() {
                direct
            } else {
                let found = all.iter().filter(|p| is_picture(p)).find(|p| name(p) == key || stem(p) == key);
                found.cloned().with_context(|| format!("{}: no picture `{key}`", path.display()))?
            };
            let part = |key: &str| facts[key].as_str().map(str::trim).filter(|t| !t.is_empty());
            let caption: Vec<&str> = [part("caption"), part("tags")].into_iter().flatten().collect();
            let caption = (!caption.is_empty()).then(|| self.lines(&caption.join(", ")));
            out.push((picture, caption));
        }
        ensure!(!out.is_empty(), "{} names no pictures", path.display());
        Ok(out)
    }

    /// The first line, or all that are not empty.
    fn lines(&self, text: &str) -> String {
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|l| !l.is_empty());
        lines.take(if self.all_lines { usize::MAX } else { 1 }).collect::<Vec<_>>().join("\n")
    }

    /// Fills in captions that are missing.
    fn complete(
        &self,
        captions: Vec<(PathBuf, Option<String>)>,
        notes: &mut Vec<String>,
    ) -> Result<Vec<(PathBuf, String)>> {
        let without = captions.iter().filter(|(_, c)| c.as_ref().is_none_or(String::is_empty));
        let without: Vec<String> = without.map(|(p, _)| name(p)).collect();
        let tokens = self.class_tokens.map(str::trim).filter(|t| !t.is_empty());
        if !without.is_empty() {
            let (count, shown) = (without.len(), some(&without));
            match tokens {
                Some(tokens) => notes.push(format!("{count} pictures without a caption get `{tokens}`: {shown}")),
                None if self.missing == Missing::Allowed => {
                    notes.push(format!("{count} pictures have no caption: {shown}"));
                }
                None => {
                    let ending = self.ending.map_or("`.txt` or `.caption`".to_owned(), |e| format!("`{e}`"));
                    bail!(
                        "{count} pictures have no caption ({ending} beside them): {shown}; caption them, give \
                         `class_tokens`, or allow missing captions"
                    );
                }
            }
        }
        let filled = |caption: Option<String>| caption.filter(|c| !c.is_empty()).or_else(|| tokens.map(str::to_owned));
        Ok(captions.into_iter().map(|(path, c)| (path, filled(c).unwrap_or_default())).collect())
    }
}

/// Tags between commas, or a text if it reads like sentences. Several lines stay several.
fn annotation(caption: &str) -> Annotation {
    if caption.lines().all(captions::is_natural_language) && !caption.is_empty() {
        return Annotation { text: Some(caption.to_owned()), ..Annotation::default() };
    }
    let tags = captions::split(caption).into_iter().map(|name| Tag { name, ..Tag::default() }).collect();
    Annotation { tags, ..Annotation::default() }
}

/// Decodes a picture, so that nothing later meets a broken one.
fn open(path: &Path, base: &Path) -> Result<Item> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let image = Image::decode(&bytes, &DecodeLimits::default()).with_context(|| path.display().to_string())?;
    let below = path.strip_prefix(base).unwrap_or(path);
    Ok(Item {
        id: below.to_string_lossy().replace('\\', "/"),
        path: path.to_owned(),
        digest: Digest::of(&bytes).to_string(),
        width: image.width,
        height: image.height,
        ..Item::default()
    })
}

/// Pictures and captions of a folder, without those of folders in it.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let wanted = |p: &PathBuf| is_picture(p) || CAPTIONS.contains(&ending_of(p).as_str());
    Ok(files_of(folder)?.into_iter().filter(wanted).collect())
}

/// The pictures of a folder by their names without endings.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn masks(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    Ok(files_of(folder)?.into_iter().filter(|p| is_picture(p)).map(|p| (stem(&p), p)).collect())
}

/// All files of a folder, sorted, without hidden ones.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if path.is_file() && !name(&path).starts_with('.') {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn is_picture(path: &Path) -> bool {
    PICTURES.contains(&ending_of(path).as_str())
}

fn ending_of(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default()
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

fn name(path: &Path) -> String {
    path.file_name().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The first few.
pub(super) fn some(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}
