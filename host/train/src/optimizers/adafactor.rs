//! Adafactor: the squares of a matrix' gradients are kept as one number for each row and each column.

use super::running::{Tensor, fma, tensorwise};
use super::settings::{Knob, knob, weight_decay};
use super::state::{Values, zeros};
use super::{Optimize, Optimizer, Settings};
use anyhow::{Result, ensure};

pub(crate) const ADAFACTOR: Optimizer = Optimizer {
    name: "adafactor",
    summary: "almost no state; the learning rate is given",
    source: SOURCE,
    learning_rate: 1e-4,
    rates: (1e-7, 2e-2),
    knobs: &KNOBS,
    check,
    build,
    ..Optimizer::PLAIN
};

pub(crate) const ADAFACTOR_RELATIVE: Optimizer = Optimizer {
    name: "adafactor_relative",
    summary: "almost no state; finds the learning rate by itself, `learning_rate` multiplies it",
    source: SOURCE,
    learning_rate: 1.0,
    rates: (0.05, 20.0),
    schedule: "constant",
    text_encoder: 1.0,
    knobs: &{
        let mut knobs = KNOBS;
        knobs[SCALE].default = 1.0;
        knobs[RELATIVE].default = 1.0;
        knobs
    },
    check,
    build,
    ..Optimizer::PLAIN
};

const SOURCE: &str = "Shazeer and Stern 2018 (arXiv:1804.04235), arithmetic of transformers.optimization.Adafactor";

const SCALE: usize = 5;
const RELATIVE: usize = 6;
const KNOBS: [Knob; 9] = [
    knob("eps", 1e-30, "added to the squared gradient"),
    knob("eps2", 1e-3, "lowest size of a tensor that `scale_parameter` counts with"),
    knob("clip_threshold", 1.0, "largest root mean square of a tensor's update, before the learning rate"),
    knob("decay_rate", -0.8, "the running mean of squares keeps 1 − step^decay_rate at each step"),
    knob(
        "beta1",
        0.0,
        "share of the running mean of updates that is kept at each step; 0: no such mean, no state for it",
    ),
    knob("scale_parameter", 0.0, "multiply the rate by the root mean square of the tensor"),
    knob("relative_step", 0.0, "multiply the rate by the lesser of 0.01 and 1/√step"),
    knob("warmup_init", 0.0, "with `relative_step`: step/1000000 instead of 0.01"),
    weight_decay(0.0),
];

fn check(s: &Settings) -> Result<()> {
    ensure!(s.on("relative_step") || !s.on("warmup_init"), "`warmup_init` only goes with `relative_step`");
    Ok(())
}

fn build(settings: &Settings, shapes: &[Vec<usize>]) -> Box<dyn Optimize> {
    // Only a rule with a running mean of updates has room for it.
    let layout = if settings.number("beta1") > 0.0 { with_mean } else { without_mean };
    tensorwise(settings, shapes, layout, adafactor)
}

fn with_mean(shape: &[usize]) -> Vec<(&'static str, Values)> {
    let mut all = without_mean(shape);
    all.push(("mean", zeros(shape)));
    all
}

fn without_mean(shape: &[usize]) -> Vec<(&'static str, Values)> {
    match *shape {
        // The last two axes are the matrix, those before it a batch of matrices.
        [.., rows, columns] => {
            let batch: usize = shape[..shape.len() - 2].iter().product();
            vec![("row", zeros(&[batch, rows])), ("column", zeros(&[batch, columns]))]
        }
        _ => vec![("square", zeros(shape))],
    }
}

fn adafactor(s: &Settings, t: u64, tensor: Tensor<'_>) {
    let Tensor { param, grad, kept, lr } = tensor;
    let step = t as f64;
    let keep = 1.0 - step.powf(s.number("decay_rate"));
    let eps = s.number("eps") as f32;
    let mut lr = lr;
    if s.on("relative_step") {
        let most = if s.on("warmup_init") { 1e-6 * step } else { 1e-2 };
        lr *= most.min(1.0 / step.sqrt());
    }
    if s.on("scale_parameter") {
        lr *= rms(param).max(s.number("eps2"));
    }
    let (mut update, rest) = match kept.arrays.as_mut_slice() {
        [Values::F32(row), Values::F32(column), rest @ ..] if kept.shape.len() > 1 => {
            (factored(grad, row, column, &kept.shape, keep, eps), rest)
        }
        [Values::F32(square), rest @ ..] => {
            let one = |(v, &g): (&mut f32, &f32)| {
                *v = fma(g * g + eps, (1.0 - keep) as f32, *v * keep as f32);
                g / v.sqrt()
            };
            (square.iter_mut().zip(grad).map(one).collect(), rest)
        }
        _ => return,
    };
    let factor = (lr / (rms(&update) / s.number("clip_threshold")).max(1.0)) as f32;
    update.iter_mut().for_each(|u| *u *= factor);
    if let [Values::F32(mean)] = rest {
        let b1 = s.number("beta1");
        for (u, m) in update.iter_mut().zip(mean) {
            *m = fma(*u, (1.0 - b1) as f32, *m * b1 as f32);
            *u = *m;
        }
    }
    let left = (1.0 - s.number("weight_decay") * lr) as f32;
    for (p, u) in param.iter_mut().zip(update) {
        *p = *p * left - u;
    }
}

/// Updates the means of rows and columns, and gives the gradient over the root of what they say of each square.
/// `shape` is (…, r, c), `row` (…, r), `column` (…, c).
fn factored(grad: &[f32], row: &mut [f32], column: &mut [f32], shape: &[usize], keep: f64, eps: f32) -> Vec<f32> {
    let (rows, columns) = (shape[shape.len() - 2], shape[shape.len() - 1]);
    let mut update = Vec::with_capacity(grad.len());
    let matrices = grad.chunks(rows * columns).zip(row.chunks_mut(rows)).zip(column.chunks_mut(columns));
    for ((grad, row), column) in matrices {
        let mut sums = vec![0.0f64; columns];
        for (line, r) in grad.chunks(columns).zip(row.iter_mut()) {
            let mut sum = 0.0;
            for (&g, c) in line.iter().zip(&mut sums) {
                let square = f64::from(g * g + eps);
                sum += square;
                *c += square;
            }
            *r = fma((sum / columns as f64) as f32, (1.0 - keep) as f32, *r * keep as f32);
        }
        for (c, sum) in column.iter_mut().zip(sums) {
            *c = fma((sum / rows as f64) as f32, (1.0 - keep) as f32, *c * keep as f32);
        }
        let mean = (row.iter().map(|&r| f64::from(r)).sum::<f64>() / rows as f64) as f32;
        let by_column: Vec<f32> = column.iter().map(|c| 1.0 / c.sqrt()).collect();
        for (line, r) in grad.chunks(columns).zip(row.iter()) {
            let by_row = 1.0 / (r / mean).sqrt();
            update.extend(line.iter().zip(&by_column).map(|(g, by_column)| by_row * by_column * g));
        }
    }
    update
}

/// Root mean square.
fn rms(values: &[f32]) -> f64 {
    let sum: f64 = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    (sum / values.len().max(1) as f64).sqrt()
}
