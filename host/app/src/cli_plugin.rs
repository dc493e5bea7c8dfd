//! The command line of `anagama plugin`, for those who write and install plugins.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum Plugin {
    /// Make a plugin that works, to change into one's own
    New(New),
    /// Build a plugin into its folder `dist`
    Build(Build),
    /// Try what was built: schema, settings, determinism, odd inputs, limits, cancelling, time
    Test(Test),
    /// Put what was built into one file, with the sha256 of each part
    Pack(Pack),
    /// Make a key to sign packages with
    Key {
        /// The file; it must not be there
        file: PathBuf,
    },
    /// Write `index.json` of all packages in a folder
    Index { folder: PathBuf },
    /// Install a package, and say what it asks for
    Install(Install),
    /// Replace installed plugins by newer packages
    Update(Update),
    /// Print the reference of the contract, interface by interface
    Interfaces,
    /// Compile a component for this machine; the program calls itself with it
    #[command(hide = true)]
    Compile { component: PathBuf, out: PathBuf },
    /// Remove an installed plugin; what it stored stays
    Remove {
        id: String,
        /// Remove it although it was not installed from a package
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct New {
    /// `captioner`, `dataset-source`, `tag-filter`, `evaluator` or `node`
    pub(crate) kind: String,

    /// `vendor.name`; without a vendor it is `example`
    pub(crate) name: String,

    #[arg(long, value_enum, default_value_t = Lang::Rust)]
    pub(crate) lang: Lang,

    /// The new folder, instead of one with the plugin's name
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

/// Languages with templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lang {
    Rust,
    Python,
    Js,
    C,
}

#[derive(Debug, Args)]
pub(crate) struct Build {
    /// The plugin's folder
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,

    /// Build the native library for this machine too
    #[arg(long)]
    pub(crate) native: bool,

    /// Build again whenever something is saved, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,

    /// Install what is missing to make components: for Rust by rustup or apt-get, for Python by pip and for JavaScript by npm,
    /// those into the cache folder
    #[arg(long)]
    pub(crate) set_up: bool,

    /// Where compilers put what they make, instead of `target` in the plugin's folder
    #[arg(long, value_name = "DIR", env = "CARGO_TARGET_DIR")]
    pub(crate) target_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The plugin's folder
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,

    /// Test the native library; it runs in this process with all your rights
    #[arg(long)]
    pub(crate) native: bool,

    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Pack {
    /// The plugin's folder
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,

    /// Folder for the package
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) out: PathBuf,

    /// Sign it with the key in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Install {
    /// A package, or an index
    pub(crate) from: PathBuf,

    /// Which plugin of an index
    pub(crate) id: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Update {
    /// Which; none: all that were installed from packages
    pub(crate) id: Option<String>,

    /// A package or index, instead of where the plugin came from
    #[arg(long, value_name = "FILE", requires = "id")]
    pub(crate) from: Option<PathBuf>,

    /// Agree to what a new version asks for beyond the old one
    #[arg(long)]
    pub(crate) yes: bool,

    /// Take older versions, and packages that somebody else signed
    #[arg(long)]
    pub(crate) force: bool,
}
