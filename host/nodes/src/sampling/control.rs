//! ControlNets made ready for a walk.

use super::leads::Lead;
use crate::image::{resize, same_size};
use crate::types::Control;
use anyhow::{Result, bail};
use candle_core::Tensor;
use models::Residuals;
use sample::SigmaTable;
use std::sync::{Arc, Mutex, PoisonError};

/// A prompt's ControlNets.
pub(super) struct Follow {
    /// The one that was applied last first.
    chain: Vec<Link>,
    for_both: bool,
}

struct Link {
    control: Arc<Control>,
    /// It works from this sigma…
    from: f64,
    /// …down to this one.
    to: f64,
    /// The picture at the size that was asked for last, (n, 3, h, w).
    picture: Mutex<Option<Tensor>>,
}

impl Follow {
    pub(super) fn new(control: &Arc<Control>, table: &SigmaTable) -> Self {
        let (mut chain, mut next) = (Vec::new(), Some(control.clone()));
        while let Some(control) = next {
            let (start, end) = control.range;
            let from = if start > 0.0 { table.at_percent(start) } else { f64::INFINITY };
            let to = if end < 1.0 { table.at_percent(end) } else { 0.0 };
            next = control.before.clone();
            chain.push(Link { control, from, to, picture: Mutex::new(None) });
        }
        Self { chain, for_both: control.for_both }
    }

    /// Are these the same networks with the same pictures?
    pub(super) fn is(&self, other: &Self) -> bool {
        let same = |(a, b): (&Link, &Link)| {
            Arc::ptr_eq(&a.control.picture, &b.control.picture)
                && a.control.net.is(&b.control.net)
                && (a.control.strength, a.control.range) == (b.control.strength, b.control.range)
        };
        self.chain.len() == other.chain.len() && self.chain.iter().zip(&other.chain).all(same)
    }

    /// What they add together for the network's input (b, c, h, w); none outside of their parts of the schedule.
    pub(super) fn residuals(
        &self,
        x: &Tensor,
        times: &Tensor,
        cond: &models::Cond,
        sigma: f64,
    ) -> Result<Option<Residuals>> {
        let mut sum: Option<Residuals> = None;
        for link in self.chain.iter().filter(|link| sigma <= link.from && sigma >= link.to) {
            let picture = link.picture(x)?;
            let own = link.control.net.forward(x, times, cond, &picture)?.times(link.control.strength)?;
            sum = Some(match sum {
                Some(sum) => sum.plus(&own)?,
                None => own,
            });
        }
        Ok(sum)
    }
}

impl Link {
    /// The picture for this input: as large as what is made of it, by nearest pixels, its middle if its shape is another
    /// (ComfyUI, `ControlNet.get_control`).
    fn picture(&self, x: &Tensor) -> Result<Tensor> {
        let (b, _, h, w) = x.dims4()?;
        let (h, w) = self.control.net.picture_size(h, w);
        let mut kept = self.picture.lock().unwrap_or_else(PoisonError::into_inner);
        let picture = match kept.take().filter(|p| p.dims()[2..] == [h, w]) {
            Some(picture) => picture,
            None => resize(&same_size(&self.control.picture)?, models::interpolation("nearest-exact")?, h, w, true)?,
        };
        *kept = Some(picture.clone());
        match picture.dim(0)? {
            1 => Ok(picture),
            n if b.is_multiple_of(n) => Ok(picture.repeat((b / n, 1, 1, 1))?),
            n => bail!("{n} pictures to follow do not fit a batch of {b}"),
        }
    }
}

/// Prompts to avoid follow what those of the other side follow, if that was asked for and they follow nothing
/// themselves (ComfyUI, `apply_empty_x_to_equal_area`).
pub(super) fn share(positive: &[Lead], negative: &mut Vec<Lead>) {
    let whole = |lead: &&Lead| lead.area.is_none();
    let shared: Vec<Arc<Follow>> =
        positive.iter().filter(whole).filter_map(|lead| lead.control.clone()).filter(|f| f.for_both).collect();
    if negative.iter().filter(whole).any(|lead| lead.control.is_some()) {
        return;
    }
    let free: Vec<usize> = (0..negative.len()).filter(|&i| negative[i].area.is_none()).collect();
    if free.is_empty() {
        return;
    }
    for (n, follow) in shared.into_iter().enumerate() {
        let at = free[n % free.len()];
        if negative[at].control.is_none() {
            negative[at].control = Some(follow);
        } else {
            let mut lead = negative[at].clone();
            lead.control = Some(follow);
            negative.push(lead);
        }
    }
}
