//! `anagama plugins`: what is installed, what it may do, and which native libraries may run.

use crate::cli::Plugins;
use crate::config::{Config, Places};
use crate::exit::{Exit, Fail, invalid};
use crate::host::Host;
use crate::show::print_json;
use crate::text::columns;
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

pub(crate) fn plugins(command: &Plugins, config: Option<&Path>) -> Result<Exit, Fail> {
    match command {
        Plugins::List { json } => list(*json, config),
        Plugins::Explain { id } => explain(id, config),
        Plugins::Approve { path, yes } => approve(path, *yes, &lock_file(config)?),
        Plugins::Revoke { what } => {
            for (sha256, approval) in loader::revoke(&lock_file(config)?, what).map_err(invalid)? {
                println!(
                    "revoked {} {} ({}), sha256 {sha256}",
                    approval.plugin,
                    approval.version,
                    approval.path.display()
                );
            }
            Ok(Exit::Ok)
        }
    }
}

fn lock_file(config: Option<&Path>) -> Result<PathBuf, Fail> {
    let places = Places::from_env()?;
    Ok(Config::find(config, None, &places).map_err(invalid)?.lock)
}

fn list(json: bool, config: Option<&Path>) -> Result<Exit, Fail> {
    let host = Host::open(config, None, false)?;
    let plugins = host.loader.plugins();
    // Kinds and forms are shown as JSON writes them: `dataset-source`, `wasm`.
    let kinds = |p: &loader::Plugin| p.kinds().iter().map(word).collect::<Vec<_>>();
    if json {
        let one = |p: &loader::Plugin| json!({ "id": p.id(), "version": p.version(), "form": word(&p.form()), "kinds": kinds(p), "sha256": p.sha256() });
        print_json(&plugins.iter().map(|p| one(p)).collect::<Vec<_>>());
        return Ok(Exit::Ok);
    }
    if plugins.is_empty() {
        let folders: Vec<String> = host.config.plugins.iter().map(|p| p.display().to_string()).collect();
        let looked = if folders.is_empty() { "no folder is configured".to_owned() } else { folders.join(", ") };
        println!("no plugins; looked in: {looked}");
        return Ok(Exit::Ok);
    }
    let row = |p: &loader::Plugin| {
        let sha256 = p.sha256().chars().take(12).collect();
        vec![p.id().to_owned(), p.version().to_owned(), word(&p.form()), kinds(p).join(", "), sha256]
    };
    println!("{}", columns(&plugins.iter().map(|p| row(p)).collect::<Vec<_>>()));
    Ok(Exit::Ok)
}

fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn explain(id: &str, config: Option<&Path>) -> Result<Exit, Fail> {
    let host = Host::open(config, None, false)?;
    let plugin = host.loader.plugin(id).map_err(invalid)?;
    println!("{}", plugin.explain());
    Ok(Exit::Ok)
}

fn approve(path: &Path, yes: bool, lock: &Path) -> Result<Exit, Fail> {
    println!("{}\n", loader::NATIVE_WARNING);
    if !yes {
        if !std::io::stdin().is_terminal() {
            return Err(invalid(anyhow::anyhow!("nobody is there to ask; pass --yes to approve {}", path.display())));
        }
        print!("approve {}? [y/N] ", path.display());
        std::io::stdout().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            println!("not approved");
            return Ok(Exit::Cancelled);
        }
    }
    let (sha256, approval) = loader::approve(lock, path).map_err(invalid)?;
    println!("approved {} {} ({})", approval.plugin, approval.version, approval.path.display());
    println!("sha256 {sha256}, recorded in {}", lock.display());
    println!("use it with --prefer-native, or `prefer-native = true` in {}", crate::config::FILE_NAME);
    Ok(Exit::Ok)
}
