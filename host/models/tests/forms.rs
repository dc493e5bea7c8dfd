//! Every form of files that the reference page lists, for every family of which there is a small model: the small models
//! are written in each form, read again, and compared.

#![allow(clippy::unwrap_used)] // A test that cannot read its data has failed.

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{DType, Device, Tensor};
use models::{
    Cond, FAMILIES, FORMS, Loaded, LoadedNetwork, Memory, Network, Options, load, load_network, load_texts, load_vae,
    load_with,
};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

type Tensors = HashMap<String, Tensor>;

fn reference() -> PathBuf {
    match std::env::var_os("ANAGAMA_REFERENCE") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference"),
    }
}

fn tensors(path: &Path) -> Tensors {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

/// A small model as a folder, and the tensors of each part in the names of single files, without prefixes.
struct Small {
    folder: PathBuf,
    /// Prefix in a file of all parts, and the tensors.
    parts: Vec<(&'static str, Tensors)>,
}

/// Prefixes of the parts of a single file: the network's first, then the autoencoder's, then those of text encoders.
const PREFIXES: &[&str] = &[
    "model.diffusion_model.",
    "first_stage_model.",
    "cond_stage_model.transformer.",
    "cond_stage_model.model.",
    "conditioner.embedders.0.transformer.",
    "conditioner.embedders.1.model.",
];

/// The small models: folders with a single file beside them, or with a folder of single parts.
fn small() -> Vec<Small> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut found = Vec::new();
    for root in [reference().join("models"), own] {
        let mut folders: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        for folder in folders.into_iter().filter(|folder| is_model(folder)) {
            let beside = |end: &str| folder.with_file_name(format!("{}{end}", folder.file_name().unwrap().display()));
            let (file, parts) = (beside("_single.safetensors"), beside("_single"));
            let parts = if file.is_file() {
                let all = tensors(&file);
                let of = |prefix: &&'static str| {
                    let own =
                        all.iter().filter_map(|(key, t)| Some((key.strip_prefix(*prefix)?.to_owned(), t.clone())));
                    (*prefix, own.collect::<Tensors>())
                };
                PREFIXES.iter().map(of).filter(|(_, own)| !own.is_empty()).collect()
            } else {
                [
                    (PREFIXES[0], "transformer"),
                    ("vae.", "ae"),
                    ("text_encoders.clip_l.transformer.", "clip_l"),
                    ("text_encoders.t5xxl.transformer.", "t5"),
                ]
                .map(|(prefix, name)| (prefix, tensors(&parts.join(format!("{name}.safetensors")))))
                .into()
            };
            found.push(Small { folder, parts });
        }
    }
    assert!(!found.is_empty());
    found
}

/// Whether a folder has a denoising network.
fn is_model(folder: &Path) -> bool {
    FAMILIES.iter().any(|family| folder.join(family.network.folder).is_dir())
}

impl Small {
    fn load(&self) -> Loaded {
        load(&self.folder, &Device::Cpu, DType::F32).unwrap()
    }

    fn network(&self) -> &Tensors {
        &self.parts[0].1
    }
}

fn save(folder: &Path, name: &str, all: &Tensors) -> PathBuf {
    let path = folder.join(name);
    candle_core::safetensors::save(all, &path).unwrap();
    path
}

/// What a network predicts of made-up inputs.
fn predicted(network: &Network) -> Vec<f32> {
    let takes = network.takes();
    let wave = |shape: &[usize]| {
        let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| (i as f32 * 0.37).sin()).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    };
    let cond = Cond {
        context: wave(&[1, 5, takes.context]),
        pooled: takes.pooled.map(|width| wave(&[1, width])),
        size: takes.size.then(|| Tensor::full(64f32, (1, 6), &Device::Cpu).unwrap()),
        guidance: takes.guidance.then(|| Tensor::full(3.5f32, 1, &Device::Cpu).unwrap()),
    };
    let side = takes.multiple.max(8);
    let times = Tensor::full(0.7f32, 1, &Device::Cpu).unwrap();
    let output = network.forward(&wave(&[1, takes.channels, side, side]), &times, &cond).unwrap();
    let values = output.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(values.iter().all(|value| value.is_finite()) && values.iter().any(|&value| value != 0.0));
    values
}

/// A network alone, beside the small model's config: without one a network is taken to be of full size in what its
/// tensors do not tell. What the file is, is told by its content and not by its name.
fn alone(small: &Small, to: &Path, name: &str, write: &dyn Fn(&Path)) -> LoadedNetwork {
    let folder = to.join(name);
    std::fs::create_dir(&folder).unwrap();
    let part = small.load().family.network.folder;
    std::fs::copy(small.folder.join(part).join("config.json"), folder.join("config.json")).unwrap();
    write(&folder.join("diffusion_pytorch_model.safetensors"));
    load_network(&folder, &Memory::unlimited()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What a network of these tensors predicts.
fn of(small: &Small, to: &Path, name: &str, all: &Tensors) -> Vec<f32> {
    let network = alone(small, to, name, &|path| candle_core::safetensors::save(all, path).unwrap());
    assert_eq!(network.family.name, small.load().family.name);
    predicted(&network.network)
}

/// Matrices and kernels changed, everything else as it is.
fn changed(all: &Tensors, change: impl Fn(&str, &Tensor) -> Vec<(String, Tensor)>) -> Tensors {
    let each = |(key, tensor): (&String, &Tensor)| match tensor.rank() {
        0 | 1 => vec![(key.clone(), tensor.clone())],
        _ => change(key, tensor),
    };
    all.iter().flat_map(each).collect()
}

fn folder(small: &Small, _: &Path) {
    predicted(&small.load().network);
}

fn one_file(small: &Small, to: &Path) {
    let mut all = Tensors::new();
    for (prefix, part) in &small.parts {
        all.extend(part.iter().map(|(key, tensor)| (format!("{prefix}{key}"), tensor.clone())));
    }
    let path = save(to, "all.safetensors", &all);
    // A config that counts fewer text layers than the file has is refused; what is said of the rest holds.
    let options = Options { config_from: Some(small.folder.clone()), ..Options::default() };
    let (whole, single) = (small.load(), load_with(&path, &Device::Cpu, DType::F32, &options));
    match single {
        Ok(single) => {
            assert_eq!(single.family.name, whole.family.name);
            assert_eq!(predicted(&single.network), predicted(&whole.network));
        }
        Err(error) => assert!(error.to_string().contains("resblocks"), "{error}"),
    }
}

fn parts(small: &Small, to: &Path) {
    let whole = small.load();
    let memory = Memory::unlimited();
    let prefixed: Tensors =
        small.network().iter().map(|(key, tensor)| (format!("{}{key}", PREFIXES[0]), tensor.clone())).collect();
    for (name, all) in [("network", small.network()), ("prefixed", &prefixed)] {
        assert_eq!(of(small, to, name, all), predicted(&whole.network));
    }
    let vae = load_vae(&save(to, "vae.safetensors", &small.parts[1].1), &memory).unwrap().vae;
    assert_eq!(vae.config().latent_channels, whole.vae.config().latent_channels);
    let texts: Vec<PathBuf> = small.parts[2..]
        .iter()
        .enumerate()
        .map(|(at, (_, part))| save(to, &format!("text{at}.safetensors"), &with_all_tokens(part)))
        .collect();
    let texts = load_texts(&texts, whole.family.text_type, &memory).unwrap().text;
    let names = |texts: &models::Texts| texts.parts().iter().map(|part| part.name()).collect::<Vec<_>>();
    assert_eq!(names(&texts), names(&whole.text));
}

/// The small models know few tokens; a file without a tokenizer is taken to have all.
fn with_all_tokens(part: &Tensors) -> Tensors {
    let tables = [("token_embedding.weight", 49408), ("shared.weight", 32128)];
    let each = |(key, tensor): (&String, &Tensor)| {
        let table = tables.iter().find(|(end, _)| key.ends_with(end));
        let tensor = match table {
            Some((_, all)) => tensor.pad_with_zeros(0, 0, all - tensor.dim(0).unwrap()).unwrap(),
            None => tensor.clone(),
        };
        (key.clone(), tensor)
    };
    part.iter().map(each).collect()
}

fn eight_bits(small: &Small, to: &Path) {
    let eight = |tensor: &Tensor| tensor.to_dtype(DType::F8E4M3).unwrap();
    let wide = |tensor: &Tensor| tensor.to_dtype(DType::F32).unwrap();
    let plain = changed(small.network(), |key, t| vec![(key.to_owned(), eight(&wide(t)))]);
    let rounded = changed(&plain, |key, t| vec![(key.to_owned(), wide(t))]);
    let run = |name: &str, all: &Tensors| of(small, to, name, all);
    assert_eq!(run("plain", &plain), run("rounded", &rounded));
    let scaled = changed(small.network(), |key, t| {
        let factor = key.strip_suffix(".weight").map(|module| format!("{module}.scale_weight"));
        let one = Tensor::full(0.5f32, 1, &Device::Cpu).unwrap();
        let own = eight(&(wide(t) * 2.0).unwrap());
        [Some((key.to_owned(), own)), factor.map(|key| (key, one))].into_iter().flatten().collect()
    });
    let halved = changed(small.network(), |key, t| {
        vec![(key.to_owned(), (wide(&eight(&(wide(t) * 2.0).unwrap())) * 0.5).unwrap())]
    });
    assert_eq!(run("scaled", &scaled), run("halved", &halved));
}

fn gguf(small: &Small, to: &Path) {
    let quantized: Vec<(String, QTensor)> = small
        .network()
        .iter()
        .map(|(key, tensor)| {
            let tensor = tensor.to_dtype(DType::F32).unwrap();
            let blocks = tensor.rank() == 2 && tensor.dims()[1] % 32 == 0;
            let dtype = if blocks { GgmlDType::Q8_0 } else { GgmlDType::F32 };
            (key.clone(), QTensor::quantize(&tensor, dtype).unwrap())
        })
        .collect();
    let plain: Tensors = quantized.iter().map(|(key, q)| (key.clone(), q.dequantize(&Device::Cpu).unwrap())).collect();
    let list: Vec<(&str, &QTensor)> = quantized.iter().map(|(key, q)| (key.as_str(), q)).collect();
    let write = |path: &Path| gguf_file::write(&mut std::fs::File::create(path).unwrap(), &[], &list).unwrap();
    assert_eq!(predicted(&alone(small, to, "blocks", &write).network), of(small, to, "widened", &plain));
}

/// Writes a small model in a form into a folder, and reads it.
type Check = fn(&Small, &Path);

/// By the names of the forms in the page.
const CHECKS: &[(&str, Check)] = &[
    ("diffusers folder", folder),
    ("one file", one_file),
    ("files of parts", parts),
    ("8-bit floats", eight_bits),
    ("GGUF", gguf),
];

#[test]
fn every_form_of_every_family_is_read() {
    let mut seen = Vec::new();
    for small in small() {
        let family = small.load().family;
        seen.push(family.name);
        for form in FORMS {
            let Some((_, check)) = CHECKS.iter().find(|(name, _)| *name == form.name) else {
                panic!("nothing tests the form `{}`", form.name)
            };
            if form.missing(family).is_some() {
                continue;
            }
            println!("{}: {}", family.name, form.name);
            check(&small, tempfile::tempdir().unwrap().path());
        }
    }
    for family in FAMILIES.iter().filter(|family| !seen.contains(&family.name)) {
        println!("SKIPPED: forms of {}: there is no small model of it", family.name);
    }
}
