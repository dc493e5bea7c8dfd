//! Prodigy: AdamW whose step length is an estimate of how far all weights together still have to go.

use super::running::{Rule, Running, Tensor, each, fma};
use super::settings::{beta1, beta2, eps, knob, weight_decay};
use super::state::{State, Values, zeros};
use super::{Optimize, Optimizer, Settings};
use anyhow::ensure;

pub(crate) const PRODIGY: Optimizer = Optimizer {
    name: "prodigy",
    summary: "finds the learning rate by itself; leave `learning_rate` at 1, and tune with `d_coef`",
    source: "Mishchenko and Defazio 2023 (arXiv:2306.06101), arithmetic of prodigyopt.Prodigy",
    learning_rate: 1.0,
    rates: (0.05, 20.0),
    schedule: "cosine",
    text_encoder: 1.0,
    knobs: &[
        beta1(0.9),
        beta2(0.999),
        knob("beta3", 0.0, "share of the estimate's means that is kept at each step; 0: the square root of beta2"),
        eps(1e-8),
        weight_decay(0.01),
        knob("decouple", 1.0, "weight decay as in AdamW; off: added to the gradient"),
        knob("use_bias_correction", 0.0, "Adam's correction for the start of the means; 1 is usual for LoRA"),
        knob("safeguard_warmup", 0.0, "leave the learning rate out of the estimate's denominator; 1 with a warm-up"),
        knob("d0", 1e-6, "first estimate of the step length"),
        knob("d_coef", 1.0, "multiplies the estimate; 0.5 to 2"),
        knob("growth_rate", f64::MAX, "largest growth of the estimate from step to step"),
    ],
    check: |s| {
        let d0 = s.number("d0");
        ensure!(d0 > 0.0, "`d0`: expected a number above 0, found {d0}");
        Ok(())
    },
    build,
    ..Optimizer::PLAIN
};

struct Prodigy;

fn build(settings: &Settings, shapes: &[Vec<usize>]) -> Box<dyn Optimize> {
    let layout = |shape: &[usize]| {
        // `start` is filled with the weights at the first step.
        vec![("mean", zeros(shape)), ("square", zeros(shape)), ("s", zeros(shape)), ("start", zeros(shape))]
    };
    let mut state = State::new(shapes, layout);
    let d0 = settings.number("d0");
    state.scalars = vec![("d", d0), ("d_max", d0), ("d_numerator", 0.0), ("updates", 0.0), ("started", 0.0)];
    Box::new(Running { settings: settings.clone(), state, rule: Prodigy })
}

impl Rule for Prodigy {
    /// Deviation: where tensors have different learning rates (the source refuses that), the estimate is made with the
    /// highest, and a tensor's step is its own rate's share of it.
    fn step(&self, s: &Settings, state: &mut State, params: &mut [&mut [f32]], grads: &[&[f32]], lrs: &[f64]) {
        let (b1, b2) = s.betas();
        let b3 = if s.number("beta3") > 0.0 { s.number("beta3") } else { b2.sqrt() };
        let lr = lrs.iter().copied().fold(0.0, f64::max);
        let (d0, d, updates) = (s.number("d0"), *state.scalar("d"), *state.scalar("updates"));
        let (decay, decouple) = (s.number("weight_decay"), s.on("decouple"));
        let l2 = if decouple { 0.0 } else { decay as f32 };
        let first = *state.scalar("started") == 0.0;
        *state.scalar("started") = 1.0;
        let bias = |b: f64| 1.0 - b.powf(updates + 1.0);
        let correction = if s.on("use_bias_correction") { bias(b2).sqrt() / bias(b1) } else { 1.0 };
        let dlr = d * lr * correction;
        let weight = d / d0 * if s.on("safeguard_warmup") { d } else { dlr };

        let sums = each(&mut state.tensors, params, grads, lrs, |tensor| {
            let Tensor { param, grad, kept, lr } = tensor;
            let [Values::F32(mean), Values::F32(square), Values::F32(far), Values::F32(start)] =
                kept.arrays.as_mut_slice()
            else {
                return (0.0, 0.0);
            };
            if first {
                start.copy_from_slice(param);
            }
            if lr <= 0.0 {
                return (0.0, 0.0);
            }
            let (mut dot, mut length) = (0.0f64, 0.0f64);
            let state = mean.iter_mut().zip(square).zip(far).zip(start);
            for ((p, &g), (((m, v), far), start)) in param.iter().zip(grad).zip(state) {
                let g = g + l2 * p;
                dot += f64::from(g) * f64::from(*start - p);
                *m = fma(g, (d * (1.0 - b1)) as f32, *m * b1 as f32);
                *v = fma((d * d * (1.0 - b2)) as f32 * g, g, *v * b2 as f32);
                *far = fma(g, weight as f32, *far * b3 as f32);
                length += f64::from(far.abs());
            }
            (dot, length)
        });

        let denominator: f64 = sums.iter().map(|(_, length)| length).sum();
        if denominator == 0.0 {
            // No gradient, or no learning rate: there is nothing to go by.
            return;
        }
        let fresh: f64 = sums.iter().map(|(dot, _)| d / d0 * dlr * dot).sum();
        let numerator = *state.scalar("d_numerator") * b3 + fresh;
        *state.scalar("d_numerator") = numerator;
        let wanted = s.number("d_coef") * numerator / denominator;
        let now = if d == d0 { d.max(wanted) } else { d };
        let most = state.scalar("d_max");
        *most = most.max(wanted);
        let next = most.min(now * s.number("growth_rate"));
        *state.scalar("d") = next;
        *state.scalar("updates") = updates + 1.0;

        each(&mut state.tensors, params, grads, lrs, |tensor| {
            let Tensor { param, kept, lr: own, .. } = tensor;
            let [Values::F32(mean), Values::F32(square), ..] = kept.arrays.as_mut_slice() else { return };
            let dlr = dlr * own / lr;
            let keep = if decouple { (1.0 - decay * dlr) as f32 } else { 1.0 };
            let (rate, eps) = (-dlr as f32, (next * s.number("eps")) as f32);
            for ((p, m), v) in param.iter_mut().zip(mean).zip(square) {
                *p = *p * keep + rate * (*m / (v.sqrt() + eps));
            }
        });
    }
}
