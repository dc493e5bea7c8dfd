use crate::reference::{Tensors, off};
use train::optimizers::{Settings, find};

/// Files whose rule is a row here, and the row.
const FILES: &[(&str, &str)] =
    &[("adamw", "adamw"), ("adamw_b", "adamw"), ("adam_l2", "adam"), ("lion", "lion"), ("sgd_nesterov", "sgd")];

#[test]
fn every_step_of_every_optimizer_equals_torch() {
    let inputs = Tensors::open("optim/inputs.safetensors");
    let keys: Vec<String> = inputs.names().iter().filter_map(|n| Some(n.strip_prefix("param.")?.to_owned())).collect();
    for (file, row) in FILES {
        let wanted = Tensors::open(&format!("optim/{file}.safetensors"));
        let s = wanted.header("settings");
        let row = find(row).unwrap();
        let number = |key: &str, default| s[key].as_f64().unwrap_or(default);
        let d = row.defaults;
        let settings = Settings {
            betas: (s["betas"][0].as_f64().unwrap_or(d.betas.0), s["betas"][1].as_f64().unwrap_or(d.betas.1)),
            eps: number("eps", d.eps),
            weight_decay: number("weight_decay", d.weight_decay),
            momentum: number("momentum", d.momentum),
        };
        let mut params: Vec<Vec<f32>> = keys.iter().map(|k| inputs.f32s(&format!("param.{k}"))).collect();
        let lengths: Vec<usize> = params.iter().map(Vec::len).collect();
        let mut optimizer = (row.build)(settings, &lengths);
        let steps = inputs.shape(&format!("grad.{}", keys[0]))[0];
        let grads: Vec<Vec<f32>> = keys.iter().map(|k| inputs.f32s(&format!("grad.{k}"))).collect();
        for step in 0..steps {
            let mut slices: Vec<&mut [f32]> = params.iter_mut().map(Vec::as_mut_slice).collect();
            let grads: Vec<&[f32]> = grads.iter().zip(&lengths).map(|(g, &n)| &g[step * n..(step + 1) * n]).collect();
            optimizer.step(&mut slices, &grads, &vec![number("lr", 0.0); keys.len()]);
            for (key, param) in keys.iter().zip(&params) {
                let name = format!("step{}.{key}", step + 1);
                let all = wanted.names();
                let name = if all.contains(&name) { name } else { format!("step{step}.{key}") };
                let wanted = wanted.floats(&name);
                let off = off(&param[..wanted.len()], &wanted);
                assert!(off < 1e-6, "{file}: {name}: {off}");
            }
        }
    }
}
