//! Rewrites annotations.

use super::{Answer, Guard, KindRow, answers};
use data::{FilterRequest, TagFilter, Verdict};
use spec::{PluginError, Role};

pub(crate) const ROW: KindRow =
    KindRow { kind: Role::TagFilter, name: "tag-filter", interface: "anagama:plugin/tag-filter" };

/// The calls that both forms of a filter implement.
pub(crate) trait RawFilter: Send {
    fn passes(&mut self) -> Answer<u32>;
    fn observe(&mut self, batch: &[FilterRequest]) -> Answer<()>;
    fn apply(&mut self, batch: &[FilterRequest]) -> Answer<Vec<Verdict>>;
}

pub(crate) struct GuardedFilter {
    guard: Guard<dyn RawFilter>,
    passes: u32,
    /// What the filter has seen: a new instance must see it too.
    observed: Vec<FilterRequest>,
}

impl GuardedFilter {
    pub(crate) fn new(mut guard: Guard<dyn RawFilter>) -> Result<Self, PluginError> {
        let passes = guard.call(RawFilter::passes).map_err(|e| guard.blame("passes", &e))?;
        Ok(Self { guard, passes: passes.max(1), observed: Vec::new() })
    }

    fn apply_once(&mut self, batch: &[FilterRequest]) -> Result<Vec<Verdict>, super::CallError> {
        let observed = &self.observed;
        let replay =
            |f: &mut (dyn RawFilter + 'static)| if observed.is_empty() { Ok(Ok(())) } else { f.observe(observed) };
        self.guard.call_after(replay, |f| checked(f.apply(batch)))
    }
}

/// The verdicts, looked at.
fn checked(answer: Answer<Vec<Verdict>>) -> Answer<Vec<Verdict>> {
    let mut verdicts = answer?;
    for verdict in verdicts.iter_mut().flatten() {
        if let Verdict::Keep(annotation) = verdict {
            answers::annotation("tag-filter.apply", annotation)?;
        }
    }
    Ok(verdicts)
}

impl TagFilter for GuardedFilter {
    fn passes(&self) -> u32 {
        self.passes
    }

    fn observe(&mut self, batch: &[FilterRequest]) -> Result<(), PluginError> {
        let observed = &self.observed;
        let replay =
            |f: &mut (dyn RawFilter + 'static)| if observed.is_empty() { Ok(Ok(())) } else { f.observe(observed) };
        let result = self.guard.call_after(replay, |f| f.observe(batch));
        result.map_err(|e| self.guard.blame(&format!("observing {}", span(batch)), &e))?;
        self.observed.extend_from_slice(batch);
        Ok(())
    }

    fn apply(&mut self, batch: &[FilterRequest]) -> Result<Vec<Verdict>, PluginError> {
        match self.apply_once(batch) {
            Ok(verdicts) => Ok(verdicts),
            Err(e) if batch.len() > 1 && !e.is_final() => {
                // A verdict has no room for an error, so the first item that fails alone is named and ends the call.
                let mut verdicts = Vec::new();
                for request in batch {
                    let one = self.apply_once(std::slice::from_ref(request));
                    let one = one.map_err(|e| self.guard.blame(&format!("item `{}`", request.id), &e))?;
                    verdicts.extend(one);
                }
                Ok(verdicts)
            }
            Err(e) => Err(self.guard.blame(&span(batch), &e)),
        }
    }
}

fn span(batch: &[FilterRequest]) -> String {
    match batch {
        [] => "an empty batch".to_owned(),
        [one] => format!("item `{}`", one.id),
        [first, .., last] => format!("{} items, `{}` to `{}`", batch.len(), first.id, last.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;

    /// Drops each item, saying how many it has observed; dies on the id `bad`.
    #[derive(Default)]
    struct Counting(usize);

    impl RawFilter for Counting {
        fn passes(&mut self) -> Answer<u32> {
            Ok(Ok(2))
        }
        fn observe(&mut self, batch: &[FilterRequest]) -> Answer<()> {
            self.0 += batch.len();
            Ok(Ok(()))
        }
        fn apply(&mut self, batch: &[FilterRequest]) -> Answer<Vec<Verdict>> {
            if batch.len() > 1 || batch[0].id == "bad" {
                return Err(Fault::Trapped("boom".into()));
            }
            Ok(Ok(vec![Verdict::Drop(self.0.to_string())]))
        }
    }

    #[test]
    fn a_new_instance_has_seen_what_the_old_one_saw() {
        let guard =
            Guard::<dyn RawFilter>::new("plugin x".into(), Box::new(|| Ok(Box::new(Counting::default())))).unwrap();
        let mut filter = GuardedFilter::new(guard).unwrap();
        let item = |id: &str| FilterRequest { id: id.into(), subset: String::new(), annotation: Default::default() };
        filter.observe(&[item("a"), item("b")]).unwrap();
        filter.observe(&[item("c")]).unwrap();
        let three = || Verdict::Drop("3".into());
        assert_eq!(filter.apply(&[item("a"), item("b")]).unwrap(), [three(), three()]);
        let e = filter.apply(&[item("a"), item("bad")]).unwrap_err();
        assert_eq!(e.message, "plugin x: item `bad`: crashed: boom");
        assert_eq!(filter.apply(&[item("a")]).unwrap(), [three()]);
    }
}
