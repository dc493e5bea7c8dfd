use crate::sampling::tests::{empty, k_sampler};
use crate::testing::*;
use crate::types::{CheckpointFile, Checkpoints, Facts, Grid, ImageBatch, Model};
use candle_core::{Device, Tensor};
use engine::Context;
use sample::rng::TorchCpu;
use serde_json::json;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

const PROMPT: &str = "comic style, red hair, bangs, blue shirt, light skin, yellow background";

/// A LoRA of rank 1 on every attention layer that changes pictures clearly.
fn write_lora(model: &Model, path: &Path) {
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    let mut rng = TorchCpu::new(11);
    for target in model.network.targets().iter().filter(|t| t.kohya.contains("_attn")) {
        let models::TargetKind::Linear { inp, out } = target.shape else { continue };
        let mut random = |shape: (usize, usize), std: f32| {
            Tensor::from_vec(rng.normal(shape.0 * shape.1, 0.0, std), shape, &Device::Cpu).unwrap()
        };
        tensors.insert(format!("{}.lora_down.weight", target.kohya), random((1, inp), 0.2));
        tensors.insert(format!("{}.lora_up.weight", target.kohya), random((out, 1), 0.2));
        tensors.insert(format!("{}.alpha", target.kohya), Tensor::new(1f32, &Device::Cpu).unwrap());
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    candle_core::safetensors::save(&tensors, path).unwrap();
}

fn checkpoints(path: &Path) -> Arc<Checkpoints> {
    let file = |step, is_last| CheckpointFile {
        step,
        epoch: 1,
        path: path.into(),
        sha256: String::new(),
        is_last,
        is_best: false,
    };
    let facts: Facts = serde_json::from_value(json!({
        "plan": {
            "images": 0, "images_per_epoch": 0, "buckets": [], "batches_per_epoch": 0, "steps_per_epoch": 0,
            "total_steps": 0, "epochs": 0, "keep_tokens": 0, "mean_aspect_error": 0.0, "warnings": [], "problems": [],
        },
        "config": {}, "parameters": 0, "layers": 0, "base_name": "", "base_digest": "", "resumed_from": null,
    }))
    .unwrap();
    Arc::new(Checkpoints {
        name: "test".into(),
        files: vec![file(50, false), file(100, true)],
        log: vec![],
        facts,
        trigger: String::new(),
        seconds: 0.0,
    })
}

fn grid(ctx: &Context, path: &Path, columns: &str, prompts: &str, steps: u32) -> (Arc<Grid>, Arc<ImageBatch>) {
    let (model, clip, vae) = base(ctx);
    let inputs = vec![
        ("model", value(&model)),
        ("clip", value(&clip)),
        ("vae", value(&vae)),
        ("checkpoints", value(&checkpoints(path))),
        ("columns", columns.into()),
        ("prompts", prompts.into()),
        ("negative", "glasses".into()),
        ("seeds", "3, 9".into()),
        ("strengths", "0.5, 1".into()),
        ("steps", steps.into()),
        ("cfg", 4.5.into()),
        ("width", 96.into()),
        ("height", 96.into()),
    ];
    let outputs = run(ctx, "CheckpointGrid", inputs).unwrap();
    (output(&outputs, 0), output(&outputs, 1))
}

/// A cell is what a workflow with the loader and a sampler makes from the same seed alone. Sums in another order may
/// change a value by a bit, and with it a pixel by one.
#[test]
fn a_cell_equals_a_sampler_with_its_seed() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let path = dir.path().join("models/loras/test.safetensors");
    let (model, clip, vae) = base(&ctx);
    write_lora(&model, &path);
    let (grid, drawn) = grid(&ctx, &path, "strengths", PROMPT, 12);
    assert_eq!(grid.rows, ["step 50", "step 100"]);
    assert_eq!(grid.cols, ["no LoRA", "strength 0.5", "strength 1"]);
    assert_eq!(grid.cells.len(), 2 + 2 * 2 * 2);
    assert_eq!(drawn.images().len(), 1);

    let mut changes = Vec::new();
    for strength in [0.0, 0.5, 1.0] {
        let inputs = vec![
            ("model", value(&model)),
            ("clip", value(&clip)),
            ("lora_name", "test.safetensors".into()),
            ("strength_model", strength.into()),
            ("strength_clip", strength.into()),
        ];
        let changed = run(&ctx, "LoraLoader", inputs).unwrap();
        let (model, clip) = (output(&changed, 0), output(&changed, 1));
        let (positive, negative) = (prompt(&ctx, &clip, PROMPT), prompt(&ctx, &clip, "glasses"));
        let alone = run(&ctx, "KSampler", k_sampler(&model, &positive, &negative, &empty(&ctx, 1), 9)).unwrap();
        let alone = &decode(&ctx, &vae, &output(&alone, 0))[0];
        let cell = grid.cells.iter().find(|c| c.strength == strength && c.seed == 9).unwrap();
        assert_eq!((cell.is_base(), cell.checkpoint.is_none()), (strength == 0.0, strength == 0.0));
        let off = difference(alone, &cell.image);
        assert!(off <= 1, "strength {strength}: off by {off}");
        let base = &grid.base_of(cell).unwrap().image;
        let sum: u64 = base.pixels.iter().zip(cell.image.pixels.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        changes.push(sum);
    }
    assert!(changes[0] == 0 && changes[1] > 1000 && changes[2] > changes[1], "{changes:?}");
}

#[test]
fn columns_of_prompts_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = host(dir.path());
    let path = dir.path().join("models/loras/test.safetensors");
    write_lora(&base(&ctx).0, &path);
    // The second prompt is longer than one chunk of tokens.
    let long = format!("{PROMPT}{}", ", red hair".repeat(30));
    let (grid, _) = grid(&ctx, &path, "prompts", &format!("{PROMPT} --n beard\n{long}"), 3);
    assert_eq!(grid.rows, ["no LoRA", "step 50 × 0.5", "step 50 × 1", "step 100 × 0.5", "step 100 × 1"]);
    assert_eq!(grid.cells.len(), 5 * 2 * 2);
    assert!(grid.cells.iter().all(|c| c.is_base() == (c.row == 0)));
    let outputs = run(&ctx, "SaveGrid", vec![("grid", value(&grid)), ("filename", "x/grid".into())]).unwrap();
    assert_eq!(outputs.ui["files"].as_array().unwrap().len(), 2);
    let text = std::fs::read_to_string(dir.path().join("out/x/grid.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["cells"][0]["seed"], 3);
    let png = data::Image::open(&dir.path().join("out/x/grid.png"), &data::DecodeLimits::default()).unwrap();
    assert_eq!(json["size"], json!([png.width, png.height]));
    if let Some(folder) = std::env::var_os("ANAGAMA_TEST_PICTURES") {
        std::fs::copy(dir.path().join("out/x/grid.png"), Path::new(&folder).join("grid-prompts.png")).unwrap();
    }
}
