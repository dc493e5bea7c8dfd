//! A source that does not end, or lies on the way.

use plugin_sdk::{DatasetSource, Info, Inputs, Item, Media, Page, Result, info};

/// What to do.
#[derive(Inputs)]
pub(crate) struct Settings {
    /// Which misbehaviour.
    #[input(default = "nothing")]
    how: String,
}

/// The source.
pub(crate) struct Endless(Settings);

impl DatasetSource for Endless {
    type Settings = Settings;
    const INFO: Info = info!("test.misbehaves-source", "Misbehaves, source");

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self(settings))
    }

    fn next_page(&mut self, from: Option<String>, max_items: u32) -> Result<Page> {
        let n: u64 = from.as_deref().and_then(|f| f.parse().ok()).unwrap_or(0);
        let item = |id: String| Item::new(id, Media::Bytes(vec![1]));
        let page = |items: Vec<Item>, next: u64| Page { items, next: Some(next.to_string()), total: Some(3) };
        Ok(match self.0.how.as_str() {
            "same-cursor" => page(vec![item(format!("{n}"))], n),
            "circle" => page(vec![item(format!("{n}"))], (n + 1) % 3),
            "growing" => Page { total: Some(n * 1000), ..page(vec![item(format!("{n}"))], n + 1) },
            "repeated-ids" => page(vec![item("the same".into())], n + 1),
            "empty-pages" => page(Vec::new(), n + 1),
            "long-page" => page((0..max_items + 1).map(|i| item(i.to_string())).collect(), n + 1),
            "odd-ids" => Page {
                items: vec![item("../../etc/passwd\0.png".into()), item("cute\u{202e}gnp.exe".into())],
                ..Page::default()
            },
            "long-id" => page(vec![item("x".repeat(5000))], n + 1),
            "up" => {
                let media = Media::File { root: "none".into(), path: "../../../etc/passwd".into() };
                page(vec![Item::new("up", media)], n + 1)
            }
            "panic" if n == 1 => panic!("where the source panics"),
            _ if n < 2 => page(vec![item(format!("{n}"))], n + 1),
            _ => Page { items: vec![item(format!("{n}"))], ..Page::default() },
        })
    }
}
