//! The layers of full-size networks against lists of the modules of real LoRA files.

use super::reference;
use models::{FAMILIES, Family, Memory, Target, TargetKind};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// Module → the shapes of its down and up matrices.
type List = BTreeMap<String, [Vec<usize>; 2]>;

fn lists() -> BTreeMap<String, List> {
    let path = reference().join("keys/full_size_lora_modules.json.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The family that a list is of, by the beginning of its name.
fn family(list: &str) -> Option<&'static Family> {
    let starts = [("sd15_", "SD 1.x"), ("sdxl_", "SDXL"), ("flux_", "Flux.1")];
    let (_, name) = starts.iter().find(|(start, _)| list.starts_with(start)).unwrap();
    FAMILIES.iter().copied().find(|family| family.name.starts_with(name))
}

/// Down and up of a LoRA of rank `r` on this layer.
fn shapes(kind: TargetKind, r: usize) -> [Vec<usize>; 2] {
    match kind {
        TargetKind::Linear { inp, out } => [vec![r, inp], vec![out, r]],
        TargetKind::Conv { inp, out, kernel } => [vec![r, inp, kernel, kernel], vec![out, r, 1, 1]],
    }
}

/// A name with every number replaced: modules of one kind have the same.
fn kind(name: &str) -> String {
    let mut kind = String::new();
    for c in name.chars() {
        match (c.is_ascii_digit(), kind.ends_with('#')) {
            (true, true) => {}
            (true, false) => kind.push('#'),
            (false, _) => kind.push(c),
        }
    }
    kind
}

#[test]
fn full_size_networks_have_exactly_the_modules_of_real_files() {
    let (mut compared, memory) = (0, Memory::unlimited());
    for (name, list) in lists() {
        let kohya = list.keys().next().unwrap().starts_with("lora_");
        // Lists in PEFT's names are held against the table of namings, in `lora/full_size.rs`.
        if !kohya {
            continue;
        }
        let Some(family) = family(&name) else {
            println!("SKIPPED: {name}: no family of that name");
            continue;
        };
        let texts = family.random_texts(1, &memory).unwrap();
        let mut targets: Vec<Target> = family.random_network(1, &memory).unwrap().targets();
        targets.extend(texts.parts().iter().flat_map(|part| part.targets()));
        let by_name: BTreeMap<&str, &Target> = targets.iter().map(|t| (t.kohya.as_str(), t)).collect();
        assert_eq!(by_name.len(), targets.len(), "{name}: two layers have one name");
        let mut problems = Vec::new();
        for (module, [down, up]) in &list {
            match by_name.get(module.as_str()) {
                None => problems.push(format!("{module} is no layer")),
                Some(target) => {
                    let found = shapes(target.shape, down[0]);
                    if found != [down.clone(), up.clone()] {
                        problems.push(format!("{module}: expected {down:?} {up:?}, found {found:?}"));
                    }
                }
            }
        }
        // A list of a trainer need not have every layer, but of a kind of layer that it has it has all.
        let kinds: BTreeSet<String> = list.keys().map(|module| kind(module)).collect();
        let surplus = by_name.keys().filter(|n| kinds.contains(&kind(n)) && !list.contains_key(**n));
        problems.extend(surplus.map(|name| format!("{name} is a layer that the list has not")));
        assert!(problems.is_empty(), "{name}: {problems:#?}");
        compared += 1;
    }
    assert!(compared > 0);
}
