//! The names of full-size files against full-size networks (tests/reference/keys): every module has a layer, no layer has
//! two, and of layers of one sort either all are named or none.

use super::apply::parameters;
use super::namings::{Names, TextNames};
use crate::family::FAMILIES;
use crate::weights::Part;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

fn lists() -> serde_json::Map<String, serde_json::Value> {
    let root = match std::env::var_os("ANAGAMA_REFERENCE") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference"),
    };
    let file = std::fs::File::open(root.join("keys/full_size_lora_modules.json.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let serde_json::Value::Object(lists) = serde_json::from_str(&text).unwrap() else { panic!("no object") };
    lists
}

/// A name with all numbers alike, but for that of a text encoder.
fn sort(name: &str) -> String {
    let (head, tail) = name.split_at(name.len().min("lora_te1".len()));
    let mut out = head.to_owned();
    for c in tail.chars() {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            other => out.push(other),
        }
    }
    out
}

#[test]
fn full_size_files_have_a_layer_for_every_module() {
    let families = [("sd15", "SD 1.x"), ("sdxl", "SDXL"), ("flux", "Flux.1")];
    let lists = lists();
    assert!(!lists.is_empty());
    for (start, family) in families {
        let family = FAMILIES.iter().find(|row| row.name == family).unwrap_or_else(|| panic!("no family {family}"));
        let network = (family.network.full_size)(&mut Part::random(1)).unwrap();
        let texts: Vec<TextNames> = family
            .texts
            .iter()
            .map(|row| {
                let part = (row.full_size)(&mut Part::random(1), row).unwrap();
                let parameters = parameters(part.targets(), part.norm_targets());
                TextNames { name: row.name, kohya: row.kohya, diffusers: row.folder, parameters }
            })
            .collect();
        let names = Names::new(&parameters(network.targets(), network.norm_targets()), &texts);
        let mut seen = 0;
        for (list, modules) in lists.iter().filter(|(list, _)| list.starts_with(start)) {
            let modules = modules.as_object().unwrap();
            let mut places = BTreeMap::new();
            let mut namings = BTreeSet::new();
            for (name, shapes) in modules {
                let found = names.find(name).unwrap_or_else(|| panic!("{list}: `{name}` has no layer"));
                let shape = |at: usize| -> Vec<usize> {
                    shapes[at].as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect()
                };
                let (down, up) = (shape(0), shape(1));
                let found_shape = found.place.shape();
                let kernel = |shape: &[usize]| shape[2..].iter().product::<usize>();
                assert_eq!(
                    (up[0], down[1], kernel(&down)),
                    (found_shape[0], found_shape[1], kernel(&found_shape)),
                    "{list}: `{name}`"
                );
                let rows = found.place.rows.numbers(found.place.whole[0]);
                let place = (found.part, found.place.path.clone(), rows.first().copied());
                assert_eq!(places.insert(place, name), None, "{list}: `{name}` has the layer of another");
                namings.insert((found.part, found.naming.name));
            }
            // All names in the file's naming, without norms: by sort, all of one are in the file or none is.
            let mut sorts: BTreeMap<String, (usize, Vec<&str>)> = BTreeMap::new();
            let named = names
                .all
                .iter()
                .filter(|name| namings.contains(&(name.part, name.naming.name)) && name.place.whole.len() > 1);
            for name in named {
                let entry = sorts.entry(sort(&name.name)).or_default();
                match modules.contains_key(&name.name) {
                    true => entry.0 += 1,
                    false => entry.1.push(&name.name),
                }
            }
            for (sort, (named, missing)) in &sorts {
                assert!(*named == 0 || missing.is_empty(), "{list}: of {sort} {named} are named, but not {missing:?}");
            }
            seen += 1;
        }
        assert!(seen > 0, "no list of modules for {}", family.name);
    }
    let known = |list: &String| families.iter().any(|(start, _)| list.starts_with(start));
    assert!(lists.keys().all(known), "lists of families that nobody tests: {:?}", lists.keys());
}
