//! The parts of a sampling job around the sampler: its sigmas and its start.

use crate::{Sampler, Schedule, SigmaTable};
use anyhow::{Result, bail};

/// The sigmas of `steps` steps, one more than there are steps, descending to 0.
///
/// `denoise` below 1 takes the end of a longer list: `int(steps / denoise)` steps are planned and the last
/// `steps` of them walked, so that the number of steps stays what was asked for (ComfyUI). 0 gives no sigmas.
///
/// # Errors
/// When the steps or the share to denoise make no sense.
pub fn list_of_sigmas(
    sampler: &Sampler,
    schedule: &Schedule,
    table: &SigmaTable,
    steps: usize,
    denoise: f64,
) -> Result<Vec<f64>> {
    if steps == 0 {
        bail!("expected at least 1 step, found 0");
    }
    if !(0.0..=1.0).contains(&denoise) {
        bail!("expected denoise from 0 to 1, found {denoise}");
    }
    if denoise > 0.9999 {
        return Ok(planned(sampler, schedule, table, steps));
    }
    let longer = (steps as f64 / denoise) as usize;
    if denoise <= 0.0 {
        return Ok(Vec::new());
    }
    if longer > 100_000 {
        bail!("{steps} steps at denoise {denoise} need a plan of {longer} steps; use a larger denoise or fewer steps");
    }
    let all = planned(sampler, schedule, table, longer);
    Ok(all[all.len().saturating_sub(steps + 1)..].to_vec())
}

fn planned(sampler: &Sampler, schedule: &Schedule, table: &SigmaTable, steps: usize) -> Vec<f64> {
    if !sampler.discard_penultimate {
        return (schedule.sigmas)(table, steps);
    }
    let mut sigmas = (schedule.sigmas)(table, steps + 1);
    if sigmas.len() >= 2 {
        sigmas.remove(sigmas.len() - 2);
    }
    sigmas
}

/// Keeps the steps from `start` up to `end` (exclusive); `finish` makes the last kept one end at sigma 0.
pub fn keep_steps(mut sigmas: Vec<f64>, start: usize, end: usize, finish: bool) -> Vec<f64> {
    if end < sigmas.len().saturating_sub(1) {
        sigmas.truncate(end + 1);
        if let (true, Some(last)) = (finish, sigmas.last_mut()) {
            *last = 0.0;
        }
    }
    if start < sigmas.len().saturating_sub(1) { sigmas.split_off(start) } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sampler, schedule};

    fn list(name: &str, steps: usize, denoise: f64) -> Vec<f64> {
        list_of_sigmas(sampler(name).unwrap(), schedule("normal").unwrap(), &SigmaTable::sd15(), steps, denoise)
            .unwrap()
    }

    #[test]
    fn a_partial_denoise_walks_the_end_of_a_longer_plan() {
        let all = list("euler", 40, 1.0);
        assert_eq!(list("euler", 20, 0.5), all[20..]);
        assert_eq!(list("euler", 20, 0.0), Vec::<f64>::new());
    }

    #[test]
    fn samplers_that_drop_the_last_but_one_keep_their_number_of_steps() {
        let all = list("euler", 11, 1.0);
        let kept = list("dpm_2", 10, 1.0);
        assert_eq!(kept.len(), 11);
        assert_eq!(kept[..10], all[..10]);
        assert_eq!(kept[10], 0.0);
    }

    #[test]
    fn nonsense_is_refused() {
        let (euler, normal, table) = (sampler("euler").unwrap(), schedule("normal").unwrap(), SigmaTable::sd15());
        for (steps, denoise) in [(0, 1.0), (20, 1.5), (20, -0.1), (20, f64::NAN), (20, 1e-9)] {
            assert!(list_of_sigmas(euler, normal, &table, steps, denoise).is_err(), "{steps} {denoise}");
        }
    }

    #[test]
    fn steps_are_cut_out() {
        let sigmas = vec![8.0, 4.0, 2.0, 1.0, 0.0];
        assert_eq!(keep_steps(sigmas.clone(), 0, 10_000, true), sigmas);
        assert_eq!(keep_steps(sigmas.clone(), 0, 2, false), [8.0, 4.0, 2.0]);
        assert_eq!(keep_steps(sigmas.clone(), 1, 3, true), [4.0, 2.0, 0.0]);
        assert_eq!(keep_steps(sigmas, 4, 10_000, true), Vec::<f64>::new());
    }
}
