//! Parts of models from files of their own, in every naming, against the same parts of whole models.

use super::{assert_close, cases, cond, exact, reference, tensors};
use candle_core::{DType, Device, Tensor};
use models::{Memory, Token, load, load_network, load_texts, load_vae};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A file of some of a checkpoint's tensors, under other names.
fn part_of(folder: &Path, checkpoint: &str, name: &str, rename: impl Fn(&str) -> Option<String>) -> PathBuf {
    let all = tensors(&reference().join("models").join(checkpoint));
    let some: HashMap<String, Tensor> = all.into_iter().filter_map(|(key, t)| Some((rename(&key)?, t))).collect();
    assert!(!some.is_empty());
    let path = folder.join(name);
    candle_core::safetensors::save(&some, &path).unwrap();
    path
}

#[test]
fn networks_load_alone_with_and_without_a_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let whole = load(&reference().join("models/sd15"), &Device::Cpu, DType::F32).unwrap();
    let alone = load_network(&reference().join("models/sd15/unet"), &Memory::unlimited()).unwrap();
    let case = tensors(&cases("forward", "sd15_unet_", ".safetensors")[0]);
    let run = |network: &models::Network| network.forward(&case["sample"], &case["timestep"], &cond(&case)).unwrap();
    assert_eq!((alone.family.name, alone.prediction), (whole.family.name, whole.prediction));
    exact(&run(&alone.network), &run(&whole.network));
    // Without a config heads and groups are those of the full size, so that only layers are compared.
    let prefix = "model.diffusion_model.";
    let with = part_of(folder.path(), "sd15_single.safetensors", "a.safetensors", |key| {
        key.starts_with(prefix).then(|| key.to_owned())
    });
    let without = part_of(folder.path(), "sd15_single.safetensors", "b.safetensors", |key| {
        key.strip_prefix(prefix).map(str::to_owned)
    });
    let diffusers = part_of(folder.path(), "sd15/unet/diffusion_pytorch_model.safetensors", "c.safetensors", |key| {
        Some(key.to_owned())
    });
    for path in [with, without, diffusers] {
        let network = load_network(&path, &Memory::unlimited()).unwrap().network;
        assert_eq!(network.targets(), whole.network.targets());
    }
}

#[test]
fn vaes_load_alone_in_both_namings() {
    let memory = Memory::unlimited();
    let case = tensors(&reference().join("forward/flux_vae.safetensors"));
    let folder = load_vae(&reference().join("models/flux/vae"), &memory).unwrap().vae;
    assert_close("mean", &folder.encode(&case["image"]).unwrap().0, &case["mean"]);
    assert_close("decoded", &folder.decode(&case["mean"]).unwrap(), &case["decoded"]);
    assert_eq!((folder.config().scaling_factor, folder.config().shift_factor), (Some(0.3611), Some(0.1159)));
    // The original naming has no config: groups are guessed, the scale is the family's.
    let single = load_vae(&reference().join("models/flux_single/ae.safetensors"), &memory).unwrap().vae;
    let (found, want) = (single.config(), folder.config());
    assert_eq!(
        (&found.block_out_channels, found.latent_channels, found.use_quant_conv, found.scaling_factor),
        (&want.block_out_channels, want.latent_channels, want.use_quant_conv, None)
    );
    // A whole checkpoint's VAE too.
    assert_eq!(
        load_vae(&reference().join("models/sd15_single.safetensors"), &memory).unwrap().vae.config().latent_channels,
        4
    );
    let error = folder.decode(&Tensor::zeros((1, 4, 8, 8), DType::F32, &Device::Cpu).unwrap()).unwrap_err();
    assert!(error.to_string().contains("another family"), "{error}");
}

#[test]
fn text_encoders_load_alone_in_any_order() {
    let memory = Memory::unlimited();
    let whole = load(&reference().join("models/sdxl"), &Device::Cpu, DType::F32).unwrap();
    let paths = ["models/sdxl/text_encoder_2", "models/sdxl/text_encoder"].map(|name| reference().join(name));
    let alone = load_texts(&paths, "sdxl", &memory).unwrap().text;
    assert_eq!(alone.parts().iter().map(|p| p.name()).collect::<Vec<_>>(), ["clip_l", "clip_g"]);
    for (a, b) in alone.parts().iter().zip(whole.text.parts()) {
        let row: Vec<Token> = b.row_of("a fox").unwrap().0.into_iter().map(Token::Id).collect();
        let states = |part: &models::TextPart| part.encode(std::slice::from_ref(&row), None).unwrap();
        exact(&states(a).states, &states(b).states);
    }
    let one = load_texts(&paths[1..], "stable_diffusion", &memory).unwrap().text;
    assert_eq!((one.family().name, one.parts()[0].name()), ("SD 1.x", "clip_l"));
    let error = |paths: &[PathBuf], kind: &str| load_texts(paths, kind, &memory).err().unwrap().to_string();
    assert!(error(&paths[1..], "sdxl").contains("clip_g"), "{}", error(&paths[1..], "sdxl"));
    assert!(error(&paths, "stable_diffusion").contains("takes 1 text encoders, found 2 files"));
    assert!(error(&paths, "nothing").contains("known: stable_diffusion"));
}

#[test]
fn learned_vectors_stand_where_tokens_do() {
    let model = load(&reference().join("models/sdxl"), &Device::Cpu, DType::F32).unwrap();
    for part in model.text.parts() {
        let ids = part.row_of("a fox").unwrap().0;
        let plain: Vec<Token> = ids.iter().map(|&id| Token::Id(id)).collect();
        let states = |row: &[Token]| part.encode(&[row.to_vec()], None);
        let before = states(&plain).unwrap();
        let mut row = plain.clone();
        row[2] = Token::Vector(Tensor::ones(part.width(), DType::F32, &Device::Cpu).unwrap());
        let after = states(&row).unwrap();
        // Attention looks back only: what stands before the vector stays.
        exact(&before.states.narrow(1, 0, 2).unwrap(), &after.states.narrow(1, 0, 2).unwrap());
        let moved = (&before.states - &after.states).unwrap().abs().unwrap().max_all().unwrap();
        assert!(moved.to_scalar::<f32>().unwrap() > 1e-3);
        row[2] = Token::Vector(Tensor::ones(part.width() + 1, DType::F32, &Device::Cpu).unwrap());
        assert!(states(&row).unwrap_err().to_string().contains("another family"));
    }
}
