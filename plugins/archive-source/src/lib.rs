//! A dataset source: the pictures in archives (zip, tar, tar.gz) and Parquet files, and those at the addresses in a list.
//!
//! Archives come from strangers: names that lead out of them, data that unpacks to gigabytes, names that are there twice and
//! encrypted entries each have a message. Of a zip or tar archive only the part is read that is needed, so it may be of any size;
//! a .tar.gz is read whole, since only its beginning can be found. Start at [`Settings`], then `pack.rs`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod addresses;
mod bytes;
mod pack;
mod table;
mod tar;
mod zip;

use bytes::Bytes;
use pack::{Kind, Limits, Pack};
use plugin_sdk::control::{self, Level};
use plugin_sdk::{
    Annotation, DatasetSource, Error, ErrorKind, Info, Inputs, Item, Media, Page, Result, Tag, export, files, info,
};
use std::collections::BTreeSet;
use table::{Caption, Pictures};

/// Imports the pictures in archives (.zip, .tar, .tar.gz, .tgz) and in Parquet files with their captions, and those at the
/// addresses that a list names, one a line.
#[derive(Inputs)]
pub struct Settings {
    /// The folder with the archives and lists.
    #[input(host_list = "folder")]
    folder: String,
    /// Names of archives and lists in it, separated by commas. Empty: all archives that lie in it, and no list.
    #[input(default = "")]
    names: String,
    /// Is a picture without a caption an error (`required`), fine (`optional`), or are captions not even looked at (`ignore`)?
    #[input(default = "optional", options = ["required", "optional", "ignore"])]
    captions: String,
    /// Endings of caption files in archives, separated by commas. If a picture has several, the first ending counts.
    #[input(default = ".txt, .caption")]
    caption_endings: String,
    /// The column of Parquet files that holds the caption. Empty: `text`, `caption`, `prompt`, `captions` or `tags`.
    #[input(default = "")]
    caption_column: String,
    /// How captions are read: comma-separated tags, or sentences.
    #[input(default = "tags", options = ["tags", "text"])]
    format: String,
    /// What an archive may unpack to, in MiB.
    #[input(default = 2048, range = 1..=65536)]
    max_unpacked: u32,
    /// How many times its packed size an entry may have; more is called a bomb. Pictures are hardly ever above 10, plain ones
    /// may be.
    #[input(default = 200, range = 2..=100_000)]
    max_ratio: u32,
}

/// The largest .tar.gz: what the host hands over at once.
const MAX_PACKED: u64 = 64 << 20;
/// The largest picture.
const MAX_PICTURE: u64 = 48 << 20;
/// Bytes of the pictures of one page.
const MAX_PAGE: u64 = 24 << 20;
/// Larger lists are a mistake.
const MAX_LIST: u64 = 16 << 20;
/// How many names a message lists.
const SHOWN: usize = 20;

/// The source. A position is the archive's name and the picture's in it, or the number of a line.
pub struct ArchiveSource {
    settings: Settings,
    endings: Vec<String>,
    /// What is to be read, once it was looked at.
    names: Option<Vec<String>>,
    /// The archive that is read.
    open: Option<(String, Found)>,
}

enum Found {
    Pack(Box<Pack>),
    Table(Box<Pictures>),
    Addresses(Vec<addresses::Address>),
}

impl DatasetSource for ArchiveSource {
    type Settings = Settings;
    const INFO: Info = Info { category: "dataset", ..info!("anagama.archive-source", "Pictures in archives") };

    fn open(settings: Settings) -> Result<Self> {
        let endings = settings.caption_endings.split(',').map(|e| e.trim().trim_start_matches('.').to_lowercase());
        let endings = endings.filter(|e| !e.is_empty()).collect();
        Ok(Self { settings, endings, names: None, open: None })
    }

    fn next_page(&mut self, from: Option<String>, max_items: u32) -> Result<Page> {
        if control::cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "cancelled while reading archives"));
        }
        let names = match self.names.take() {
            Some(names) => names,
            None => self.find()?,
        };
        let names = self.names.insert(names).clone();
        let (name, after) = position(from.as_deref(), &names)?;
        let (mut page, more) = self.part(&name, after, max_items.max(1) as usize)?;
        let last = names.iter().position(|n| *n == name).unwrap_or(0) + 1;
        page.next = match more {
            Some(after) => Some(format!("{name}\t{after}")),
            None => names.get(last).map(|next| format!("{next}\t")),
        };
        Ok(page)
    }
}

/// The archive to go on with and what was read of it.
fn position(from: Option<&str>, names: &[String]) -> Result<(String, String)> {
    let Some(from) = from else { return Ok((names.first().cloned().unwrap_or_default(), String::new())) };
    let found = from.split_once('\t').filter(|(name, _)| names.iter().any(|n| n == name));
    let (name, after) = found.ok_or_else(|| {
        Error::invalid_input(format!("no such position: {from:?}; has an archive gone? Start the import anew"))
    })?;
    Ok((name.to_owned(), after.to_owned()))
}

impl ArchiveSource {
    /// Names of the archives and lists.
    fn find(&self) -> Result<Vec<String>> {
        let asked: Vec<String> =
            self.settings.names.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect();
        let mut seen = BTreeSet::new();
        if let Some(twice) = asked.iter().find(|n| !seen.insert(n.as_str())) {
            return Err(Error::invalid_input(format!("`names`: `{twice}` is there twice")));
        }
        if !asked.is_empty() {
            return Ok(asked);
        }
        let mut all: Vec<String> = files::list_all(&self.settings.folder, "")?
            .into_iter()
            // A list of pictures that lie beside it is none of them.
            .filter(|e| {
                !e.is_dir && (pack::kind(&e.path).is_some() || is_table(&e.path) && e.path != "metadata.parquet")
            })
            .map(|e| e.path)
            .collect();
        all.sort_by(|a, b| plugin_sdk::natural::compare(a, b));
        if all.is_empty() {
            return Err(Error::not_found(
                "the folder has no archives: expected .zip, .tar, .tar.gz, .tgz or .parquet; name lists of addresses in `names`",
            ));
        }
        Ok(all)
    }

    /// Items of one archive or list, and what the next page begins after.
    fn part(&mut self, name: &str, after: String, count: usize) -> Result<(Page, Option<String>)> {
        let found = match self.open.take().filter(|(open, _)| open == name) {
            Some((_, found)) => found,
            None => self.read(name)?,
        };
        let (_, found) = self.open.insert((name.to_owned(), found));
        match found {
            Found::Pack(pack) => {
                let start = if after.is_empty() { 0 } else { pack.after(&after) };
                let (mut items, mut bytes, mut at) = (Vec::new(), 0, start);
                while at < pack.pictures.len() && items.len() < count {
                    let picture = &pack.pictures[at];
                    bytes += picture.size;
                    if bytes > MAX_PAGE && !items.is_empty() {
                        break;
                    }
                    let data = pack.picture(at).map_err(|e| of(name, e))?;
                    let text = picture.caption.map(|i| pack.caption(i)).transpose().map_err(|e| of(name, e))?;
                    let annotation = annotation(text.as_deref(), &picture.folder, &self.settings.format);
                    let id = format!("{name}/{}", picture.name);
                    items.push(Item { annotation, origin: Some(id.clone()), ..Item::new(id, Media::Bytes(data)) });
                    at += 1;
                }
                let more = (at < pack.pictures.len()).then(|| pack.pictures[at - 1].name.clone());
                Ok((Page { items, next: None, total: None }, more))
            }
            Found::Table(pictures) => {
                let start = number(name, &after)?;
                let rows = pictures.page(start as u64, count, MAX_PAGE).map_err(|e| of(name, e))?;
                let end = start + rows.len();
                let empty: Vec<String> = rows
                    .iter()
                    .filter(|row| row.bytes.is_empty())
                    .map(|row| row.path.as_ref().map_or(row.number.to_string(), |p| format!("{} ({p})", row.number)))
                    .collect();
                if !empty.is_empty() {
                    control::log(Level::Warn, &format!("{name}: rows without a picture: {}", shown(&empty)));
                }
                let items = rows.into_iter().map(|row| {
                    let annotation = match row.caption {
                        Some(Caption::Tags(all)) => tags(all.iter().map(String::as_str), ""),
                        Some(Caption::Text(text)) => annotation(Some(&text), "", &self.settings.format),
                        None => annotation(None, "", &self.settings.format),
                    };
                    let id = format!("{name}/{}", row.number);
                    let origin = row.path.map_or_else(|| id.clone(), |path| format!("{name}/{path}"));
                    Item { annotation, origin: Some(origin), ..Item::new(id, Media::Bytes(row.bytes)) }
                });
                let items: Vec<Item> = items.collect();
                let more = ((end as u64) < pictures.rows()).then(|| end.to_string());
                Ok((Page { items, next: None, total: None }, more))
            }
            Found::Addresses(all) => {
                let start = number(name, &after)?;
                let end = all.len().min(start.saturating_add(count));
                let items = all.get(start..end).unwrap_or_default().iter().map(|address| {
                    let annotation = annotation(address.caption.as_deref(), "", &self.settings.format);
                    let media = Media::Url(address.url.clone());
                    Item { annotation, origin: Some(address.url.clone()), ..Item::new(address.url.clone(), media) }
                });
                Ok((
                    Page { items: items.collect(), next: None, total: None },
                    (end < all.len()).then(|| end.to_string()),
                ))
            }
        }
    }

    fn read(&self, name: &str) -> Result<Found> {
        let folder = &self.settings.folder;
        let required = self.settings.captions == "required";
        if is_table(name) {
            let column = Some(self.settings.caption_column.trim()).filter(|_| self.settings.captions != "ignore");
            let pictures = Pictures::read(Bytes::of_file(folder, name)?, column).map_err(|e| of(name, e))?;
            let missing = if required { pictures.without_caption().map_err(|e| of(name, e))? } else { Vec::new() };
            if !missing.is_empty() {
                let rows: Vec<String> = missing.iter().map(|n| format!("row {n}")).collect();
                return Err(missing_captions(name, &rows, "in the column that `caption_column` names"));
            }
            return Ok(Found::Table(Box::new(pictures)));
        }
        let Some(kind) = pack::kind(name) else {
            let bytes = files::read(folder, name, MAX_LIST)?;
            let mut all = addresses::read(&bytes).map_err(|e| of(name, e))?;
            if self.settings.captions == "ignore" {
                all.iter_mut().for_each(|a| a.caption = None);
            }
            let missing: Vec<String> = all.iter().filter(|a| a.caption.is_none()).map(|a| a.url.clone()).collect();
            if required && !missing.is_empty() {
                return Err(missing_captions(name, &missing, "a tab and the caption behind the address"));
            }
            return Ok(Found::Addresses(all));
        };
        let limits = Limits {
            picture: MAX_PICTURE,
            unpacked: u64::from(self.settings.max_unpacked) << 20,
            ratio: self.settings.max_ratio.into(),
        };
        let endings: &[String] = if self.settings.captions == "ignore" { &[] } else { &self.endings };
        let bytes = match kind {
            Kind::TarGz => {
                let packed = files::read(folder, name, MAX_PACKED).map_err(|e| too_large(name, e))?;
                Bytes::Memory(tar::unpack(&packed, &limits).map_err(|e| of(name, e))?)
            }
            Kind::Zip | Kind::Tar => Bytes::of_file(folder, name)?,
        };
        let pack = Pack::read(kind, bytes, endings, &limits).map_err(|e| of(name, e))?;
        for (what, all) in [("files that are not pictures", &pack.others), ("captions without a picture", &pack.unread)]
        {
            if !all.is_empty() && self.settings.captions != "ignore" {
                let level = if what.starts_with("captions") { Level::Warn } else { Level::Info };
                control::log(level, &format!("{name}: left out {} {what}: {}", all.len(), shown(all)));
            }
        }
        let without = pack.pictures.iter().filter(|p| p.caption.is_none()).map(|p| p.name.clone());
        let missing: Vec<String> = without.collect();
        if required && !missing.is_empty() {
            let endings = self.endings.iter().map(|e| format!(".{e}")).collect::<Vec<_>>().join(" or ");
            return Err(missing_captions(name, &missing, &format!("{endings} beside them")));
        }
        Ok(Found::Pack(Box::new(pack)))
    }
}

fn too_large(name: &str, error: Error) -> Error {
    if error.kind != ErrorKind::TooLarge {
        return error;
    }
    let message = format!(
        "{name}: a .tar.gz may have {} MiB, since it can be read only whole ({}); `gunzip` makes a .tar of it, which may be of \
         any size, as a .zip may",
        MAX_PACKED >> 20,
        error.message
    );
    Error::new(ErrorKind::TooLarge, message)
}

fn of(name: &str, message: String) -> Error {
    Error::invalid_input(format!("{name}: {message}"))
}

fn missing_captions(name: &str, missing: &[String], expected: &str) -> Error {
    Error::invalid_input(format!(
        "{name}: {} pictures have no caption ({expected}): {}; set `captions` to `optional` or `ignore` to import them",
        missing.len(),
        shown(missing)
    ))
}

fn is_table(name: &str) -> bool {
    name.to_lowercase().ends_with(".parquet")
}

/// A position in a list or table.
fn number(name: &str, after: &str) -> Result<usize> {
    if after.is_empty() {
        return Ok(0);
    }
    let bad = |_| Error::invalid_input(format!("no such position in {name}: {after:?}; start the import anew"));
    after.parse().map_err(bad)
}

fn tags<'a>(names: impl Iterator<Item = &'a str>, folder: &str) -> Annotation {
    let extra = serde_json::json!({"subset": folder, "natural_language": false}).to_string();
    let tags = names.map(|name| Tag { name: name.to_owned(), ..Tag::default() }).collect();
    Annotation { tags, extra: Some(extra), ..Annotation::default() }
}

fn annotation(text: Option<&str>, folder: &str, format: &str) -> Annotation {
    let text = text.map(str::trim).filter(|t| !t.is_empty());
    let sentences = format == "text";
    let extra = serde_json::json!({"subset": folder, "natural_language": sentences && text.is_some()}).to_string();
    let mut out = Annotation { extra: Some(extra), ..Annotation::default() };
    match text {
        Some(text) if sentences => out.text = Some(text.to_owned()),
        Some(text) => {
            let names = text.split([',', '\n']).map(str::trim).filter(|n| !n.is_empty());
            out.tags = names.map(|name| Tag { name: name.to_owned(), ..Tag::default() }).collect();
        }
        None => {}
    }
    out
}

fn shown(all: &[String]) -> String {
    let text = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN { format!("{text} and {} more", all.len() - SHOWN) } else { text }
}

export!(ArchiveSource: DatasetSource);

#[cfg(test)]
mod tests;
