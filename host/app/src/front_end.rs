//! `anagama front-end`: ComfyUI's own front end, fetched by pip.

use crate::cli::FrontEnd;
use crate::config::Places;
use crate::exit::{Exit, Fail, invalid};
use anyhow::{Context as _, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A package, the folder that it goes to, what is wanted of it, and a file that must be there.
struct Package {
    name: &'static str,
    folder: &'static str,
    below: &'static str,
    file: &'static str,
}

const PAGES: Package = Package {
    name: "comfyui-frontend-package",
    folder: "front-end",
    below: "comfyui_frontend_package/static",
    file: "index.html",
};

const TEMPLATES: Package = Package {
    name: "comfyui-workflow-templates-json",
    folder: "templates",
    below: "comfyui_workflow_templates_json/templates",
    file: "index.json",
};
const TEMPLATES_VERSION: &str = "0.1.123";

pub(crate) fn front_end(command: &FrontEnd) -> Result<Exit, Fail> {
    let places = Places::from_env()?;
    match command {
        FrontEnd::Install { version, templates } => {
            let plain = !version.is_empty() && version.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
            if !plain {
                return Err(invalid(anyhow::anyhow!("expected a version such as 1.58.1, found `{version}`")));
            }
            PAGES.install(&places, version)?;
            println!("the front end {version} lies in {}; `anagama serve` finds it", PAGES.path(&places).display());
            if *templates {
                TEMPLATES.install(&places, TEMPLATES_VERSION)?;
                println!("its templates lie in {}", TEMPLATES.path(&places).display());
            }
        }
        FrontEnd::Path => match installed(&places) {
            Some(pages) => println!("{}", pages.display()),
            None => {
                eprintln!("no front end is installed; fetch it with `anagama front-end install`");
                return Ok(Exit::Failed);
            }
        },
    }
    Ok(Exit::Ok)
}

/// The installed pages.
pub(crate) fn installed(places: &Places) -> Option<PathBuf> {
    PAGES.found(places)
}

/// The installed templates.
pub(crate) fn templates(places: &Places) -> Option<PathBuf> {
    TEMPLATES.found(places)
}

impl Package {
    fn path(&self, places: &Places) -> PathBuf {
        places.user_data.join(self.folder).join(self.below)
    }

    fn found(&self, places: &Places) -> Option<PathBuf> {
        Some(self.path(places)).filter(|path| path.join(self.file).is_file())
    }

    /// Fetches into a folder beside the old one, which it then replaces: what is half fetched is never served.
    fn install(&self, places: &Places, version: &str) -> anyhow::Result<()> {
        let target = places.user_data.join(self.folder);
        let part = target.with_extension("part");
        clear(&part)?;
        pip(&part, &format!("{}=={version}", self.name))?;
        let file = part.join(self.below).join(self.file);
        ensure!(file.is_file(), "the package has no {}/{}", self.below, self.file);
        clear(&target)?;
        std::fs::rename(&part, &target).with_context(|| format!("cannot make {}", target.display()))
    }
}

fn pip(target: &Path, what: &str) -> anyhow::Result<()> {
    let arguments = ["-m", "pip", "install", "--no-deps", "--no-compile", "--disable-pip-version-check", "--target"];
    for python in ["python3", "python"] {
        let call = Command::new(python).args(arguments).arg(target).arg(what).status();
        match call {
            Ok(status) => {
                ensure!(status.success(), "pip could not fetch {what}");
                return Ok(());
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("python cannot be started"),
        }
    }
    anyhow::bail!(
        "python with pip is needed to fetch {what}; or unpack the package and give its folder with --front-end"
    )
}

fn clear(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot clear {}", folder.display()))
        }
        _ => Ok(()),
    }
}
