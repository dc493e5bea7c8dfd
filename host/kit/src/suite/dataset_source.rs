//! Sources: page after page of items.

use super::{Answers, Items, Refusal};
use data::{Media, SourceItem};
use loader::{CallContext, Plugin};
use serde_json::Value;
use std::collections::BTreeSet;

/// More are not asked for: some sources have no end.
const ENOUGH: usize = 200;

pub(crate) fn exercise(
    plugin: &Plugin,
    _: &spec::Node,
    settings: &Value,
    call: CallContext,
    items: &Items,
    step: usize,
) -> Result<Answers, Refusal> {
    let mut source = plugin.open_dataset_source(settings, call.clone())?;
    let step = step.clamp(1, 50) as u32;
    let mut answers = Answers::default();
    // Pages at positions that it never gave: an error, or a page, but never the end of the plugin.
    for position in &items.strange_positions {
        answers.take(source.next_page(Some(position.clone()), step).map(|_| String::new()));
    }
    if !items.strange_positions.is_empty() {
        return Ok(answers);
    }
    let (mut from, mut ids, mut empty) = (None, BTreeSet::new(), 0);
    while answers.lines.len() < ENOUGH {
        let page = source.next_page(from.clone(), step)?;
        if page.items.len() > step as usize {
            return Err(Refusal::broken(format!("a page of {} items, where {step} were asked for", page.items.len())));
        }
        if page.next.is_some() && page.next == from {
            return Err(Refusal::broken("the next page begins where this one did"));
        }
        empty = if page.items.is_empty() { empty + 1 } else { 0 };
        if empty > 20 {
            return Err(Refusal::broken("20 pages without an item, one after the other"));
        }
        for item in &page.items {
            if !ids.insert(item.id.clone()) {
                return Err(Refusal::broken(format!("the item `{}` came twice", item.id)));
            }
            answers.take(Ok(line(item)));
        }
        from = page.next;
        if from.is_none() {
            break;
        }
        // Every few pages somebody else goes on, as after a crash.
        if ids.len() % 3 == 0 {
            source = plugin.open_dataset_source(settings, call.clone())?;
        }
    }
    answers.lines.truncate(ENOUGH);
    Ok(answers)
}

fn line(item: &SourceItem) -> String {
    let media = match &item.media {
        Media::Url(url) => format!("url {url}"),
        Media::File { root, path } => format!("file {root} {path}"),
        Media::Bytes(bytes) => format!("bytes {}", crate::sha256(bytes)),
        Media::Image(image) => format!("image {}", image.digest()),
    };
    let known = super::captioner::line(&item.annotation);
    format!("{:?} {media} {known} {:?} {:?} {:?}", item.id, item.origin, item.license, item.digest)
}
