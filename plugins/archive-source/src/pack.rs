//! An archive: its pictures in order, with what tells its captions, and the checks that hold for every kind.

use crate::bytes::Bytes;
use crate::{tar, zip};
use plugin_sdk::natural;
use std::collections::{BTreeMap, BTreeSet};

/// Endings of the pictures that the host decodes, in lower case.
const PICTURES: [&str; 8] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"];
/// Larger captions are a mistake.
const MAX_CAPTION: u64 = 1 << 20;
/// Most entries of an archive.
pub(crate) const MAX_ENTRIES: usize = 200_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Zip,
    Tar,
    TarGz,
}

/// What the name's ending says; none: no archive.
pub(crate) fn kind(name: &str) -> Option<Kind> {
    let name = name.to_lowercase();
    let endings = [(".zip", Kind::Zip), (".tar", Kind::Tar), (".tar.gz", Kind::TarGz), (".tgz", Kind::TarGz)];
    endings.into_iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, kind)| kind)
}

/// What an archive may unpack to.
pub(crate) struct Limits {
    pub(crate) picture: u64,
    pub(crate) unpacked: u64,
    pub(crate) ratio: u64,
}

/// A file in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    /// Unpacked.
    pub(crate) size: u64,
    pub(crate) packed: u64,
    pub(crate) place: Place,
}

/// Where its data are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// As they are, from here on.
    Plain(u64),
    /// In a zip: position of the local header, method, checksum.
    Zipped { header: u64, method: u16, crc: u32 },
    /// Not to be had, and why.
    Refused(&'static str),
}

pub(crate) struct Picture {
    pub(crate) name: String,
    pub(crate) folder: String,
    pub(crate) size: u64,
    /// Index of its caption's entry.
    pub(crate) caption: Option<usize>,
    entry: usize,
}

pub(crate) struct Pack {
    bytes: Bytes,
    entries: Vec<Entry>,
    pub(crate) pictures: Vec<Picture>,
    pub(crate) unread: Vec<String>,
    pub(crate) others: Vec<String>,
}

impl Pack {
    /// # Errors
    /// All that is wrong with the archive and its entries.
    pub(crate) fn read(kind: Kind, bytes: Bytes, endings: &[String], limits: &Limits) -> Result<Self, String> {
        let entries = if kind == Kind::Zip { zip::entries(&bytes)? } else { tar::entries(&bytes)? };
        let names = check(&entries, limits)?;
        let mut captions: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
        let (mut pictures, mut others) = (Vec::new(), Vec::new());
        for (at, name) in names.iter().enumerate() {
            let (stem, ending) = split(name);
            if hidden(name) {
                continue;
            }
            if let Some(rank) = endings.iter().position(|e| *e == ending) {
                captions.entry(stem.to_owned()).or_default().push((rank, at));
            } else if PICTURES.contains(&ending.as_str()) {
                pictures.push(at);
            } else {
                others.push(name.clone());
            }
        }
        let mut used = BTreeSet::new();
        let mut found: Vec<Picture> = Vec::new();
        for entry in pictures {
            let name = names[entry].clone();
            let caption = captions.get(split(&name).0).and_then(|all| all.iter().min()).map(|(_, at)| *at);
            used.extend(caption);
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
            found.push(Picture { size: entries[entry].size, name, folder, caption, entry });
        }
        found.sort_by(|a, b| natural::compare(&a.name, &b.name));
        if found.is_empty() {
            return Err(format!("the archive has no pictures: found {} other files", others.len() + captions.len()));
        }
        let unread = captions.into_values().flatten().filter(|(_, at)| !used.contains(at));
        let unread = unread.map(|(_, at)| names[at].clone()).collect();
        Ok(Self { bytes, entries, pictures: found, unread, others })
    }

    /// The place behind the picture of this name, whether it is there or not.
    pub(crate) fn after(&self, name: &str) -> usize {
        self.pictures.partition_point(|p| natural::compare(&p.name, name) != std::cmp::Ordering::Greater)
    }

    pub(crate) fn picture(&self, at: usize) -> Result<Vec<u8>, String> {
        self.data(self.pictures[at].entry)
    }

    pub(crate) fn caption(&self, entry: usize) -> Result<String, String> {
        let name = || String::from_utf8_lossy(&self.entries[entry].name).into_owned();
        if self.entries[entry].size > MAX_CAPTION {
            return Err(format!("{}: a caption of {} bytes", name(), self.entries[entry].size));
        }
        let text = String::from_utf8(self.data(entry)?).map_err(|e| format!("{}: expected UTF-8 ({e})", name()))?;
        Ok(text.trim_start_matches('\u{feff}').to_owned())
    }

    fn data(&self, entry: usize) -> Result<Vec<u8>, String> {
        let entry = &self.entries[entry];
        let data = match entry.place {
            Place::Plain(from) => self.bytes.whole(from, entry.size),
            Place::Zipped { header, method, crc } => zip::data(&self.bytes, entry, header, method, crc),
            Place::Refused(why) => Err(why.to_owned()),
        };
        data.map_err(|e| format!("{}: {e}", String::from_utf8_lossy(&entry.name)))
    }
}

/// The entries' names, if nothing is wrong with any.
fn check(entries: &[Entry], limits: &Limits) -> Result<Vec<String>, String> {
    let (mut names, mut faults, mut seen, mut sum) = (Vec::new(), Vec::new(), BTreeSet::new(), 0u64);
    for entry in entries {
        let shown = String::from_utf8_lossy(&entry.name).into_owned();
        let size = entry.size;
        sum = sum.saturating_add(size);
        match name(&entry.name) {
            Err(e) => faults.push(format!("`{}`: {e}", shown.escape_debug())),
            Ok(name) if !seen.insert(name.clone()) => faults.push(format!("`{name}` is in it twice")),
            Ok(_) if matches!(entry.place, Place::Refused(_)) => {
                let Place::Refused(why) = entry.place else { continue };
                faults.push(format!("`{shown}`: {why}"));
            }
            // Others are left where they are.
            Ok(name) if size > limits.picture && PICTURES.contains(&split(&name).1.as_str()) => {
                faults.push(format!("`{shown}` has {} MiB, at most {} are read", size >> 20, limits.picture >> 20));
            }
            // A few hundred bytes may well be all alike.
            Ok(_) if size > 1 << 20 && size / entry.packed.max(1) > limits.ratio => faults.push(format!(
                "`{shown}` unpacks to {} times its size, as bombs do; `max_ratio` allows {}",
                size / entry.packed.max(1),
                limits.ratio
            )),
            Ok(name) => names.push(name),
        }
    }
    if sum > limits.unpacked {
        faults.push(format!(
            "it unpacks to {} MiB, `max_unpacked` allows {}",
            sum.div_ceil(1 << 20),
            limits.unpacked >> 20
        ));
    }
    if faults.is_empty() { Ok(names) } else { Err(crate::shown(&faults)) }
}

/// A name that stays within the archive.
fn name(bytes: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        "its name is not UTF-8; make the archive with a program that writes UTF-8, such as `zip` or `7z -mcu=on`"
            .to_owned()
    })?;
    if text.starts_with(['/', '\\']) || text.get(1..2) == Some(":") || text.split(['/', '\\']).any(|part| part == "..")
    {
        return Err("its name leads out of the archive".to_owned());
    }
    if text.contains(['\0', '\t', '\n', '\r', '\\']) {
        return Err("its name has signs that no name should have".to_owned());
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() { Err("it has no name".to_owned()) } else { Ok(parts.join("/")) }
}

/// Files that systems put into archives unasked.
fn hidden(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('.') || part == "__MACOSX")
}

/// The path without its ending, and the ending in lower case.
fn split(path: &str) -> (&str, String) {
    let name = path.rfind('/').map_or(0, |i| i + 1);
    match path[name..].rfind('.') {
        Some(dot) if dot > 0 => (&path[..name + dot], path[name + dot + 1..].to_lowercase()),
        _ => (path, String::new()),
    }
}
