//! One file per command.

mod check;
mod convert;
mod models;
mod nodes;
mod plugin;
mod plugins;
mod run;
mod serve;
mod train;

use crate::cli::{Cli, Command, Models, Source};
use crate::device::Device;
use crate::exit::{Exit, Fail, invalid};
use anyhow::Context;
use clap::CommandFactory;
use graph::Workflow;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Runs the command.
pub(crate) fn dispatch(cli: &Cli, device: Device) -> Result<Exit, Fail> {
    let config = cli.config.as_deref();
    match &cli.command {
        Command::Run(args) => run::run(args, config, device, cli.verbose > 0),
        Command::Check(args) => check::check(args, config),
        Command::Convert(args) => convert::convert(args, config),
        Command::Nodes(args) => nodes::nodes(args, config),
        Command::Plugins { command } => plugins::plugins(command, config),
        Command::Plugin { command } => plugin::plugin(command, config),
        Command::Models { command: Models::List { json } } => models::list(*json, config),
        Command::Models { command: Models::Formats } => models::formats(),
        Command::Train(args) => train::train(args, config),
        Command::Serve(args) => serve::serve(args, config, device),
        Command::FrontEnd { command } => crate::front_end::front_end(command),
        #[cfg(unix)]
        Command::NativeRunner => {
            loader::serve_library()?;
            Ok(Exit::Ok)
        }
        #[cfg(not(unix))]
        Command::NativeRunner => Err(invalid(anyhow::anyhow!("native libraries in processes of their own need Unix"))),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "anagama", &mut std::io::stdout());
            Ok(Exit::Ok)
        }
    }
}

impl Source {
    /// The workflow's file; none if it comes from stdin.
    fn file(&self) -> Option<&Path> {
        Some(self.workflow.as_path()).filter(|p| p.as_os_str() != "-")
    }

    /// The folder that relative paths in the workflow start from.
    fn folder(&self, current: &Path) -> PathBuf {
        let folder = self.file().and_then(|f| current.join(f).parent().map(Path::to_owned));
        crate::config::clean(&folder.unwrap_or_else(|| current.to_owned()))
    }

    /// The workflow, in API format or as the editor saves it, which `nodes` are needed to understand.
    fn read(&self, nodes: &dyn graph::Catalog) -> Result<Workflow, Fail> {
        let (name, mut json) = read_json(self.file())?;
        if graph::ui::is_ui(&json) {
            json = graph::ui::to_api(&json, &graph::ui::FromCatalog(nodes), &crate::clock::sending())
                .with_context(|| name.clone())
                .map_err(invalid)?;
        }
        let mut workflow = Workflow::from_json(json).with_context(|| name).map_err(invalid)?;
        for change in &self.set {
            workflow.set(change).map_err(invalid)?;
        }
        Ok(workflow)
    }
}

/// The JSON in a file, or in stdin, with the name to use in messages.
fn read_json(file: Option<&Path>) -> Result<(String, serde_json::Value), Fail> {
    let name = file.map_or_else(|| "stdin".to_owned(), |f| f.display().to_string());
    let mut text = String::new();
    let read = match file {
        Some(file) => std::fs::read_to_string(file).map(|t| text = t),
        None => std::io::stdin().read_to_string(&mut text).map(drop),
    };
    read.with_context(|| format!("{name}: cannot be read")).map_err(invalid)?;
    let json = serde_json::from_str(&text).map_err(|e| graph::ParseError::Json(e.to_string()));
    let json = json.with_context(|| name.clone()).map_err(invalid)?;
    Ok((name, json))
}

/// Says every problem on stderr.
fn say_problems(problems: &graph::Problems) {
    for problem in &problems.problems {
        eprintln!("error: {problem}");
    }
    let count = problems.problems.len();
    eprintln!("the workflow has {count} problem{}; nothing ran", if count == 1 { "" } else { "s" });
}

fn say_warnings(plan: &graph::Plan) {
    for warning in &plan.warnings {
        eprintln!("warning: {warning}");
    }
}
