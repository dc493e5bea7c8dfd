//! Networks in files against what sd-scripts, diffusers, PEFT, LyCORIS and ComfyUI make of them
//! (tests/reference/INDEX.md, «Adapters»). Files, strengths and models are found in the folder, so that another folder of
//! the same layout passes as it is.

#![allow(clippy::unwrap_used)] // A test that cannot read its data has failed.

use candle_core::{DType, Device, Tensor};
use models::lora::{DoraNorm, File, How, Options, Unmatched};
use models::{Cond, Loaded, Texts, load};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// A whole forward pass in f32 may differ by this much (INDEX.md).
const FORWARD: f64 = 1e-4;

fn reference() -> PathBuf {
    match std::env::var_os("ANAGAMA_REFERENCE") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference"),
    }
}

fn tensors(path: &Path) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

/// What a folder of the reference holds, sorted.
fn entries(folder: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(reference().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// The network files of the reference with what the peers get from them.
fn files() -> Vec<(String, PathBuf, HashMap<String, Tensor>)> {
    let with_outputs = |path: PathBuf| {
        let outputs = path.with_file_name(format!("{}_outputs.safetensors", stem(&path)));
        outputs.is_file().then(|| (stem(&path), path, tensors(&outputs)))
    };
    let files: Vec<_> = entries("lora").into_iter().filter_map(with_outputs).collect();
    assert!(!files.is_empty(), "no files with outputs in {}/lora", reference().display());
    files
}

/// The names of the small models.
fn models_there() -> Vec<String> {
    entries("models").iter().filter(|path| path.join("model_index.json").is_file()).map(|path| stem(path)).collect()
}

/// The small model that a file was made for: the one that its name begins with; those of LyCORIS are for SD 1.5.
fn model_of(file: &str) -> String {
    let own = models_there().into_iter().find(|name| file.starts_with(&format!("{name}_")));
    own.unwrap_or_else(|| "sd15".to_owned())
}

fn model(name: &str) -> Loaded {
    load(&reference().join("models").join(name), &Device::Cpu, DType::F32).unwrap()
}

/// The inputs of the model's first forward pass in the reference, and the place of each token of an image, if it is
/// given as tokens.
struct Inputs {
    x: Tensor,
    times: Tensor,
    cond: Cond,
    tokens: Option<Vec<(usize, usize)>>,
}

fn inputs(model: &str) -> Inputs {
    let path = entries("forward")
        .into_iter()
        .find(|path| stem(path).starts_with(&format!("{model}_")) && stem(path).ends_with("_a"))
        .unwrap();
    let mut case = tensors(&path);
    let context = case.remove("encoder_hidden_states").unwrap();
    let float = |t: Tensor| t.to_dtype(DType::F32).unwrap();
    let (x, tokens) = match case.remove("sample") {
        Some(sample) => (sample, None),
        None => {
            let ids = float(case.remove("img_ids").unwrap()).to_vec2::<f32>().unwrap();
            let places: Vec<(usize, usize)> = ids.iter().map(|id| (id[1] as usize, id[2] as usize)).collect();
            (image(&case["hidden_states"], &places), Some(places))
        }
    };
    let cond = Cond {
        context,
        pooled: case.remove("text_embeds").or_else(|| case.remove("pooled_projections")),
        size: case.remove("time_ids").map(float),
        guidance: case.remove("guidance").map(float),
    };
    Inputs { x, times: float(case["timestep"].clone()), cond, tokens }
}

/// Tokens (b, n, 4·c) of 2×2 pixels as an image (b, c, h, w).
fn image(tokens: &Tensor, places: &[(usize, usize)]) -> Tensor {
    let (b, n, features) = tokens.dims3().unwrap();
    let (h, w) = (places.iter().map(|p| p.0).max().unwrap() + 1, places.iter().map(|p| p.1).max().unwrap() + 1);
    assert_eq!(n, h * w);
    let grid = tokens.reshape((b, h, w, features / 4, 2, 2)).unwrap();
    grid.permute((0, 3, 1, 4, 2, 5)).unwrap().contiguous().unwrap().reshape((b, features / 4, 2 * h, 2 * w)).unwrap()
}

/// What the text encoders together give for the token ids of the reference.
fn encoded(texts: &Texts, model: &str, outputs: &HashMap<String, Tensor>) -> models::Encoded {
    let text = entries("forward").into_iter().find(|path| stem(path) == format!("{model}_text")).map(|p| tensors(&p));
    let ids = |at: usize, name: &str| {
        let own = if at == 0 { "input_ids".to_owned() } else { format!("input_ids_{}", at + 1) };
        let short = format!("{}_ids", &name[..name.find('_').unwrap_or(name.len()).min(4)].replace("t5xx", "t5"));
        let found = outputs.get(&own).or_else(|| text.as_ref()?.get(&short)).or_else(|| text.as_ref()?.get(&own));
        found.unwrap_or_else(|| panic!("no token ids for {name}")).to_dtype(DType::U32).unwrap()
    };
    let parts = texts.parts().iter().enumerate();
    let states = parts.map(|(at, part)| part.encode_ids(&ids(at, part.name()), None).unwrap()).collect();
    texts.combine(states).unwrap()
}

fn difference(got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(got.dims(), want.dims());
    let off = (got - want).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    f64::from(off.to_scalar::<f32>().unwrap())
}

#[test]
fn files_give_what_the_peers_get_merged_and_unmerged() {
    let mut loaded: BTreeMap<String, Loaded> = BTreeMap::new();
    for (name, path, outputs) in files() {
        let of = model_of(&name);
        let model = loaded.entry(of.clone()).or_insert_with(|| model(&of));
        let inputs = inputs(&of);
        let file = File::read(&path).unwrap();
        let (mut largest, mut checked) = (0f64, 0);
        for (key, want) in outputs.iter().filter(|(key, _)| !key.starts_with("input_ids")) {
            let (plain, dora_norm) = match key.strip_suffix(".comfyui") {
                Some(plain) => (plain, DoraNorm::ComfyUi),
                None => (key.as_str(), DoraNorm::LyCoris),
            };
            let (net, strength) = plain.split_once('.').unwrap();
            let strength: f64 = strength.parse().unwrap();
            for how in [How::Merge, How::Unmerged] {
                let options = Options { how, dora_norm, ..Options::default() };
                let of_network = net == model.family.network.folder;
                // The other networks keep what they have: strengths are apart.
                let (on_network, on_texts) = if of_network { (strength, 0.0) } else { (0.0, strength) };
                let applied = file.apply(&model.network, &model.text, on_network, on_texts, &options).unwrap();
                assert!(applied.warnings.is_empty());
                let got = match net {
                    _ if of_network => {
                        let got = applied.network.forward(&inputs.x, &inputs.times, &inputs.cond).unwrap();
                        let want = match &inputs.tokens {
                            Some(places) => image(want, places),
                            None => want.clone(),
                        };
                        difference(&got, &want)
                    }
                    "pooled" => difference(&encoded(&applied.texts, &of, &outputs).pooled.unwrap(), want),
                    "text" | "prompt_embeds" => difference(&encoded(&applied.texts, &of, &outputs).states, want),
                    other => panic!("{name}: what is `{other}`?"),
                };
                assert!(got <= FORWARD, "{name} {key} {how:?}: differs by {got}, allowed {FORWARD}");
                largest = largest.max(got);
                checked += 1;
            }
        }
        assert!(checked > 0);
        println!("{name} ({}): {checked} outputs, largest difference {largest:.1e}", file.kind());
    }
}

#[test]
fn strengths_of_text_encoders_are_apart() {
    for (name, path, outputs) in files() {
        let of = model_of(&name);
        let file = File::read(&path).unwrap();
        let model = model(&of);
        let texts = model.text.parts().len();
        if texts < 2 || !outputs.keys().any(|key| key.starts_with("prompt_embeds")) {
            continue;
        }
        let apply = |strengths: &[f64]| {
            let applied = file.apply_each(&model.network, &model.text, 0.0, strengths, &Options::default()).unwrap();
            encoded(&applied.texts, &of, &outputs).states
        };
        let (none, both, first) = (apply(&vec![0.0; texts]), apply(&vec![1.0; texts]), apply(&[1.0, 0.0]));
        let width = model.text.parts()[0].width();
        let rest = none.dim(2).unwrap() - width;
        let part = |t: &Tensor, at: usize, n: usize| t.narrow(2, at, n).unwrap();
        assert!(difference(&part(&first, 0, width), &part(&both, 0, width)) < 1e-6);
        assert!(difference(&part(&first, width, rest), &part(&none, width, rest)) < 1e-6);
        assert!(difference(&part(&both, width, rest), &part(&none, width, rest)) > 1e-4);
        let error = file.apply_each(&model.network, &model.text, 0.0, &[1.0], &Options::default()).err().unwrap();
        assert!(error.to_string().contains("text encoders"), "{error}");
    }
}

#[test]
fn files_of_another_family_list_their_keys_and_name_the_family() {
    let names = models_there();
    for (name, path, _) in files() {
        let own = model_of(&name);
        let file = File::read(&path).unwrap();
        let family = model(&own).family;
        for other in names.iter().filter(|other| **other != own) {
            let model = model(other);
            if model.family.name == family.name {
                continue;
            }
            let apply = |unmatched| {
                let options = Options { unmatched, ..Options::default() };
                file.apply(&model.network, &model.text, 1.0, 1.0, &options)
            };
            let error = apply(Unmatched::Error).err().unwrap_or_else(|| panic!("{name} fits {other}"));
            let text = error.to_string();
            let models::Error::Keys { problems, .. } = error else { panic!("{text}") };
            // All of them, of which the message shows some.
            assert!(problems.len() > 20 && problems.len() <= file.modules().count(), "{text}");
            assert!(text.lines().count() < 80, "{text}");
            assert_eq!(apply(Unmatched::Warn).unwrap().warnings.len(), problems.len());
            // Small models have not the widths of large ones: names and the header must do.
            let telling = ["sdxl", "flux"].iter().any(|start| name.starts_with(start));
            assert!(!telling || text.contains(family.name), "{name} on {other}: {text}");
        }
    }
}

#[test]
fn other_files_are_told_as_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let error = |path: &Path| File::read(path).err().unwrap().to_string();
    let text = error(&reference().join("models/sd15_single.safetensors"));
    assert!(text.contains("a whole checkpoint of SD 1.x"), "{text}");
    let embedding = folder.path().join("embedding.safetensors");
    let vectors = Tensor::zeros((2, 24), DType::F32, &Device::Cpu).unwrap();
    candle_core::safetensors::save(&HashMap::from([("emb_params", vectors.clone())]), &embedding).unwrap();
    assert!(error(&embedding).contains("an embedding"), "{}", error(&embedding));
    let nothing = folder.path().join("nothing.safetensors");
    candle_core::safetensors::save(&HashMap::from([("some.tensor", vectors)]), &nothing).unwrap();
    assert!(error(&nothing).contains("`some.tensor` is no part of a LoRA"), "{}", error(&nothing));
}

#[test]
fn a_broken_file_names_all_its_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let (_, path, _) = files().into_iter().find(|(name, ..)| name.starts_with("sd15")).unwrap();
    let broken = folder.path().join("broken.safetensors");
    let change = |change: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let mut all = tensors(&path);
        change(&mut all);
        candle_core::safetensors::save(&all, &broken).unwrap();
        File::read(&broken)
    };
    let mut downs: Vec<String> = tensors(&path).into_keys().filter(|key| key.ends_with(".lora_down.weight")).collect();
    downs.sort();
    let (first, second) = (downs[0].clone(), downs[1].clone());
    let error = change(&|all| {
        let nan = (all[&first].to_dtype(DType::F32).unwrap() * f64::NAN).unwrap();
        all.insert(first.clone(), nan);
        all.remove(&second);
    });
    let text = error.err().unwrap().to_string();
    assert!(text.contains(&format!("`{first}`: value 0 is NaN")), "{text}");
    let module = second.strip_suffix(".lora_down.weight").unwrap();
    assert!(text.contains(&format!("`{module}` has no `.lora_down.weight`")), "{text}");
    // Keys that nobody knows, and a rank above all sizes, which is harmless.
    let model = model("sd15");
    let file = change(&|all| {
        all.insert("nobody.knows".into(), all[&first].clone());
        let (down, up) = (
            all[&first].clone(),
            all[&format!("{}.lora_up.weight", first.strip_suffix(".lora_down.weight").unwrap())].clone(),
        );
        let (inp, out) = (down.dim(1).unwrap(), up.dim(0).unwrap());
        let module = first.strip_suffix(".lora_down.weight").unwrap();
        all.insert(first.clone(), Tensor::ones((5000, inp), DType::F32, &Device::Cpu).unwrap());
        all.insert(format!("{module}.lora_up.weight"), Tensor::zeros((out, 5000), DType::F32, &Device::Cpu).unwrap());
    })
    .unwrap();
    let apply = |unmatched| {
        let options = Options { unmatched, ..Options::default() };
        file.apply(&model.network, &model.text, 1.0, 1.0, &options)
    };
    let text = apply(Unmatched::Error).err().unwrap().to_string();
    assert!(text.contains("`nobody.knows` is no part of any kind of network") && text.contains("1 key"), "{text}");
    assert_eq!(apply(Unmatched::Warn).unwrap().warnings.len(), 1);
}
