//! The plugin's C tables, as the kinds' `Raw…` traits.

use super::Library;
use super::nodes::NativeNode;
use super::objects::{Object, Objects, Results};
use crate::error::Fault;
use crate::kinds::captioner::RawCaptioner;
use crate::kinds::dataset_source::RawSource;
use crate::kinds::evaluator::RawEvaluator;
use crate::kinds::node::RawNode;
use crate::kinds::tag_filter::RawFilter;
use crate::kinds::{Answer, Artefact, OpenError, captioner, dataset_source, evaluator, node, tag_filter};
use crate::services::Services;
use data::{CaptionRequest, FilterRequest, Image, Media, Metric, Page, Sample, Score, SourceItem, Verdict};
use plugin_abi as abi;
use plugin_abi::{MAIN_THREAD, Str, WHOLE};
use spec::{Annotation, PluginError};
use std::ffi::c_void;

/// An object that a library's `open` made.
pub(super) struct Opened<T: 'static> {
    table: &'static T,
    this: *mut c_void,
    close: unsafe extern "C" fn(*mut c_void),
    objects: Objects,
}

// SAFETY: the ABI lets any thread call an object, one at a time (`thread_safety` is checked when opening), and
// `&mut self` of the `Raw…` traits guarantees that.
unsafe impl<T> Send for Opened<T> {}

impl<T> Drop for Opened<T> {
    fn drop(&mut self) {
        let (close, this) = (self.close, self.this);
        let _ = self.objects.enter(|_| {
            // SAFETY: `this` comes from the same table's `open` and is not used afterwards.
            unsafe { close(this) };
            abi::OK
        });
    }
}

impl<T> Opened<T> {
    /// What was opened elsewhere.
    #[cfg(unix)]
    pub(super) fn new(table: &'static T, close: unsafe extern "C" fn(*mut c_void), objects: Objects) -> Self {
        Self { table, this: std::ptr::null_mut(), close, objects }
    }
}

impl Opened<abi::EvaluatorTable> {
    /// With what it says that it measures.
    pub(super) fn evaluator(self) -> Result<Box<dyn RawEvaluator>, OpenError> {
        let results = self.objects.enter(|sink| {
            // SAFETY: `this` comes from this table's `open`.
            unsafe { (self.table.metrics)(self.this, sink) }
        });
        let metrics =
            results?.map_err(OpenError::Refused)?.json(0).map_err(|e| OpenError::Link(format!("metrics: {e}")))?;
        Ok(Box::new(OpenedEvaluator { opened: self, metrics }))
    }
}

impl Library {
    fn open<T>(
        &self,
        table: &'static T,
        threads: u32,
        open: unsafe extern "C" fn(Str, *mut *mut c_void, abi::Sink) -> i32,
        close: unsafe extern "C" fn(*mut c_void),
        config: &str,
        services: Services,
    ) -> Result<(Opened<T>, Results), OpenError> {
        check_threads(threads)?;
        let objects = Objects::new(services, self.context);
        let mut this = std::ptr::null_mut();
        let results = objects.enter(|sink| {
            // SAFETY: the function comes from the library's table; arguments live for the call.
            unsafe { open(Str::new(config.as_bytes()), &raw mut this, sink) }
        });
        let results = results?.map_err(OpenError::Refused)?;
        Ok((Opened { table, this, close, objects }, results))
    }
}

fn check_threads(threads: u32) -> Result<(), OpenError> {
    if threads == MAIN_THREAD {
        return Err(OpenError::Link(
            "wants to be called from one thread only (`thread_safety` 0), which this host does not do; expected 1 or 2"
                .to_owned(),
        ));
    }
    Ok(())
}

impl Artefact for Library {
    fn captioner(&self, config: &str, services: Services) -> Result<Box<dyn RawCaptioner>, OpenError> {
        // SAFETY: this is the table of this interface.
        let t = unsafe { self.interface::<abi::CaptionerTable>(captioner::ROW.interface)? };
        Ok(Box::new(self.open(t, t.thread_safety, t.open, t.close, config, services)?.0))
    }

    fn dataset_source(&self, config: &str, services: Services) -> Result<Box<dyn RawSource>, OpenError> {
        // SAFETY: this is the table of this interface.
        let t = unsafe { self.interface::<abi::DatasetSourceTable>(dataset_source::ROW.interface)? };
        Ok(Box::new(self.open(t, t.thread_safety, t.open, t.close, config, services)?.0))
    }

    fn tag_filter(&self, config: &str, services: Services) -> Result<Box<dyn RawFilter>, OpenError> {
        // SAFETY: this is the table of this interface.
        let t = unsafe { self.interface::<abi::TagFilterTable>(tag_filter::ROW.interface)? };
        Ok(Box::new(self.open(t, t.thread_safety, t.open, t.close, config, services)?.0))
    }

    fn evaluator(&self, config: &str, services: Services) -> Result<Box<dyn RawEvaluator>, OpenError> {
        // SAFETY: this is the table of this interface.
        let t = unsafe { self.interface::<abi::EvaluatorTable>(evaluator::ROW.interface)? };
        self.open(t, t.thread_safety, t.open, t.close, config, services)?.0.evaluator()
    }

    fn node(&self, services: Services) -> Result<Box<dyn RawNode>, OpenError> {
        // SAFETY: this is the table of this interface.
        let table = unsafe { self.interface::<abi::NodeTable>(node::ROW.interface)? };
        check_threads(table.thread_safety)?;
        Ok(Box::new(NativeNode::new(table, Objects::new(services, self.context))))
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|e| Fault::Trapped(e.to_string()))
}

pub(super) fn broken(e: String) -> Fault {
    Fault::Trapped(format!("it broke the contract: {e}"))
}

pub(super) fn give_image(objects: &Objects, image: &Image) -> Result<u64, Fault> {
    objects.give(|s| s.lend_image(image.clone()).map(Object::Image))
}

impl RawCaptioner for Opened<abi::CaptionerTable> {
    fn max_batch(&mut self) -> Answer<u32> {
        let mut answer = 1;
        let results = self.objects.enter(|_| {
            // SAFETY: `this` comes from this table's `open`.
            answer = unsafe { (self.table.max_batch)(self.this) };
            abi::OK
        })?;
        Ok(results.map(|_| answer))
    }

    fn caption(&mut self, batch: &[CaptionRequest]) -> Answer<Vec<Result<Annotation, PluginError>>> {
        let known: Vec<String> = batch.iter().map(|r| to_json(&r.known)).collect::<Result<_, _>>()?;
        let mut requests = Vec::new();
        for (request, known) in batch.iter().zip(&known) {
            let image = give_image(&self.objects, &request.image)?;
            requests.push(abi::CaptionRequest { image, known: Str::new(known.as_bytes()) });
        }
        let results = self.objects.enter(|sink| {
            // SAFETY: `this` comes from this table's `open`; requests and their strings live for the call.
            unsafe { (self.table.caption)(self.this, requests.as_ptr(), requests.len(), sink) }
        })?;
        results.map_or_else(|e| Ok(Err(e)), |r| Ok(Ok(r.answers(batch.len())?)))
    }
}

impl RawSource for Opened<abi::DatasetSourceTable> {
    fn next_page(&mut self, from: Option<&str>, max_items: u32) -> Answer<Page> {
        let results = self.objects.enter(|sink| {
            // SAFETY: `this` comes from this table's `open`; the cursor lives for the call.
            unsafe { (self.table.next_page)(self.this, Str::option(from), max_items, sink) }
        })?;
        let results = match results {
            Ok(results) => results,
            Err(e) => return Ok(Err(e)),
        };
        #[derive(serde::Deserialize)]
        struct End {
            next: Option<String>,
            total: Option<u64>,
        }
        let end: End = results.json(WHOLE).map_err(broken)?;
        let mut page = Page { items: Vec::new(), next: end.next, total: end.total };
        let count = results.items.iter().filter(|(i, status, _)| *i != WHOLE && *status == abi::OK).count();
        for index in 0..count as u64 {
            let item = results.json(index).map_err(broken)?;
            page.items.push(self.source_item(item, results.bulk(index)).map_err(broken)?);
        }
        Ok(Ok(page))
    }
}

/// WIT `item`, its media as the tables' documentation has it.
#[derive(serde::Deserialize)]
struct WireItem {
    id: String,
    media: WireMedia,
    annotation: Annotation,
    origin: Option<String>,
    license: Option<String>,
    digest: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WireMedia {
    Url(String),
    File((String, String)),
    Image(u64),
    Bytes(()),
}

impl Opened<abi::DatasetSourceTable> {
    fn source_item(&self, item: WireItem, bulk: Option<&[u8]>) -> Result<SourceItem, String> {
        let media = match item.media {
            WireMedia::Url(url) => Media::Url(url),
            WireMedia::File((root, path)) => Media::File { root, path },
            WireMedia::Bytes(()) => {
                Media::Bytes(bulk.ok_or_else(|| format!("item `{}`: its bytes are missing", item.id))?.to_vec())
            }
            WireMedia::Image(handle) => match self.objects.take(handle) {
                Some(Object::Image(held)) => Media::Image(held.value),
                _ => return Err(format!("item `{}`: unknown image handle {handle}", item.id)),
            },
        };
        Ok(SourceItem {
            id: item.id,
            media,
            annotation: item.annotation,
            origin: item.origin,
            license: item.license,
            digest: item.digest,
        })
    }
}

impl Opened<abi::TagFilterTable> {
    fn with_batch(
        &mut self,
        batch: &[FilterRequest],
        f: impl FnOnce(&abi::TagFilterTable, *mut c_void, &[abi::FilterRequest], abi::Sink) -> i32,
    ) -> Answer<Results> {
        let annotations: Vec<String> = batch.iter().map(|r| to_json(&r.annotation)).collect::<Result<_, _>>()?;
        let requests: Vec<abi::FilterRequest> = batch
            .iter()
            .zip(&annotations)
            .map(|(r, annotation)| abi::FilterRequest {
                id: Str::new(r.id.as_bytes()),
                subset: Str::new(r.subset.as_bytes()),
                annotation: Str::new(annotation.as_bytes()),
            })
            .collect();
        self.objects.enter(|sink| f(self.table, self.this, &requests, sink))
    }
}

impl RawFilter for Opened<abi::TagFilterTable> {
    fn passes(&mut self) -> Answer<u32> {
        let mut answer = 1;
        let results = self.objects.enter(|_| {
            // SAFETY: `this` comes from this table's `open`.
            answer = unsafe { (self.table.passes)(self.this) };
            abi::OK
        })?;
        Ok(results.map(|_| answer))
    }

    fn observe(&mut self, batch: &[FilterRequest]) -> Answer<()> {
        let results = self.with_batch(batch, |table, this, requests, sink| {
            // SAFETY: `this` comes from this table's `open`; requests and their strings live for the call.
            unsafe { (table.observe)(this, requests.as_ptr(), requests.len(), sink) }
        })?;
        Ok(results.map(|_| ()))
    }

    fn apply(&mut self, batch: &[FilterRequest]) -> Answer<Vec<Verdict>> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "kebab-case")]
        enum WireVerdict {
            Keep(Annotation),
            Drop(String),
        }
        let results = self.with_batch(batch, |table, this, requests, sink| {
            // SAFETY: as in `observe`.
            unsafe { (table.apply)(this, requests.as_ptr(), requests.len(), sink) }
        })?;
        let results = match results {
            Ok(results) => results,
            Err(e) => return Ok(Err(e)),
        };
        let verdict = |v| match v {
            WireVerdict::Keep(annotation) => Verdict::Keep(annotation),
            WireVerdict::Drop(why) => Verdict::Drop(why),
        };
        let answers: Result<Vec<WireVerdict>, PluginError> = results.answers(batch.len())?.into_iter().collect();
        Ok(answers.map(|all| all.into_iter().map(verdict).collect()))
    }
}

struct OpenedEvaluator {
    opened: Opened<abi::EvaluatorTable>,
    metrics: Vec<Metric>,
}

impl RawEvaluator for OpenedEvaluator {
    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn reference(&mut self, images: &[Image]) -> Answer<()> {
        let Opened { table, this, objects, .. } = &self.opened;
        let handles: Vec<u64> = images.iter().map(|i| give_image(objects, i)).collect::<Result<_, _>>()?;
        let results = objects.enter(|sink| {
            // SAFETY: `this` comes from this table's `open`; the handles live for the call.
            unsafe { (table.reference)(*this, handles.as_ptr(), handles.len(), sink) }
        })?;
        Ok(results.map(|_| ()))
    }

    fn add(&mut self, batch: &[Sample]) -> Answer<Vec<Vec<Score>>> {
        let Opened { table, this, objects, .. } = &self.opened;
        let extras: Vec<Option<String>> = batch.iter().map(|s| s.extra.as_ref().map(ToString::to_string)).collect();
        let mut samples = Vec::new();
        for (sample, extra) in batch.iter().zip(&extras) {
            samples.push(abi::Sample {
                image: give_image(objects, &sample.image)?,
                reference: sample.reference.as_ref().map_or(Ok(0), |i| give_image(objects, i))?,
                id: Str::new(sample.id.as_bytes()),
                prompt: Str::new(sample.prompt.as_bytes()),
                extra: Str::option(extra.as_deref()),
                seed: sample.seed.unwrap_or_default(),
                has_seed: u32::from(sample.seed.is_some()),
            });
        }
        let results = objects.enter(|sink| {
            // SAFETY: `this` comes from this table's `open`; samples and their strings live for the call.
            unsafe { (table.add)(*this, samples.as_ptr(), samples.len(), sink) }
        })?;
        let results = match results {
            Ok(results) => results,
            Err(e) => return Ok(Err(e)),
        };
        Ok(results.answers(batch.len())?.into_iter().collect())
    }

    fn finish(&mut self) -> Answer<Vec<Score>> {
        let Opened { table, this, objects, .. } = &self.opened;
        let results = objects.enter(|sink| {
            // SAFETY: `this` comes from this table's `open`.
            unsafe { (table.finish)(*this, sink) }
        })?;
        results.map_or_else(|e| Ok(Err(e)), |r| Ok(Ok(r.json(0).map_err(broken)?)))
    }
}
