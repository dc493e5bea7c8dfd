//! A model with what leads it, as the denoiser that samplers ask.

use super::beside::Scene;
use super::leads::{Lead, Sides};
use crate::types::{Conditioning, Guidance, Model};
use anyhow::Result;
use candle_core::{Device, Tensor};
use sample::{Denoiser, Mix, NetworkDenoiser, SigmaTable, guide};

/// Latent pixels, all pictures and prompts together, that the network is given at once: a batch of 8 at 512×512.
const AT_ONCE: usize = 32_768;

/// A guidance made ready for a walk.
pub(super) struct Guided<'a> {
    model: &'a Model,
    table: &'a SigmaTable,
    sides: Sides,
    /// The prompts of each side of the guidance.
    lists: Vec<Vec<Lead>>,
    rule: Rule,
}

/// How the guesses of the lists become one.
#[derive(Clone, Copy)]
enum Rule {
    Plain,
    /// Positive, negative.
    Classifier(f64),
    /// First, second, negative.
    Dual {
        first: f64,
        second: f64,
        nested: bool,
    },
}

impl<'a> Guided<'a> {
    pub(super) fn new(
        guidance: &Guidance,
        model: &'a Model,
        table: &'a SigmaTable,
        sides: Sides,
        scene: Scene<'_>,
        device: &Device,
    ) -> Result<Self> {
        let (conditionings, rule): (Vec<&Conditioning>, Rule) = match guidance {
            Guidance::Plain(one) => (vec![one], Rule::Plain),
            Guidance::Classifier { positive, negative, cfg } => (vec![positive, negative], Rule::Classifier(*cfg)),
            Guidance::Dual { first, second, negative, first_cfg, second_cfg, nested } => {
                (vec![first, second, negative], Rule::Dual { first: *first_cfg, second: *second_cfg, nested: *nested })
            }
        };
        let ready =
            |c: &Conditioning| c.0.iter().map(|one| Lead::new(one, model, table, sides, scene, device)).collect();
        let mut lists = conditionings.into_iter().map(ready).collect::<Result<Vec<Vec<Lead>>>>()?;
        for i in 0..lists.len() {
            for other in (0..lists.len()).filter(|&other| other != i) {
                let others = lists[i].clone();
                Lead::match_areas(&mut lists[other], &others);
            }
        }
        if let (Rule::Classifier(_), [positive, negative]) = (rule, &mut lists[..]) {
            super::control::share(positive, negative);
        }
        Ok(Self { model, table, sides, lists, rule })
    }

    /// The guess of each of these lists: what its prompts say, weighed by their shares at each place.
    fn guesses(&self, wanted: &[usize], x: &Tensor, sigma: f64) -> Result<Vec<Tensor>> {
        let mut jobs: Vec<(usize, &Lead)> = Vec::new();
        for (place, &list) in wanted.iter().enumerate() {
            jobs.extend(self.lists[list].iter().filter(|lead| lead.leads_at(sigma)).map(|lead| (place, lead)));
        }
        let mut sums: Vec<Option<(Tensor, Tensor)>> = vec![None; wanted.len()];
        let mut found: Vec<Option<Tensor>> = vec![None; wanted.len()];
        while let Some(&(_, first)) = jobs.first() {
            let each = self.sides.b * first.area.map_or(self.sides.h * self.sides.w, |a| a.h * a.w);
            let most = (AT_ONCE / each.max(1)).max(1);
            let (mut together, mut rest) = (Vec::new(), Vec::new());
            for job in jobs {
                let fits = together.len() < most && goes_with(first, job.1);
                if fits { together.push(job) } else { rest.push(job) }
            }
            jobs = rest;
            let guesses = self.ask(&together, x, sigma)?;
            for ((place, lead), guess) in together.into_iter().zip(guesses) {
                // Usually there is one prompt, and nothing to weigh.
                let alone =
                    lead.is_plain() && self.lists[wanted[place]].iter().filter(|l| l.leads_at(sigma)).count() == 1;
                if alone {
                    found[place] = Some(guess);
                    continue;
                }
                let (guess, share) = lead.weighed(&guess, self.sides)?;
                sums[place] = Some(match sums[place].take() {
                    Some((sum, shares)) => ((sum + guess)?, shares.broadcast_add(&share)?),
                    None => (guess, share),
                });
            }
        }
        let all = found.into_iter().zip(sums);
        all.map(|(found, sum)| match (found, sum) {
            (Some(guess), _) => Ok(guess),
            // Where no prompt leads, the guess is 0 (ComfyUI).
            (None, Some((sum, shares))) => Ok(sum.broadcast_div(&(shares + 1e-37)?)?),
            (None, None) => Ok(x.zeros_like()?),
        })
        .collect()
    }

    /// The network's guesses for prompts of equal shape, in one call.
    fn ask(&self, jobs: &[(usize, &Lead)], x: &Tensor, sigma: f64) -> Result<Vec<Tensor>> {
        let inputs = jobs.iter().map(|(_, lead)| lead.cut(x)).collect::<Result<Vec<_>>>()?;
        let conds: Vec<&models::Cond> = jobs.iter().map(|(_, lead)| &lead.cond).collect();
        let cond = models::Cond {
            context: Tensor::cat(&conds.iter().map(|c| &c.context).collect::<Vec<_>>(), 0)?,
            pooled: stack(conds.iter().map(|c| c.pooled.as_ref()))?,
            size: stack(conds.iter().map(|c| c.size.as_ref()))?,
            guidance: stack(conds.iter().map(|c| c.guidance.as_ref()))?,
        };
        let beside = jobs.iter().map(|(_, lead)| lead.beside.as_ref().map(|t| lead.cut(t)).transpose());
        let beside = beside.collect::<Result<Option<Vec<_>>>>()?.map(|all| Tensor::cat(&all, 0)).transpose()?;
        let pictures = jobs.first().map_or(0, |(_, lead)| lead.references.len());
        let references = (0..pictures).map(|i| {
            let each: Vec<&Tensor> = jobs.iter().map(|(_, lead)| &lead.references[i]).collect();
            Tensor::cat(&each, 0)
        });
        let references = references.collect::<candle_core::Result<Vec<_>>>()?;
        let follow = jobs.first().and_then(|(_, lead)| lead.control.as_deref());
        let mut network = NetworkDenoiser {
            table: self.table,
            prediction: self.model.sampler_prediction(),
            network: |x: &Tensor, time: f64| {
                let times = Tensor::new(&[time as f32], x.device())?;
                let seen = match &beside {
                    Some(beside) => Tensor::cat(&[x, beside], 1)?,
                    None => x.clone(),
                };
                if !references.is_empty() {
                    return Ok(self.model.network.forward_beside(&seen, &times, &cond, &references)?);
                }
                match follow.map(|f| f.residuals(x, &times, &cond, sigma)).transpose()?.flatten() {
                    Some(control) => Ok(self.model.network.forward_controlled(&seen, &times, &cond, &control)?),
                    None => Ok(self.model.network.forward(&seen, &times, &cond)?),
                }
            },
        };
        let guesses = network.denoise(&Tensor::cat(&inputs, 0)?, sigma)?;
        let b = self.sides.b;
        Ok((0..jobs.len()).map(|i| guesses.narrow(0, i * b, b)).collect::<candle_core::Result<_>>()?)
    }
}

/// All or none of them are there.
fn stack<'t>(tensors: impl Iterator<Item = Option<&'t Tensor>>) -> Result<Option<Tensor>> {
    let tensors: Option<Vec<&Tensor>> = tensors.collect();
    Ok(tensors.map(|tensors| Tensor::cat(&tensors, 0)).transpose()?)
}

/// Can the network be asked for both in one call?
fn goes_with(a: &Lead, b: &Lead) -> bool {
    let sides = |lead: &Lead| lead.area.map(|a| (a.h, a.w));
    let pooled = |lead: &Lead| lead.cond.pooled.is_some();
    let same_control = match (&a.control, &b.control) {
        (None, None) => true,
        (Some(a), Some(b)) => a.is(b),
        _ => false,
    };
    let pictures = |lead: &Lead| lead.references.iter().map(|t| t.dims().to_vec()).collect::<Vec<_>>();
    let same_text = a.cond.context.dims() == b.cond.context.dims() && pooled(a) == pooled(b);
    sides(a) == sides(b) && same_text && same_control && pictures(a) == pictures(b)
}

fn is_one(cfg: f64) -> bool {
    (cfg - 1.0).abs() <= 1e-9
}

impl Denoiser for Guided<'_> {
    fn denoise(&mut self, x: &Tensor, sigma: f64) -> Result<Tensor> {
        match self.rule {
            // A guidance of 1 is the positive prompt alone: half of the work.
            Rule::Classifier(cfg) if is_one(cfg) => Ok(self.guesses(&[0], x, sigma)?.swap_remove(0)),
            Rule::Dual { first, second, nested: false } if is_one(first) && is_one(second) => {
                Ok(self.guesses(&[0], x, sigma)?.swap_remove(0))
            }
            _ => Ok(self.denoise_both(x, sigma)?.0),
        }
    }

    fn denoise_both(&mut self, x: &Tensor, sigma: f64) -> Result<(Tensor, Tensor)> {
        match self.rule {
            Rule::Plain => {
                let guess = self.guesses(&[0], x, sigma)?.swap_remove(0);
                Ok((guess.clone(), guess))
            }
            Rule::Classifier(cfg) => {
                let guesses = self.guesses(&[0, 1], x, sigma)?;
                Ok((guide(&guesses[0], &guesses[1], cfg)?, guesses[1].clone()))
            }
            Rule::Dual { first, second, nested } => {
                let guesses = self.guesses(&[0, 1, 2], x, sigma)?;
                let [one, two, negative] = [&guesses[0], &guesses[1], &guesses[2]];
                let guess = if nested {
                    guide(&guide(one, two, first)?, negative, second)?
                } else {
                    (guide(two, negative, second)? + ((one - two)? * first)?)?
                };
                Ok((guess, negative.clone()))
            }
        }
    }

    fn mix(&self) -> Mix {
        self.table.mix()
    }
}
