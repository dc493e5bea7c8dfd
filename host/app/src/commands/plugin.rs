//! `anagama plugin`: writing, building, testing, packing and installing plugins.

use crate::cli_plugin::{self as cli, Lang, Plugin};
use crate::config::{Config, Places};
use crate::exit::{Exit, Fail, invalid};
use crate::host::loader_config;
use crate::show::print_json;
use crate::text::{bytes, columns};
use anyhow::{Context, anyhow};
use kit::install::{Consent, Done, Installer};
use kit::suite::{Bench, Outcome};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) fn plugin(command: &Plugin, config: Option<&Path>) -> Result<Exit, Fail> {
    let places = Places::from_env()?;
    match command {
        Plugin::New(args) => new(args, &places),
        Plugin::Build(args) => build(args, &places),
        Plugin::Test(args) => test(args, &places, &Config::find(config, None, &places).map_err(invalid)?),
        Plugin::Pack(args) => pack(args, &places),
        Plugin::Key { file } => key(&places.current.join(file)),
        Plugin::Interfaces => {
            print!("{}", kit::interfaces()?);
            Ok(Exit::Ok)
        }
        Plugin::Index { folder } => index(&places.current.join(folder)),
        Plugin::Install(args) => {
            let config = Config::find(config, None, &places).map_err(invalid)?;
            let loader = loader_config(&config);
            let from = places.current.join(&args.from);
            let done = kit::install::install(&Installer { config: &loader }, &from, args.id.as_deref());
            say(&done.map_err(invalid)?);
            Ok(Exit::Ok)
        }
        Plugin::Update(args) => update(args, &places, &Config::find(config, None, &places).map_err(invalid)?),
        Plugin::Compile { component, out } => {
            loader::compile(component, out).map_err(anyhow::Error::msg)?;
            Ok(Exit::Ok)
        }
        Plugin::Remove { id, force } => {
            let config = Config::find(config, None, &places).map_err(invalid)?;
            let done = kit::install::remove(&loader_config(&config), id, *force).map_err(invalid)?;
            println!("removed {} {} from {}", done.id, done.version, done.folder.display());
            Ok(Exit::Ok)
        }
    }
}

fn new(args: &cli::New, places: &Places) -> Result<Exit, Fail> {
    let kind = kit::kind(&args.kind)
        .ok_or_else(|| anyhow!("no kind `{}`; known are {}", args.kind, kit::kinds().join(", ")))
        .map_err(invalid)?;
    let lang = match args.lang {
        Lang::Rust => kit::Lang::Rust,
        Lang::Python => kit::Lang::Python,
        Lang::Js => kit::Lang::Js,
        Lang::C => kit::Lang::C,
    };
    let folder = kit::create(kind, &args.name, lang, &places.current, args.folder.as_deref()).map_err(invalid)?;
    let shown = folder.strip_prefix(&places.current).unwrap_or(&folder).display();
    let native = if lang == kit::Lang::C { " --native" } else { "" };
    println!("made {shown}\nnext: anagama plugin build {shown}, then anagama plugin test{native} {shown}");
    if lang == kit::Lang::C {
        println!(
            "a plugin in C is a native library: it runs with all rights of whoever approves it, outside of the sandbox"
        );
    }
    Ok(Exit::Ok)
}

fn build(args: &cli::Build, places: &Places) -> Result<Exit, Fail> {
    let project = kit::Project::open(&places.current.join(&args.folder)).map_err(invalid)?;
    let making = kit::Making {
        programs: compile::Programs { cargo: "cargo".into(), path: std::env::var_os("PATH").unwrap_or_default() },
        target: args.target_dir.as_ref().map(|t| places.current.join(t)),
        native: args.native,
        set_up: args.set_up,
        tools: places.user_cache.join("plugin-tools"),
        cc: std::env::var_os("CC").filter(|c| !c.is_empty()).unwrap_or_else(|| "cc".into()),
    };
    if args.watch {
        kit::watch(&project.folder, &making, |built| {
            match built {
                Ok(files) => say_built(&files, &project.folder),
                // The next thing that is saved may be right.
                Err(e) => eprintln!("error: {e:#}"),
            }
            true
        })?;
    } else {
        say_built(&kit::build(&project, &making)?, &project.folder);
    }
    Ok(Exit::Ok)
}

fn say_built(files: &[PathBuf], folder: &Path) {
    for file in files {
        let size = std::fs::metadata(file).map(|m| bytes(m.len())).unwrap_or_default();
        println!("built {} ({size})", file.strip_prefix(folder).unwrap_or(file).display());
    }
}

fn test(args: &cli::Test, places: &Places, config: &Config) -> Result<Exit, Fail> {
    let project = kit::Project::open(&places.current.join(&args.folder)).map_err(invalid)?;
    let setup = kit::suite::Setup::read(&project.folder).map_err(invalid)?;
    let form = if args.native { loader::Form::Native } else { loader::Form::Wasm };
    let cache = places.user_cache.join("plugin-test");
    let own = nodes::OwnNetworks::new(nodes::Shared::with_budget(config.memory).memory.clone());
    let inference: Arc<dyn data::Inference> = Arc::new(crate::host::models(config, own));
    let bench = Bench { form, cache: &cache, inference: Some(inference), compiler: crate::compiler::compiler() };
    let report = kit::suite::run(&project.dist(), &setup, &bench)?;
    let row = |f: &kit::suite::Finding| {
        let (word, remark) = match &f.outcome {
            Outcome::Passed(remark) => ("ok", remark),
            Outcome::Failed(why) => ("FAILED", why),
            Outcome::Skipped(why) => ("skipped", why),
        };
        [f.node.as_str(), f.check, word, remark.as_str()].map(str::to_owned).to_vec()
    };
    let rows: Vec<Vec<String>> = report.findings.iter().map(row).collect();
    if args.json {
        let one = |r: &Vec<String>| json!({ "node": r[0], "check": r[1], "outcome": r[2], "remark": r[3] });
        print_json(&rows.iter().map(one).collect::<Vec<_>>());
    } else {
        println!("{}\n{}", report.plugin, columns(&rows));
    }
    let failed = report.failures().count();
    if !args.json {
        println!("{} checks, {failed} failed", rows.len());
    }
    Ok(if failed == 0 { Exit::Ok } else { Exit::Failed })
}

fn pack(args: &cli::Pack, places: &Places) -> Result<Exit, Fail> {
    let project = kit::Project::open(&places.current.join(&args.folder)).map_err(invalid)?;
    let key = args.key.as_ref().map(|k| kit::Key::read(&places.current.join(k))).transpose().map_err(invalid)?;
    let (name, packed) = kit::pack(&project, key.as_ref()).map_err(invalid)?;
    // Read it as others will, before anybody gets it.
    let package = kit::Package::parse(&packed).context("the new package")?;
    let out = places.current.join(&args.out);
    let path = out.join(&name);
    compile::write(&path, &packed)?;
    println!(
        "packed {} ({})",
        path.strip_prefix(&places.current).unwrap_or(&path).display(),
        bytes(packed.len() as u64)
    );
    println!("sha256 {}", package.sha256);
    if let Some(key) = &package.key {
        println!("signed by the key {}", kit::fingerprint(key));
    }
    Ok(Exit::Ok)
}

fn key(file: &Path) -> Result<Exit, Fail> {
    use std::io::Write;
    let (key, text) = kit::Key::generate()?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut opened = options.open(file).with_context(|| file.display().to_string()).map_err(invalid)?;
    opened.write_all(text.as_bytes()).with_context(|| file.display().to_string())?;
    println!("made {}; keep it to yourself", file.display());
    println!("its fingerprint, which others see, is {}", kit::fingerprint(&key.public()));
    Ok(Exit::Ok)
}

fn index(folder: &Path) -> Result<Exit, Fail> {
    let index = kit::Index::of(folder).map_err(invalid)?;
    let path = folder.join("index.json");
    compile::write(&path, &serde_json::to_vec_pretty(&index)?)?;
    println!("{}: {} packages", path.display(), index.plugins.len());
    Ok(Exit::Ok)
}

fn update(args: &cli::Update, places: &Places, config: &Config) -> Result<Exit, Fail> {
    let loader = loader_config(config);
    let ids = args.id.clone().map_or_else(|| kit::install::installed(&loader), |id| vec![id]);
    let from = args.from.as_ref().map(|f| places.current.join(f));
    let consent = Consent { more: args.yes, force: args.force };
    let mut exit = Exit::Ok;
    for id in &ids {
        match kit::install::update(&Installer { config: &loader }, id, from.as_deref(), consent) {
            Ok(Some(done)) => say(&done),
            Ok(None) => println!("{id} is up to date"),
            Err(e) => {
                // One that cannot be updated is no reason to leave the others old.
                eprintln!("error: {e:#}");
                exit = Exit::Failed;
            }
        }
    }
    if ids.is_empty() {
        println!("no plugin was installed from a package");
    }
    Ok(exit)
}

fn say(done: &Done) {
    match &done.before {
        Some(before) => println!("updated {} from {before} to {}, in {}", done.id, done.version, done.folder.display()),
        None => println!("installed {} {} in {}", done.id, done.version, done.folder.display()),
    }
    match &done.signed_by {
        Some(key) => println!("signed by the key {key}"),
        None => println!("not signed"),
    }
    if done.asks.is_empty() {
        println!("it asks for nothing");
    } else {
        println!("it asks to\n  {}", done.asks.join("\n  "));
        println!("what of that is granted says `anagama plugins explain {}`; grants stand in anagama.toml", done.id);
    }
}
