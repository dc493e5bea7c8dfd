//! Dataset source: settings in, a data set out. Every picture is decoded once here, so that nothing later meets a
//! broken one.

use super::{Job, Wiring, output, single, skips, stop_or_skip};
use crate::Host;
use anyhow::{Context as _, bail};
use data::{Codec, Dataset, DecodeLimits, Digest, Image, Item, Media, SourceItem};
use engine::{Level, Outputs};
use serde::Deserialize;
use spec::{Role, Values};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

pub(super) const WIRING: Wiring = Wiring {
    role: Role::DatasetSource,
    before: Vec::new,
    after: || {
        vec![stop_or_skip(
            "on_broken",
            "What to do with pictures that cannot be read: stop, or leave them out and say so.",
        )]
    },
    outputs: Some(|| output("dataset", "DATASET")),
    run,
};

const PAGE: u32 = 256;

fn run(job: &Job, inputs: Values) -> anyhow::Result<Outputs> {
    let mut source = job.plugin.open_dataset_source(&job.settings.config, job.call())?;
    let mut out = Dataset::default();
    let mut broken = Vec::new();
    let mut ids = BTreeSet::new();
    let mut seen_pages = BTreeSet::new();
    let mut from = None;
    loop {
        job.ctx.check_cancelled()?;
        let page = source.next_page(from.take(), PAGE)?;
        let so_far = out.items.len() + broken.len();
        let total = page.total.unwrap_or((so_far + page.items.len()) as u64);
        job.ctx.progress(so_far as u64, total, "reading pictures");
        for item in &page.items {
            if !ids.insert(item.id.clone()) {
                bail!("{} gave the id `{}` twice", job.who(), item.id);
            }
        }
        for (id, item) in check_all(job, page.items) {
            match item {
                Ok(item) => out.items.push(item),
                Err(e) => broken.push(format!("{id}: {e:#}")),
            }
        }
        job.ctx.progress((out.items.len() + broken.len()) as u64, total, "reading pictures");
        match page.next {
            None => break,
            Some(next) if !seen_pages.insert(next.clone()) => bail!("{} gave the page `{next}` twice", job.who()),
            next => from = next,
        }
    }
    if !broken.is_empty() {
        let all = format!("{} of {} pictures cannot be read: {}", broken.len(), ids.len(), broken.join("; "));
        if !skips(&inputs, "on_broken") {
            bail!("{all}");
        }
        job.ctx.log(Level::Warn, &all);
        out.notes.extend(broken.into_iter().map(|b| format!("left out {b}")));
    }
    if out.items.is_empty() {
        bail!("{} found no pictures", job.who());
    }
    Ok(single(out))
}

/// Reads the pictures on all cores, in order.
fn check_all(job: &Job, items: Vec<SourceItem>) -> Vec<(String, anyhow::Result<Item>)> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = items.len().div_ceil(cores).max(1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = items
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().map(|i| (i.id.clone(), check(job, i))).collect::<Vec<_>>()))
            .collect();
        let mut done = Vec::with_capacity(items.len());
        for (worker, part) in workers.into_iter().zip(items.chunks(share)) {
            done.extend(worker.join().unwrap_or_else(|_| {
                part.iter().map(|i| (i.id.clone(), Err(anyhow::anyhow!("the decoder panicked")))).collect()
            }));
        }
        done
    })
}

/// What an annotation's `extra` may say. Other keys are the plugin's own.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Extra {
    repeats: Option<u32>,
    subset: String,
    natural_language: Option<bool>,
    is_reg: bool,
}

fn check(job: &Job, item: &SourceItem) -> anyhow::Result<Item> {
    let (path, bytes) = fetch(job, &item.media)?;
    let image = Image::decode(&bytes, &DecodeLimits::default())?;
    let extra: Extra = match &item.annotation.extra {
        Some(text) => serde_json::from_str(text).context("the annotation's `extra`")?,
        None => Extra::default(),
    };
    if image.metadata.contains_key("animated") {
        job.ctx.log(Level::Warn, &format!("{}: of an animation only the first frame is used", item.id));
    }
    let sentences = item.annotation.tags.is_empty() && item.annotation.text.is_some();
    Ok(Item {
        id: item.id.clone(),
        path,
        digest: Digest::of(&bytes).to_string(),
        width: image.width,
        height: image.height,
        annotation: item.annotation.clone(),
        repeats: extra.repeats.unwrap_or(1),
        subset: extra.subset,
        origin: item.origin.clone(),
        license: item.license.clone(),
        natural_language: extra.natural_language.unwrap_or(sentences),
        is_reg: extra.is_reg,
        ..Item::default()
    })
}

/// The picture's file and where it lies; what has no file yet is kept in the store.
fn fetch(job: &Job, media: &Media) -> anyhow::Result<(PathBuf, Vec<u8>)> {
    let store = &job.ctx.services::<Host>().store;
    match media {
        Media::File { root, path } => {
            let folder = job.settings.folders.get(root).with_context(|| format!("no folder is granted as `{root}`"))?;
            let plain = Path::new(path).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
            if !plain {
                bail!("`{path}` leads out of the granted folder");
            }
            let full = folder.join(path);
            let bytes = std::fs::read(&full).with_context(|| format!("cannot read {}", full.display()))?;
            Ok((full, bytes))
        }
        Media::Bytes(bytes) => Ok((store.blob_path(&store.put_blob(bytes)?), bytes.clone())),
        Media::Image(image) => {
            let bytes = image.encode(Codec::Png, 0)?;
            Ok((store.blob_path(&store.put_blob(&bytes)?), bytes))
        }
        Media::Url(url) => bail!("{url}: addresses are not fetched by this host; give the picture's bytes or a file"),
    }
}
