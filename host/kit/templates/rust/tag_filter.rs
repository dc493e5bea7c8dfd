//! @DESCRIPTION@.

use plugin_sdk::{FilterRequest, Info, Inputs, Result, TagFilter, Verdict, export, info};
use std::collections::HashMap;

/// Drops tags that too few pictures have.
#[derive(Inputs)]
pub struct Settings {
    /// Keep a tag only if at least this many pictures have it.
    #[input(default = 2, range = 1..=1000)]
    min_images: u32,
}

pub struct Plugin {
    settings: Settings,
    images: HashMap<String, u32>,
}

impl TagFilter for Plugin {
    type Settings = Settings;
    const INFO: Info = info!("@ID@", "@TITLE@");

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self { settings, images: HashMap::new() })
    }

    fn passes(&self) -> u32 {
        2 // see the whole data set first, then decide
    }

    fn observe(&mut self, batch: &[FilterRequest]) -> Result<()> {
        for tag in batch.iter().flat_map(|request| &request.annotation.tags) {
            *self.images.entry(tag.name.clone()).or_default() += 1;
        }
        Ok(())
    }

    fn apply(&mut self, batch: Vec<FilterRequest>) -> Result<Vec<Verdict>> {
        let keep = |name: &str| self.images.get(name).is_some_and(|&n| n >= self.settings.min_images);
        let one = |mut request: FilterRequest| {
            request.annotation.tags.retain(|tag| keep(&tag.name));
            Verdict::Keep(request.annotation)
        };
        Ok(batch.into_iter().map(one).collect())
    }
}

export!(Plugin: TagFilter);

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_sdk::serde_json::json;
    use plugin_test::{annotation, open_tag_filter};

    #[test]
    fn rare_tags_are_dropped() {
        let request = |tags: &[&str]| FilterRequest { annotation: annotation(tags), ..FilterRequest::default() };
        let batch = vec![request(&["tree", "cat"]), request(&["tree"])];
        let mut plugin: Plugin = open_tag_filter(json!({})).unwrap();
        plugin.observe(&batch).unwrap();
        let verdicts = plugin.apply(batch).unwrap();
        assert_eq!(verdicts, [Verdict::Keep(annotation(&["tree"])), Verdict::Keep(annotation(&["tree"]))]);
    }
}
