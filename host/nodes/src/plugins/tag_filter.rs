//! Tag filter: a data set in, the data set with rewritten annotations out.

use super::{Job, Wiring, link, object, output, single};
use anyhow::bail;
use data::{Dataset, FilterRequest, Item, Verdict};
use engine::{Level, Outputs};
use spec::{Role, Values};

pub(super) const WIRING: Wiring = Wiring {
    role: Role::TagFilter,
    before: || vec![link("dataset", "DATASET", true, "The data set whose tags are rewritten.")],
    after: Vec::new,
    outputs: Some(|| output("dataset", "DATASET")),
    run,
};

/// Annotations that cross the border in one call.
const BATCH: usize = 256;

fn run(job: &Job, inputs: Values) -> anyhow::Result<Outputs> {
    let dataset = object::<Dataset>(&inputs, "dataset")?;
    let requests: Vec<FilterRequest> = dataset
        .items
        .iter()
        .map(|i| FilterRequest { id: i.id.clone(), subset: i.subset.clone(), annotation: i.annotation.clone() })
        .collect();
    let mut filter = job.plugin.open_tag_filter(&job.settings.config, job.call())?;
    let passes = u64::from(filter.passes().clamp(1, 16));
    let total = passes * requests.len() as u64;
    let mut done = 0;
    for _ in 1..passes {
        for batch in requests.chunks(BATCH) {
            job.ctx.check_cancelled()?;
            filter.observe(batch)?;
            done += batch.len() as u64;
            job.ctx.progress(done, total, "looking at all tags");
        }
    }
    let mut out = Dataset { items: Vec::with_capacity(requests.len()), notes: dataset.notes.clone() };
    for (batch, items) in requests.chunks(BATCH).zip(dataset.items.chunks(BATCH)) {
        job.ctx.check_cancelled()?;
        let verdicts = filter.apply(batch)?;
        if verdicts.len() != batch.len() {
            bail!("{}: expected {} verdicts, found {}", job.who(), batch.len(), verdicts.len());
        }
        for (item, verdict) in items.iter().zip(verdicts) {
            match verdict {
                Verdict::Keep(annotation) => out.items.push(Item { annotation, ..item.clone() }),
                Verdict::Drop(why) => {
                    let note = format!("{} left out {}: {why}", job.who(), item.id);
                    job.ctx.log(Level::Info, &note);
                    out.notes.push(note);
                }
            }
        }
        done += batch.len() as u64;
        job.ctx.progress(done, total, "rewriting tags");
    }
    if out.items.is_empty() && !dataset.items.is_empty() {
        bail!("{} left out every picture; the first: {}", job.who(), out.notes[dataset.notes.len()]);
    }
    Ok(single(out))
}
