//! A data set: images with what is known of them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use spec::{Annotation, ObjectType};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One image of a data set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Stable name within the data set, usually the path below the folder.
    pub id: String,
    /// The picture, where it lies on disk or in the store.
    pub path: PathBuf,
    /// SHA-256 of the picture's file, in hex.
    pub digest: String,
    /// Size in pixels, after the EXIF orientation.
    pub width: u32,
    pub height: u32,
    pub annotation: Annotation,
    /// How often the image is shown in an epoch.
    pub repeats: u32,
    /// The folder or group that it belongs to; empty for none.
    #[serde(default)]
    pub subset: String,
    #[serde(default)]
    pub origin: Option<String>,
    #[serde(default)]
    pub license: Option<String>,
    /// The caption is in sentences: it is never split at commas and never shuffled.
    #[serde(default)]
    pub natural_language: bool,
    /// A regularisation image: it shows the class without the subject, and keeps what the base knows of it.
    #[serde(default)]
    pub is_reg: bool,
    /// Says how much of the loss counts where, if there is one.
    #[serde(default)]
    pub mask: Option<Mask>,
    /// Settings of the trainer that hold for this image alone, because its subset has settings of its own.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
}

/// A picture whose brightness is a weight for each pixel of another: white counts, black does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mask {
    pub path: PathBuf,
    /// SHA-256 of the file, in hex.
    pub digest: String,
}

impl Item {
    /// The whole caption: tags in their order, then the text, joined by `, `.
    pub fn caption(&self) -> String {
        crate::captions::join(&self.annotation)
    }

    /// Is nothing known of the image?
    pub fn has_caption(&self) -> bool {
        !self.caption().is_empty()
    }
}

/// Images with what is known of them, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    pub items: Vec<Item>,
    /// What happened on the way: skipped images, dropped tags. For people.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl ObjectType for Dataset {
    const SOCKET: &'static str = "DATASET";
}

impl Dataset {
    /// How many images carry each tag, most frequent first, then by name.
    pub fn tag_counts(&self) -> Vec<(String, usize)> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for item in &self.items {
            let names: std::collections::BTreeSet<&str> =
                item.annotation.tags.iter().map(|t| t.name.as_str()).collect();
            for name in names {
                *counts.entry(name).or_default() += 1;
            }
        }
        let mut counts: Vec<(String, usize)> = counts.into_iter().map(|(n, c)| (n.to_owned(), c)).collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts
    }

    /// Identity of the contents: pictures, annotations, repeats, subsets and their settings. Paths do not count.
    pub fn digest(&self) -> String {
        let mut hash = crate::store::Hasher::default();
        for item in &self.items {
            let annotation = serde_json::to_string(&item.annotation).unwrap_or_default();
            for part in [&item.id, &item.digest, &annotation, &item.subset] {
                hash.part(part.as_bytes());
            }
            hash.part(&item.repeats.to_le_bytes());
            hash.part(&[u8::from(item.natural_language), u8::from(item.is_reg)]);
            hash.part(item.mask.as_ref().map_or("", |m| &m.digest).as_bytes());
            hash.part(serde_json::to_string(&item.settings).unwrap_or_default().as_bytes());
        }
        hash.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::Tag;

    fn item(id: &str, tags: &[&str]) -> Item {
        let tags = tags.iter().map(|t| Tag { name: (*t).into(), ..Tag::default() }).collect();
        Item { id: id.into(), annotation: Annotation { tags, ..Annotation::default() }, repeats: 1, ..Item::default() }
    }

    #[test]
    fn counts_a_tag_once_an_image() {
        let set = Dataset { items: vec![item("a", &["hat", "hat", "dog"]), item("b", &["hat"])], notes: vec![] };
        assert_eq!(set.tag_counts(), [("hat".into(), 2), ("dog".into(), 1)]);
    }

    #[test]
    fn digest_sees_captions_but_not_paths() {
        let a = Dataset { items: vec![item("a", &["hat"])], notes: vec![] };
        let mut b = a.clone();
        b.items[0].path = "/elsewhere".into();
        assert_eq!(a.digest(), b.digest());
        b.items[0].annotation.tags[0].name = "cap".into();
        assert_ne!(a.digest(), b.digest());
        let mut c = a.clone();
        c.items[0].settings.insert("flip".into(), true.into());
        assert_ne!(a.digest(), c.digest());
    }
}
