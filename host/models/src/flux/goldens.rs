//! The transformer against diffusers' numbers.

use super::*;
use crate::config::Json;
use crate::weights::{Entries, Piece, WeightFile};
use std::path::{Path, PathBuf};

fn reference() -> PathBuf {
    match std::env::var_os("ANAGAMA_REFERENCE") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference"),
    }
}

fn tensors(path: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(reference().join(path), &Device::Cpu).unwrap()
}

fn config() -> FluxConfig {
    FluxConfig::from_json(&Json::read(&reference().join("models/flux/transformer/config.json")).unwrap()).unwrap()
}

fn built(entries: Entries) -> Flux {
    let mut part = Part::new("test".into(), entries);
    let flux = Flux::build(config(), &mut part).unwrap();
    part.finish("").unwrap();
    flux
}

fn diffusers() -> Flux {
    let path = reference().join("models/flux/transformer/diffusion_pytorch_model.safetensors");
    built(names::joined(&[Arc::new(WeightFile::open(&path).unwrap())]))
}

fn single(name: &str) -> Flux {
    let file = Arc::new(WeightFile::open(&reference().join("models/flux_single").join(name)).unwrap());
    built(file.entries.keys().map(|key| (names::original(key), vec![Piece::whole(&file, key)])).collect())
}

fn worst(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

fn run(flux: &Flux, case: &HashMap<String, Tensor>, observe: &mut dyn FnMut(&str, &Tensor) -> Result<()>) -> Tensor {
    let ids = case["img_ids"].to_vec2::<f32>().unwrap();
    let (rows, columns) = ids.iter().fold((0, 0), |(r, c), id| (r.max(id[1] as usize + 1), c.max(id[2] as usize + 1)));
    assert_eq!(rows * columns, ids.len());
    let x = position::unpack(&case["hidden_states"], 2 * rows, 2 * columns).unwrap();
    let condition = FluxCondition {
        context: &case["encoder_hidden_states"],
        pooled: Some(&case["pooled_projections"]),
        guidance: case.get("guidance"),
    };
    position::pack(&flux.forward_observed(&x, &case["timestep"], condition, observe).unwrap()).unwrap()
}

#[test]
fn outputs_and_blocks_match_diffusers() {
    for name in ["flux_transformer_a", "flux_transformer_b"] {
        let case = tensors(&format!("forward/{name}.safetensors"));
        for flux in [diffusers(), single("transformer.safetensors")] {
            let mut seen = HashMap::new();
            let got = run(&flux, &case, &mut |name, x| {
                seen.insert(name.to_owned(), x.clone());
                Ok(())
            });
            eprintln!("{name}: {}", worst(&got, &case["output"]));
            for (key, want) in &case {
                let Some(inner) = key.strip_prefix("inner.") else { continue };
                let ours = match inner {
                    "time_text_embed" => "vec".to_owned(),
                    "x_embedder" => "img_in".to_owned(),
                    "context_embedder" => "txt_in".to_owned(),
                    "norm_out" => "final_layer.norm".to_owned(),
                    other => other.replace("double.", "double_blocks.").replace("single.", "single_blocks."),
                };
                eprintln!("  {inner}: {}", worst(&seen[&ours], want));
            }
        }
    }
}
