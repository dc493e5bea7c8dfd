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
    /// Write, build, test, pack and install plugins (docs/plugins.md)
    Plugin {
        #[command(subcommand)]
        command: crate::cli_plugin::Plugin,
    },
    /// List trainings, or tell a running one to pause, resume, stop or finish, or keep its best
    Train(Train),
    /// Look at model files
    Models {
        #[command(subcommand)]
        command: Models,
    },
    /// Serve workflows over HTTP and WebSocket, as ComfyUI's front end and clients speak them
    Serve(Box<Serve>),
    /// Fetch ComfyUI's front end for the server
    FrontEnd {
        #[command(subcommand)]
        command: FrontEnd,
    },
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },

    /// Serve one native library to the program that started this one
    #[command(hide = true)]
    NativeRunner,
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
pub(crate) struct Serve {
    /// Addresses to listen on, with commas between; without one: all. Anything beyond this machine asks for a token
    #[arg(long, value_name = "IP", default_value = "127.0.0.1", num_args = 0..=1, default_missing_value = "0.0.0.0,::")]
    pub(crate) listen: String,

    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8188)]
    pub(crate) port: u16,

    /// Folder below which `models`, `input`, `output`, `temp` and `user` lie
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) base_directory: PathBuf,

    /// Folder for results
    #[arg(long, value_name = "DIR")]
    pub(crate) output_directory: Option<PathBuf>,

    /// Folder for what clients upload and workflows read
    #[arg(long, value_name = "DIR")]
    pub(crate) input_directory: Option<PathBuf>,

    /// Folder in which a folder `temp` is made for pictures that are only shown
    #[arg(long, value_name = "DIR")]
    pub(crate) temp_directory: Option<PathBuf>,

    /// Folder for settings, workflows and the queue
    #[arg(long, value_name = "DIR")]
    pub(crate) user_directory: Option<PathBuf>,

    /// Files with more model folders, in the form of ComfyUI's `extra_model_paths.yaml`
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) extra_model_paths_config: Vec<PathBuf>,

    /// Folder for what later runs reuse, instead of the configured one
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,

    /// An unpacked front end to serve at `/`; else the one that `front-end install` fetched, else a small page
    #[arg(long, alias = "front-end-root", value_name = "DIR")]
    pub(crate) front_end: Option<PathBuf>,

    /// Workflows that the front end offers to begin with: a folder with an `index.json`
    #[arg(long, value_name = "DIR")]
    pub(crate) templates: Option<PathBuf>,

    /// Serve the small page even where a front end is installed
    #[arg(long, conflicts_with = "front_end")]
    pub(crate) no_front_end: bool,

    /// What clients must show to be let in; generated where one is needed and none is given
    #[arg(long, value_name = "WORD", env = "ANAGAMA_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,

    /// A name beside `localhost` under which clients may call this server without a token
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_host: Vec<String>,

    /// Let pages of another origin call; without one: of any
    #[arg(long, value_name = "ORIGIN", num_args = 0..=1, default_missing_value = "*")]
    pub(crate) enable_cors_header: Option<String>,

    /// Certificate chain for HTTPS, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_keyfile")]
    pub(crate) tls_certfile: Option<PathBuf>,

    /// The certificate's key, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_certfile")]
    pub(crate) tls_keyfile: Option<PathBuf>,

    /// Largest upload, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 100.0)]
    pub(crate) max_upload_size: f64,

    /// Requests per second that one address beyond this machine may send
    #[arg(long, value_name = "NUMBER", default_value_t = 200.0)]
    pub(crate) rate_limit: f64,

    /// How many finished jobs are remembered
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    pub(crate) history_size: u32,

    /// Pictures of the work so far, unless a job asks for another way: `taesd` by a small decoder in `vae_approx`,
    /// `latent2rgb` without one, `auto` with one where there is one
    #[arg(long, value_name = "METHOD", value_parser = server::PREVIEW_METHODS, default_value = "auto")]
    pub(crate) preview_method: String,

    /// Longest side of such pictures, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 512)]
    pub(crate) preview_size: u32,

    /// Keep in memory what the last workflow could use; this is how it is done unless another way is chosen
    #[arg(long, group = "cache")]
    pub(crate) cache_classic: bool,

    /// Keep this many results of older workflows too
    #[arg(long, value_name = "NUMBER", group = "cache")]
    pub(crate) cache_lru: Option<usize>,

    /// Keep no results, and run everything again
    #[arg(long, group = "cache")]
    pub(crate) cache_none: bool,

    /// Keep all results until less than this is free, in GB; without a number a tenth of the machine's memory
    #[arg(long, value_name = "GB", group = "cache", num_args = 0..=1, default_missing_value = "0")]
    pub(crate) cache_ram: Option<f64>,

    /// Compute on the CPU; the same as `--device cpu`
    #[arg(long)]
    pub(crate) cpu: bool,

    /// Memory for working copies of weights, such as `8 GiB`, instead of the configured amount
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) memory: Option<String>,

    /// Use approved native libraries of plugins instead of their sandboxed components
    #[arg(long)]
    pub(crate) prefer_native: bool,

    /// How the log is written
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,

    /// ComfyUI's flags that mean nothing here, so that its start scripts work
    #[command(flatten)]
    pub(crate) ignored: Ignored,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Accepted and without effect.
#[derive(Debug, Args)]
pub(crate) struct Ignored {
    #[arg(long, hide = true)]
    disable_auto_launch: bool,
    #[arg(long, hide = true)]
    dont_print_server: bool,
    #[arg(long, hide = true)]
    disable_all_custom_nodes: bool,
    #[arg(long, hide = true)]
    disable_api_nodes: bool,
    #[arg(long, hide = true)]
    disable_metadata: bool,
    #[arg(long, hide = true)]
    multi_user: bool,
    #[arg(long, hide = true)]
    lowvram: bool,
    #[arg(long, hide = true)]
    normalvram: bool,
    #[arg(long, hide = true)]
    highvram: bool,
    #[arg(long, hide = true)]
    novram: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FrontEnd {
    /// Fetch the package with pip and unpack it where the server finds it
    Install {
        /// Which release
        #[arg(long, default_value = "1.58.1")]
        version: String,

        /// Fetch the workflows that it offers to begin with too
        #[arg(long)]
        templates: bool,
    },
    /// Print where it lies
    Path,
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    /// `list`; or `pause`, `resume`, `stop` (the same workflow goes on from there), `finish` (end now, and go on in the
    /// workflow with what there is), `keep-best` (the same with the checkpoint of the lowest validation loss)
    #[arg(value_parser = ["list", "pause", "resume", "stop", "finish", "keep-best"], default_value = "list")]
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
