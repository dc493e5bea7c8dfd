//! Compares with recorded runs of other programs. Cases, sizes and names are taken from the files, so
//! another folder of the same layout can be given in `ANAGAMA_REFERENCE`.
#![allow(clippy::unwrap_used)]

mod diffusers;
mod files;

use candle_core::Tensor;
use files::{close, file, values};
use sample::rng::{Philox, TorchCpu};
use sample::{Denoiser, Mix, SAMPLERS, SCHEDULES, Schedule, SigmaTable, StepNoise, list_of_sigmas, sampler};
use std::collections::BTreeMap;

fn to_f64(values: impl IntoIterator<Item = f32>) -> Vec<f64> {
    values.into_iter().map(f64::from).collect()
}

/// Float32 tables through exp and log: 1e-6 relative, and a little for tan and pow near their ends.
#[test]
fn schedules_equal_comfyui() {
    let Some(cases) = file("schedules/comfyui.safetensors") else { return };
    let mut compared = 0;
    for (name, tensor) in &cases {
        let expected = values(tensor);
        if name == "model_sigmas" {
            close(name, &to_f64(SigmaTable::sd15().sigmas().iter().copied()), &expected, 0.0, 1e-6);
            compared += 1;
            continue;
        }
        let Some((table, rule, steps, denoise)) = schedule_case(name) else {
            println!("SKIPPED: {name}: not a form of name that this test knows");
            continue;
        };
        let Some(rule) = SCHEDULES.iter().find(|s| s.name == rule) else {
            println!("SKIPPED: {name}: schedule {rule} is not there yet");
            continue;
        };
        let found = list_of_sigmas(sampler("euler").unwrap(), rule, &table, steps, denoise).unwrap();
        close(name, &found, &expected, 1e-6, 3e-6);
        compared += 1;
    }
    assert!(compared > 0, "no case was compared");
}

/// `eps.karras.20.denoise0.35` and `flux1.15.simple.8`: table, rule, steps, share to denoise.
fn schedule_case(name: &str) -> Option<(SigmaTable, &str, usize, f64)> {
    let (name, denoise) = match name.split_once(".denoise") {
        Some((rest, share)) => (rest, share.parse().ok()?),
        None => (name, 1.0),
    };
    let (rest, steps) = name.rsplit_once('.')?;
    let (table, rule) = rest.rsplit_once('.')?;
    let table = match table {
        "eps" => SigmaTable::sd15(),
        flux => SigmaTable::flow(flux.strip_prefix("flux")?.parse().ok()?),
    };
    Some((table, rule, steps.parse().ok()?, denoise))
}

/// The reference's denoiser of a known form, for each way of mixing noise in.
struct Toy {
    mu: Tensor,
    mix: Mix,
}

impl Denoiser for Toy {
    fn denoise(&mut self, x: &Tensor, s: f64) -> anyhow::Result<Tensor> {
        let mu = (&self.mu * (s * s))?;
        Ok(match self.mix {
            // D(x, s) = (x + mu·s²)/(1+s²) + 0.1·sin(x/√(1+s²))
            Mix::Added => {
                let v = 1.0 + s * s;
                (((x + mu)? / v)? + ((x / v.sqrt())?.sin()? * 0.1)?)?
            }
            // D(x, s) = ((1−s)·x + mu·s²)/((1−s)²+s²) + 0.1·sin(x)
            Mix::Flow { .. } => {
                let v = (1.0 - s) * (1.0 - s) + s * s;
                ((((x * (1.0 - s))? + mu)? / v)? + (x.sin()? * 0.1)?)?
            }
        })
    }

    fn mix(&self) -> Mix {
        self.mix
    }
}

/// Names that the files must hold and the program must know; a file may hold more, but none that is unknown.
const EXPECTED: &[&str] = &[
    "euler",
    "euler_ancestral",
    "heun",
    "dpm_2",
    "dpm_2_ancestral",
    "lms",
    "dpmpp_2s_ancestral",
    "dpmpp_sde",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_3m_sde",
    "ddpm",
    "lcm",
    "ipndm",
    "deis",
    "res_multistep",
    "uni_pc",
    "uni_pc_bh2",
    "er_sde",
];

#[test]
fn samplers_equal_comfyui() {
    let compared = trajectories("trajectories/comfyui_samplers_toy.safetensors", Mix::Added);
    if let Some(compared) = compared {
        for name in EXPECTED {
            assert!(compared.iter().any(|c| c == name), "{name} was not compared");
        }
    }
    let flow = Mix::Flow { below_one: SigmaTable::flow(1.15).at_percent(1e-4) };
    trajectories("trajectories/comfyui_samplers_toy_flow.safetensors", flow);
}

/// Float32 latents of size up to 15 over 8 steps: 1e-4 absolute. The names that were compared.
fn trajectories(name: &str, mix: Mix) -> Option<Vec<String>> {
    let cases = file(name)?;
    let (start, bank) = (&cases["start"], &cases["noise_bank"]);
    let mut sigmas = values(&cases["sigmas"]);
    // uni_pc writes 0.001 over the last 0 of the list that it shares with the others.
    if let Some(last) = sigmas.last_mut().filter(|s| **s < 0.0011) {
        *last = 0.0;
    }
    let mut compared = Vec::new();
    for (key, expected) in cases.iter().filter(|(key, _)| key.ends_with(".result")) {
        let method = key.trim_end_matches(".result");
        // ComfyUI's name of the variant that it takes by itself for flow models.
        let row = sampler(method.trim_end_matches("_RF")).unwrap();
        let bank: Vec<Tensor> = (0..bank.dim(0).unwrap()).map(|i| bank.get(i).unwrap()).collect();
        let size = bank.len();
        let mut noise = StepNoise::Given(bank.into_iter());
        // Some of ComfyUI's methods report their start at every step; only their end can be compared.
        let inputs =
            cases.get(&format!("{method}.x")).filter(|x| values(&x.get(0).unwrap()) != values(&x.get(1).unwrap()));
        let mut toy = Toy { mu: cases["mu"].clone(), mix };
        let end = row
            .sample(&mut toy, start.clone(), &sigmas, &mut noise, &mut |info| {
                if let Some(inputs) = inputs {
                    let case = format!("{method}.x[{}]", info.step);
                    close(&case, &values(info.x), &values(&inputs.get(info.step)?), 1e-4, 1e-5);
                }
                Ok(())
            })
            .unwrap();
        close(key, &values(&end), &values(expected), 1e-4, 1e-5);
        if let (Some(draws), StepNoise::Given(left)) = (cases.get(&format!("{method}.noise_draws")), &noise) {
            assert_eq!(values(draws)[0] as usize, size - left.len(), "{method}: draws of noise");
        }
        compared.push(method.to_owned());
    }
    println!("{name}: {} samplers compared", compared.len());
    Some(compared)
}

/// CUDA's numbers, whose functions are the device's own: 1e-5 absolute.
#[test]
fn philox_normals_equal_cuda() {
    let Some(cases) = file("rng/philox_randn.safetensors") else { return };
    for (name, tensor) in &cases {
        let number =
            |part: &str| -> u64 { name.split('.').find_map(|p| p.strip_prefix(part)).unwrap().parse().unwrap() };
        let mut rng = Philox::new(number("seed"));
        for _ in 0..number("offset") {
            rng.randn(1);
        }
        close(name, &to_f64(rng.randn(tensor.elem_count())), &values(tensor), 1e-5, 0.0);
    }
}

/// Scalar path equal to the bit; blocks within 3e-7 of torch's vectorised functions, relative to values up to 5.
#[test]
fn fresh_normals_equal_torch() {
    let Some(cases) = file("rng/torch_cpu_randn.safetensors") else { return };
    for (name, tensor) in &cases {
        let seed: u64 = name.trim_start_matches("seed").split('.').next().unwrap().parse().unwrap();
        let count = tensor.elem_count();
        let found = to_f64(TorchCpu::new(seed).randn(count));
        close(
            name,
            &found,
            &values(tensor),
            if count < 16 { 0.0 } else { 3e-7 },
            if count < 16 { 0.0 } else { 1.2e-7 },
        );
    }
}

#[test]
fn a_stream_of_draws_equals_torch() {
    let Some(cases) = file("rng/torch_cpu_stream.safetensors") else { return };
    let mut streams: BTreeMap<u64, Vec<(&str, &Tensor)>> = BTreeMap::new();
    for (name, tensor) in &cases {
        let (seed, call) = name.trim_start_matches("seed").split_once('.').unwrap();
        streams.entry(seed.parse().unwrap()).or_default().push((call, tensor));
    }
    for (seed, calls) in streams {
        let mut rng = TorchCpu::new(seed);
        // Names sort by their two-digit index.
        for (call, tensor) in calls {
            let name = format!("seed {seed} {call}");
            let kind = call.split('.').nth(1).unwrap();
            let n = tensor.elem_count();
            let blocks = if n < 16 { 0.0 } else { 1.2e-7 };
            let (found, tolerance) = match kind {
                "randn" => (to_f64(rng.randn(n)), blocks),
                "rand" => (to_f64(rng.rand(n)), 0.0),
                "randn_f64" => (rng.randn_f64(n), if n < 16 { 0.0 } else { 1e-15 }),
                "randperm" => (rng.randperm(n).iter().map(|&i| i as f64).collect(), 0.0),
                "randint1000" => (rng.randint(0, 1000, n).iter().map(|&i| i as f64).collect(), 0.0),
                "randint7" => (rng.randint(3, 7, n).iter().map(|&i| i as f64).collect(), 0.0),
                // Float32 draws, which may fall on the other side of a tie.
                "randn_f16" => (rng.randn_f16(n).iter().map(|x| x.to_f64()).collect(), if n < 16 { 0.0 } else { 1e-3 }),
                "randn_bf16" => {
                    (rng.randn_bf16(n).iter().map(|x| x.to_f64()).collect(), if n < 16 { 0.0 } else { 8e-3 })
                }
                other => panic!("{name}: unknown kind of draw {other}"),
            };
            close(&name, &found, &values(tensor), tolerance * 3.0, tolerance);
        }
    }
}

/// What `nn.init` draws: kaiming uniform with a = √5 for a matrix and a kernel, then a normal of std 0.02.
#[test]
fn starting_weights_equal_torch() {
    let Some(cases) = file("rng/torch_init.safetensors") else { return };
    let seeds: Vec<u64> =
        cases.keys().filter_map(|k| k.strip_prefix("seed")?.split_once(".linear")?.0.parse().ok()).collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        let mut rng = TorchCpu::new(seed);
        for kind in ["linear", "conv", "normal"] {
            let (name, tensor) = cases.iter().find(|(k, _)| k.starts_with(&format!("seed{seed}.{kind}"))).unwrap();
            let n = tensor.elem_count();
            let found = if kind == "normal" {
                rng.normal(n, 0.0, 0.02)
            } else {
                let bound = (1.0 / (n / tensor.dim(0).unwrap()) as f64).sqrt() as f32;
                rng.uniform(n, -bound, bound)
            };
            close(name, &to_f64(found), &values(tensor), 3e-8, 2e-7);
        }
    }
}

#[test]
fn every_schedule_has_a_golden() {
    let Some(cases) = file("schedules/comfyui.safetensors") else { return };
    for Schedule { name, .. } in SCHEDULES {
        assert!(cases.keys().any(|k| k.starts_with(&format!("eps.{name}."))), "{name} has no golden");
    }
}

#[test]
fn every_sampler_has_a_golden() {
    let Some(cases) = file("trajectories/comfyui_samplers_toy.safetensors") else { return };
    for row in SAMPLERS {
        // ddim is Euler's method by another name, plms is compared with diffusers' PNDM, `_gpu` differ in their noise
        // alone, and without guidance the noise of both guesses is one.
        let own = matches!(row.name, "ddim" | "plms") || row.name.ends_with("_gpu") || row.name.contains("cfg_pp");
        assert!(own || cases.contains_key(&format!("{}.result", row.name)), "{} has no golden", row.name);
    }
}
