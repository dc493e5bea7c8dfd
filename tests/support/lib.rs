//! What the integration tests share: where things lie, running the program, printing a skip.
//!
//! No test lives here. Start at [`Anagama`].
#![allow(clippy::unwrap_used)]

pub mod board;
pub mod chat;
pub mod languages;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The root of the checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The folder with numbers from the peers: `ANAGAMA_REFERENCE`, else the project's copy.
pub fn reference() -> PathBuf {
    std::env::var_os("ANAGAMA_REFERENCE").map_or_else(|| root().join("tests/reference"), PathBuf::from)
}

/// The folder that holds built programs: where this test binary's own profile put them.
pub fn bin_dir() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    exe.ancestors().nth(2).unwrap().to_owned()
}

/// Copies a built plugin, such as `plugins/tag-edit`, from the target folder below `dir/plugins`. Returns its folder there.
/// The others need not be compiled for a test of one.
pub fn install(built: &str, dir: &Path) -> PathBuf {
    let built = root().join("target").join(built);
    let installed = dir.join("plugins").join(built.file_name().unwrap());
    std::fs::create_dir_all(&installed).unwrap();
    let files = std::fs::read_dir(&built);
    for file in files.unwrap_or_else(|e| panic!("{}: {e}; run `cargo xtask guests --native`", built.display())) {
        let file = file.unwrap();
        std::fs::copy(file.path(), installed.join(file.file_name())).unwrap();
    }
    installed
}

/// Prints that a test did not run, and why; `cargo xtask test` counts these lines.
pub fn skip(name: &str, reason: &str) {
    eprintln!("SKIPPED: {name}: {reason}");
}

/// One call of the program.
pub struct Anagama {
    command: Command,
}

impl Anagama {
    /// A call with these arguments, from the root of the checkout.
    pub fn new<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        let program = bin_dir().join("anagama");
        assert!(program.exists(), "{} is not built; run `cargo xtask test`, which builds it first", program.display());
        let mut command = Command::new(program);
        command.args(args).current_dir(root());
        Self { command }
    }

    /// A run of a workflow file with a configuration; the store and the output folder `out` lie in `dir`.
    pub fn workflow(file: &Path, config: &Path, dir: &Path) -> Self {
        let mut call = Self::new(["run".as_ref(), file.as_os_str()]);
        call.command.arg("--config").arg(config);
        call.command.arg("--out").arg(dir.join("out")).arg("--store").arg(dir.join("store"));
        call
    }

    /// The command, to change or to spawn.
    pub fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Runs to the end.
    pub fn run(mut self) -> Finished {
        Finished(self.command.output().unwrap())
    }
}

/// What a call printed and how it ended.
pub struct Finished(pub Output);

impl Finished {
    /// Exit code; none if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    /// Standard output and standard error together.
    pub fn text(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.0.stdout), String::from_utf8_lossy(&self.0.stderr))
    }

    /// Standard output.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    /// Panics with all output unless the exit code is `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "{}", self.text());
        self
    }
}
