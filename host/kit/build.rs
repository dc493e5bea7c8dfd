//! Puts the plugin kit's sources into the program, so that `anagama plugin new` needs no checkout.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What a new plugin gets, below the root of the checkout.
const FOLDERS: [&str; 6] =
    ["wit", "sdk/spec", "sdk/spec-derive", "sdk/plugin-abi", "sdk/plugin-sdk", "sdk/plugin-test"];
const FILES: [&str; 3] = ["LICENSE", "LICENSE-APACHE", "LICENSE-MIT"];
/// What cannot be used outside of the checkout.
const LEFT_OUT: [&str; 3] = ["tests", "target", "examples"];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the root of the checkout");
    let mut files: Vec<PathBuf> = FILES.iter().map(|f| root.join(f)).collect();
    for folder in FOLDERS {
        println!("cargo:rerun-if-changed={}", root.join(folder).display());
        walk(&root.join(folder), &mut files);
    }
    println!("cargo:rerun-if-changed=build.rs");
    files.sort();
    let mut code = String::from("pub(crate) const FILES: &[(&str, &str)] = &[\n");
    for file in files {
        let name = file.strip_prefix(&root).expect("below the root").to_string_lossy().replace('\\', "/");
        writeln!(code, "    ({name:?}, include_str!({:?})),", file.display().to_string()).expect("written");
    }
    code.push_str("];\n");
    let out = std::env::var_os("OUT_DIR").expect("OUT_DIR");
    std::fs::write(Path::new(&out).join("files.rs"), code).expect("written");
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the kit") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !LEFT_OUT.contains(&name.as_str()) {
                walk(&path, files);
            }
        } else if !name.starts_with('.') {
            files.push(path);
        }
    }
}
