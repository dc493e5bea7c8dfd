//! A tag filter that answers badly.

use crate::crash;
use plugin_sdk::{FilterRequest, Info, Inputs, Result, TagFilter, Verdict, info};

/// What to do, and to which item.
#[derive(Inputs)]
pub(crate) struct Settings {
    /// Which misbehaviour.
    #[input(default = "nothing")]
    how: String,
    /// The item that gets it.
    #[input(default = "bad")]
    id: String,
}

/// The filter.
pub(crate) struct Odd(Settings);

impl TagFilter for Odd {
    type Settings = Settings;
    const INFO: Info = info!("test.misbehaves-filter", "Misbehaves, filter");

    fn open(settings: Settings) -> Result<Self> {
        Ok(Self(settings))
    }

    fn apply(&mut self, batch: Vec<FilterRequest>) -> Result<Vec<Verdict>> {
        let hit = batch.iter().any(|r| r.id == self.0.id);
        let mut verdicts = Vec::new();
        for mut request in batch {
            if request.id == self.0.id {
                match self.0.how.as_str() {
                    "nan" => request.annotation.tags.iter_mut().for_each(|t| t.score = Some(f32::NAN)),
                    how => crash::now(how),
                }
            }
            verdicts.push(Verdict::Keep(request.annotation));
        }
        if hit && self.0.how == "too-few" {
            verdicts.pop();
        }
        Ok(verdicts)
    }
}
