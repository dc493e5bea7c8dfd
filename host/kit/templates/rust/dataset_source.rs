//! @DESCRIPTION@.

use plugin_sdk::{DatasetSource, Info, Inputs, Item, Media, Page, Result, export, files, info};

/// Lists the pictures of a folder.
#[derive(Inputs)]
pub struct Settings {
    /// The folder.
    #[input(host_list = "folder")]
    folder: String,
    /// Endings of pictures, separated by commas.
    #[input(default = "png, jpg, jpeg, webp")]
    endings: String,
}

pub struct Plugin(Settings);

impl DatasetSource for Plugin {
    type Settings = Settings;
    const INFO: Info = info!("@ID@", "@TITLE@");

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self(settings))
    }

    /// A position is the path of the last picture, so that another instance can go on from there.
    fn next_page(&mut self, from: Option<String>, max_items: u32) -> Result<Page> {
        let all = self.pictures()?;
        let start = from.map_or(0, |last| all.partition_point(|path| *path <= last));
        let end = all.len().min(start.saturating_add(max_items.max(1) as usize));
        let next = (end < all.len()).then(|| all[end - 1].clone());
        Ok(Page { items: all[start..end].iter().map(|path| self.item(path)).collect(), next, total: Some(all.len() as u64) })
    }
}

impl Plugin {
    fn pictures(&self) -> Result<Vec<String>> {
        let endings: Vec<&str> = self.0.endings.split(',').map(str::trim).collect();
        let is_picture = |path: &str| {
            path.rsplit_once('.').is_some_and(|(_, e)| endings.contains(&e.to_lowercase().as_str()))
        };
        let (mut found, mut open) = (Vec::new(), vec![String::new()]);
        while let Some(folder) = open.pop() {
            for entry in files::list_all(&self.0.folder, &folder)? {
                if entry.is_dir {
                    open.push(entry.path);
                } else if is_picture(&entry.path) {
                    found.push(entry.path);
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// The host reads and checks the file itself; its bytes never come here.
    fn item(&self, path: &str) -> Item {
        Item::new(path, Media::File { root: self.0.folder.clone(), path: path.to_owned() })
    }
}

export!(Plugin: DatasetSource);

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_sdk::serde_json::json;

    #[test]
    fn pictures_come_page_by_page() {
        let host = plugin_test::FakeHost::new();
        let _host = host.file("in", "b.png", b"").file("in", "a/1.JPG", b"").file("in", "notes.txt", b"").install();
        let mut plugin: Plugin = plugin_test::open_dataset_source(json!({"folder": "in"})).unwrap();
        let first = plugin.next_page(None, 1).unwrap();
        assert_eq!((first.items[0].id.as_str(), first.total), ("a/1.JPG", Some(2)));
        let second = plugin.next_page(first.next, 1).unwrap();
        assert_eq!((second.items[0].id.as_str(), second.next), ("b.png", None));
    }
}
