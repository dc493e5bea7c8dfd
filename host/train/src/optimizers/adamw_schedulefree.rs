//! Schedule-free AdamW: instead of lowering the learning rate it averages. Three sequences: z goes along the gradients,
//! x is the mean of z and the result, and y, between both, is where gradients are taken. The trained tensors hold y.

use super::running::{Rule, Running, Tensor, each, fma, lerp};
use super::settings::{beta2, eps, knob, weight_decay};
use super::state::{Kept, State, Values, zeros};
use super::{Optimize, Optimizer, Settings};
use anyhow::ensure;

pub(crate) const ADAMW_SCHEDULEFREE: Optimizer = Optimizer {
    name: "adamw_schedulefree",
    summary: "adamw that averages its weights instead of lowering the rate; what is saved is the average",
    source: "Defazio et al. 2024 (arXiv:2405.15682), arithmetic of schedulefree.AdamWScheduleFree",
    learning_rate: 1e-3,
    rates: (1e-6, 2e-2),
    schedule: "constant",
    averages: true,
    knobs: &[
        knob("beta1", 0.9, "where gradients are taken: 0 at the walking weights, 1 at their average"),
        beta2(0.999),
        eps(1e-8),
        weight_decay(0.0),
        knob("warmup_steps", 0.0, "steps of a warm-up of its own; `lr_warmup` does as well"),
        knob("r", 0.0, "later weights count step^r in the average"),
        knob("weight_lr_power", 2.0, "weights count as the highest rate so far to this power in the average"),
    ],
    check: |s| {
        ensure!(s.number("beta1") > 0.0, "beta1 is 0: the average cannot be told from the weights");
        Ok(())
    },
    build,
    ..Optimizer::PLAIN
};

struct ScheduleFree;

fn build(settings: &Settings, shapes: &[Vec<usize>]) -> Box<dyn Optimize> {
    // `z` is filled with the weights at the first step.
    let mut state = State::new(shapes, |shape| vec![("z", zeros(shape)), ("square", zeros(shape))]);
    state.scalars = vec![("weight_sum", 0.0), ("lr_max", -1.0)];
    Box::new(Running { settings: settings.clone(), state, rule: ScheduleFree })
}

impl Rule for ScheduleFree {
    /// The shares of the average follow from the highest of the tensors' rates: all rates rise and fall together, and a
    /// common factor cancels out.
    fn step(&self, s: &Settings, state: &mut State, params: &mut [&mut [f32]], grads: &[&[f32]], lrs: &[f64]) {
        let t = state.steps as f64;
        let warmup = s.number("warmup_steps");
        let rise = if t <= warmup { t / warmup } else { 1.0 };
        let lr_max = (lrs.iter().copied().fold(0.0, f64::max) * rise).max(*state.scalar("lr_max"));
        *state.scalar("lr_max") = lr_max;
        let weight = t.powf(s.number("r")) * lr_max.powf(s.number("weight_lr_power"));
        let sum = *state.scalar("weight_sum") + weight;
        *state.scalar("weight_sum") = sum;
        let share = if sum > 0.0 { weight / sum } else { 0.0 };

        let (b1, b2) = s.betas();
        let correction = (1.0 - b2.powf(t)) as f32;
        let (eps, decay) = (s.number("eps") as f32, s.number("weight_decay") as f32);
        let first = state.steps == 1;
        each(&mut state.tensors, params, grads, lrs, |tensor| {
            let Tensor { param, grad, kept, lr } = tensor;
            let [Values::F32(z), Values::F32(square)] = kept.arrays.as_mut_slice() else { return };
            if first {
                z.copy_from_slice(param);
            }
            let lr = lr * rise;
            let along = (lr * (b1 * (1.0 - share) - 1.0)) as f32;
            for (((y, &g), z), v) in param.iter_mut().zip(grad).zip(z).zip(square) {
                *v = fma((1.0 - b2) as f32 * g, g, *v * b2 as f32);
                let step = fma(*y, decay, g / ((*v / correction).sqrt() + eps));
                *y = fma(step, along, lerp(*y, *z, share as f32));
                *z = fma(step, -lr as f32, *z);
            }
        });
    }

    fn evaluated(&self, s: &Settings, state: &State, params: &[&[f32]]) -> Option<Vec<Vec<f32>>> {
        if state.steps == 0 {
            return None;
        }
        let share = (1.0 - 1.0 / s.number("beta1")) as f32;
        let average = |(kept, y): (&Kept, &&[f32])| match kept.arrays.as_slice() {
            [Values::F32(z), _] => y.iter().zip(z).map(|(&y, &z)| lerp(y, z, share)).collect(),
            _ => y.to_vec(),
        };
        Some(state.tensors.iter().zip(params).map(average).collect())
    }
}
