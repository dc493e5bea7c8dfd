//! The command line as clap reads it.

use crate::device::Device;
use crate::exit::Exit;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Runs LoRA workflows: import, caption, train, compare, choose.
#[derive(Debug, Parser)]
#[command(name = "anagama", version, about, after_help = Exit::help(), max_term_width = 100)]
pub(crate) struct Cli {
    /// Configuration file; else the nearest `anagama.toml` above the workflow, above the current folder, or in the
    /// user's configuration folder
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// What computes the networks; the default is the CPU, or a graphics card if this is anagama-gpu
    #[arg(long, global = true, value_enum)]
    pub(crate) device: Option<Device>,

    /// Say more on stderr; twice for debugging, three times for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a workflow; what has not changed since an earlier run is not run again
    Run(Run),
    /// Check a workflow without running it
    Check(Check),
    /// Print a workflow that the editor saved in API format
    Convert(Convert),
    /// List the nodes, or show one
    Nodes(Nodes),
    /// List, explain and approve plugins
    Plugins {
        #[command(subcommand)]
        command: Plugins,
    },
    /// List trainings, or tell a running one to pause, resume, stop or finish
    Train(Train),
    /// Look at model files
    Models {
        #[command(subcommand)]
        command: Models,
    },
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
}

/// The workflow and the changes to it.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// Workflow in ComfyUI's API format, or as its editor saves it; `-` reads it from stdin
    pub(crate) workflow: PathBuf,

    /// Change an input: NODE is an id, or a title or class that only one node has; VALUE is JSON, else text.
    /// `NODE.class_type=NAME` swaps the node itself
    #[arg(long = "set", value_name = "NODE.INPUT=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) source: Source,

    /// Folder for what the workflow writes
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub(crate) out: PathBuf,

    /// Folder for what later runs reuse, instead of the configured one
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,

    /// Use approved native libraries of plugins instead of their sandboxed components
    #[arg(long)]
    pub(crate) prefer_native: bool,

    /// Memory for working copies of weights, such as `8 GiB`, instead of the configured amount
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) memory: Option<String>,

    /// Print one JSON object per event
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    /// `list`; or `pause`, `resume`, `stop` (the same workflow goes on from there), `finish` (end now, and go on in the
    /// workflow with what there is)
    #[arg(value_parser = ["list", "pause", "resume", "stop", "finish"], default_value = "list")]
    pub(crate) what: String,

    /// The training: the start of its id, or its name if only one has it
    pub(crate) job: Option<String>,

    /// Folder for what later runs reuse, instead of the configured one
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,

    /// Print the list as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) source: Source,

    /// Print the result as ComfyUI's JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// Workflow as the editor saves it; `-` reads it from stdin
    pub(crate) workflow: PathBuf,

    /// What `/object_info` of another server answered, to convert workflows with nodes that are not known here
    #[arg(long, value_name = "FILE")]
    pub(crate) object_info: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Nodes {
    /// Show this node only
    pub(crate) name: Option<String>,

    /// Leave out the nodes of plugins
    #[arg(long)]
    pub(crate) builtin: bool,

    /// Print the descriptions as JSON
    #[arg(long, conflicts_with = "markdown")]
    pub(crate) json: bool,

    /// Print reference pages in Markdown
    #[arg(long)]
    pub(crate) markdown: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Plugins {
    /// List what is installed, and what is wrong with it
    List {
        #[arg(long)]
        json: bool,
    },
    /// Show what a plugin is, what it asks for and what it is granted
    Explain { id: String },
    /// Let a native library run: say what that means, ask, and record its sha256
    Approve {
        /// The library, or its plugin's folder
        path: PathBuf,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Take approvals back
    Revoke {
        /// A plugin's id, a library's path, or the beginning of a sha256
        what: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Models {
    /// List the model files in the configured folders
    List {
        #[arg(long)]
        json: bool,
    },
    /// Print which families, forms of files and kinds of networks are read, in Markdown
    Formats,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_order_to_a_training_can_be_given() {
        for order in nodes::ORDERS {
            assert!(Cli::try_parse_from(["anagama", "train", order.name, "ohwx"]).is_ok(), "{}", order.name);
        }
        assert!(Cli::try_parse_from(["anagama", "train", "list"]).is_ok());
        assert!(Cli::try_parse_from(["anagama", "train", "dance", "ohwx"]).is_err());
    }

    #[test]
    fn a_run_with_overrides_reads_well() {
        let cli = Cli::try_parse_from(["anagama", "run", "w.json", "--set", "3.steps=5", "--set", "6.text=a, b", "-v"]);
        let Command::Run(run) = cli.unwrap().command else { panic!() };
        assert_eq!(run.source.set, ["3.steps=5", "6.text=a, b"]);
        assert_eq!(run.out, PathBuf::from("out"));
    }
}
