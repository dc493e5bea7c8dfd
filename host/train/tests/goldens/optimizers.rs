//! Every recorded trajectory of an optimizer: weights after each step, state in bytes, estimates, averaged weights.

use crate::reference::{Tensors, files, off};
use train::optimizers::blockwise::{SIGNED, UNSIGNED};
use train::optimizers::{OPTIMIZERS, Optimize, Optimizer, Settings, Values};

/// The row that a file is of: its name starts with the row's.
fn row(file: &str, relative: bool) -> &'static Optimizer {
    let fits = OPTIMIZERS.iter().filter(|o| file.starts_with(o.name) && relative == o.name.ends_with("_relative"));
    fits.max_by_key(|o| o.name.len()).unwrap_or_else(|| panic!("no optimizer fits the file {file}"))
}

/// The row's settings with those of the file's header.
fn settings(row: &Optimizer, header: &serde_json::Value) -> Settings {
    let mut settings = row.settings();
    for (name, _) in settings.clone().all() {
        let value = match *name {
            "beta1" if header["betas"].is_array() => &header["betas"][0],
            "beta2" if header["betas"].is_array() => &header["betas"][1],
            "eps" if header["eps"].is_array() => &header["eps"][0],
            "eps2" if header["eps"].is_array() => &header["eps"][1],
            other => &header[other],
        };
        if let Some(number) = value.as_f64().or(value.as_bool().map(f64::from)) {
            settings.set(name, number).unwrap();
        }
    }
    settings
}

/// Where a file's key for an array of state is kept here.
fn slot(key: &str) -> &str {
    match key {
        "state1" => "mean",
        "absmax1" => "mean_scale",
        "state2" => "square",
        "absmax2" => "square_scale",
        other => panic!("unknown kind of state `{other}`"),
    }
}

fn check_state(file: &str, wanted: &Tensors, step: usize, keys: &[String], optimizer: &dyn Optimize) {
    for (i, key) in keys.iter().enumerate() {
        let prefix = format!("step{step}.{key}.");
        for name in wanted.names().iter().filter(|n| n.starts_with(&prefix)) {
            let kind = slot(&name[prefix.len()..]);
            let state = optimizer.state();
            let found = state.iter().find(|s| s.tensor == Some(i) && s.name == kind).unwrap();
            match &found.values {
                Values::U8(bytes) => assert!(*bytes == wanted.bytes(name), "{file}: {name}"),
                Values::F32(scales) => assert_eq!(*scales, wanted.f32s(name), "{file}: {name}"),
                Values::F64(_) => panic!("{file}: {name}"),
            }
        }
    }
}

#[test]
fn every_step_of_every_optimizer_equals_the_reference() {
    let inputs = Tensors::open("optim/inputs.safetensors");
    let keys: Vec<String> = inputs.names().iter().filter_map(|n| Some(n.strip_prefix("param.")?.to_owned())).collect();
    let shapes: Vec<Vec<usize>> = keys.iter().map(|k| inputs.shape(&format!("param.{k}"))).collect();
    let steps = inputs.shape(&format!("grad.{}", keys[0]))[0];
    let grads: Vec<Vec<f32>> = keys.iter().map(|k| inputs.f32s(&format!("grad.{k}"))).collect();
    let mut compared = 0;
    for file in files("optim", ".safetensors") {
        let wanted = Tensors::open(&format!("optim/{file}"));
        if !wanted.has_header("settings") {
            continue;
        }
        let header = wanted.header("settings");
        assert!(header.is_object(), "{file}: settings that cannot be read");
        let row = row(&file, header["relative_step"] == true);
        let mut optimizer = (row.build)(&settings(row, &header), &shapes);
        let lr = header["lr"].as_f64().unwrap_or(1.0);
        let mut params: Vec<Vec<f32>> = keys.iter().map(|k| inputs.f32s(&format!("param.{k}"))).collect();
        let mut worst = 0.0f64;
        for step in 1..=steps {
            let now = |g: &'_ Vec<f32>| (g.len() / steps * (step - 1), g.len() / steps * step);
            let grads: Vec<&[f32]> = grads.iter().map(|g| &g[now(g).0..now(g).1]).collect();
            let mut slices: Vec<&mut [f32]> = params.iter_mut().map(Vec::as_mut_slice).collect();
            optimizer.step(&mut slices, &grads, &vec![lr; keys.len()]);
            for (key, param) in keys.iter().zip(&params) {
                let name = format!("step{step}.{key}");
                let wanted = wanted.floats(&name);
                worst = worst.max(off(&param[..wanted.len()], &wanted));
                assert!(worst < 1e-6, "{file}: {name}: {worst}");
            }
            check_state(&file, &wanted, step, &keys, &*optimizer);
        }
        for (name, codes) in [("qmap1", &*SIGNED), ("qmap2", &*UNSIGNED)] {
            if wanted.names().iter().any(|n| n == name) {
                assert_eq!(codes.values.to_vec(), wanted.f32s(name), "{file}: {name}");
            }
        }
        if wanted.names().iter().any(|n| n == "d") {
            let state = optimizer.state();
            let Values::F64(d) = &state.iter().find(|s| s.name == "d").unwrap().values else { panic!("d") };
            let wanted = wanted.floats("d")[0];
            assert!((d[0] - wanted).abs() <= 1e-6 * wanted, "{file}: d: {} instead of {wanted}", d[0]);
        }
        let evaluated = optimizer.evaluated(&params.iter().map(Vec::as_slice).collect::<Vec<_>>());
        for (i, key) in keys.iter().enumerate() {
            let name = format!("eval.{key}");
            if wanted.names().contains(&name) {
                worst = worst.max(off(&evaluated.as_ref().unwrap()[i], &wanted.floats(&name)));
                assert!(worst < 1e-6, "{file}: {name}: {worst}");
            }
        }
        println!("{file}: {} after {steps} steps: off by {worst:.1e}", row.name);
        compared += 1;
    }
    assert!(compared > 0);
}

#[test]
fn blocks_of_bytes_equal_the_reference() {
    let wanted = Tensors::open("optim/blockwise_quant.safetensors");
    assert_eq!(SIGNED.values.to_vec(), wanted.f32s("dynamic_map_signed"));
    assert_eq!(UNSIGNED.values.to_vec(), wanted.f32s("dynamic_map_unsigned"));
    let x = wanted.f32s("x");
    let mut compared = 0;
    for name in wanted.names().iter().filter_map(|n| n.strip_suffix(".q")) {
        let (kind, block) = name.split_once('.').unwrap();
        if kind != "int8dyn" {
            println!("SKIPPED: {name}: numbers of four bits are not used here");
            continue;
        }
        let block: usize = block.parse().unwrap();
        let mut bytes = vec![0; x.len()];
        let scales: Vec<f32> =
            x.chunks(block).zip(bytes.chunks_mut(block)).map(|(x, b)| SIGNED.quantise(x, b)).collect();
        assert_eq!(scales, wanted.f32s(&format!("{name}.absmax")), "{name}");
        assert!(bytes == wanted.bytes(&format!("{name}.q")), "{name}");
        let mut back = vec![0.0; x.len()];
        for ((b, scale), out) in bytes.chunks(block).zip(&scales).zip(back.chunks_mut(block)) {
            SIGNED.widen(b, *scale, out);
        }
        assert_eq!(back, wanted.f32s(&format!("{name}.dequant")), "{name}");
        compared += 1;
    }
    assert!(compared > 0);
}
