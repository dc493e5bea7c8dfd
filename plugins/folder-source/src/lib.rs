//! A dataset source: the pictures of a folder with the captions beside them, or with what a list says of them.
//!
//! Subfolders are subsets; kohya's `10_name` folders repeat their pictures; dataset files of sd-scripts and lists as Hugging
//! Face's `imagefolder` has them are read. The pictures themselves are left to the
//! host, which decodes every one and names those that are broken. Start at [`Settings`], then `layout.rs`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod captions;
mod dataset_file;
mod layout;
mod listing;
mod metadata;
mod parquet;

use captions::Format;
use layout::{Entry, Layout, Options};
use plugin_sdk::control::{self, Level};
use plugin_sdk::{
    Annotation, DatasetSource, Error, ErrorKind, Info, Inputs, Item, Media, Page, Result, export, files, info,
};

/// Imports the pictures of a folder with the caption files beside them, or with what `metadata.jsonl`, `metadata.csv`,
/// `metadata.parquet` or a dataset file of sd-scripts says.
#[derive(Inputs)]
pub struct Settings {
    /// The folder.
    #[input(host_list = "folder")]
    folder: String,
    /// Is a picture without a caption an error (`required`), fine (`optional`), or are captions not even looked at
    /// (`ignore`)?
    #[input(default = "required", options = ["required", "optional", "ignore"])]
    captions: String,
    /// A dataset file of sd-scripts (TOML) below the folder, that says which of its folders belong to the data set. Empty: all
    /// do.
    #[input(default = "")]
    dataset_file: String,
    /// The column of `metadata.jsonl`, `metadata.csv` or `metadata.parquet` that holds the caption. Empty: `text`, `caption`,
    /// `prompt`, `captions` or `tags`.
    #[input(default = "")]
    caption_column: String,
    /// What stands for `[trigger]` in captions, as ai-toolkit has it. Empty: it stays.
    #[input(default = "")]
    trigger: String,
    /// Endings of caption files, separated by commas; `.json` holds `{"caption": …}`. If a picture has several, the first ending
    /// counts.
    #[input(default = ".txt, .caption")]
    caption_endings: String,
    /// How captions are read: comma-separated tags, sentences, or told apart by their punctuation.
    #[input(default = "auto", options = ["auto", "tags", "text"])]
    format: String,
    /// Look into subfolders too.
    #[input(default = true)]
    recursive: bool,
    /// Read `10_name` as a folder `name` whose pictures count ten times.
    #[input(default = true)]
    kohya_folders: bool,
    /// How often pictures of other folders count.
    #[input(default = 1, range = 1..=10_000)]
    repeats: u32,
}

/// The source. It lists the folder on the first call; a position is the path of the last item, so that a new instance
/// goes on where the old one stopped.
pub struct FolderSource {
    settings: Settings,
    endings: Vec<String>,
    found: Option<Vec<(Entry, Annotation)>>,
}

/// Larger caption files are a mistake.
const MAX_CAPTION: u64 = 1 << 20;
/// How many names a message lists.
const SHOWN: usize = 20;

impl DatasetSource for FolderSource {
    type Settings = Settings;
    const INFO: Info = Info { category: "dataset", ..info!("anagama.folder-source", "Folder of pictures") };

    fn open(settings: Settings) -> Result<Self> {
        let endings = settings.caption_endings.split(',').map(|e| e.trim().trim_start_matches('.').to_lowercase());
        let endings = endings.filter(|e| !e.is_empty()).collect();
        Ok(Self { settings, endings, found: None })
    }

    fn next_page(&mut self, from: Option<String>, max_items: u32) -> Result<Page> {
        let found = match self.found.take() {
            Some(found) => found,
            None => self.scan()?,
        };
        let found = self.found.insert(found);
        let start = from.map_or(0, |last| {
            found.partition_point(|(e, _)| plugin_sdk::natural::compare(&e.id, &last) != std::cmp::Ordering::Greater)
        });
        let end = found.len().min(start.saturating_add(max_items.max(1) as usize));
        let root = &self.settings.folder;
        let items = found[start..end].iter().map(|(entry, annotation)| item(root, entry, annotation)).collect();
        let next = (end < found.len()).then(|| found[end - 1].0.id.clone());
        Ok(Page { items, next, total: Some(found.len() as u64) })
    }
}

impl FolderSource {
    /// Everything in the folder with its captions; all faults at once.
    fn scan(&self) -> Result<Vec<(Entry, Annotation)>> {
        let format = match self.settings.format.as_str() {
            "tags" => Format::Tags,
            "text" => Format::Text,
            _ => Format::Auto,
        };
        let options = Options {
            root: &self.settings.folder,
            endings: &self.endings,
            kohya: self.settings.kohya_folders,
            repeats: self.settings.repeats,
            column: self.settings.caption_column.trim(),
            format,
            captions: self.settings.captions != "ignore",
        };
        let paths = self.walk()?;
        let layout = match self.settings.dataset_file.trim() {
            "" => layout::folder(paths, &options)?,
            file => layout::dataset_file(file, &paths, &options)?,
        };
        if layout.pictures.is_empty() && layout.faults.is_empty() {
            let archive =
                |path: &String| [".parquet", ".zip", ".tar", ".tgz", ".tar.gz"].iter().any(|e| path.ends_with(e));
            let hint = match layout.others.iter().find(|path| archive(path)) {
                Some(path) => format!("; pictures in files such as {path} are read by the node Pictures in archives"),
                None => String::new(),
            };
            let message = format!(
                "the folder has no pictures: found {} other files; expected png, jpg, webp, bmp, gif or tiff{hint}",
                layout.others.len() + layout.orphans.len()
            );
            return Err(Error::not_found(message));
        }
        let tell = |level, count: usize, what: &str, names: String| {
            if count > 0 {
                control::log(level, &format!("{what}: {names}"));
            }
        };
        let others = layout.others.len();
        tell(Level::Info, others, &format!("left out {others} files that are not pictures"), names(&layout.others));
        let what = "left to the trainer's own settings, which the node SdScriptsDataset reads from such a file";
        tell(Level::Warn, layout.training.len(), what, names(&layout.training));
        self.annotate(layout, format)
    }

    fn annotate(&self, layout: Layout, format: Format) -> Result<Vec<(Entry, Annotation)>> {
        let Layout { pictures, orphans, unread, faults: mut problems, .. } = layout;
        let looked = self.settings.captions != "ignore";
        let required = self.settings.captions == "required";
        let (mut found, mut missing, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        for mut entry in pictures {
            let mut annotation = None;
            if looked {
                annotation = match (entry.listed.take(), &entry.picture.caption) {
                    (Some(Some(listed)), _) => Some(listed),
                    (_, Some(path)) => {
                        let bytes = files::read(&self.settings.folder, path, MAX_CAPTION)?;
                        let parsed = if path.to_lowercase().ends_with(".json") {
                            captions::of_json(&bytes, format)
                        } else {
                            captions::parse(&bytes, format)
                        };
                        parsed.map_err(|e| faults.push(format!("{path}: {e}"))).ok().or(Some(Annotation::default()))
                    }
                    _ => entry.class_tokens.as_ref().and_then(|c| captions::parse(c.as_bytes(), format).ok()),
                };
                if annotation.is_none() {
                    missing.push(entry.picture.path.clone());
                }
            }
            let mut annotation = annotation.unwrap_or_default();
            self.trigger(&mut annotation);
            found.push((entry, annotation));
        }
        if required && !missing.is_empty() {
            let endings = self.endings.iter().map(|e| format!(".{e}")).collect::<Vec<_>>().join(" or ");
            problems.push(format!(
                "{} pictures have no caption ({endings} beside them): {}; set `captions` to `optional` or `ignore` to import them",
                missing.len(),
                names(&missing)
            ));
        } else if !missing.is_empty() {
            control::log(Level::Warn, &format!("{} pictures have no caption: {}", missing.len(), names(&missing)));
        }
        if !faults.is_empty() {
            problems.push(format!("{} caption files cannot be used: {}", faults.len(), names(&faults)));
        }
        if !orphans.is_empty() && looked {
            let text = format!("{} caption files have no picture: {}", orphans.len(), names(&orphans));
            if required { problems.push(text) } else { control::log(Level::Warn, &text) }
        }
        if !unread.is_empty() && looked {
            let text = format!(
                "{} caption files are not read, because another caption counts: {}",
                unread.len(),
                names(&unread)
            );
            control::log(Level::Warn, &text);
        }
        if problems.is_empty() { Ok(found) } else { Err(Error::invalid_input(problems.join("; "))) }
    }

    fn trigger(&self, annotation: &mut Annotation) {
        const PLACE: &str = "[trigger]";
        if self.settings.trigger.is_empty() {
            return;
        }
        for text in annotation.tags.iter_mut().map(|t| &mut t.name).chain(&mut annotation.text) {
            *text = text.replace(PLACE, &self.settings.trigger);
        }
    }

    /// Paths of all files below the folder; hidden files and folders are left out.
    fn walk(&self) -> Result<Vec<String>> {
        let (mut found, mut open) = (Vec::new(), vec![String::new()]);
        while let Some(folder) = open.pop() {
            if control::cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "cancelled while listing the folder"));
            }
            for entry in files::list_all(&self.settings.folder, &folder)? {
                let hidden = entry.path.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
                match (hidden, entry.is_dir) {
                    (true, _) => {}
                    (_, true) if self.settings.recursive => open.push(entry.path),
                    (_, true) => {}
                    (_, false) => found.push(entry.path),
                }
            }
        }
        Ok(found)
    }
}

fn item(root: &str, entry: &Entry, annotation: &Annotation) -> Item {
    let picture = &entry.picture;
    let mut extra = serde_json::json!({
        "repeats": picture.repeats,
        "subset": picture.subset,
        "natural_language": annotation.text.is_some(),
    });
    if entry.is_reg {
        extra["is_reg"] = true.into();
    }
    let media = Media::File { root: root.to_owned(), path: picture.path.clone() };
    let annotation = Annotation { extra: Some(extra.to_string()), ..annotation.clone() };
    Item { annotation, ..Item::new(entry.id.clone(), media) }
}

pub(crate) fn names(all: &[String]) -> String {
    let shown = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN { format!("{shown} and {} more", all.len() - SHOWN) } else { shown }
}

export!(FolderSource: DatasetSource);

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;
