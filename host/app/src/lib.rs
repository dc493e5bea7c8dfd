//! `anagama`: runs workflows, lists nodes, plugins and models.
//!
//! The only crate that reads the command line and the environment. Parses both, wires the host together and shows
//! what happens; it decides nothing about graphs, nodes or plugins. Start at [`main`] and `cli.rs`, then `commands/`.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cli;
mod cli_plugin;
mod clock;
mod commands;
mod compiler;
mod config;
mod device;
mod exit;
mod extra_models;
mod front_end;
mod host;
mod interrupt;
mod machine;
mod memory;
mod reference;
mod serve_host;
mod show;
mod text;

pub use device::Device;

use clap::Parser;
use exit::Exit;
use std::process::ExitCode;

/// Does what the command line says. `built` is what this program can compute on beside the CPU.
pub fn main(built: Device) -> ExitCode {
    let cli = cli::Cli::parse();
    start_logging(&cli);
    quiet_panics();
    let exit = device::choose(cli.device, built).and_then(|device| commands::dispatch(&cli, device));
    let exit = exit.unwrap_or_else(|fail| {
        eprintln!("error: {:#}", fail.error);
        fail.exit
    });
    exit.into()
}

/// Logs go to stderr; those of other people's crates only when something is wrong. A server says what it does.
fn start_logging(cli: &cli::Cli) {
    let served = match &cli.command {
        cli::Command::Serve(args) => Some(args),
        _ => None,
    };
    let verbose = cli.verbose.saturating_add(u8::from(served.is_some()));
    let level = match verbose {
        0 => "error",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let ours = [
        "anagama",
        "app",
        "graph",
        "engine",
        "data",
        "models",
        "sample",
        "train",
        "loader",
        "kit",
        "inference",
        "nodes",
        "server",
    ];
    let filter = ours.iter().fold("error".to_owned(), |all, name| format!("{all},{name}={level}"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        // A log that cannot be written, on a full disk for one, must not stop what it tells of.
        .log_internal_errors(false)
        .with_target(verbose > 1);
    match served {
        Some(args) if args.log_format == cli::LogFormat::Json => log.json().init(),
        Some(_) => log.init(),
        None => log.without_time().init(),
    }
}

/// A node's panic is reported as that node's error; its place in the source goes to the log. When nobody reads the output
/// any more, as behind `| head`, the program ends without a word, as others do by a signal.
fn quiet_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let said = info.payload_as_str().unwrap_or_default();
        if std::thread::current().name() == Some("node") {
            tracing::info!("{info}");
        } else if said.starts_with("failed printing to stdout") && said.contains("Broken pipe") {
            std::process::exit(Exit::Unread.code().into());
        } else {
            usual(info);
        }
    }));
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
