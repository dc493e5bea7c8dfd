//! The exported interfaces, as the kinds' `Raw…` traits.

use super::wit::types;
use super::{Linked, captioner, dataset_source, evaluator, tag_filter};
use crate::error::Fault;
use crate::kinds::captioner::RawCaptioner;
use crate::kinds::dataset_source::RawSource;
use crate::kinds::evaluator::RawEvaluator;
use crate::kinds::node::RawNode;
use crate::kinds::tag_filter::RawFilter;
use crate::kinds::{Answer, Artefact, OpenError, check_count};
use crate::services::Services;
use crate::wasm::state::call;
use crate::wasm::{HostImage, State};
use data::{CaptionRequest, FilterRequest, Image, Media, Metric, Page, Sample, Score, SourceItem, Verdict};
use spec::{Annotation, PluginError};
use wasmtime::Store;
use wasmtime::component::Resource;

/// A component instance of one kind.
pub(super) struct Instance<B> {
    pub(super) store: Store<State>,
    pub(super) bindings: B,
}

impl<B> Instance<B> {
    /// A fresh handle on an image that the host holds; the guest owns the handle.
    pub(super) fn lend(&mut self, image: &Image) -> Result<Resource<HostImage>, Fault> {
        let state = self.store.data_mut();
        let held = state.services.lend_image(image.clone()).map_err(|e| Fault::Trapped(e.message))?;
        state.table.push(held).map_err(|e| Fault::Trapped(e.to_string()))
    }

    pub(super) fn take_image(&mut self, image: Resource<HostImage>) -> Result<Image, Fault> {
        let held = self.store.data_mut().table.delete(image).map_err(|e| Fault::Trapped(e.to_string()))?;
        Ok(held.value)
    }
}

/// A call into the guest, its own error among the answers.
pub(super) fn ask<T>(
    store: &mut Store<State>,
    f: impl FnOnce(&mut Store<State>) -> wasmtime::Result<Result<T, types::Error>>,
) -> Answer<T> {
    Ok(call(store, f)?.map_err(Into::into))
}

fn missing(kind: &str) -> OpenError {
    OpenError::Link(format!("does not export `anagama:plugin/{kind}`"))
}

impl Artefact for Linked {
    fn captioner(&self, config: &str, services: Services) -> Result<Box<dyn RawCaptioner>, OpenError> {
        let pre = self.captioner.as_ref().ok_or_else(|| missing("captioner"))?;
        let (mut store, bindings) = self.instantiate(services, |store| pre.instantiate(store))?;
        let kind = bindings.anagama_plugin_captioner();
        ask(&mut store, |s| kind.call_open(s, &config.to_owned()))?.map_err(OpenError::Refused)?;
        Ok(Box::new(Instance { store, bindings }))
    }

    fn dataset_source(&self, config: &str, services: Services) -> Result<Box<dyn RawSource>, OpenError> {
        let pre = self.dataset_source.as_ref().ok_or_else(|| missing("dataset-source"))?;
        let (mut store, bindings) = self.instantiate(services, |store| pre.instantiate(store))?;
        let kind = bindings.anagama_plugin_dataset_source();
        ask(&mut store, |s| kind.call_open(s, &config.to_owned()))?.map_err(OpenError::Refused)?;
        Ok(Box::new(Instance { store, bindings }))
    }

    fn tag_filter(&self, config: &str, services: Services) -> Result<Box<dyn RawFilter>, OpenError> {
        let pre = self.tag_filter.as_ref().ok_or_else(|| missing("tag-filter"))?;
        let (mut store, bindings) = self.instantiate(services, |store| pre.instantiate(store))?;
        let kind = bindings.anagama_plugin_tag_filter();
        ask(&mut store, |s| kind.call_open(s, &config.to_owned()))?.map_err(OpenError::Refused)?;
        Ok(Box::new(Instance { store, bindings }))
    }

    fn evaluator(&self, config: &str, services: Services) -> Result<Box<dyn RawEvaluator>, OpenError> {
        let pre = self.evaluator.as_ref().ok_or_else(|| missing("evaluator"))?;
        let (mut store, bindings) = self.instantiate(services, |store| pre.instantiate(store))?;
        let kind = bindings.anagama_plugin_evaluator();
        let metrics = ask(&mut store, |s| kind.call_open(s, &config.to_owned()))?.map_err(OpenError::Refused)?;
        let metric = |m: evaluator::exports::anagama::plugin::evaluator::Metric| Metric {
            name: m.name,
            higher_is_better: m.higher_is_better,
            low: m.low,
            high: m.high,
            per_sample: m.per_sample,
            description: m.description,
        };
        let metrics = metrics.into_iter().map(metric).collect();
        Ok(Box::new(OpenEvaluator { instance: Instance { store, bindings }, metrics }))
    }

    fn node(&self, services: Services) -> Result<Box<dyn RawNode>, OpenError> {
        let pre = self.node.as_ref().ok_or_else(|| missing("node"))?;
        let (store, bindings) = self.instantiate(services, |store| pre.instantiate(store))?;
        Ok(Box::new(Instance { store, bindings }))
    }
}

impl RawCaptioner for Instance<captioner::CaptionerPlugin> {
    fn max_batch(&mut self) -> Answer<u32> {
        let kind = self.bindings.anagama_plugin_captioner();
        Ok(Ok(call(&mut self.store, |s| kind.call_max_batch(s))?))
    }

    fn caption(&mut self, batch: &[CaptionRequest]) -> Answer<Vec<Result<Annotation, PluginError>>> {
        use captioner::exports::anagama::plugin::captioner::Request;
        let mut requests = Vec::new();
        for item in batch {
            requests.push(Request { image: self.lend(&item.image)?, known: (&item.known).into() });
        }
        let kind = self.bindings.anagama_plugin_captioner();
        let answers = match ask(&mut self.store, |s| kind.call_caption(s, &requests))? {
            Ok(answers) => answers,
            Err(e) => return Ok(Err(e)),
        };
        check_count(batch.len(), answers.len(), "captioner.caption")?;
        Ok(Ok(answers.into_iter().map(|a| a.map(Into::into).map_err(Into::into)).collect()))
    }
}

impl RawSource for Instance<dataset_source::DatasetSourcePlugin> {
    fn next_page(&mut self, from: Option<&str>, max_items: u32) -> Answer<Page> {
        use dataset_source::exports::anagama::plugin::dataset_source as kind;
        let from = from.map(str::to_owned);
        let source = self.bindings.anagama_plugin_dataset_source();
        let page = match ask(&mut self.store, |s| source.call_next_page(s, from.as_ref(), max_items))? {
            Ok(page) => page,
            Err(e) => return Ok(Err(e)),
        };
        let mut items = Vec::new();
        for item in page.items {
            let media = match item.media {
                kind::Media::Url(url) => Media::Url(url),
                kind::Media::File((root, path)) => Media::File { root, path },
                kind::Media::Bytes(bytes) => Media::Bytes(bytes),
                kind::Media::Image(image) => Media::Image(self.take_image(image)?),
            };
            items.push(SourceItem {
                id: item.id,
                media,
                annotation: item.annotation.into(),
                origin: item.origin,
                license: item.license,
                digest: item.digest,
            });
        }
        Ok(Ok(Page { items, next: page.next, total: page.total }))
    }
}

impl RawFilter for Instance<tag_filter::TagFilterPlugin> {
    fn passes(&mut self) -> Answer<u32> {
        let kind = self.bindings.anagama_plugin_tag_filter();
        Ok(Ok(call(&mut self.store, |s| kind.call_passes(s))?))
    }

    fn observe(&mut self, batch: &[FilterRequest]) -> Answer<()> {
        let kind = self.bindings.anagama_plugin_tag_filter();
        let batch = filter_requests(batch);
        ask(&mut self.store, |s| kind.call_observe(s, &batch))
    }

    fn apply(&mut self, batch: &[FilterRequest]) -> Answer<Vec<Verdict>> {
        use tag_filter::exports::anagama::plugin::tag_filter as wit;
        let kind = self.bindings.anagama_plugin_tag_filter();
        let requests = filter_requests(batch);
        let verdicts = match ask(&mut self.store, |s| kind.call_apply(s, &requests))? {
            Ok(verdicts) => verdicts,
            Err(e) => return Ok(Err(e)),
        };
        check_count(batch.len(), verdicts.len(), "tag-filter.apply")?;
        let verdict = |v| match v {
            wit::Verdict::Keep(annotation) => Verdict::Keep(annotation.into()),
            wit::Verdict::Drop(why) => Verdict::Drop(why),
        };
        Ok(Ok(verdicts.into_iter().map(verdict).collect()))
    }
}

fn filter_requests(batch: &[FilterRequest]) -> Vec<tag_filter::exports::anagama::plugin::tag_filter::Request> {
    use tag_filter::exports::anagama::plugin::tag_filter::Request;
    let request =
        |r: &FilterRequest| Request { id: r.id.clone(), subset: r.subset.clone(), annotation: (&r.annotation).into() };
    batch.iter().map(request).collect()
}

struct OpenEvaluator {
    instance: Instance<evaluator::EvaluatorPlugin>,
    metrics: Vec<Metric>,
}

impl RawEvaluator for OpenEvaluator {
    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn reference(&mut self, images: &[Image]) -> Answer<()> {
        let mut handles = Vec::new();
        for image in images {
            handles.push(self.instance.lend(image)?);
        }
        let kind = self.instance.bindings.anagama_plugin_evaluator();
        ask(&mut self.instance.store, |s| kind.call_reference(s, &handles))
    }

    fn add(&mut self, batch: &[Sample]) -> Answer<Vec<Vec<Score>>> {
        use evaluator::exports::anagama::plugin::evaluator as wit;
        let mut samples = Vec::new();
        for sample in batch {
            samples.push(wit::Sample {
                id: sample.id.clone(),
                image: self.instance.lend(&sample.image)?,
                prompt: sample.prompt.clone(),
                reference: sample.reference.as_ref().map(|i| self.instance.lend(i)).transpose()?,
                seed: sample.seed,
                extra: sample.extra.as_ref().map(ToString::to_string),
            });
        }
        let kind = self.instance.bindings.anagama_plugin_evaluator();
        let scores = match ask(&mut self.instance.store, |s| kind.call_add(s, &samples))? {
            Ok(scores) => scores,
            Err(e) => return Ok(Err(e)),
        };
        check_count(batch.len(), scores.len(), "evaluator.add")?;
        Ok(Ok(scores.into_iter().map(host_scores).collect()))
    }

    fn finish(&mut self) -> Answer<Vec<Score>> {
        let kind = self.instance.bindings.anagama_plugin_evaluator();
        Ok(ask(&mut self.instance.store, |s| kind.call_finish(s))?.map(host_scores))
    }
}

fn host_scores(scores: Vec<evaluator::exports::anagama::plugin::evaluator::Score>) -> Vec<Score> {
    scores.into_iter().map(|s| Score { metric: s.metric, value: s.value }).collect()
}
