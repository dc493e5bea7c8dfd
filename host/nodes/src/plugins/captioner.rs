//! Captioner: a data set in, the same data set with annotations out.
//!
//! Each caption is stored by itself, so that a stopped run goes on where it was and a larger data set costs only its
//! new pictures.

use super::{Job, Wiring, link, object, output, single, skips, stop_or_skip};
use crate::Host;
use anyhow::{Context as _, bail};
use data::{CaptionRequest, Captioner, Dataset, DecodeLimits, Digest, Image, Item};
use engine::{Level, Outputs};
use spec::{Annotation, Role, Values};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

pub(super) const WIRING: Wiring = Wiring {
    role: Role::Captioner,
    before: || vec![link("dataset", "DATASET", true, "The pictures to describe.")],
    after: || {
        vec![stop_or_skip(
            "on_error",
            "What to do when a picture cannot be described: stop, or leave it out and say so.",
        )]
    },
    outputs: Some(|| output("dataset", "DATASET")),
    run,
};

const KIND: &str = "captions";

/// What became of one picture.
type Answer = Result<Annotation, String>;

fn run(job: &Job, inputs: Values) -> anyhow::Result<Outputs> {
    let dataset = object::<Dataset>(&inputs, "dataset")?;
    let store = &job.ctx.services::<Host>().store;
    let base = format!(
        "{} {} {} {}",
        job.plugin.sha256(),
        job.node.spec.revision,
        job.settings.config,
        job.settings.models_digest(job.ctx)?
    );
    let keys: Vec<String> = dataset.items.iter().map(|item| key(&base, item)).collect();
    let mut answers: Vec<Option<Answer>> = Vec::with_capacity(keys.len());
    for key in &keys {
        // A damaged record is removed by the store; the picture is described again.
        let known = store.get_record(KIND, key).unwrap_or_else(|e| {
            job.ctx.log(Level::Warn, &e.to_string());
            None
        });
        answers.push(known.and_then(|bytes| serde_json::from_slice(&bytes).ok()).map(Ok));
    }
    let missing: Vec<usize> = (0..keys.len()).filter(|i| answers[*i].is_none()).collect();
    let skip = skips(&inputs, "on_error");
    describe(job, &dataset.items, &missing, !skip, |index, answer| {
        if let Ok(annotation) = &answer {
            let bytes = serde_json::to_vec(annotation)?;
            store.put_record(KIND, &keys[index], &bytes)?;
        }
        answers[index] = Some(answer);
        Ok(())
    })?;
    collect(job, &dataset, answers, skip).map(single)
}

fn key(base: &str, item: &Item) -> String {
    let known = serde_json::to_string(&item.annotation).unwrap_or_default();
    Digest::of(format!("{base}\n{}\n{known}", item.digest).as_bytes()).to_string()
}

/// Describes the pictures with these indices, on several instances at once.
fn describe(
    job: &Job,
    items: &[Item],
    missing: &[usize],
    stop_early: bool,
    done: impl FnMut(usize, Answer) -> anyhow::Result<()> + Send,
) -> anyhow::Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let first = open(job)?;
    let batch = first.max_batch().max(1);
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(missing.len().div_ceil(batch));
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let done = Mutex::new((done, 0u64));
    let work = |mut captioner: Box<dyn Captioner>| -> anyhow::Result<()> {
        loop {
            job.ctx.check_cancelled()?;
            let from = next.fetch_add(batch, Ordering::Relaxed);
            if from >= missing.len() || failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let indices = &missing[from..missing.len().min(from + batch)];
            for (index, answer) in caption(captioner.as_mut(), items, indices) {
                if answer.is_err() && stop_early {
                    failed.store(true, Ordering::Relaxed);
                }
                let Ok(mut done) = done.lock() else { bail!("another worker failed") };
                (done.0)(index, answer)?;
                done.1 += 1;
                job.ctx.progress(done.1, missing.len() as u64, &items[index].id);
            }
        }
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(|| work(open(job)?))).collect();
        let mut result = work(first);
        for other in others {
            let ended = other.join().unwrap_or_else(|_| bail!("a caption worker panicked"));
            result = result.and(ended);
        }
        result
    })
}

fn open(job: &Job) -> anyhow::Result<Box<dyn Captioner>> {
    Ok(job.plugin.open_captioner(&job.settings.config, job.call())?)
}

fn caption(captioner: &mut dyn Captioner, items: &[Item], indices: &[usize]) -> Vec<(usize, Answer)> {
    let mut answers = Vec::with_capacity(indices.len());
    let mut asked = Vec::new();
    let mut batch = Vec::new();
    for &index in indices {
        match Image::open(&items[index].path, &DecodeLimits::default()) {
            Ok(image) => {
                asked.push(index);
                batch.push(CaptionRequest { image, known: items[index].annotation.clone() });
            }
            Err(e) => answers.push((index, Err(e.to_string()))),
        }
    }
    if batch.is_empty() {
        return answers;
    }
    match captioner.caption(batch) {
        Ok(got) if got.len() == asked.len() => {
            let got = got.into_iter().map(|a| a.map_err(|e| e.to_string()));
            answers.extend(asked.into_iter().zip(got));
        }
        Ok(got) => {
            let message = format!("expected {} captions, found {}", asked.len(), got.len());
            answers.extend(asked.into_iter().map(|i| (i, Err(message.clone()))));
        }
        Err(e) => answers.extend(asked.into_iter().map(|i| (i, Err(e.to_string())))),
    }
    answers
}

fn collect(job: &Job, dataset: &Dataset, answers: Vec<Option<Answer>>, skip: bool) -> anyhow::Result<Dataset> {
    let mut out = Dataset { items: Vec::with_capacity(answers.len()), notes: dataset.notes.clone() };
    let mut failures = Vec::new();
    for (item, answer) in dataset.items.iter().zip(answers) {
        match answer {
            Some(Ok(annotation)) => {
                let natural_language = annotation.tags.is_empty() && annotation.text.is_some();
                out.items.push(Item { annotation, natural_language, ..item.clone() });
            }
            Some(Err(e)) => failures.push(format!("{}: {e}", item.id)),
            None => {}
        }
    }
    if failures.is_empty() {
        return Ok(out);
    }
    if !skip {
        bail!("{} could not describe {}", job.who(), failures.join("; "));
    }
    for failure in failures {
        job.ctx.log(Level::Warn, &format!("left out {failure}"));
        out.notes.push(format!("{} left out {failure}", job.who()));
    }
    if out.items.is_empty() {
        return Err(anyhow::anyhow!("no picture is left")).context(job.who());
    }
    Ok(out)
}
