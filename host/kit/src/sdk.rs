//! The plugin kit inside the program: the crates that plugins in Rust are written with, the header for C, the contract.

use crate::interpreted::{Interpreted, WORLD};
use anyhow::{Context, Result};
use std::path::Path;
use toml::{Table, Value};

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The workspace that the crates come from; they take versions and lints from it.
const WORKSPACE: &str = include_str!("../../../Cargo.toml");
/// The versions that the host is tested with. Cargo drops what a plugin does not need.
pub(crate) const LOCK: &str = include_str!("../../../Cargo.lock");
/// The contract that new plugins are made for.
pub(crate) const WIT: &str = "anagama:plugin@0.1.0";

/// Writes the crates and the contract into `folder`, a workspace of its own.
pub(crate) fn write_rust(folder: &Path) -> Result<()> {
    for (name, text) in FILES {
        compile::write(&folder.join(name), text.as_bytes())?;
    }
    compile::write(&folder.join("Cargo.toml"), workspace()?.as_bytes())?;
    Ok(())
}

/// Writes the header into `folder`.
pub(crate) fn write_c(folder: &Path) -> Result<()> {
    const HEADER: &str = "sdk/plugin-sdk/include/anagama.h";
    let (_, text) = FILES.iter().find(|(name, _)| *name == HEADER).context("the program lacks the header")?;
    compile::write(&folder.join("anagama.h"), text.as_bytes())?;
    Ok(())
}

/// Writes the helper of a language with an interpreter and the contract, with the world of a plugin of one kind.
pub(crate) fn write_interpreted(folder: &Path, lang: &Interpreted, kind: &str) -> Result<()> {
    for (name, text) in FILES.iter().filter(|(name, _)| name.starts_with("wit/") || name.starts_with("LICENSE")) {
        compile::write(&folder.join(name), text.as_bytes())?;
    }
    let world = format!(
        "package {WIT};\n\n/// What this plugin is. One that is more includes more of the worlds in worlds.wit.\nworld {WORLD} {{\n    \
         include {kind}-plugin;\n}}\n"
    );
    compile::write(&folder.join("wit").join(format!("{WORLD}.wit")), world.as_bytes())?;
    compile::write(&folder.join(lang.helper.0), lang.helper.1.as_bytes())?;
    Ok(())
}

/// The `Cargo.toml` of the kit: of the workspace's just what the kit's crates use.
fn workspace() -> Result<String> {
    let root: Table = toml::from_str(WORKSPACE).context("the workspace")?;
    let root = root.get("workspace").and_then(Value::as_table).context("the workspace")?;
    let known = root.get("dependencies").and_then(Value::as_table).context("the workspace's dependencies")?;
    let used = |name: &str| {
        let line = format!("{name}.workspace = true");
        FILES.iter().any(|(file, text)| file.ends_with("/Cargo.toml") && text.lines().any(|l| l.trim() == line))
    };
    let dependencies: Table =
        known.iter().filter(|(name, _)| used(name)).map(|(n, d)| (n.clone(), d.clone())).collect();
    let mut workspace = Table::new();
    workspace.insert("resolver".into(), Value::String("3".into()));
    workspace.insert("members".into(), Value::Array(vec![Value::String("sdk/*".into())]));
    for key in ["package", "lints"] {
        workspace.insert(key.into(), root.get(key).cloned().with_context(|| format!("the workspace's {key}"))?);
    }
    workspace.insert("dependencies".into(), Value::Table(dependencies));
    let whole: Table = [("workspace".to_owned(), Value::Table(workspace))].into_iter().collect();
    let head = "# What this plugin is made with, as it was when the plugin was: it builds the same at any time.\n\n";
    Ok(format!("{head}{}", toml::to_string_pretty(&whole)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kit_is_a_workspace_of_its_own() {
        let text = workspace().unwrap();
        let table: Table = toml::from_str(&text).unwrap();
        let dependencies = table["workspace"]["dependencies"].as_table().unwrap();
        for name in ["serde", "wit-bindgen", "spec", "plugin-sdk", "syn"] {
            assert!(dependencies.contains_key(name), "{name} is missing in {text}");
        }
        for name in ["wasmtime", "candle-core", "loader"] {
            assert!(!dependencies.contains_key(name), "{name} is in {text}");
        }
        for (name, dependency) in dependencies {
            let path = dependency.get("path").and_then(Value::as_str);
            let there = |p: &str| FILES.iter().any(|(f, _)| *f == format!("{p}/Cargo.toml"));
            assert!(path.is_none_or(there), "{name} is not part of the kit");
        }
    }

    #[test]
    fn nothing_of_the_host_is_in_the_kit() {
        assert!(FILES.iter().any(|(f, _)| *f == "wit/captioner.wit"));
        assert!(FILES.iter().all(|(f, _)| !f.contains("host/") && !f.contains("/tests/")));
    }
}
