//! Small files of every kind, and each kind's formula once more in plain loops over f64, for tests.

use super::leaves::LEAVES;
use super::namings::Ends;
use std::collections::BTreeMap;

/// Tensors of a module by their leaves: shape and values.
pub(super) type Module = BTreeMap<&'static str, (Vec<usize>, Vec<f64>)>;

/// A form of a kind.
pub(super) struct Case {
    /// The kind's name in its row.
    pub(super) kind: &'static str,
    pub(super) form: &'static str,
    /// Tensors for a weight of this shape; nothing if the form is none for it.
    pub(super) make: fn(&[usize], &mut Values) -> Option<Module>,
    /// What the weight becomes at strength 1, less what it was.
    pub(super) delta: fn(&Module, &[f64], &[usize]) -> Vec<f64>,
}

/// Reproducible numbers.
pub(super) struct Values(pub(super) u64);

impl Values {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as f64 / f64::from(1u32 << 30) - 1.0) * 0.25
    }

    /// Values of both signs, exact in f32.
    pub(super) fn tensor(&mut self, shape: &[usize]) -> (Vec<usize>, Vec<f64>) {
        let count = shape.iter().product();
        (shape.to_vec(), (0..count).map(|_| f64::from(self.next() as f32)).collect())
    }
}

/// The key of a leaf as a naming writes it.
pub(super) fn end(leaf: &str, ends: Ends) -> Option<String> {
    let row = LEAVES.iter().find(|row| row.name == leaf).unwrap();
    match ends {
        Ends::Kohya => Some(row.kohya.to_owned()),
        Ends::Peft => Some(row.peft.to_owned()),
        Ends::Processor => row.others.iter().find(|end| end.starts_with("_lora.")).map(|end| (*end).to_owned()),
    }
}

/// Outputs, inputs, places of the kernel.
fn sizes(shape: &[usize]) -> Option<(usize, usize, usize)> {
    match *shape {
        [out, inp] => Some((out, inp, 1)),
        [out, inp, h, w] => Some((out, inp, h * w)),
        _ => None,
    }
}

/// The largest number up to `most` that divides.
fn part(number: usize, most: usize) -> usize {
    (1..=most).rev().find(|n| number.is_multiple_of(*n)).unwrap()
}

fn alpha(module: &Module, rank: usize) -> f64 {
    module.get("alpha").map_or(1.0, |(_, values)| values[0] / rank as f64)
}

pub(super) const CASES: &[Case] = &[
    Case { kind: "LoRA, LoCon", form: "without alpha", make: |s, v| lora(s, v, false), delta: lora_delta },
    Case { kind: "LoRA, LoCon", form: "with alpha", make: |s, v| lora(s, v, true), delta: lora_delta },
    Case { kind: "LoCon (Tucker)", form: "", make: locon, delta: locon_delta },
    Case { kind: "LoHa", form: "", make: |s, v| loha(s, v, false), delta: loha_delta },
    Case { kind: "LoHa", form: "Tucker", make: |s, v| loha(s, v, true), delta: loha_delta },
    Case { kind: "LoKr", form: "both full", make: |s, v| lokr(s, v, false, Second::Full), delta: lokr_delta },
    Case { kind: "LoKr", form: "second of low rank", make: |s, v| lokr(s, v, false, Second::Low), delta: lokr_delta },
    Case { kind: "LoKr", form: "both of low rank", make: |s, v| lokr(s, v, true, Second::Low), delta: lokr_delta },
    Case { kind: "LoKr", form: "first of low rank", make: |s, v| lokr(s, v, true, Second::Full), delta: lokr_delta },
    Case { kind: "LoKr", form: "Tucker", make: |s, v| lokr(s, v, false, Second::Tucker), delta: lokr_delta },
    Case { kind: "DoRA", form: "outputs", make: |s, v| dora(s, v, false), delta: dora_delta },
    Case { kind: "DoRA", form: "inputs", make: |s, v| dora(s, v, true), delta: dora_delta },
    Case { kind: "GLoRA", form: "", make: glora, delta: glora_delta },
    Case { kind: "Diag-OFT", form: "", make: |s, v| oft(s, v, false), delta: oft_delta },
    Case { kind: "Diag-OFT", form: "bounded and rescaled", make: |s, v| oft(s, v, true), delta: oft_delta },
    Case { kind: "BOFT", form: "", make: |s, v| boft(s, v, false), delta: boft_delta },
    Case { kind: "BOFT", form: "bounded and rescaled", make: |s, v| boft(s, v, true), delta: boft_delta },
    Case { kind: "IA3", form: "outputs", make: |s, v| ia3(s, v, false), delta: ia3_delta },
    Case { kind: "IA3", form: "inputs", make: |s, v| ia3(s, v, true), delta: ia3_delta },
    Case { kind: "norm difference", form: "", make: norm, delta: |m, _, _| m["w_norm"].1.clone() },
    Case {
        kind: "full difference",
        form: "diff",
        make: |s, v| Some(Module::from([("diff", v.tensor(s))])),
        delta: |m, _, _| m["diff"].1.clone(),
    },
    Case {
        kind: "full difference",
        form: "set_weight",
        make: |s, v| Some(Module::from([("set_weight", v.tensor(s))])),
        delta: |m, w, _| m["set_weight"].1.iter().zip(w).map(|(set, w)| set - w).collect(),
    },
];

const RANK: usize = 2;

fn lora(shape: &[usize], v: &mut Values, with_alpha: bool) -> Option<Module> {
    let (out, inp, _) = sizes(shape)?;
    let (mut down, mut up) = (vec![RANK, inp], vec![out, RANK]);
    if shape.len() == 4 {
        down.extend(&shape[2..]);
        up.extend([1, 1]);
    }
    let mut module = Module::from([("lora_down", v.tensor(&down)), ("lora_up", v.tensor(&up))]);
    if with_alpha {
        module.insert("alpha", (vec![], vec![1.5]));
    }
    Some(module)
}

/// Rows of `a` (n, r) times columns of `b` (r, m).
fn product(a: &(Vec<usize>, Vec<f64>), b: &(Vec<usize>, Vec<f64>)) -> Vec<f64> {
    let (n, r) = (a.0[0], a.1.len() / a.0[0]);
    let m = b.1.len() / r;
    let mut out = vec![0.0; n * m];
    for i in 0..n {
        for k in 0..r {
            for j in 0..m {
                out[i * m + j] += a.1[i * r + k] * b.1[k * m + j];
            }
        }
    }
    out
}

fn scaled(values: Vec<f64>, by: f64) -> Vec<f64> {
    values.into_iter().map(|value| value * by).collect()
}

fn lora_delta(m: &Module, _: &[f64], _: &[usize]) -> Vec<f64> {
    scaled(product(&m["lora_up"], &m["lora_down"]), alpha(m, m["lora_down"].0[0]))
}

fn locon(shape: &[usize], v: &mut Values) -> Option<Module> {
    let (out, inp, places) = sizes(shape)?;
    (places > 1).then(|| {
        Module::from([
            ("lora_mid", v.tensor(&[RANK, RANK, shape[2], shape[3]])),
            ("lora_down", v.tensor(&[RANK, inp, 1, 1])),
            ("lora_up", v.tensor(&[out, RANK, 1, 1])),
            ("alpha", (vec![], vec![1.0])),
        ])
    })
}

/// Σ core[p, q, k]·left(p, o)·right(q, i), (o, i, k).
fn tucker(
    core: &[f64],
    left: impl Fn(usize, usize) -> f64,
    right: impl Fn(usize, usize) -> f64,
    out: usize,
    inp: usize,
) -> Vec<f64> {
    let places = core.len() / (RANK * RANK);
    let mut all = vec![0.0; out * inp * places];
    for (at, value) in all.iter_mut().enumerate() {
        let (o, i, k) = (at / places / inp, at / places % inp, at % places);
        for p in 0..RANK {
            for q in 0..RANK {
                *value += core[(p * RANK + q) * places + k] * left(p, o) * right(q, i);
            }
        }
    }
    all
}

fn locon_delta(m: &Module, _: &[f64], shape: &[usize]) -> Vec<f64> {
    let (up, down) = (&m["lora_up"].1, &m["lora_down"].1);
    let (out, inp) = (shape[0], shape[1]);
    let full = tucker(&m["lora_mid"].1, |p, o| up[o * RANK + p], |q, i| down[q * inp + i], out, inp);
    scaled(full, alpha(m, RANK))
}

fn loha(shape: &[usize], v: &mut Values, core: bool) -> Option<Module> {
    let (out, inp, places) = sizes(shape)?;
    let mut module = Module::from([("alpha", (vec![], vec![3.0]))]);
    if core {
        if places == 1 {
            return None;
        }
        for leaf in ["hada_t1", "hada_t2"] {
            module.insert(leaf, v.tensor(&[RANK, RANK, shape[2], shape[3]]));
        }
        for (a, b) in [("hada_w1_a", "hada_w1_b"), ("hada_w2_a", "hada_w2_b")] {
            module.insert(a, v.tensor(&[RANK, out]));
            module.insert(b, v.tensor(&[RANK, inp]));
        }
    } else {
        for (a, b) in [("hada_w1_a", "hada_w1_b"), ("hada_w2_a", "hada_w2_b")] {
            module.insert(a, v.tensor(&[out, RANK]));
            module.insert(b, v.tensor(&[RANK, inp * places]));
        }
    }
    Some(module)
}

fn loha_delta(m: &Module, _: &[f64], shape: &[usize]) -> Vec<f64> {
    let (out, inp) = (shape[0], shape[1]);
    let half = |a: &str, b: &str, core: &str| match m.get(core) {
        Some((_, core)) => tucker(core, |p, o| m[a].1[p * out + o], |q, i| m[b].1[q * inp + i], out, inp),
        None => product(&m[a], &m[b]),
    };
    let (first, second) = (half("hada_w1_a", "hada_w1_b", "hada_t1"), half("hada_w2_a", "hada_w2_b", "hada_t2"));
    first.iter().zip(&second).map(|(a, b)| a * b * alpha(m, RANK)).collect()
}

#[derive(PartialEq)]
enum Second {
    Full,
    Low,
    Tucker,
}

fn lokr(shape: &[usize], v: &mut Values, first_low: bool, second: Second) -> Option<Module> {
    let (out, inp, places) = sizes(shape)?;
    let (a, c) = (part(out, 4), part(inp, 4));
    let (b, d) = (out / a, inp / c);
    // An alpha that would show if it were used where both are full.
    let mut module = Module::from([("alpha", (vec![], vec![7.0]))]);
    if first_low {
        module.insert("lokr_w1_a", v.tensor(&[a, RANK]));
        module.insert("lokr_w1_b", v.tensor(&[RANK, c]));
    } else {
        module.insert("lokr_w1", v.tensor(&[a, c]));
    }
    match second {
        Second::Full => {
            let mut full = vec![b, d];
            full.extend(&shape[2..]);
            module.insert("lokr_w2", v.tensor(&full));
        }
        Second::Low => {
            module.insert("lokr_w2_a", v.tensor(&[b, RANK]));
            module.insert("lokr_w2_b", v.tensor(&[RANK, d * places]));
        }
        Second::Tucker if places > 1 => {
            module.insert("lokr_t2", v.tensor(&[RANK, RANK, shape[2], shape[3]]));
            module.insert("lokr_w2_a", v.tensor(&[RANK, b]));
            module.insert("lokr_w2_b", v.tensor(&[RANK, d]));
        }
        Second::Tucker => return None,
    }
    Some(module)
}

fn lokr_delta(m: &Module, _: &[f64], shape: &[usize]) -> Vec<f64> {
    let (out, inp, places) = sizes(shape).unwrap();
    let (a, c) = (part(out, 4), part(inp, 4));
    let (b, d) = (out / a, inp / c);
    let first = m.get("lokr_w1").map_or_else(|| product(&m["lokr_w1_a"], &m["lokr_w1_b"]), |full| full.1.clone());
    let second = match (m.get("lokr_w2"), m.get("lokr_t2")) {
        (Some(full), _) => full.1.clone(),
        (None, Some((_, core))) => {
            tucker(core, |p, o| m["lokr_w2_a"].1[p * b + o], |q, i| m["lokr_w2_b"].1[q * d + i], b, d)
        }
        (None, None) => product(&m["lokr_w2_a"], &m["lokr_w2_b"]),
    };
    let low = m.contains_key("lokr_w1_a") || m.contains_key("lokr_w2_a");
    let scale = if low { alpha(m, RANK) } else { 1.0 };
    let mut all = vec![0.0; out * inp * places];
    for (at, value) in all.iter_mut().enumerate() {
        let (o, i, k) = (at / places / inp, at / places % inp, at % places);
        *value = first[o / b * c + i / d] * second[(o % b * d + i % d) * places + k] * scale;
    }
    all
}

fn dora(shape: &[usize], v: &mut Values, on_input: bool) -> Option<Module> {
    let mut module = lora(shape, v, true)?;
    let side = usize::from(on_input);
    let mut sizes = vec![1; shape.len()];
    sizes[side] = shape[side];
    let (sizes, values) = v.tensor(&sizes);
    module.insert("dora_scale", (sizes, values.into_iter().map(|value| 1.0 + value).collect()));
    Some(module)
}

fn dora_delta(m: &Module, w: &[f64], shape: &[usize]) -> Vec<f64> {
    let (out, inp, places) = sizes(shape).unwrap();
    let scale = &m["dora_scale"];
    let on_input = scale.0[0] == 1 && out != 1;
    let changed: Vec<f64> = lora_delta(m, w, shape).iter().zip(w).map(|(delta, w)| w + delta).collect();
    let side = |at: usize| if on_input { at / places % inp } else { at / places / inp };
    let mut squares = vec![0.0; scale.1.len()];
    for (at, value) in changed.iter().enumerate() {
        squares[side(at)] += value * value;
    }
    changed.iter().enumerate().map(|(at, value)| value * scale.1[side(at)] / squares[side(at)].sqrt() - w[at]).collect()
}

fn glora(shape: &[usize], v: &mut Values) -> Option<Module> {
    let (out, inp, places) = sizes(shape)?;
    Some(Module::from([
        ("a1", v.tensor(&[inp, RANK])),
        ("a2", v.tensor(&[RANK, inp])),
        ("b1", v.tensor(&[out, RANK])),
        ("b2", v.tensor(&[RANK, inp * places])),
        ("alpha", (vec![], vec![1.0])),
    ]))
}

fn glora_delta(m: &Module, w: &[f64], shape: &[usize]) -> Vec<f64> {
    let (out, inp, places) = sizes(shape).unwrap();
    let mut delta = product(&m["b1"], &m["b2"]);
    let (a1, a2) = (&m["a1"].1, &m["a2"].1);
    for o in 0..out {
        for k in 0..places {
            for r in 0..RANK {
                let through: f64 = (0..inp).map(|i| w[(o * inp + i) * places + k] * a1[i * RANK + r]).sum();
                for j in 0..inp {
                    delta[(o * inp + j) * places + k] += through * a2[r * inp + j];
                }
            }
        }
    }
    scaled(delta, alpha(m, RANK))
}

/// (1 + Q)·(1 − Q)⁻¹ as a series, for small Q; (n, s, s).
fn rotations(blocks: &[f64], size: usize, limit: f64) -> Vec<f64> {
    let each = size * size;
    let mut q: Vec<f64> = Vec::new();
    for block in blocks.chunks(each) {
        q.extend((0..each).map(|at| block[at] - block[at % size * size + at / size]));
    }
    let norm = q.iter().map(|x| x * x).sum::<f64>().sqrt();
    if limit > 0.0 && norm > limit {
        q.iter_mut().for_each(|x| *x *= limit / norm);
    }
    let mut all = Vec::new();
    for q in q.chunks(each) {
        let one = |at: usize| f64::from(u8::from(at / size == at % size));
        // (1 + Q)·ΣQⁿ = 1 + 2·(Q + Q² + …)
        let mut power = q.to_vec();
        let mut sum: Vec<f64> = (0..each).map(one).collect();
        for _ in 0..200 {
            sum.iter_mut().zip(&power).for_each(|(sum, p)| *sum += 2.0 * p);
            power = product(&(vec![size, size], power), &(vec![size, size], q.to_vec()));
        }
        all.extend(sum);
    }
    all
}

fn oft(shape: &[usize], v: &mut Values, more: bool) -> Option<Module> {
    let (out, _, _) = sizes(shape)?;
    let size = part(out, 4);
    let mut module =
        Module::from([("oft_blocks", v.tensor(&[out / size, size, size])), ("alpha", (vec![], vec![0.0]))]);
    if more {
        bound_and_rescale(&mut module, shape, v);
    }
    Some(module)
}

fn bound_and_rescale(module: &mut Module, shape: &[usize], v: &mut Values) {
    module.insert("alpha", (vec![], vec![f64::from(0.01f32)]));
    let mut sizes = vec![1; shape.len()];
    sizes[0] = shape[0];
    let (sizes, values) = v.tensor(&sizes);
    module.insert("rescale", (sizes, values.into_iter().map(|value| f64::from((1.0 + value) as f32)).collect()));
}

fn rescaled(m: &Module, mut rotated: Vec<f64>, w: &[f64]) -> Vec<f64> {
    if let Some((_, rescale)) = m.get("rescale") {
        let row = w.len() / rescale.len();
        rotated.iter_mut().enumerate().for_each(|(at, value)| *value *= rescale[at / row]);
    }
    rotated.iter().zip(w).map(|(new, old)| new - old).collect()
}

fn oft_delta(m: &Module, w: &[f64], shape: &[usize]) -> Vec<f64> {
    let (blocks, values) = &m["oft_blocks"];
    let (size, row) = (blocks[1], w.len() / shape[0]);
    let r = rotations(values, size, m["alpha"].1[0] * shape[0] as f64);
    let mut all = vec![0.0; w.len()];
    for (at, value) in all.iter_mut().enumerate() {
        let (o, e) = (at / row, at % row);
        let block = o / size;
        *value = (0..size).map(|n| r[(block * size + n) * size + o % size] * w[(block * size + n) * row + e]).sum();
    }
    rescaled(m, all, w)
}

fn boft(shape: &[usize], v: &mut Values, more: bool) -> Option<Module> {
    let (out, _, _) = sizes(shape)?;
    if out % 4 != 0 {
        return None;
    }
    let mut module = Module::from([("oft_blocks", v.tensor(&[2, out / 2, 2, 2])), ("alpha", (vec![], vec![0.0]))]);
    if more {
        bound_and_rescale(&mut module, shape, v);
    }
    Some(module)
}

fn boft_delta(m: &Module, w: &[f64], shape: &[usize]) -> Vec<f64> {
    let (blocks, values) = &m["oft_blocks"];
    let (steps, size, out) = (blocks[0], blocks[2], shape[0]);
    let row = w.len() / out;
    let r = rotations(values, size, m["alpha"].1[0] * out as f64);
    let mut now = w.to_vec();
    for step in 0..steps {
        let apart = (1 << step) * size / 2;
        // The output that stands at a place of the mixed order.
        let from = |at: usize| at / (2 * apart) * 2 * apart + at % 2 * apart + at % (2 * apart) / 2;
        let mut next = vec![0.0; w.len()];
        for at in 0..out {
            let block = at / size;
            for j in 0..size {
                let by = r[((step * (out / size) + block) * size + at % size) * size + j];
                for e in 0..row {
                    next[from(at) * row + e] += by * now[from(block * size + j) * row + e];
                }
            }
        }
        now = next;
    }
    rescaled(m, now, w)
}

fn ia3(shape: &[usize], v: &mut Values, on_input: bool) -> Option<Module> {
    let (out, inp, _) = sizes(shape)?;
    let count = if on_input { inp } else { out };
    let factors = if shape.len() == 4 { vec![1, count, 1, 1] } else { vec![count] };
    Some(Module::from([("weight", v.tensor(&factors)), ("on_input", (vec![], vec![f64::from(u8::from(on_input))]))]))
}

fn ia3_delta(m: &Module, w: &[f64], shape: &[usize]) -> Vec<f64> {
    let (_, inp, places) = sizes(shape).unwrap();
    let on_input = m["on_input"].1[0] == 1.0;
    let side = |at: usize| if on_input { at / places % inp } else { at / places / inp };
    w.iter().enumerate().map(|(at, w)| w * m["weight"].1[side(at)]).collect()
}

fn norm(shape: &[usize], v: &mut Values) -> Option<Module> {
    let [_] = shape else { return None };
    Some(Module::from([("w_norm", v.tensor(shape)), ("b_norm", v.tensor(shape))]))
}

/// A file of modules under these names.
pub(super) fn write(path: &std::path::Path, modules: &[(String, Module)], ends: Ends) {
    let mut tensors = std::collections::HashMap::new();
    for (name, module) in modules {
        for (leaf, (shape, values)) in module {
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            let tensor = candle_core::Tensor::from_vec(values, shape.as_slice(), &candle_core::Device::Cpu).unwrap();
            // PEFT has sizes of outputs only.
            let ends = if *leaf == "dora_scale" && shape[0] == 1 { Ends::Kohya } else { ends };
            tensors.insert(format!("{name}{}", end(leaf, ends).unwrap()), tensor);
        }
    }
    candle_core::safetensors::save(&tensors, path).unwrap();
}

/// The largest difference, and the largest value that was expected.
pub(super) fn difference(got: &candle_core::Tensor, want: &[f64]) -> (f64, f64) {
    let got = got.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(got.len(), want.len());
    let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |most: f64, value| most.max(value.abs()));
    let off = largest(&mut got.iter().zip(want).map(|(&got, want)| f64::from(got) - want));
    (off, largest(&mut want.iter().copied()))
}
