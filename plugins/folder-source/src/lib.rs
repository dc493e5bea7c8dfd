//! A dataset source: the pictures of a folder with the captions beside them.
//!
//! Subfolders are subsets; kohya's `10_name` folders repeat their pictures. The pictures themselves are left to the
//! host, which decodes every one and names those that are broken. Start at [`Settings`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod captions;
mod listing;
mod natural;

use captions::Format;
use listing::{Listing, Picture, Rules};
use plugin_sdk::control::{self, Level};
use plugin_sdk::{
    Annotation, DatasetSource, Error, ErrorKind, Info, Inputs, Item, Media, Page, Result, export, files, info,
};

/// Imports the pictures of a folder and the caption files beside them.
#[derive(Inputs)]
pub struct Settings {
    /// The folder.
    #[input(host_list = "folder")]
    folder: String,
    /// Is a picture without a caption an error (`required`), fine (`optional`), or are captions not even looked at
    /// (`ignore`)?
    #[input(default = "required", options = ["required", "optional", "ignore"])]
    captions: String,
    /// Endings of caption files, separated by commas. If a picture has several, the first ending counts.
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
    found: Option<Vec<(Picture, Annotation)>>,
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
            found.partition_point(|(p, _)| natural::compare(&p.path, &last) != std::cmp::Ordering::Greater)
        });
        let end = found.len().min(start.saturating_add(max_items.max(1) as usize));
        let root = &self.settings.folder;
        let items = found[start..end].iter().map(|(picture, annotation)| item(root, picture, annotation)).collect();
        let next = (end < found.len()).then(|| found[end - 1].0.path.clone());
        Ok(Page { items, next, total: Some(found.len() as u64) })
    }
}

impl FolderSource {
    /// Everything in the folder with its captions; all faults at once.
    fn scan(&self) -> Result<Vec<(Picture, Annotation)>> {
        let rules =
            Rules { endings: &self.endings, kohya: self.settings.kohya_folders, repeats: self.settings.repeats };
        let listing = listing::pair(&self.walk()?, &rules);
        if listing.pictures.is_empty() {
            let message = format!(
                "the folder has no pictures: found {} other files; expected png, jpg, webp, bmp, gif or tiff",
                listing.others.len() + listing.orphans.len()
            );
            return Err(Error::not_found(message));
        }
        if !listing.others.is_empty() {
            let names = names(&listing.others);
            control::log(
                Level::Info,
                &format!("left out {} files that are not pictures: {names}", listing.others.len()),
            );
        }
        self.annotate(listing)
    }

    fn annotate(&self, listing: Listing) -> Result<Vec<(Picture, Annotation)>> {
        if self.settings.captions == "ignore" {
            return Ok(listing.pictures.into_iter().map(|p| (p, Annotation::default())).collect());
        }
        let format = match self.settings.format.as_str() {
            "tags" => Format::Tags,
            "text" => Format::Text,
            _ => Format::Auto,
        };
        let required = self.settings.captions == "required";
        let (mut found, mut missing, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        for picture in listing.pictures {
            let annotation = match &picture.caption {
                None => {
                    missing.push(picture.path.clone());
                    Annotation::default()
                }
                Some(path) => {
                    let bytes = files::read(&self.settings.folder, path, MAX_CAPTION)?;
                    captions::parse(&bytes, format).unwrap_or_else(|e| {
                        faults.push(format!("{path}: {e}"));
                        Annotation::default()
                    })
                }
            };
            found.push((picture, annotation));
        }
        let mut problems = Vec::new();
        if required && !missing.is_empty() {
            let endings = self.endings.iter().map(|e| format!(".{e}")).collect::<Vec<_>>().join(" or ");
            problems.push(format!(
                "{} pictures have no caption ({endings} beside them): {}; set `captions` to `optional` or `ignore` to import them",
                missing.len(),
                names(&missing)
            ));
        }
        if !faults.is_empty() {
            problems.push(format!("{} caption files cannot be used: {}", faults.len(), names(&faults)));
        }
        if !listing.orphans.is_empty() {
            let text = format!("{} caption files have no picture: {}", listing.orphans.len(), names(&listing.orphans));
            if required { problems.push(text) } else { control::log(Level::Warn, &text) }
        }
        if problems.is_empty() { Ok(found) } else { Err(Error::invalid_input(problems.join("; "))) }
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

fn item(root: &str, picture: &Picture, annotation: &Annotation) -> Item {
    let extra = serde_json::json!({
        "repeats": picture.repeats,
        "subset": picture.subset,
        "natural_language": annotation.text.is_some(),
    });
    let media = Media::File { root: root.to_owned(), path: picture.path.clone() };
    let annotation = Annotation { extra: Some(extra.to_string()), ..annotation.clone() };
    Item { annotation, ..Item::new(picture.path.clone(), media) }
}

fn names(all: &[String]) -> String {
    let shown = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN { format!("{shown} and {} more", all.len() - SHOWN) } else { shown }
}

export!(FolderSource: DatasetSource);

#[cfg(test)]
mod tests;
