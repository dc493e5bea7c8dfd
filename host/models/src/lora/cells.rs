//! Every cell of the table of kinds and namings, for every family of which there is a small model: a file is written,
//! read, put onto the model, and compared with the kind's formula.

use super::apply::names;
use super::namings::{Ends, Name, Names, Part};
use super::testing::{CASES, Case, Module, Values, difference, write};
use super::*;
use crate::family::FAMILIES;
use crate::network::{Cond, Network};
use crate::text::Texts;
use crate::{Loaded, load};
use candle_core::{DType, Device, Tensor};

fn reference() -> PathBuf {
    match std::env::var_os("ANAGAMA_REFERENCE") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference"),
    }
}

/// The small models that are diffusers folders, those with a guidance of their own without it too.
fn models() -> Vec<Loaded> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut models = Vec::new();
    for root in [reference().join("models"), own] {
        let mut folders: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        for folder in folders.iter().filter(|folder| has_network(folder)) {
            let model = load(folder, &Device::Cpu, DType::F32);
            let model = model.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            if model.network.takes().guidance {
                models.push(without_guidance(folder));
            }
            models.push(model);
        }
    }
    assert!(!models.is_empty());
    models
}

fn has_network(folder: &Path) -> bool {
    FAMILIES.iter().any(|family| folder.join(family.network.folder).is_dir())
}

/// The same model without a guidance: Flux.1 schnell is dev without it.
fn without_guidance(folder: &Path) -> Loaded {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let from = entry.unwrap().path();
        let to = copy.path().join(from.file_name().unwrap());
        if from.is_file() {
            std::fs::copy(from, to).unwrap();
            continue;
        }
        std::fs::create_dir(&to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let from = entry.unwrap().path();
            std::fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
        }
    }
    let part = copy.path().join("transformer");
    let config = std::fs::read_to_string(part.join("config.json")).unwrap();
    let config = config.replace("\"guidance_embeds\": true", "\"guidance_embeds\": false");
    std::fs::write(part.join("config.json"), config).unwrap();
    let path = part.join("diffusion_pytorch_model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    tensors.retain(|key, _| !key.contains("guidance_embedder"));
    candle_core::safetensors::save(&tensors, &path).unwrap();
    // The files are mapped, so that they may go with their folder.
    load(copy.path(), &Device::Cpu, DType::F32).unwrap()
}

/// The networks' outputs on made-up inputs, network first.
fn outputs(network: &Network, texts: &Texts) -> Vec<Tensor> {
    let takes = network.takes();
    let wave = |shape: &[usize]| {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
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
    let mut all = vec![network.forward(&wave(&[1, takes.channels, side, side]), &times, &cond).unwrap()];
    for part in texts.parts() {
        let (ids, _) = part.row_of("a small fox").unwrap();
        let ids = Tensor::new(ids, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        all.push(part.encode_ids(&ids, None).unwrap().states);
    }
    all
}

fn largest(a: &Tensor, b: &Tensor) -> f64 {
    let off = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    f64::from(off.to_scalar::<f32>().unwrap())
}

/// One name of each module of a naming, of the modules that a case can change.
fn modules<'a>(names: &'a Names, naming: &Naming, case: &Case) -> Vec<(&'a Name, Module)> {
    let mut values = Values(11);
    let mut found: Vec<(&Name, Module)> = Vec::new();
    for name in names.all.iter().filter(|name| std::ptr::eq(name.naming, naming)) {
        let twice = |(other, _): &(&Name, Module)| (other.part, &other.place) == (name.part, &name.place);
        if found.iter().any(twice) {
            continue;
        }
        if let Some(mut module) = (case.make)(&name.place.shape(), &mut values) {
            // Small changes, so that the networks' outputs stay of a size that can be compared.
            for leaf in ["lora_up", "hada_w1_a", "diff", "b1", "w_norm", "b_norm", "set_weight"] {
                if let Some((_, values)) = module.get_mut(leaf) {
                    values.iter_mut().for_each(|value| *value = f64::from((*value * 0.25) as f32));
                }
            }
            if !name.place.bias {
                module.remove("b_norm");
            }
            found.push((name, module));
        }
    }
    found
}

#[test]
fn every_cell_of_the_table_is_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.safetensors");
    let mut seen: Vec<&str> = Vec::new();
    for model in models() {
        seen.push(model.family.name);
        let names = names(&model.network, &model.text);
        let base = outputs(&model.network, &model.text);
        for naming in NAMINGS {
            for case in CASES {
                let kind = KINDS.iter().find(|kind| kind.name == case.kind).unwrap();
                let what = format!("{}, {}, {} {}", model.family.name, naming.name, case.kind, case.form);
                let supported = support(model.family, naming, kind);
                let modules = modules(&names, naming, case);
                if supported.is_err() {
                    let has_place =
                        naming.ends != Ends::Processor && modules.iter().any(|(name, _)| name.part == Part::Network);
                    assert!(!has_place, "{what}: the table says it is not read, but there are layers for it");
                    continue;
                }
                // A form may need kernels where the kind does not.
                if modules.is_empty() {
                    assert!(CASES.iter().any(|other| other.kind == case.kind && other.form != case.form), "{what}");
                    continue;
                }
                // Every layer, and the networks as a whole, in the first two namings: diffusers' and the original
                // modules. The others lead to the same places: some layers.
                let each = if NAMINGS[..2].iter().any(|first| std::ptr::eq(first, naming)) { 1 } else { 25 };
                check(&path, &model, &names, &base, case, naming, &modules, each, &what);
            }
        }
    }
    for family in FAMILIES.iter().filter(|family| !seen.contains(&family.name)) {
        println!("SKIPPED: cells of {}: the reference has no small model of it", family.name);
    }
}

#[allow(clippy::too_many_arguments)]
fn check(
    path: &Path,
    model: &Loaded,
    names: &Names,
    base: &[Tensor],
    case: &Case,
    naming: &Naming,
    modules: &[(&Name, Module)],
    each: usize,
    what: &str,
) {
    let named: Vec<(String, Module)> =
        modules.iter().map(|(name, module)| (name.name.clone(), module.clone())).collect();
    write(path, &named, naming.ends);
    let file = File::read(path).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(file.kind(), case.kind, "{what}");
    assert_eq!(file.modules().count(), modules.len(), "{what}");
    let (groups, problems) = file.matched(names, false);
    assert!(problems.is_empty(), "{what}: {problems:?}");
    // Each parameter's change is the formula's for each of the modules that lie in it.
    let mut values = Values(5);
    for ((part, path), matched) in groups.iter().step_by(each) {
        let whole = &matched[0].place.whole;
        let row = whole[1..].iter().product::<usize>();
        let (_, weight) = values.tensor(whole);
        let mut want = vec![0.0; weight.len()];
        for (name, module) in modules.iter().filter(|(name, _)| (name.part, name.place.path.as_str()) == (*part, *path))
        {
            let rows = name.place.rows.numbers(whole[0]);
            let theirs: Vec<f64> = rows.iter().flat_map(|r| &weight[r * row..(r + 1) * row]).copied().collect();
            let delta = (case.delta)(module, &theirs, &name.place.shape());
            for (n, r) in rows.iter().enumerate() {
                want[r * row..(r + 1) * row].copy_from_slice(&delta[n * row..(n + 1) * row]);
            }
        }
        let patch = file.patch(*part, path, matched, DoraNorm::LyCoris).unwrap();
        let floats: Vec<f32> = weight.iter().map(|&value| value as f32).collect();
        let weight = Tensor::from_vec(floats, whole.as_slice(), &Device::Cpu).unwrap();
        let got = patch.weight(&weight).unwrap().unwrap();
        let (off, size) = difference(&got, &want);
        assert!(off < 2e-6 * size.max(1.0), "{what}: `{path}` differs by {off} of {size}");
    }
    if each > 1 {
        return;
    }
    // Merged and beside the layers the networks give the same, and something else than without.
    let apply = |how| {
        let options = Options { how, ..Options::default() };
        let applied = file.apply(&model.network, &model.text, 0.3, 0.3, &options).unwrap();
        assert!(applied.warnings.is_empty());
        outputs(&applied.network, &applied.texts)
    };
    let (merged, beside) = (apply(How::Merge), apply(How::Unmerged));
    for (at, base) in base.iter().enumerate() {
        let part = if at == 0 { Part::Network } else { Part::Text(at - 1) };
        let size = base.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
        let off = largest(&merged[at], &beside[at]);
        let size = f64::from(size).max(largest(&merged[at], base)).max(1.0);
        // Every layer changes at once, and deep networks enlarge what their first layers round.
        assert!(off < 3e-4 * size, "{what}: {part:?} merged and unmerged differ by {off} of {size}");
        let changed = largest(&merged[at], base) > 1e-5;
        assert_eq!(changed, modules.iter().any(|(name, _)| name.part == part), "{what}: {part:?}");
    }
}

#[test]
fn every_name_of_every_module_is_found() {
    for model in models() {
        let names = names(&model.network, &model.text);
        for name in &names.all {
            let found = names.find(&name.name).unwrap();
            let same = (found.part, &found.place) == (name.part, &name.place);
            assert!(
                same,
                "{}: `{}` is two layers: {:?} and {:?}",
                model.family.name, name.name, found.place, name.place
            );
        }
    }
}

#[test]
fn several_files_stack_and_the_order_of_sums_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    for model in models() {
        let names = names(&model.network, &model.text);
        let file = |kind: &str, form: &str| {
            let case = CASES.iter().find(|case| case.kind == kind && case.form == form).unwrap();
            let path = folder.path().join(format!("{kind} {form}.safetensors").replace(',', ""));
            let named: Vec<_> = modules(&names, &NAMINGS[0], case)
                .into_iter()
                .map(|(name, module)| (name.name.clone(), module))
                .collect();
            write(&path, &named, NAMINGS[0].ends);
            File::read(&path).unwrap()
        };
        let files = [file("LoRA, LoCon", "with alpha"), file("LoHa", ""), file("GLoRA", "")];
        let apply = |order: &[(usize, How)]| {
            let (mut network, mut texts) = (model.network.clone(), model.text.clone());
            for (n, how) in order {
                let options = Options { how: *how, ..Options::default() };
                let applied = files[*n].apply(&network, &texts, 0.5, 0.5, &options).unwrap();
                (network, texts) = (applied.network, applied.texts);
            }
            outputs(&network, &texts)
        };
        let (m, u) = (How::Merge, How::Unmerged);
        // GLoRA sees the weight with the others in it, so that it stays last.
        let first = apply(&[(0, m), (1, m), (2, m)]);
        for order in
            [[(1, m), (0, m), (2, m)], [(0, u), (1, u), (2, u)], [(0, u), (1, m), (2, u)], [(0, m), (1, u), (2, m)]]
        {
            for (a, b) in first.iter().zip(apply(&order)) {
                let size =
                    f64::from(a.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap());
                let off = largest(a, &b);
                assert!(off < 1e-4 * size.max(1.0), "{}: {order:?} differs by {off} of {size}", model.family.name);
            }
        }
    }
}
