//! `docs/sampling.md` is printed from the tables; the committed copy must be the same. `ANAGAMA_BLESS=1` writes it anew.
#![allow(clippy::unwrap_used)]

use sample::{CONVENTIONS, DIFFUSERS, NoiseRule, Partial, SAMPLERS, SCHEDULES, Start, TimeRule};
use std::fmt::Write;
use std::path::Path;

const TOP: &str = "# Sampling

What the inputs `sampler_name` and `scheduler` may be, and what each program that people compare pictures with does
around them. Printed from the program's tables.

## Samplers

`*_cfg_pp` take the noise of the guess without a prompt. Ancestral and stochastic methods follow a straight line where the
model is one of flow matching. `dpmpp_*sde` draw their noise from a Brownian tree (torchsde's, keyed by seed and place),
`*_gpu` from one that a CUDA device draws.

| name | source |
|---|---|
";

const NOISE: &str = "
## Noise

The start noise of `KSampler` is what torch's CPU generator draws for the seed, a batch being one draw, as in ComfyUI on any
device; a latent with `batch_index` gets the noise of these numbers. Fresh noise of ancestral samplers is that of ComfyUI on
a CPU, which seeds a second generator with seed + 1 (on a GPU it would be the GPU's generator with the same seed). `ImageNoise`
gives each picture a generator of its own, as AUTOMATIC1111's web UI does: the CPU's or the GPU's («NV»), with its eta noise
seed delta.

## What programs decide differently

| program | timestep of a sigma | start noise times | noise | partial denoise |
|---|---|---|---|---|
";

const CLASSES: &str = "
Guidance is no part of it: ComfyUI and A1111 guide clean guesses, diffusers the network's outputs, which at one noise level
is the same.

## diffusers' schedulers

| class | sampler |
|---|---|
";

fn page() -> String {
    let mut page = TOP.to_owned();
    for row in SAMPLERS {
        writeln!(page, "| `{}` | {} |", row.name, row.source).unwrap();
    }
    page += "\n## Schedules\n\n| name | source |\n|---|---|\n";
    for row in SCHEDULES {
        writeln!(page, "| `{}` | {} |", row.name, row.source).unwrap();
    }
    page += NOISE;
    for row in CONVENTIONS {
        let time = match (row.time)() {
            TimeRule::Nearest => "nearest entry of the table",
            TimeRule::Between | TimeRule::Listed(_) => "between entries, by logarithms",
        };
        let start = match row.start {
            Start::VarianceAtTheTop => "√(1 + σ²) at the top of the table, else σ",
            Start::Sigma => "σ",
            Start::Variance => "√(1 + σ²)",
        };
        let noise = match row.noise {
            NoiseRule::OneDrawForTheBatch => "one seed for the batch; steps from another generator",
            NoiseRule::OneGeneratorPerImage => "a generator per picture, seeds counting up, goes on through the steps",
            NoiseRule::OneGeneratorGoesOn => "one generator for the batch, goes on through the steps",
        };
        let partial = match row.partial {
            Partial::EndOfALongerPlan => "the last `steps` of int(steps / denoise)".to_owned(),
            Partial::ShareOfTheSteps { most, one_more } => {
                let more = if one_more { " + 1" } else { "" };
                if most < 1.0 {
                    format!("the last int(min(denoise, {most}) · steps){more}")
                } else {
                    "the last int(denoise · steps)".into()
                }
            }
        };
        writeln!(page, "| {} | {time} | {start} | {noise} | {partial} |", row.name).unwrap();
    }
    page += CLASSES;
    for row in DIFFUSERS {
        writeln!(page, "| `{}` | {} |", row.name, row.sampler().unwrap().source).unwrap();
    }
    page
}

#[test]
fn the_page_of_sampling_is_what_the_tables_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sampling.md");
    let printed = page();
    if std::env::var_os("ANAGAMA_BLESS").is_some() {
        std::fs::write(&file, &printed).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap();
    assert!(
        printed == committed,
        "docs/sampling.md is out of date; run the test with ANAGAMA_BLESS=1 and read the difference"
    );
}
