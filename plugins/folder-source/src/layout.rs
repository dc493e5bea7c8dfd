//! What belongs to the data set: a folder as it is, or the folders that a dataset file of sd-scripts names.

use crate::captions::Format;
use crate::dataset_file::{self, Subset};
use crate::listing::{self, Picture, Rules};
use crate::metadata::{self, Listed, Reading};
use plugin_sdk::{Annotation, Error, Result, files};
use std::collections::{BTreeMap, BTreeSet};

/// Larger lists of pictures are a mistake.
const MAX_LIST: u64 = 32 << 20;
/// Folders in which ai-toolkit keeps what it computed; nobody made them.
const CACHES: [&str; 3] = ["_latent_cache", "_t_e_cache", "_clip_vision_cache"];

/// Where the pictures are and what is known of them without looking at captions beside them.
#[derive(Default)]
pub(crate) struct Layout {
    pub(crate) pictures: Vec<Entry>,
    /// Caption files without a picture.
    pub(crate) orphans: Vec<String>,
    /// Caption files of pictures whose caption is another.
    pub(crate) unread: Vec<String>,
    /// Files that are neither pictures nor captions.
    pub(crate) others: Vec<String>,
    /// Keys of a dataset file that only a trainer can heed.
    pub(crate) training: Vec<String>,
    pub(crate) faults: Vec<String>,
}

pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) picture: Picture,
    /// What a list says of it; `Some(None)`: it is listed, without a caption.
    pub(crate) listed: Option<Option<Annotation>>,
    /// A caption for want of any other.
    pub(crate) class_tokens: Option<String>,
    pub(crate) is_reg: bool,
}

pub(crate) struct Options<'a> {
    pub(crate) root: &'a str,
    pub(crate) endings: &'a [String],
    pub(crate) kohya: bool,
    pub(crate) repeats: u32,
    pub(crate) column: &'a str,
    pub(crate) format: Format,
    /// Are captions looked at?
    pub(crate) captions: bool,
}

/// The folder as it is, with the lists that lie in it.
pub(crate) fn folder(paths: Vec<String>, options: &Options<'_>) -> Result<Layout> {
    let is_list = |path: &str| metadata::NAMES.contains(&path.rsplit('/').next().unwrap_or(path));
    let (lists, mut paths): (Vec<String>, Vec<String>) = paths.into_iter().partition(|path| is_list(path));
    paths.retain(|path| !is_cache(path));
    let mut out = Layout::default();
    let mut listed = Listed::new();
    for path in lists.iter().filter(|_| options.captions) {
        for (name, caption) in read_list(path, options, &mut out.faults)? {
            if listed.insert(name.clone(), caption).is_some() {
                out.faults.push(format!("`{name}` is listed twice, last in {path}"));
            }
        }
    }
    let rules = Rules { endings: options.endings, kohya: options.kohya, repeats: options.repeats };
    let found = listing::pair(&paths, &rules);
    out.others = found.others;
    out.orphans = found.orphans;
    for picture in found.pictures {
        let listed = listed.remove(&picture.path);
        out.pictures.push(entry(picture, listed, None, false, &mut out.unread));
    }
    let lost: Vec<String> = listed.into_keys().collect();
    if !lost.is_empty() {
        out.faults.push(format!("{} listed pictures are not there: {}", lost.len(), crate::names(&lost)));
    }
    Ok(out)
}

/// The folders that a dataset file names.
pub(crate) fn dataset_file(file: &str, paths: &[String], options: &Options<'_>) -> Result<Layout> {
    let bytes = files::read(options.root, file, MAX_LIST)?;
    let (subsets, training) = dataset_file::read(file, &bytes).map_err(Error::invalid_input)?;
    let mut out = Layout { training, ..Layout::default() };
    let base = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    for subset in subsets {
        one(base, &subset, paths, options, &mut out)?;
    }
    // A folder may be named twice, with other repeats; then its pictures come twice.
    for entry in &mut out.pictures {
        let n = times.entry(entry.picture.path.clone()).or_default();
        *n += 1;
        if *n > 1 {
            entry.id = format!("{}#{n}", entry.id);
        }
    }
    out.pictures.sort_by(|a, b| plugin_sdk::natural::compare(&a.id, &b.id));
    Ok(out)
}

fn one(base: &str, subset: &Subset, paths: &[String], options: &Options<'_>, out: &mut Layout) -> Result<()> {
    let folder = match metadata::below(base, &subset.image_dir) {
        Ok(folder) => folder,
        Err(_) => {
            out.faults.push(format!(
                "{}: `{}` is not below the granted folder; choose a folder above both it and the dataset file",
                subset.place, subset.image_dir
            ));
            return Ok(());
        }
    };
    let start = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    // As sd-scripts: only the folder itself.
    let mut inside: Vec<String> =
        paths.iter().filter(|p| p.strip_prefix(&start).is_some_and(|rest| !rest.contains('/'))).cloned().collect();
    let mut listed = None;
    if let Some(name) = &subset.metadata_file {
        let path = metadata::below(base, name).map_err(|e| Error::invalid_input(format!("{}: {e}", subset.place)))?;
        inside.retain(|p| *p != path);
        if options.captions {
            listed = Some(sd_scripts_list(&path, options, &mut out.faults)?);
        }
    }
    let endings = subset.ending.as_ref().map_or_else(|| options.endings.to_vec(), |e| vec![e.clone()]);
    let rules = Rules { endings: &endings, kohya: false, repeats: subset.repeats };
    let found = listing::pair(&inside, &rules);
    if found.pictures.is_empty() {
        out.faults.push(format!("{}: no pictures in `{}`", subset.place, subset.image_dir));
    }
    out.others.extend(found.others);
    out.orphans.extend(found.orphans);
    let name = folder.rsplit('/').next().unwrap_or_default().to_owned();
    let mut used = BTreeSet::new();
    for picture in found.pictures {
        let told = listed.as_ref().and_then(|all| {
            let key = keys(&picture.path, &start).into_iter().find(|k| all.contains_key(k))?;
            used.insert(key.clone());
            all.get(&key).cloned()
        });
        let picture = Picture { subset: name.clone(), ..picture };
        out.pictures.push(entry(picture, told, subset.class_tokens.clone(), subset.is_reg, &mut out.unread));
    }
    let lost: Vec<String> = listed.into_iter().flat_map(Listed::into_keys).filter(|k| !used.contains(k)).collect();
    if !lost.is_empty() {
        let all = crate::names(&lost);
        out.faults.push(format!("{}: {} pictures of its metadata are not there: {all}", subset.place, lost.len()));
    }
    Ok(())
}

/// What metadata may call a picture: its path, its path below the folder, its name, each with or without the ending.
fn keys(path: &str, folder: &str) -> Vec<String> {
    let below = path.strip_prefix(folder).unwrap_or(path);
    let mut all = Vec::new();
    for key in [path, below] {
        all.push(key.to_owned());
        all.extend(key.rsplit_once('.').map(|(stem, _)| stem.to_owned()));
    }
    all
}

fn entry(
    picture: Picture,
    listed: Option<Option<Annotation>>,
    class_tokens: Option<String>,
    is_reg: bool,
    unread: &mut Vec<String>,
) -> Entry {
    unread.extend(picture.shadowed.iter().cloned());
    if listed.as_ref().is_some_and(Option::is_some) {
        unread.extend(picture.caption.clone());
    }
    Entry { id: picture.path.clone(), picture, listed, class_tokens, is_reg }
}

fn read_list(path: &str, options: &Options<'_>, faults: &mut Vec<String>) -> Result<Listed> {
    let bytes = files::read(options.root, path, MAX_LIST)?;
    let reading = Reading { column: options.column, format: options.format };
    Ok(metadata::read(path, &bytes, &reading).unwrap_or_else(|e| {
        faults.push(e);
        Listed::new()
    }))
}

fn sd_scripts_list(path: &str, options: &Options<'_>, faults: &mut Vec<String>) -> Result<Listed> {
    let bytes = files::read(options.root, path, MAX_LIST)?;
    Ok(metadata::of_sd_scripts(path, &bytes, options.format).unwrap_or_else(|e| {
        faults.push(e);
        Listed::new()
    }))
}

fn is_cache(path: &str) -> bool {
    path.ends_with(".aitk_size.json") || path.split('/').any(|part| CACHES.contains(&part))
}
