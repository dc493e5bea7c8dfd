//! Captioner: a data set in, the same data set with annotations out.
//!
//! Each caption is stored by itself, so that a stopped run goes on where it was and a larger data set costs only its
//! new pictures.

use super::remember::Memory;
use super::{Job, Wiring, link, object, output, single, skips, stop_or_skip};
use crate::Host;
use anyhow::{Context as _, bail};
use data::{CaptionRequest, Captioner, Dataset, DecodeLimits, Digest, Image, Item};
use engine::{Level, Outputs};
use spec::{Annotation, Input, Role, Socket, Value, Values, Widget};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(super) const WIRING: Wiring = Wiring {
    role: Role::Captioner,
    before: || vec![link("dataset", "DATASET", true, "The pictures to describe.")],
    after: || {
        let on_error = stop_or_skip(
            "on_error",
            "What to do when a picture cannot be described: stop, or leave it out and say so.",
        );
        vec![on_error, parallel()]
    },
    outputs: Some(|| output("dataset", "DATASET")),
    run,
};

const KIND: &str = "captions";

/// How many instances work at a time. A component makes one call after the other, so this is also how many requests a
/// captioner that asks a server has under way.
fn parallel() -> Input {
    Input {
        name: "parallel".to_owned(),
        socket: Socket::Int,
        widget: Widget::Int { default: 0, min: 0, max: 64, step: 1, seed_control: false },
        required: false,
        is_list: false,
        lazy: false,
        tooltip: Some(
            "Pictures, or batches, that are described at the same time. 0: as many as the machine has cores; for a \
             captioner that asks a server, as many as the server answers at once."
                .to_owned(),
        ),
    }
}

fn workers(inputs: &Values) -> usize {
    let asked = match inputs.get("parallel") {
        Some(Value::Data(json)) => json.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
        _ => 0,
    };
    if asked > 0 { asked.min(64) } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

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
    let mut pace = Pace::new(missing.len());
    describe(job, &dataset.items, &missing, workers(&inputs), !skip, |index, answer| {
        if let Some(line) = pace.see(answer.as_ref().ok()) {
            job.ctx.log(Level::Info, &line);
        }
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
    workers: usize,
    stop_early: bool,
    done: impl FnMut(usize, Answer) -> anyhow::Result<()> + Send,
) -> anyhow::Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let memory = Memory { store: &job.ctx.services::<Host>().store, plugin: job.plugin.id() };
    let first = open(job)?;
    let batch = first.max_batch().max(1);
    let workers = workers.min(missing.len().div_ceil(batch));
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
            for (index, answer) in caption(captioner.as_mut(), memory, items, indices) {
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

/// Says early how long the whole will take, and what it will cost if the captioner says what one picture does.
struct Pace {
    began: Instant,
    all: usize,
    done: usize,
    tokens: f64,
    cost: f64,
    said: bool,
}

/// Answers before the estimate, unless they are slow.
const SAMPLE: usize = 5;
/// After this, one answer must do.
const SLOW: Duration = Duration::from_secs(10);

impl Pace {
    fn new(all: usize) -> Self {
        Self { began: Instant::now(), all, done: 0, tokens: 0.0, cost: 0.0, said: false }
    }

    /// Takes note of an answer; the estimate, once.
    fn see(&mut self, answer: Option<&Annotation>) -> Option<String> {
        self.done += 1;
        let extra = answer.and_then(|a| a.extra.as_deref()).and_then(|e| serde_json::from_str(e).ok());
        let extra: serde_json::Value = extra.unwrap_or_default();
        let number = |key: &str| extra["captioner"][key].as_f64().unwrap_or(0.0);
        self.tokens += number("tokens_in") + number("tokens_out");
        self.cost += number("cost");
        self.estimate(self.began.elapsed())
    }

    fn estimate(&mut self, elapsed: Duration) -> Option<String> {
        let early = self.done < SAMPLE && elapsed < SLOW;
        if self.said || early || self.done >= self.all {
            return None;
        }
        self.said = true;
        let share = self.all as f64 / self.done as f64;
        let seconds = elapsed.as_secs_f64() * share;
        if seconds < 5.0 && self.tokens == 0.0 {
            return None;
        }
        let mut line = format!(
            "{} pictures at {:.1} s each: about {} in all",
            self.all,
            elapsed.as_secs_f64() / self.done as f64,
            spoken(seconds)
        );
        if self.tokens > 0.0 {
            line.push_str(&format!(", {:.0} thousand tokens", (self.tokens * share / 1000.0).ceil()));
        }
        if self.cost > 0.0 {
            line.push_str(&format!(", {:.2} to pay", self.cost * share));
        }
        Some(line)
    }
}

/// Rough enough to be true.
fn spoken(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

fn open(job: &Job) -> anyhow::Result<Box<dyn Captioner>> {
    Ok(job.plugin.open_captioner(&job.settings.config, job.call())?)
}

fn caption(
    captioner: &mut dyn Captioner,
    memory: Memory<'_>,
    items: &[Item],
    indices: &[usize],
) -> Vec<(usize, Answer)> {
    let mut answers = Vec::with_capacity(indices.len());
    let mut asked = Vec::new();
    let mut batch = Vec::new();
    for &index in indices {
        match Image::open(&items[index].path, &DecodeLimits::default()) {
            Ok(image) => {
                asked.push(index);
                batch.push(CaptionRequest { image, known: memory.with(&items[index]) });
            }
            Err(e) => answers.push((index, Err(e.to_string()))),
        }
    }
    if batch.is_empty() {
        return answers;
    }
    match captioner.caption(batch) {
        Ok(got) if got.len() == asked.len() => {
            for (index, answer) in asked.into_iter().zip(got) {
                let answer = answer.map(|mut annotation| {
                    memory.keep(&items[index], &mut annotation);
                    annotation
                });
                answers.push((index, answer.map_err(|e| e.to_string())));
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(extra: Option<&str>) -> Annotation {
        Annotation { extra: extra.map(str::to_owned), ..Annotation::default() }
    }

    #[test]
    fn an_estimate_comes_once_and_early() {
        let mut pace = Pace::new(1000);
        let extra = r#"{"captioner": {"tokens_in": 1500, "tokens_out": 200, "cost": 0.002}}"#;
        let lines: Vec<_> = (0..SAMPLE + 3).filter_map(|_| pace.see(Some(&answer(Some(extra))))).collect();
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("1000 pictures at 0.0 s each: about 0 s in all"), "{lines:?}");
        assert!(lines[0].ends_with("1700 thousand tokens, 2.00 to pay"), "{lines:?}");

        let mut slow = Pace { done: 1, ..Pace::new(100) };
        assert_eq!(slow.estimate(Duration::from_secs(60)).unwrap(), "100 pictures at 60.0 s each: about 1.7 h in all");
        let mut all = Pace { done: 3, ..Pace::new(3) };
        assert_eq!(all.estimate(Duration::from_secs(60)), None, "it is over");
        assert_eq!(Pace::new(9).see(Some(&answer(Some("no JSON")))), None);
        assert_eq!((spoken(30.0), spoken(600.0)), ("30 s".into(), "10 min".into()));
    }

    #[test]
    fn as_many_at_a_time_as_asked() {
        let inputs = |n: i64| -> Values { [("parallel".to_owned(), n.into())].into_iter().collect() };
        assert_eq!(workers(&inputs(6)), 6);
        assert!(workers(&inputs(0)) >= 1 && workers(&Values::default()) >= 1);
    }
}
