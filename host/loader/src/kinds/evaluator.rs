//! Scores pictures.

use super::{Answer, Guard, KindRow, answers};
use data::{Evaluator, Image, Metric, Sample, Score};
use spec::{PluginError, Role};

pub(crate) const ROW: KindRow =
    KindRow { kind: Role::Evaluator, name: "evaluator", interface: "anagama:plugin/evaluator" };

/// The calls that both forms of an evaluator implement.
pub(crate) trait RawEvaluator: Send {
    /// What opening it answered.
    fn metrics(&self) -> &[Metric];
    fn reference(&mut self, images: &[Image]) -> Answer<()>;
    fn add(&mut self, batch: &[Sample]) -> Answer<Vec<Vec<Score>>>;
    fn finish(&mut self) -> Answer<Vec<Score>>;
}

pub(crate) struct GuardedEvaluator {
    guard: Guard<dyn RawEvaluator>,
    metrics: Vec<Metric>,
    /// What the evaluator has seen: a new instance must see it too. Images share their pixels.
    reference: Vec<Image>,
    samples: Vec<Sample>,
}

impl GuardedEvaluator {
    pub(crate) fn new(mut guard: Guard<dyn RawEvaluator>) -> Result<Self, PluginError> {
        let metrics = guard.call(|e| Ok(Ok(e.metrics().to_vec()))).map_err(|e| guard.blame("metrics", &e))?;
        Ok(Self { guard, metrics, reference: Vec::new(), samples: Vec::new() })
    }

    fn call<T>(
        &mut self,
        f: impl FnOnce(&mut (dyn RawEvaluator + 'static)) -> Answer<T>,
    ) -> Result<T, super::CallError> {
        let (reference, samples) = (&self.reference, &self.samples);
        let replay = |e: &mut (dyn RawEvaluator + 'static)| {
            if !reference.is_empty()
                && let Err(refused) = e.reference(reference)?
            {
                return Ok(Err(refused));
            }
            if samples.is_empty() { Ok(Ok(())) } else { Ok(e.add(samples)?.map(|_| ())) }
        };
        self.guard.call_after(replay, f)
    }
}

/// Only scores of what was announced.
fn scored(metrics: &[Metric], answer: Answer<Vec<Vec<Score>>>) -> Answer<Vec<Vec<Score>>> {
    let scores = answer?;
    scores.iter().flatten().try_for_each(|s| answers::scores("evaluator.add", metrics, s))?;
    Ok(scores)
}

impl Evaluator for GuardedEvaluator {
    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn reference(&mut self, images: Vec<Image>) -> Result<(), PluginError> {
        let result = self.call(|e| e.reference(&images));
        result.map_err(|e| self.guard.blame(&format!("{} reference images", images.len()), &e))?;
        self.reference.extend(images);
        Ok(())
    }

    fn add(&mut self, batch: Vec<Sample>) -> Result<Vec<Vec<Score>>, PluginError> {
        let metrics = self.metrics.clone();
        let add = |e: &mut (dyn RawEvaluator + 'static), batch: &[Sample]| scored(&metrics, e.add(batch));
        match self.call(|e| add(e, &batch)) {
            Ok(scores) => {
                self.samples.extend(batch);
                Ok(scores)
            }
            Err(e) if batch.len() > 1 && !e.is_final() => {
                let mut scores = Vec::new();
                for sample in batch {
                    let one = self.call(|e| add(e, std::slice::from_ref(&sample)));
                    scores.extend(one.map_err(|e| self.guard.blame(&format!("sample `{}`", sample.id), &e))?);
                    self.samples.push(sample);
                }
                Ok(scores)
            }
            Err(e) => {
                let what = batch.first().map_or("no samples".to_owned(), |s| match batch.len() {
                    1 => format!("sample `{}`", s.id),
                    n => format!("{n} samples from `{}` on", s.id),
                });
                Err(self.guard.blame(&what, &e))
            }
        }
    }

    fn finish(&mut self) -> Result<Vec<Score>, PluginError> {
        let metrics = self.metrics.clone();
        let result = self.call(|e| {
            let scores = e.finish()?;
            scores.iter().try_for_each(|s| answers::scores("evaluator.finish", &metrics, s))?;
            Ok(scores)
        });
        let scores = result.map_err(|e| self.guard.blame("finish", &e))?;
        self.samples.clear();
        Ok(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;

    /// Counts; dies on batches and on the id `bad`.
    #[derive(Default)]
    struct Counting(usize, usize, Vec<Metric>);

    impl RawEvaluator for Counting {
        fn metrics(&self) -> &[Metric] {
            &self.2
        }
        fn reference(&mut self, images: &[Image]) -> Answer<()> {
            self.0 += images.len();
            Ok(Ok(()))
        }
        fn add(&mut self, batch: &[Sample]) -> Answer<Vec<Vec<Score>>> {
            if batch.iter().any(|s| s.id == "bad") {
                return Err(Fault::Trapped("boom".into()));
            }
            self.1 += batch.len();
            Ok(Ok(vec![vec![]; batch.len()]))
        }
        fn finish(&mut self) -> Answer<Vec<Score>> {
            let value = (self.0 * 100 + std::mem::take(&mut self.1)) as f64;
            Ok(Ok(vec![Score { metric: "n".into(), value }]))
        }
    }

    #[test]
    fn a_crash_loses_the_bad_sample_alone() {
        let n = Metric {
            name: "n".into(),
            higher_is_better: true,
            low: 0.0,
            high: 1.0,
            per_sample: false,
            description: String::new(),
        };
        let open = move || Ok(Box::new(Counting(0, 0, vec![n.clone()])) as Box<dyn RawEvaluator>);
        let guard = Guard::<dyn RawEvaluator>::new("plugin x".into(), Box::new(open)).unwrap();
        let mut evaluator = GuardedEvaluator::new(guard).unwrap();
        let image = Image::new(1, 1, data::PixelFormat::L8, vec![0]).unwrap();
        let sample = |id: &str| Sample {
            id: id.into(),
            image: image.clone(),
            prompt: String::new(),
            reference: None,
            seed: None,
            extra: None,
        };
        evaluator.reference(vec![image.clone(), image.clone()]).unwrap();
        evaluator.add(vec![sample("a"), sample("b")]).unwrap();
        let e = evaluator.add(vec![sample("c"), sample("bad")]).unwrap_err();
        assert_eq!(e.message, "plugin x: sample `bad`: crashed: boom");
        assert_eq!(evaluator.finish().unwrap()[0].value, 203.0);
        assert_eq!(evaluator.finish().unwrap()[0].value, 200.0);
    }
}
