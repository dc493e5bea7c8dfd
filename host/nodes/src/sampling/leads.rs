//! Prompts made ready for a walk: in the latent's size, and for its noise levels.

use super::beside::{self, Scene};
use super::control::Follow;
use super::unclip;
use crate::types::{Area, Cond, CondMask, Model};
use anyhow::{Result, bail};
use candle_core::{DType, Device, Tensor};
use sample::SigmaTable;
use std::sync::Arc;

/// A prompt that leads a part of the latent, over a part of the noise levels.
#[derive(Clone)]
pub(super) struct Lead {
    /// What the network is given, for all pictures.
    pub(super) cond: models::Cond,
    /// None: the whole latent.
    pub(super) area: Option<Rectangle>,
    /// Its share at each place of the area, (1 or b, 1, h, w); none: 1 everywhere.
    share: Option<Tensor>,
    /// It leads from this sigma…
    from: f64,
    /// …down to this one.
    to: f64,
    /// What it follows.
    pub(super) control: Option<Arc<Follow>>,
    /// What the network sees beside the latent, (b, n, h, w).
    pub(super) beside: Option<Tensor>,
    /// Pictures that it reads, scaled, (b, c, h', w') each.
    pub(super) references: Vec<Tensor>,
}

/// Of latent pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rectangle {
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) y: usize,
    pub(super) x: usize,
}

/// A latent's batch and sides.
#[derive(Clone, Copy)]
pub(super) struct Sides {
    pub(super) b: usize,
    pub(super) h: usize,
    pub(super) w: usize,
}

/// Guidance that networks with a guidance of their own are told if the prompt names none (ComfyUI, `Flux.extra_conds`).
const DEFAULT_GUIDANCE: f64 = 3.5;

impl Lead {
    pub(super) fn new(
        cond: &Cond,
        model: &Model,
        table: &SigmaTable,
        sides: Sides,
        scene: Scene<'_>,
        device: &Device,
    ) -> Result<Self> {
        let (mut area, mut share) = (cond.area.map(|area| rectangle(area, sides)).transpose()?, None);
        if let Some(mask) = &cond.mask {
            let (pixels, filled) = stretched(mask, sides)?;
            if mask.bounds {
                area = Some(filled);
            }
            let mask = match area {
                Some(a) => pixels.narrow(2, a.y, a.h)?.narrow(3, a.x, a.w)?.contiguous()?,
                None => pixels,
            };
            share = Some((mask * (mask_strength(cond) * cond.strength))?);
        } else if let Some(a) = area {
            share = Some((feathered(a, sides, device)? * cond.strength)?);
        } else if cond.strength != 1.0 {
            share = Some(Tensor::ones((1, 1, sides.h, sides.w), DType::F32, device)?.affine(cond.strength, 0.0)?);
        }
        let from = if cond.range.0 > 0.0 { table.at_percent(cond.range.0) } else { f64::INFINITY };
        let to = if cond.range.1 < 1.0 { table.at_percent(cond.range.1) } else { 0.0 };
        let control = cond.control.as_ref().map(|control| Arc::new(Follow::new(control, table)));
        let beside = beside::channels(cond, model, sides, scene, device)?;
        let read = cond.references.iter().filter(|_| model.network.takes().references);
        let references = read.map(|picture| spread(&model.latent.scale(picture)?, sides.b)).collect::<Result<_>>()?;
        let cond = for_network(cond, model, sides, scene, device)?;
        Ok(Self { cond, area, share, from, to, control, beside, references })
    }

    pub(super) fn leads_at(&self, sigma: f64) -> bool {
        // Sigmas are float32 in ComfyUI, where the ends of a range may be a table's entries.
        let sigma = f64::from(sigma as f32);
        sigma <= f64::from(self.from as f32) && sigma >= f64::from(self.to as f32)
    }

    /// Does it lead alone, everywhere?
    pub(super) fn is_plain(&self) -> bool {
        self.area.is_none() && self.share.is_none()
    }

    /// Its part of a latent (b, c, h, w).
    pub(super) fn cut(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match self.area {
            Some(a) => x.narrow(2, a.y, a.h)?.narrow(3, a.x, a.w)?.contiguous()?,
            None => x.clone(),
        })
    }

    /// A guess for its part, times its share, with zeros around it: (b, c, h, w); and the share like that.
    pub(super) fn weighed(&self, guess: &Tensor, sides: Sides) -> Result<(Tensor, Tensor)> {
        let share = match &self.share {
            Some(share) => share.to_dtype(guess.dtype())?,
            None => Tensor::ones((1, 1, guess.dim(2)?, guess.dim(3)?), guess.dtype(), guess.device())?,
        };
        let around = |t: Tensor| -> Result<Tensor> {
            let Some(a) = self.area else { return Ok(t) };
            let wide = t.pad_with_zeros(3, a.x, sides.w - a.x - a.w)?;
            Ok(wide.pad_with_zeros(2, a.y, sides.h - a.y - a.h)?)
        };
        Ok((around(guess.broadcast_mul(&share)?)?, around(share)?))
    }

    /// For each prompt with an area that the other side has none of: the other side's smallest prompt around it, as
    /// large (ComfyUI, `create_cond_with_same_area_if_none`). Otherwise guidance would be strongest at areas' edges.
    pub(super) fn match_areas(leads: &mut Vec<Self>, others: &[Self]) {
        for other in others {
            let Some(area) = other.area else { continue };
            let size = |lead: &Self| lead.area.map_or(usize::MAX, |a| a.h * a.w);
            let around = |lead: &Self| {
                lead.area.is_none_or(|a| {
                    a.y <= area.y && a.x <= area.x && a.y + a.h >= area.y + area.h && a.x + a.w >= area.x + area.w
                })
            };
            // The first of equals.
            let smallest = leads.iter().filter(|lead| around(lead)).min_by_key(|lead| size(lead));
            let Some(smallest) = smallest.filter(|lead| lead.area != Some(area)) else { continue };
            let Self { cond, beside, references, .. } = smallest.clone();
            leads.push(Self { cond, beside, references, ..other.clone() });
        }
    }
}

fn mask_strength(cond: &Cond) -> f64 {
    cond.mask.as_ref().map_or(1.0, |mask| mask.strength)
}

fn for_network(cond: &Cond, model: &Model, sides: Sides, scene: Scene<'_>, device: &Device) -> Result<models::Cond> {
    let takes = model.network.takes();
    let pooled = match (takes.pooled, takes.size) {
        (None, _) => None,
        // SDXL: pictures stand in for the text.
        (Some(width), true) if !cond.pictures.is_empty() => Some(unclip::pooled(&cond.pictures, width, scene.seed)?),
        (Some(_), _) => cond.pooled.clone(),
    };
    let b = sides.b;
    let size = takes.size.then(|| {
        let pixels = |side: usize| (side * model.latent.factor) as f32;
        let (height, width) = (pixels(sides.h), pixels(sides.w));
        cond.size.map_or([height, width, 0.0, 0.0, height, width], |size| size.values())
    });
    let guidance = takes.guidance.then(|| vec![cond.guidance.unwrap_or(DEFAULT_GUIDANCE) as f32; b]);
    Ok(models::Cond {
        context: spread(&cond.states, b)?,
        pooled: pooled.map(|pooled| spread(&pooled, b)).transpose()?,
        size: size.map(|size| Tensor::new(&[size], device)?.repeat((b, 1))).transpose()?,
        guidance: guidance.map(|guidance| Tensor::from_vec(guidance, b, device)).transpose()?,
    })
}

/// One prompt for every picture.
fn spread(t: &Tensor, b: usize) -> Result<Tensor> {
    match t.dim(0)? {
        n if n == b => Ok(t.clone()),
        1 => {
            let mut shape = t.dims().to_vec();
            shape[0] = b;
            Ok(t.broadcast_as(shape)?.contiguous()?)
        }
        n => bail!("{n} prompts do not fit {b} pictures"),
    }
}

fn rectangle(area: Area, sides: Sides) -> Result<Rectangle> {
    let round = |share: f64, side: usize| (share * side as f64).round_ties_even() as usize;
    let Rectangle { h, w, y, x } = match area {
        Area::Latent { width, height, x, y } => Rectangle { h: height, w: width, y, x },
        Area::Share { width, height, x, y } => Rectangle {
            h: round(height, sides.h).max(1),
            w: round(width, sides.w).max(1),
            y: round(y, sides.h),
            x: round(x, sides.w),
        },
    };
    if x >= sides.w || y >= sides.h || w == 0 || h == 0 {
        bail!(
            "a prompt's area of {w}×{h} at {x}, {y} lies outside of the latent of {}×{}; an eighth of the picture's \
             pixels are a latent's",
            sides.w,
            sides.h
        );
    }
    Ok(Rectangle { h: h.min(sides.h - y), w: w.min(sides.w - x), y, x })
}

/// A mask at the latent's size, (b, 1, h, w), and the rectangle that it fills, at least 8×8.
fn stretched(mask: &CondMask, sides: Sides) -> Result<(Tensor, Rectangle)> {
    let pixels = stretch(&mask.mask.0.unsqueeze(1)?, sides)?;
    let (h, w) = (sides.h, sides.w);
    let all = pixels.abs()?.max(0)?.flatten_all()?.to_vec1::<f32>()?;
    let filled: Vec<(usize, usize)> = (0..h * w).filter(|&i| all[i] != 0.0).map(|i| (i / w, i % w)).collect();
    const LEAST: usize = 8;
    let (mut y, mut x, mut ends) = (0, 0, (LEAST, LEAST));
    if let Some(&(top, _)) = filled.first() {
        let columns = || filled.iter().map(|(_, x)| *x);
        (y, x) = (top, columns().min().unwrap_or(0));
        ends = (filled.iter().map(|(y, _)| y + 1).max().unwrap_or(h), columns().max().unwrap_or(w - 1) + 1);
    }
    let (tall, wide) = ((ends.0 - y).max(LEAST).min(h), (ends.1 - x).max(LEAST).min(w));
    Ok((pixels, Rectangle { h: tall, w: wide, y: y.min(h - tall), x: x.min(w - wide) }))
}

/// Masks (m, 1, H, W) at the latent's size, one or as many as there are pictures (ComfyUI, `prepare_mask`: torch's
/// bilinear interpolation).
pub(super) fn stretch(mask: &Tensor, sides: Sides) -> Result<Tensor> {
    let mask = mask.to_dtype(DType::F32)?;
    let (m, _, h, w) = mask.dims4()?;
    let mask = if (h, w) == (sides.h, sides.w) {
        mask
    } else {
        models::interpolation("bilinear")?.resize(&mask, sides.h, sides.w)?
    };
    if m == 1 || m == sides.b {
        return Ok(mask);
    }
    // As many as are there, again and again.
    let places: Vec<u32> = (0..sides.b).map(|i| (i % m) as u32).collect();
    Ok(mask.index_select(&Tensor::from_vec(places, sides.b, mask.device())?, 0)?)
}

/// Ones, (1, 1, h, w), that fade towards edges within the latent, so that areas do not show as rectangles (ComfyUI,
/// `get_area_and_mult`).
fn feathered(a: Rectangle, sides: Sides, device: &Device) -> Result<Tensor> {
    const WIDEST: usize = 8;
    let fade = |length: usize, at: usize, side: usize| {
        let steps = WIDEST.min(length / 4);
        (0..length)
            .map(|i| {
                let part =
                    |from_edge: usize| if from_edge < steps { (from_edge + 1) as f32 / steps as f32 } else { 1.0 };
                let low = if at > 0 { part(i) } else { 1.0 };
                let high = if at + length < side { part(length - 1 - i) } else { 1.0 };
                low * high
            })
            .collect::<Vec<f32>>()
    };
    let rows = Tensor::from_vec(fade(a.h, a.y, sides.h), (1, 1, a.h, 1), device)?;
    let columns = Tensor::from_vec(fade(a.w, a.x, sides.w), (1, 1, 1, a.w), device)?;
    Ok(rows.broadcast_mul(&columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDES: Sides = Sides { b: 2, h: 20, w: 32 };

    #[test]
    fn areas_fade_only_within_the_latent() {
        let a = Rectangle { h: 20, w: 16, y: 0, x: 16 };
        let share = feathered(a, SIDES, &Device::Cpu).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(share[..6], [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]);
        assert_eq!(share[15], 1.0);
        assert_eq!(share[19 * 16..][..2], [0.25, 0.5]);
    }

    #[test]
    fn areas_are_cut_to_the_latent() {
        let area = Area::Latent { width: 100, height: 8, x: 30, y: 4 };
        assert_eq!(rectangle(area, SIDES).unwrap(), Rectangle { h: 8, w: 2, y: 4, x: 30 });
        let area = Area::Share { width: 0.5, height: 0.01, x: 0.5, y: 0.25 };
        assert_eq!(rectangle(area, SIDES).unwrap(), Rectangle { h: 1, w: 16, y: 5, x: 16 });
        assert!(rectangle(Area::Latent { width: 4, height: 4, x: 40, y: 0 }, SIDES).is_err());
    }

    #[test]
    fn a_masks_bounds_are_at_least_eight() {
        let mut pixels = vec![0f32; 20 * 32];
        pixels[18 * 32 + 30] = 0.5;
        let mask = Tensor::from_vec(pixels, (1, 20, 32), &Device::Cpu).unwrap();
        let mask = CondMask { mask: crate::types::Mask(mask), strength: 1.0, bounds: true };
        assert_eq!(stretched(&mask, SIDES).unwrap().1, Rectangle { h: 8, w: 8, y: 12, x: 24 });
    }
}
