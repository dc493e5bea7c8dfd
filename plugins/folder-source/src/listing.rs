//! Which files of a folder are pictures, which caption belongs to which, and what is wrong.

use plugin_sdk::natural;
use std::collections::BTreeMap;

/// Endings of the pictures that the host decodes, in lower case.
const PICTURES: &[&str] = &["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"];

/// One picture with what its place says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Path below the folder, which is also its identity.
    pub(crate) path: String,
    /// Its caption file.
    pub(crate) caption: Option<String>,
    /// Caption files of the same name that count less.
    pub(crate) shadowed: Vec<String>,
    /// The folder's path without repeat numbers; empty at the top.
    pub(crate) subset: String,
    pub(crate) repeats: u32,
}

/// A sorted listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) pictures: Vec<Picture>,
    /// Caption files without a picture.
    pub(crate) orphans: Vec<String>,
    /// Files that are neither.
    pub(crate) others: Vec<String>,
}

/// How folders are read.
pub(crate) struct Rules<'a> {
    /// Endings of caption files without the dot; the first one found wins.
    pub(crate) endings: &'a [String],
    /// Is `10_name` a folder `name` whose pictures count ten times?
    pub(crate) kohya: bool,
    /// Repeats of pictures in folders without a number.
    pub(crate) repeats: u32,
}

/// Sorts and pairs the paths of all files below a folder.
pub(crate) fn pair(files: &[String], rules: &Rules) -> Listing {
    let mut out = Listing::default();
    // Stem → (rank of the ending, path); captions are looked up by the pictures' stems.
    let mut captions: BTreeMap<&str, Vec<(usize, &str)>> = BTreeMap::new();
    let mut pictures = Vec::new();
    for path in files {
        let (stem, ending) = split(path);
        if let Some(rank) = rules.endings.iter().position(|e| *e == ending) {
            captions.entry(stem).or_default().push((rank, path));
        } else if PICTURES.contains(&ending.as_str()) {
            pictures.push((path, stem));
        } else {
            out.others.push(path.clone());
        }
    }
    for (path, stem) in &pictures {
        let mut found = captions.get(stem).cloned().unwrap_or_default();
        found.sort_unstable();
        let mut found = found.into_iter().map(|(_, path)| path.to_owned());
        let (subset, repeats) = place(path, rules);
        let caption = found.next();
        out.pictures.push(Picture { path: (*path).clone(), caption, shadowed: found.collect(), subset, repeats });
    }
    for (_, stem) in pictures {
        captions.remove(stem);
    }
    out.orphans = captions.into_values().flatten().map(|(_, path)| path.to_owned()).collect();
    out.pictures.sort_by(|a, b| natural::compare(&a.path, &b.path));
    out.orphans.sort_by(|a, b| natural::compare(a, b));
    out.others.sort_by(|a, b| natural::compare(a, b));
    out
}

/// The path without its ending, and the ending in lower case.
fn split(path: &str) -> (&str, String) {
    let name = path.rfind('/').map_or(0, |i| i + 1);
    match path[name..].rfind('.') {
        Some(dot) if dot > 0 => (&path[..name + dot], path[name + dot + 1..].to_lowercase()),
        _ => (path, String::new()),
    }
}

/// Subset and repeats of the folder that a picture lies in; the innermost number counts.
fn place(path: &str, rules: &Rules) -> (String, u32) {
    let Some((folder, _)) = path.rsplit_once('/') else { return (String::new(), rules.repeats) };
    let mut repeats = rules.repeats;
    let mut names = Vec::new();
    for part in folder.split('/') {
        match part.split_once('_').and_then(|(n, name)| Some((n.parse::<u32>().ok().filter(|n| *n > 0)?, name))) {
            Some((n, name)) if rules.kohya && !name.is_empty() => {
                repeats = n;
                names.push(name);
            }
            _ => names.push(part),
        }
    }
    (names.join("/"), repeats)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(files: &[&str]) -> Listing {
        let endings = ["txt".to_owned(), "caption".to_owned()];
        let rules = Rules { endings: &endings, kohya: true, repeats: 1 };
        pair(&files.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>(), &rules)
    }

    #[test]
    fn pictures_find_their_captions_in_natural_order() {
        let l = list(&["10.PNG", "10.caption", "10.txt", "2.jpg", "2.caption", "notes.txt", "a.psd", ".hidden"]);
        let pairs: Vec<_> = l.pictures.iter().map(|p| (p.path.as_str(), p.caption.as_deref())).collect();
        assert_eq!(pairs, [("2.jpg", Some("2.caption")), ("10.PNG", Some("10.txt"))]);
        assert_eq!(l.orphans, ["notes.txt"]);
        assert_eq!(l.others, [".hidden", "a.psd"]);
    }

    #[test]
    fn folders_are_subsets_and_numbers_are_repeats() {
        let l = list(&[
            "x.png",
            "10_ohwx/1.png",
            "5_a/3_b c/1.png",
            "plain/1.png",
            "0_zero/1.png",
            "7_/1.png",
            "v_2/1.png",
        ]);
        let mut places: Vec<_> = l.pictures.iter().map(|p| (p.subset.as_str(), p.repeats)).collect();
        places.sort_unstable();
        assert_eq!(places, [("", 1), ("0_zero", 1), ("7_", 1), ("a/b c", 3), ("ohwx", 10), ("plain", 1), ("v_2", 1)]);
    }

    #[test]
    fn two_pictures_may_share_a_caption_and_names_may_have_dots() {
        let l = list(&["a.b.png", "a.b.webp", "a.b.txt", "a.txt"]);
        assert!(l.pictures.iter().all(|p| p.caption.as_deref() == Some("a.b.txt")));
        assert_eq!(l.orphans, ["a.txt"]);
    }
}
