//! Data sets that were made for kohya's sd-scripts: its dataset files (TOML) and its folder names (`10_ohwx girl`).
//!
//! What the files say is kept exactly, with sd-scripts' defaults for what they do not say; two things differ: paths are
//! relative to the file, and caption files are looked for as `.txt` and as `.caption` unless the file names an ending.

mod folder;
mod keys;
mod kohya;

pub use folder::Missing;
pub use kohya::{folder_files, read_folders};

use crate::{Dataset, Item, Mask};
use anyhow::{Context, Result, bail, ensure};
use folder::{Found, Pictures};
use keys::{KEYS, Key, Level, To};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// What was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Import {
    pub dataset: Dataset,
    /// Settings of the trainer for the whole run.
    pub options: Map<String, Value>,
    /// Every file that this depends on.
    pub files: Vec<PathBuf>,
}

/// A table of the file, with what stands above it.
type Levels<'a> = [&'a Map<String, Value>];

/// Reads a dataset file.
///
/// # Errors
/// The file cannot be read or is no TOML; unknown keys, values of another kind, all at once; folders without images;
/// missing captions, unless they are allowed; damaged images.
pub fn read(file: &Path, missing: Missing) -> Result<Import> {
    let tables = parse(file)?;
    let mut import = Import { files: vec![file.to_owned()], ..Import::default() };
    let base = file.parent().unwrap_or(Path::new(""));
    let mut run = Run::default();
    for dataset in &tables.datasets {
        for subset in &dataset.subsets {
            let levels = [&subset.keys, &dataset.keys, &tables.general];
            let found = one(base, &levels, missing, &mut import)
                .with_context(|| format!("{}: {}", file.display(), subset.place))?;
            run.masked.push(found);
        }
        run.add(&[&dataset.keys, &tables.general]);
    }
    import.options = run.options()?;
    unique(&mut import.dataset);
    Ok(import)
}

/// The files that a dataset file names, without reading pictures or captions.
///
/// # Errors
/// As [`read`], as far as it concerns the file itself and its folders.
pub fn files(file: &Path) -> Result<Vec<PathBuf>> {
    let tables = parse(file)?;
    let base = file.parent().unwrap_or(Path::new(""));
    let mut files = vec![file.to_owned()];
    for subset in tables.datasets.iter().flat_map(|d| &d.subsets) {
        for key in ["image_dir", "conditioning_data_dir"] {
            if let Some(Value::String(folder)) = subset.keys.get(key) {
                files.extend(folder::files(&base.join(folder))?);
            }
        }
        if let Some(Value::String(path)) = subset.keys.get("metadata_file") {
            files.push(base.join(path));
        }
    }
    Ok(files)
}

/// A dataset file, checked.
struct Tables {
    general: Map<String, Value>,
    datasets: Vec<DatasetTable>,
}

struct DatasetTable {
    keys: Map<String, Value>,
    subsets: Vec<SubsetTable>,
}

struct SubsetTable {
    /// For messages.
    place: String,
    keys: Map<String, Value>,
}

fn parse(file: &Path) -> Result<Tables> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let toml: toml::Table = toml::from_str(&text).with_context(|| file.display().to_string())?;
    let Value::Object(mut top) = serde_json::to_value(toml)? else { bail!("{}: expected tables", file.display()) };
    let mut faults = Vec::new();
    let general = table(top.remove("general").unwrap_or(json!({})), "[general]", &mut faults);
    check(&general, "[general]", |level| level != Level::Own, &mut faults);
    let mut datasets = Vec::new();
    for (n, dataset) in list(top.remove("datasets"), "[[datasets]]", &mut faults).into_iter().enumerate() {
        let place = format!("[[datasets]] {}", n + 1);
        let mut keys = table(dataset, &place, &mut faults);
        let subsets = list(keys.remove("subsets"), &format!("{place}, [[datasets.subsets]]"), &mut faults);
        check(&keys, &place, |level| level != Level::Own, &mut faults);
        let subset = |(m, subset): (usize, Value)| {
            let place = format!("{place}, [[datasets.subsets]] {}", m + 1);
            let keys = table(subset, &place, &mut faults);
            check(&keys, &place, |level| level != Level::Dataset, &mut faults);
            SubsetTable { place, keys }
        };
        let subsets: Vec<SubsetTable> = subsets.into_iter().enumerate().map(subset).collect();
        datasets.push(DatasetTable { keys, subsets });
    }
    for name in top.keys() {
        faults.push(format!("unknown table `{name}`; known: [general], [[datasets]]"));
    }
    if faults.is_empty() && datasets.iter().all(|d| d.subsets.is_empty()) {
        faults.push("no [[datasets.subsets]] with an `image_dir`".into());
    }
    ensure!(faults.is_empty(), "{}: {}", file.display(), faults.join("; "));
    Ok(Tables { general, datasets })
}

fn table(value: Value, place: &str, faults: &mut Vec<String>) -> Map<String, Value> {
    match value {
        Value::Object(keys) => keys,
        _ => {
            faults.push(format!("{place}: expected a table"));
            Map::new()
        }
    }
}

fn list(value: Option<Value>, place: &str, faults: &mut Vec<String>) -> Vec<Value> {
    match value {
        Some(Value::Array(all)) => all,
        None => Vec::new(),
        Some(_) => {
            faults.push(format!("{place}: expected a list of tables, written in double brackets"));
            Vec::new()
        }
    }
}

fn check(keys: &Map<String, Value>, place: &str, may: impl Fn(Level) -> bool, faults: &mut Vec<String>) {
    for (name, value) in keys {
        let Some(key) = KEYS.iter().find(|k| k.name == name) else {
            let known: Vec<&str> = KEYS.iter().filter(|k| may(k.level)).map(|k| k.name).collect();
            faults.push(format!("{place}: unknown key `{name}`; known: {}", known.join(", ")));
            continue;
        };
        if !may(key.level) {
            let belongs = if key.level == Level::Own { "[[datasets.subsets]]" } else { "[general] or [[datasets]]" };
            faults.push(format!("{place}: `{name}` belongs into {belongs}"));
        } else if let Err(e) = key.takes.check(value) {
            faults.push(format!("{place}: `{name}`: {e}"));
        } else if let To::Refused(off, instead) = key.to
            && !off.eq(&value.to_string())
            && value.as_f64().map(|v| format!("{v:?}")).as_deref() != Some(off)
        {
            faults.push(format!("{place}: `{name}` = {value} cannot be done here: {instead}"));
        }
    }
}

/// The value of a key: of the innermost level that has it.
fn get<'a>(levels: &Levels<'a>, name: &str) -> Option<&'a Value> {
    levels.iter().find_map(|keys| keys.get(name))
}

fn text<'a>(levels: &Levels<'a>, name: &str) -> Option<&'a str> {
    get(levels, name).and_then(Value::as_str)
}

/// What the trainer is told of a subset.
fn settings(levels: &Levels<'_>) -> Result<Map<String, Value>> {
    let mut out = Map::new();
    let buckets = get(levels, "enable_bucket") == Some(&Value::Bool(true));
    for Key { name, to, .. } in KEYS {
        let To::Trainer(own, default) = to else { continue };
        // Without buckets nothing else is said of them.
        if own.starts_with("bucket_") && !buckets {
            continue;
        }
        if let Some(value) = get(levels, name) {
            out.insert((*own).to_owned(), value.clone());
        } else if let Some(default) = default {
            out.insert((*own).to_owned(), serde_json::from_str(default)?);
        }
    }
    Ok(out)
}

/// Reads a subset's pictures; says whether they are masked.
fn one(base: &Path, levels: &Levels<'_>, missing: Missing, import: &mut Import) -> Result<bool> {
    let pictures = Pictures {
        folder: text(levels, "image_dir").map(|f| base.join(f)),
        metadata: text(levels, "metadata_file").map(|f| base.join(f)),
        masks: text(levels, "conditioning_data_dir").map(|f| base.join(f)),
        ending: text(levels, "caption_extension"),
        class_tokens: text(levels, "class_tokens"),
        all_lines: get(levels, "enable_wildcard") == Some(&Value::Bool(true)),
        missing,
    };
    let name = pictures.name();
    let Found { pictures, notes, files } = pictures.read(base)?;
    let whole = |key: &str| get(levels, key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let mut settings = settings(levels)?;
    if missing == Missing::Allowed {
        settings.insert("allow_missing_captions".into(), true.into());
    }
    let mut masked = get(levels, "alpha_mask") == Some(&Value::Bool(true));
    for picture in pictures {
        masked |= picture.mask.is_some();
        import.dataset.items.push(Item {
            subset: name.clone(),
            repeats: whole("num_repeats").unwrap_or(1),
            is_reg: get(levels, "is_reg") == Some(&Value::Bool(true)),
            settings: settings.clone(),
            ..picture
        });
    }
    import.dataset.notes.extend(notes.into_iter().map(|note| format!("{name}: {note}")));
    import.files.extend(files);
    Ok(masked)
}

/// What holds for a whole run.
#[derive(Default)]
struct Run {
    /// Settings on the level of data sets, of each.
    sets: Vec<Map<String, Value>>,
    batch_sizes: Vec<Value>,
    /// Of each subset.
    masked: Vec<bool>,
}

impl Run {
    fn add(&mut self, levels: &Levels<'_>) {
        let mut set = Map::new();
        for Key { name, level, to, .. } in KEYS {
            if let (Level::Dataset, To::Trainer(own, _), Some(value)) = (level, to, get(levels, name)) {
                set.insert((*own).to_owned(), value.clone());
            }
        }
        self.sets.push(set);
        self.batch_sizes.extend(get(levels, "batch_size").cloned());
    }

    fn options(mut self) -> Result<Map<String, Value>> {
        self.sets.dedup();
        // Where data sets differ, their images carry the settings.
        let mut options = if self.sets.len() == 1 { self.sets.remove(0) } else { Map::new() };
        self.batch_sizes.dedup();
        ensure!(
            self.batch_sizes.len() < 2,
            "data sets have batches of different sizes ({}); batches here mix images of all data sets, so that they need \
             one size",
            self.batch_sizes.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")
        );
        options.extend(self.batch_sizes.pop().map(|size| ("batch_size".to_owned(), size)));
        self.masked.dedup();
        ensure!(
            self.masked.len() < 2,
            "some subsets are masked (`alpha_mask`, `conditioning_data_dir`) and others are not; masks are for the whole \
             run: images without transparency count whole anyway"
        );
        if self.masked == [true] {
            options.insert("masked_loss".into(), true.into());
        }
        Ok(options)
    }
}

/// Gives pictures that are in several subsets names of their own.
fn unique(dataset: &mut Dataset) {
    let mut seen = std::collections::BTreeMap::new();
    for item in &mut dataset.items {
        let n: &mut u32 = seen.entry(item.id.clone()).or_default();
        *n += 1;
        if *n > 1 {
            item.id = format!("{} ({n})", item.id);
        }
    }
}

/// A data set whose pictures have the masks of a folder, by their names without endings.
///
/// # Errors
/// The folder cannot be read; no picture has a mask there, or with `required` one has none.
pub fn with_masks(dataset: &Dataset, folder: &Path, required: bool) -> Result<Dataset> {
    let masks = folder::masks(folder)?;
    let mut out = dataset.clone();
    let mut without = Vec::new();
    for item in &mut out.items {
        let name = Path::new(&item.id).file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        match masks.get(&name) {
            Some(path) => item.mask = Some(mask(path)?),
            None => without.push(item.id.clone()),
        }
    }
    let some = without.len() < out.items.len();
    ensure!(some, "no picture has a mask in {}: found {} pictures there", folder.display(), masks.len());
    if !without.is_empty() {
        let text =
            format!("{} pictures have no mask in {}: {}", without.len(), folder.display(), folder::some(&without));
        ensure!(!required, "{text}");
        out.notes.push(text);
    }
    Ok(out)
}

/// The files that [`with_masks`] reads.
///
/// # Errors
/// The folder cannot be read.
pub fn mask_files(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(folder::masks(folder)?.into_values().collect())
}

/// A mask's file.
fn mask(path: &Path) -> Result<Mask> {
    let digest = crate::Digest::of_file(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Mask { path: path.to_owned(), digest: digest.to_string() })
}

#[cfg(test)]
mod tests;
