//! Dataset source: settings in, a data set out. Every picture is decoded once here, so that nothing later meets a
//! broken one.

use super::{Job, Wiring, fetched, output, single, skips, stop_or_skip};
use crate::Host;
use anyhow::{Context as _, bail};
use data::{Codec, Dataset, DatasetSource, DecodeLimits, Digest, Image, Item, Media, Page, SourceItem};
use engine::{Level, Outputs};
use serde::Deserialize;
use spec::{ErrorKind, PluginError, Role, Values};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

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
        let page = page(job, &mut *source, &from.take())?;
        let so_far = out.items.len() + broken.len();
        let total = page.total.unwrap_or((so_far + page.items.len()) as u64);
        job.ctx.progress(so_far as u64, total, "reading pictures");
        for item in &page.items {
            if !ids.insert(item.id.clone()) {
                bail!("{} gave the id `{}` twice", job.who(), item.id);
            }
        }
        let checked = check_all(job, page.items);
        // What was cancelled is not broken.
        job.ctx.check_cancelled()?;
        for (id, item) in checked {
            match item {
                Ok(item) => out.items.push(item),
                // A grant is missing: all pictures of that address would say the same.
                Err(e) if e.downcast_ref::<PluginError>().is_some_and(|e| e.kind == ErrorKind::Denied) => {
                    return Err(e.context(id));
                }
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

/// Times that a page is asked for.
const TRIES: u32 = 5;
/// The longest that a source may ask to wait.
const MAX_WAIT: Duration = Duration::from_secs(15 * 60);

/// The page at `from`; a source that says when to come back is asked again then.
fn page(job: &Job, source: &mut dyn DatasetSource, from: &Option<String>) -> anyhow::Result<Page> {
    let mut tried = 0;
    loop {
        tried += 1;
        let error = match source.next_page(from.clone(), PAGE) {
            Ok(page) => return Ok(page),
            Err(error) => error,
        };
        let Some(wait) = wait(&error, tried) else { return Err(error.into()) };
        let seconds = wait.as_secs_f64();
        job.ctx.log(Level::Warn, &format!("{}; trying again in {seconds:.1} s ({tried} of {TRIES})", error.message));
        let until = Instant::now() + wait;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            job.ctx.check_cancelled()?;
            std::thread::sleep(left.min(Duration::from_millis(20)));
        }
    }
}

/// How long to wait before the next try; none: it would be useless. Waits double, and vary by up to a quarter, so that
/// many who were sent away together do not come back together.
fn wait(error: &PluginError, tried: u32) -> Option<Duration> {
    let passing = [ErrorKind::RateLimited, ErrorKind::Unavailable, ErrorKind::Timeout].contains(&error.kind);
    let asked = Duration::from_millis(error.retry_after_ms.filter(|_| passing && tried < TRIES)?);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let longer = asked.saturating_mul(2_u32.pow(tried - 1));
    let wait = longer.min(asked.max(Duration::from_secs(60)));
    (wait <= MAX_WAIT).then(|| wait + wait.mul_f64(f64::from(now.subsec_micros() % 1000) / 4000.0))
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
    let (path, bytes) = fetch(job, item)?;
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
fn fetch(job: &Job, item: &SourceItem) -> anyhow::Result<(PathBuf, Vec<u8>)> {
    let store = &job.ctx.services::<Host>().store;
    let stated = item.digest.as_deref();
    let (path, bytes) = match &item.media {
        Media::Url(url) => return fetched::fetch(job, url, stated),
        Media::File { root, path } => {
            let folder = job.settings.folders.get(root).with_context(|| format!("no folder is granted as `{root}`"))?;
            let plain = Path::new(path).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
            if !plain {
                bail!("`{path}` leads out of the granted folder");
            }
            let full = folder.join(path);
            let bytes = std::fs::read(&full).with_context(|| format!("cannot read {}", full.display()))?;
            (full, bytes)
        }
        Media::Bytes(bytes) => (store.blob_path(&store.put_blob(bytes)?), bytes.clone()),
        Media::Image(image) => {
            let bytes = image.encode(Codec::Png, 0)?;
            (store.blob_path(&store.put_blob(&bytes)?), bytes)
        }
    };
    if let Some(stated) = stated {
        data::checksum::check(stated, &bytes)?;
    }
    Ok((path, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_asked_for_again() {
        let error = |kind, after| PluginError { retry_after_ms: after, ..PluginError::new(kind, "x") };
        let second = |s: u64| Duration::from_secs(s);
        let first = wait(&error(ErrorKind::RateLimited, Some(3000)), 1).unwrap();
        assert!(first >= second(3) && first < second(4), "{first:?}");
        let third = wait(&error(ErrorKind::Unavailable, Some(2000)), 3).unwrap();
        assert!(third >= second(8) && third <= second(10), "{third:?}");
        assert!(
            wait(&error(ErrorKind::RateLimited, Some(120_000)), 4).unwrap() < second(151),
            "never sooner than asked"
        );
        for (kind, after, tried) in [
            (ErrorKind::Denied, Some(1), 1),
            (ErrorKind::RateLimited, None, 1),
            (ErrorKind::RateLimited, Some(1), TRIES),
            (ErrorKind::RateLimited, Some(3_600_000), 1),
        ] {
            assert_eq!(wait(&error(kind, after), tried), None, "{kind:?} {after:?} {tried}");
        }
    }
}
