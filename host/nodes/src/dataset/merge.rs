use anyhow::bail;
use data::{Dataset, Item};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Joins two data sets. A picture that is in both is kept once, with the tags of both.
#[derive(Inputs)]
pub(crate) struct MergeDatasets {
    /// Its pictures come first, and their settings count where both have one.
    first: Arc<Dataset>,
    /// The pictures to add.
    second: Arc<Dataset>,
}

impl TypedNode for MergeDatasets {
    const ID: &'static str = "MergeDatasets";
    const CATEGORY: &'static str = "dataset";
    const DISPLAY_NAME: &'static str = "Merge datasets";
    const PERSISTENT: bool = true;
    type Output = Arc<Dataset>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let mut merged = Dataset::clone(&self.first);
        merged.notes.extend(self.second.notes.iter().cloned());
        let places: BTreeMap<String, usize> =
            merged.items.iter().enumerate().map(|(i, item)| (item.digest.clone(), i)).collect();
        for item in &self.second.items {
            match places.get(&item.digest) {
                Some(at) => add_tags(&mut merged.items[*at], item),
                None if merged.items.iter().any(|i| i.id == item.id) => {
                    bail!("both data sets have a picture `{}`, but the files differ; rename one of them", item.id)
                }
                None => merged.items.push(item.clone()),
            }
        }
        Ok(Arc::new(merged))
    }
}

fn add_tags(to: &mut Item, from: &Item) {
    for tag in &from.annotation.tags {
        if !to.annotation.tags.iter().any(|t| t.name == tag.name) {
            to.annotation.tags.push(tag.clone());
        }
    }
    if to.annotation.text.is_none() {
        to.annotation.text.clone_from(&from.annotation.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::Services;
    use spec::{Annotation, Tag};

    fn set(items: &[(&str, &str, &str)]) -> Arc<Dataset> {
        let item = |(id, digest, tag): &(&str, &str, &str)| {
            let tags = vec![Tag { name: (*tag).into(), ..Tag::default() }];
            let annotation = Annotation { tags, ..Annotation::default() };
            Item { id: (*id).into(), digest: (*digest).into(), annotation, repeats: 1, ..Item::default() }
        };
        Arc::new(Dataset { items: items.iter().map(item).collect(), notes: vec![] })
    }

    #[test]
    fn joins_tags_of_equal_pictures() {
        let (first, second) = (set(&[("a", "1", "hat")]), set(&[("b", "1", "dog"), ("c", "2", "cat")]));
        let merged = MergeDatasets { first, second }.run(&Context::detached(Services::new())).unwrap();
        let captions: Vec<String> = merged.items.iter().map(Item::caption).collect();
        assert_eq!(captions, ["hat, dog", "cat"]);
    }

    #[test]
    fn refuses_two_pictures_of_one_name() {
        let (first, second) = (set(&[("a", "1", "hat")]), set(&[("a", "2", "dog")]));
        let e = MergeDatasets { first, second }.run(&Context::detached(Services::new())).unwrap_err();
        assert!(e.to_string().contains("`a`"), "{e}");
    }
}
