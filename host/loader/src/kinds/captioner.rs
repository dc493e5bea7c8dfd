//! Describes images.

use super::{Answer, CallError, Guard, KindRow, MAX_TIMEOUTS, answers};
use data::{CaptionRequest, Captioner};
use spec::{Annotation, PluginError, Role};

pub(crate) const ROW: KindRow =
    KindRow { kind: Role::Captioner, name: "captioner", interface: "anagama:plugin/captioner" };

/// The calls that both forms of a captioner implement.
pub(crate) trait RawCaptioner: Send {
    fn max_batch(&mut self) -> Answer<u32>;
    fn caption(&mut self, batch: &[CaptionRequest]) -> Answer<Vec<Result<Annotation, PluginError>>>;
}

pub(crate) struct GuardedCaptioner {
    guard: Guard<dyn RawCaptioner>,
    max_batch: usize,
}

impl GuardedCaptioner {
    pub(crate) fn new(mut guard: Guard<dyn RawCaptioner>) -> Result<Self, PluginError> {
        let max_batch = guard.call(RawCaptioner::max_batch).map_err(|e| guard.blame("max-batch", &e))?;
        Ok(Self { guard, max_batch: max_batch.max(1) as usize })
    }

    fn one_by_one(&mut self, batch: &[CaptionRequest]) -> Result<Vec<Result<Annotation, PluginError>>, PluginError> {
        let (mut answers, mut timeouts) = (Vec::new(), 0);
        for (i, request) in batch.iter().enumerate() {
            let what = item(i, batch.len(), &request.image);
            match self.guard.call(|c| checked(c.caption(std::slice::from_ref(request)))) {
                Ok(mut one) => {
                    timeouts = 0;
                    let answer = one.pop().unwrap_or_else(|| Ok(Annotation::default()));
                    answers.push(answer.map_err(|e| self.guard.blame_plugin(&what, e)));
                }
                Err(e) => {
                    timeouts = if e.is_timeout() { timeouts + 1 } else { 0 };
                    let error = self.guard.blame(&what, &e);
                    let cancelled = error.kind == spec::ErrorKind::Cancelled;
                    if cancelled || timeouts >= MAX_TIMEOUTS || matches!(e, CallError::Open(_)) {
                        return Err(error);
                    }
                    answers.push(Err(error));
                }
            }
        }
        Ok(answers)
    }
}

impl Captioner for GuardedCaptioner {
    fn max_batch(&self) -> usize {
        self.max_batch
    }

    fn caption(&mut self, batch: Vec<CaptionRequest>) -> Result<Vec<Result<Annotation, PluginError>>, PluginError> {
        match self.guard.call(|c| checked(c.caption(&batch))) {
            Ok(answers) => {
                let total = answers.len();
                let named = answers.into_iter().zip(&batch).enumerate().map(|(i, (answer, request))| {
                    answer.map_err(|e| self.guard.blame_plugin(&item(i, total, &request.image), e))
                });
                Ok(named.collect())
            }
            Err(e) if batch.len() > 1 && !e.is_final() => {
                // One image may have killed the whole batch; the others shall not suffer for it.
                self.one_by_one(&batch)
            }
            Err(e) if batch.len() == 1 && !e.is_final() => {
                Ok(vec![Err(self.guard.blame(&item(0, 1, &batch[0].image), &e))])
            }
            Err(e) => {
                let what = match batch.as_slice() {
                    [one] => item(0, 1, &one.image),
                    all => format!("a batch of {}", all.len()),
                };
                Err(self.guard.blame(&what, &e))
            }
        }
    }
}

/// The answers, looked at. One that cannot be used fails alone: the instance is none the worse for it.
fn checked(answer: Answer<Vec<Result<Annotation, PluginError>>>) -> Answer<Vec<Result<Annotation, PluginError>>> {
    let one = |answer: Result<Annotation, PluginError>| {
        let mut annotation = answer?;
        let checked = answers::annotation("captioner.caption", &mut annotation);
        checked.map(|()| annotation).map_err(|fault| PluginError::new(fault.kind(), fault.to_string()))
    };
    answer.map(|given| given.map(|all| all.into_iter().map(one).collect()))
}

fn item(index: usize, total: usize, image: &data::Image) -> String {
    format!("image {} of {total} ({}×{})", index + 1, image.width, image.height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;

    /// Dies on images of width 13, runs out of time on width 14, refuses width 15.
    struct Fussy;

    impl RawCaptioner for Fussy {
        fn max_batch(&mut self) -> Answer<u32> {
            Ok(Ok(0))
        }
        fn caption(&mut self, batch: &[CaptionRequest]) -> Answer<Vec<Result<Annotation, PluginError>>> {
            if batch.iter().any(|r| r.image.width == 13) {
                return Err(Fault::Trapped("unlucky".into()));
            }
            if batch.iter().any(|r| r.image.width == 14) {
                return Err(Fault::Deadline(std::time::Duration::from_secs(1)));
            }
            let answer = |r: &CaptionRequest| match r.image.width {
                15 => Err(PluginError::new(spec::ErrorKind::InvalidInput, "no 15")),
                w => Ok(Annotation { text: Some(w.to_string()), ..Annotation::default() }),
            };
            Ok(Ok(batch.iter().map(answer).collect()))
        }
    }

    fn run(widths: &[u32]) -> Result<Vec<Result<Annotation, PluginError>>, PluginError> {
        let guard = Guard::<dyn RawCaptioner>::new("plugin x".into(), Box::new(|| Ok(Box::new(Fussy)))).unwrap();
        let mut captioner = GuardedCaptioner::new(guard).unwrap();
        assert_eq!(captioner.max_batch(), 1);
        let image = |w| data::Image::new(w, 1, data::PixelFormat::L8, vec![0; w as usize]).unwrap();
        captioner
            .caption(widths.iter().map(|w| CaptionRequest { image: image(*w), known: Annotation::default() }).collect())
    }

    #[test]
    fn one_bad_image_fails_alone_and_by_name() {
        let answers = run(&[1, 13, 3, 15]).unwrap();
        assert_eq!(answers[0].as_ref().unwrap().text.as_deref(), Some("1"));
        assert_eq!(answers[1].as_ref().unwrap_err().message, "plugin x: image 2 of 4 (13×1): crashed: unlucky");
        assert_eq!(answers[2].as_ref().unwrap().text.as_deref(), Some("3"));
        assert_eq!(answers[3].as_ref().unwrap_err().message, "plugin x: image 4 of 4 (15×1): no 15");
        assert!(run(&[13]).unwrap()[0].is_err());
        assert_eq!(run(&[15, 1]).unwrap()[0].as_ref().unwrap_err().message, "plugin x: image 1 of 2 (15×1): no 15");
    }

    #[test]
    fn a_plugin_that_hangs_again_and_again_is_given_up() {
        assert!(run(&[14, 1, 14, 2]).is_ok());
        let e = run(&[1, 14, 14, 2]).unwrap_err();
        assert!(e.kind == spec::ErrorKind::Timeout && e.message.contains("image 3 of 4"), "{e}");
    }
}
